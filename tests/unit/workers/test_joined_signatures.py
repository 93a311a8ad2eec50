"""Several signatures of one input as one run: what is fed and fetched, in which order, and with whom it may batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from protos.dtypes import DT_FLOAT, DT_STRING
from protos.errors import Code, ServingError
from protos.messages import SIGNATURE_SEPARATOR as AND
from protos.metrics import QUEUE_TIME
from workers import servable
from workers.metrics import WorkerMetrics
from workers.run_mode import Lane


def example(**features: list[Any]) -> bytes:
    result = tf.train.Example()
    for name, values in features.items():
        feature = result.features.feature[name]
        (feature.bytes_list if isinstance(values[0], bytes) else feature.float_list).value.extend(values)
    return result.SerializeToString()


EXAMPLES = np.array([example(x=[2.0]), example(x=[4.0], x2=[6.0])], object)


@pytest.fixture(scope="module")
def half_plus_two(load_model: Callable[[str], Any]) -> Iterator[Any]:
    with load_model("half_plus_two") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def inferences(load_model: Callable[[str], Any]) -> Iterator[Any]:
    with load_model("inferences") as loaded:
        yield loaded


def test_outputs_are_in_the_order_of_the_signatures(half_plus_two: Any) -> None:
    names = ["regress_x_to_y2", "classify_x_to_y", "regress_x_to_y"]
    prepared = half_plus_two.prepared(AND.join(names), ())
    assert (prepared.input_dtypes, prepared.input_names) == ([DT_STRING], ["tf_example:0"])
    for lane in (Lane.CALLER, Lane.POOL):
        y2, scores, y = prepared.run(lane, [EXAMPLES])
        assert (y2.tolist(), scores.tolist(), y.tolist()) == ([[4.0], [5.0]], [[3.0], [4.0]], [[3.0], [4.0]])


def test_outputs_of_one_signature_are_in_the_order_of_their_aliases(inferences: Any) -> None:
    examples = np.array([example(label=[b"a", b"b"], score=[1.0, 2.0])], object)
    outputs = inferences.prepared(f"regress{AND}serving_default{AND}regress_column", ()).run(Lane.CALLER, [examples])
    assert [output.tolist() for output in outputs] == [[1.0], [[b"a", b"b"]], [[1.0, 2.0]], [[1.0]]]


def test_chosen_outputs(inferences: Any) -> None:
    examples = np.array([example(label=[b"a", b"b"], score=[1.0, 2.0])], object)
    # regress: outputs; serving_default: classes, scores.
    prepared = inferences.prepared(f"regress{AND}serving_default", (2, 0))
    assert [output.tolist() for output in prepared.run(Lane.CALLER, [examples])] == [[[1.0, 2.0]], [1.0]]
    with pytest.raises(ServingError) as raised:
        inferences.prepared(f"regress{AND}serving_default", (3,))
    assert raised.value.code == Code.INTERNAL


def test_one_tensor_feeds_all_inputs(inferences: Any) -> None:
    examples = np.array([example(score=[1.0, 2.0]), example(score=[3.0, 4.0])], object)
    prepared = inferences.prepared(f"regress{AND}regress_second{AND}regress_column", ())
    assert prepared.input_dtypes == [DT_STRING] and len(prepared.input_names) == 1
    for lane in (Lane.CALLER, Lane.POOL):
        outputs = prepared.run(lane, [examples])
        assert [output.tolist() for output in outputs] == [[1.0, 3.0], [2.0, 4.0], [[1.0], [3.0]]]


def test_an_input_that_takes_no_strings(half_plus_two: Any) -> None:
    for names in (
        ["regress_x_to_y", "regress_x2_to_y3"],
        ["regress_x2_to_y3", "regress_x_to_y"],
        ["classify_x2_to_y3", "regress_x2_to_y3"],
    ):
        prepared = half_plus_two.prepared(AND.join(names), ())
        assert prepared.input_dtypes == [DT_FLOAT]
        with pytest.raises(ServingError) as raised:
            prepared.refuse([DT_STRING])
        assert raised.value.message == "Expects arg[0] to be float but string is provided"


@pytest.mark.parametrize("names", ["regress_x_to_y\0no", "no\0regress_x_to_y", "\0"])
def test_a_signature_that_is_not_there(half_plus_two: Any, names: str) -> None:
    with pytest.raises(ServingError) as raised:
        half_plus_two.prepared(names, ())
    missing = "no" if "no" in names else ""
    assert (raised.value.code, raised.value.message) == (
        Code.FAILED_PRECONDITION,
        f'Serving signature key "{missing}" not found.',
    )


def test_who_may_share_a_batch(inferences: Any) -> None:
    first = inferences.prepared(f"regress{AND}scores_only", ())
    assert first.key == inferences.prepared(f"regress{AND}scores_only", (0, 1)).key
    assert first.key != inferences.prepared(f"scores_only{AND}regress", ()).key
    # The signature two_inputs brings a tensor for each of its inputs.
    spread = inferences.prepared(f"scores_only{AND}regress_second", ())
    assert spread.key != inferences.prepared("two_inputs", ()).key
    assert spread.key == inferences.prepared(f"scores_only{AND}regress_second", (0, 1)).key


def test_sets_of_signatures_make_room_for_each_other(
    load_model: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servable, "_MAX_PREPARED", 8)
    with load_model("half_plus_two") as loaded:
        own = {key: loaded.prepared(*key) for key in list(loaded._prepared)}
        assert len(own) == 6
        names = ["regress_x_to_y", "regress_x_to_y2", "classify_x_to_y"]
        sets = [AND.join((a, b)) for a in names for b in names if a != b]
        for joined in sets:
            assert loaded.prepared(joined, ()) is loaded.prepared(joined, ())
            assert len(loaded._prepared) <= 8
        assert all(loaded.prepared(*key) is prepared for key, prepared in own.items())


def test_they_count_under_one_name() -> None:
    metrics = WorkerMetrics("cpu")
    model = metrics.model("m")
    assert model.of(f"a{AND}b") is model.of(f"b{AND}a") is model.of(f"c{AND}a")
    assert model.of("a") is not model.of(f"a{AND}b")
    for name in ("a", f"a{AND}b"):
        model.of(name).waited(1000)
    cells = metrics.registry.snapshot()
    assert {cell.labels[1] for cell in cells if cell.name == QUEUE_TIME} == {"MultiInference", "a"}
