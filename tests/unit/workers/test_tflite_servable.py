"""TensorFlow Lite models: signatures, shapes, types, errors, and the pool of interpreters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protos import public
from protos.configs import WorkerConfig
from protos.dtypes import DT_FLOAT, DT_STRING
from protos.errors import Code, ServingError
from protos.messages import SIGNATURE_SEPARATOR, DesiredServable, State
from tests.tflite_models import half_plus_two_signature, with_a_missing_operation, with_metadata, with_signatures
from tests.unit.workers.conftest import PATIENCE_S, Parts
from workers import tflite
from workers.run_mode import Lane
from workers.tflite import Interpreter, Pool, TfliteServable

PREDICT = "tensorflow/serving/predict"


@pytest.fixture
def content(model_path: Callable[[str], Path]) -> Callable[[str], bytes]:
    return lambda name: (model_path(name) / "model.tflite").read_bytes()


@pytest.fixture
def mixed(content: Callable[[str], bytes]) -> TfliteServable:
    return TfliteServable(content("tflite_mixed"), 2)


def signature_map(servable: TfliteServable) -> Any:
    return public.SignatureDefMap.FromString(servable.signature_map()).signature_def


def described(infos: Any) -> dict[str, tuple[str, int, list[int]]]:
    return {alias: (i.name, i.dtype, [dim.size for dim in i.tensor_shape.dim]) for alias, i in infos.items()}


def strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def run(servable: TfliteServable, *arrays: np.ndarray, signature: str = "serving_default", outputs: Any = ()) -> Any:
    return servable.prepared(signature, outputs).run(Lane.INLINE, arrays)


# --- signatures ---


def test_without_definitions_there_is_one_signature_with_names_without_suffix(content: Callable[[str], bytes]) -> None:
    signatures = signature_map(TfliteServable(content("tflite_plain"), 1))
    assert list(signatures) == ["serving_default"]
    only = signatures["serving_default"]
    assert only.method_name == PREDICT
    assert described(only.inputs) == {"serving_default_x": ("serving_default_x:0", DT_FLOAT, [-1, 1])}
    assert described(only.outputs) == {"PartitionedCall": ("PartitionedCall:0", DT_FLOAT, [-1, 1])}


def test_tensors_that_differ_in_the_suffix_only_keep_different_aliases(mixed: TfliteServable) -> None:
    only = signature_map(mixed)["serving_default"]
    assert set(only.inputs) == {"serving_default_s", "serving_default_x"}
    assert described(only.outputs) == {
        "PartitionedCall": ("PartitionedCall:1", DT_FLOAT, [-1, 1]),
        "PartitionedCall:2": ("PartitionedCall:2", DT_FLOAT, [-1, 2]),
        "serving_default_s": ("serving_default_s:0", DT_STRING, [-1]),
    }


def test_definitions_in_the_model_count(content: Callable[[str], bytes]) -> None:
    servable = TfliteServable(content("tflite_signatures"), 1)
    signatures = signature_map(servable)
    assert set(signatures) == {"serving_default", "halves"}
    assert set(signatures["halves"].inputs) == {"x"} and set(signatures["halves"].outputs) == {"y"}
    (y,) = run(servable, np.array([[2.0]], np.float32), signature="halves")
    assert y.tolist() == [[3.0]]


def test_a_definition_may_name_a_tensor_with_a_suffix_that_the_model_lacks(content: Callable[[str], bytes]) -> None:
    signature = half_plus_two_signature("serving_default_x:0:0")
    servable = TfliteServable(with_signatures(content("tflite_plain"), {"serving_default": signature}), 1)
    assert signature_map(servable)["serving_default"].inputs["x"].name == "serving_default_x:0"
    assert run(servable, np.array([[4.0]], np.float32))[0].tolist() == [[4.0]]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda plain: with_signatures(plain, {"a": half_plus_two_signature("no_such:0")}),
            "Unknown tensor 'no_such:0'. Signature input x references an unknown tensor",
        ),
        (lambda plain: with_signatures(plain, {"a": b"\xff\xff"}), "Invalid SignatureDefs found in TfLite model"),
        (lambda plain: with_metadata(plain, b"\xff\xff\xff\xff"), "Invalid SignatureDefs found in TfLite model"),
        (lambda plain: with_metadata(plain, b""), "Invalid SignatureDefs found in TfLite model"),
        (lambda plain: b"this is no model", "Cannot build FlatBufferModel from buffer."),
        (lambda plain: b"", "Cannot build FlatBufferModel from buffer."),
        (lambda plain: plain[: len(plain) // 2], "Cannot build FlatBufferModel from buffer."),
    ],
)
def test_models_that_cannot_be_loaded(
    content: Callable[[str], bytes], make: Callable[[bytes], bytes], text: str
) -> None:
    with pytest.raises(ServingError) as caught:
        TfliteServable(make(content("tflite_plain")), 1)
    assert caught.value.code == Code.INVALID_ARGUMENT and text in caught.value.message


def test_a_model_with_an_operation_that_there_is_not_fails_when_it_is_loaded() -> None:
    with pytest.raises(ServingError, match="Cannot build Interpreter from buffer.*FlexParseExample") as caught:
        TfliteServable(with_a_missing_operation(), 1)
    assert caught.value.code == Code.INTERNAL


@pytest.mark.parametrize(("dtype", "number"), [(np.float16, 10), (np.float64, 11), (np.int16, None), (np.bool_, None)])
def test_types_that_tensors_of_a_model_may_have(dtype: type, number: int | None) -> None:
    details = {"name": "x", "index": 0, "shape_signature": [1], "dtype": dtype}
    if number is None:
        assert tflite._Tensor(details).name == "x"
        return
    with pytest.raises(ServingError) as caught:
        tflite._Tensor(details)
    assert (caught.value.code, caught.value.message) == (Code.INTERNAL, f"Unknown TfLite type: {number}")


def test_a_signature_that_there_is_not(mixed: TfliteServable) -> None:
    with pytest.raises(ServingError, match='Serving signature key "other" not found') as caught:
        mixed.prepared("other", ())
    assert caught.value.code == Code.FAILED_PRECONDITION


def test_signatures_are_not_run_together(mixed: TfliteServable) -> None:
    with pytest.raises(ServingError) as caught:
        mixed.prepared(SIGNATURE_SEPARATOR.join(["serving_default"] * 2), ())
    assert caught.value.code == Code.UNIMPLEMENTED


def test_an_output_that_there_is_not(mixed: TfliteServable) -> None:
    with pytest.raises(ServingError) as caught:
        mixed.prepared("serving_default", (3,))
    assert caught.value.code == Code.INTERNAL


def test_choices_of_outputs_are_bounded(mixed: TfliteServable) -> None:
    choices = [
        (a, b, c, d, e) for a in range(3) for b in range(3) for c in range(3) for d in range(3) for e in range(3)
    ]
    for choice in choices:
        mixed.prepared("serving_default", choice)
    assert len(mixed._prepared) == 128 < len(choices)


# --- running ---


@pytest.mark.parametrize("shape", [(), (1,), (3,), (3, 1), (0, 1), (2, 2, 2)])
def test_the_model_takes_the_shape_of_the_request(content: Callable[[str], bytes], shape: tuple[int, ...]) -> None:
    servable = TfliteServable(content("tflite_plain"), 1)
    for _ in range(2):
        (y,) = run(servable, np.full(shape, 2.0, np.float32))
        assert y.shape == shape and (y == 3.0).all()


def test_types_and_the_order_of_outputs(mixed: TfliteServable) -> None:
    prepared = mixed.prepared("serving_default", ())
    assert prepared.input_dtypes == [DT_STRING, DT_FLOAT]
    s, x = strings(b"a\0b", b"", b"\xff"), np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    product, sums, back = prepared.run(Lane.CALLER, [s, x])
    assert product.tolist() == [[5.0], [11.0]] and sums.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert back.tolist() == [b"a\0b", b"", b"\xff"]
    again, first = mixed.prepared("serving_default", (2, 0)).run(Lane.POOL, [s, x])
    assert again.tolist() == back.tolist() and first.tolist() == product.tolist()


def test_outputs_are_not_overwritten_by_the_next_request(mixed: TfliteServable) -> None:
    s, x = strings(b"a"), np.array([[1.0, 2.0]], np.float32)
    before = run(mixed, s, x)
    run(mixed, strings(b"b"), x + 5)
    assert before[0].tolist() == [[5.0]] and before[2].tolist() == [b"a"]


def test_a_wrong_type_is_refused_in_tensorflows_words(mixed: TfliteServable) -> None:
    with pytest.raises(ServingError, match=r"Expects arg\[1\] to be float but string is provided"):
        mixed.prepared("serving_default", ()).refuse([DT_STRING, DT_STRING])


@pytest.mark.parametrize("shape", [(1, 3), (), (3, 1, 5)])
def test_a_shape_that_the_model_cannot_take(mixed: TfliteServable, shape: Sequence[int]) -> None:
    s = strings(b"a")
    for _ in range(3):  # more often than there are interpreters
        with pytest.raises(ServingError, match="Failed to allocate tensors") as caught:
            run(mixed, s, np.ones(shape, np.float32))
        assert caught.value.code == Code.INTERNAL
    assert run(mixed, s, np.ones((1, 2), np.float32))[0].tolist() == [[3.0]]


# --- the pool ---


def test_a_dimension_that_has_more_than_32_bits(content: Callable[[str], bytes]) -> None:
    servable = TfliteServable(content("tflite_plain"), 1)
    with pytest.raises(ServingError, match="Failed to resize input tensor") as refused:
        run(servable, np.empty((0, 1 << 31), np.float32))
    assert refused.value.code == Code.INVALID_ARGUMENT
    assert run(servable, np.float32([[2.0]]))[0].shape == (1, 1)


def test_interpreters_are_made_when_they_are_needed_and_used_again(content: Callable[[str], bytes]) -> None:
    pool = Pool(content("tflite_plain"), 2)
    with pool.lend() as first, pool.lend() as second:
        assert first is not second
    with pool.lend() as third:
        assert third is first  # the one given back last


def test_without_a_free_interpreter_a_request_waits_and_then_fails(content: Callable[[str], bytes]) -> None:
    pool = Pool(content("tflite_plain"), 1, wait_seconds=0.05)
    with pool.lend():
        with (
            pytest.raises(ServingError, match="no TfLite interpreter became free within 0.05 s") as caught,
            pool.lend(),
        ):
            pass
        assert caught.value.code == Code.UNAVAILABLE
    with pool.lend():
        pass


def test_a_waiting_request_gets_the_interpreter_that_becomes_free(content: Callable[[str], bytes]) -> None:
    pool = Pool(content("tflite_plain"), 1, wait_seconds=PATIENCE_S)
    got: list[Interpreter] = []

    def borrow() -> None:
        with pool.lend() as interpreter:
            got.append(interpreter)

    with pool.lend() as first:
        waiting = threading.Thread(target=borrow)
        waiting.start()
        assert not got
    waiting.join(PATIENCE_S)
    assert got == [first]


def test_an_interpreter_that_failed_is_not_lent_again(content: Callable[[str], bytes]) -> None:
    pool = Pool(content("tflite_plain"), 1)
    with pytest.raises(RuntimeError), pool.lend() as first:
        raise RuntimeError
    with pool.lend() as second:
        assert second is not first


def test_many_threads_get_their_own_answers(content: Callable[[str], bytes]) -> None:
    servable = TfliteServable(content("tflite_plain"), 3)
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for size in range(1, 40):
            x = np.full((size, 1), float(number), np.float32)
            (y,) = run(servable, x)
            if y.shape != x.shape or not (y == 0.5 * number + 2).all():
                wrong.append((number, size, y))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not wrong


# --- which file is loaded ---


def load(parts: Callable[..., Parts], path: Path, interpreters: int) -> Parts:
    made = parts(WorkerConfig(tflite_interpreters=interpreters))
    made.residency.apply([DesiredServable(name="m", version=1, path=str(path))])
    made.until(lambda: made.states()[("m", 1)] in (State.AVAILABLE, State.END), "loaded or failed")
    return made


def test_a_version_with_both_files(
    parts: Callable[..., Parts], model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    both = tmp_path / "1"
    both.mkdir()
    for name in ("half_plus_two", "tflite_plain"):
        for file in model_path(name).iterdir():
            (both / file.name).symlink_to(file)
    assert isinstance(load(parts, both, 2).residency.available[("m", 1)].servable, TfliteServable)
    assert not isinstance(load(parts, both, 0).residency.available[("m", 1)].servable, TfliteServable)


def test_a_version_without_such_a_file_is_loaded_as_a_saved_model(
    parts: Callable[..., Parts], model_path: Callable[[str], Path]
) -> None:
    made = load(parts, model_path("half_plus_two"), 2)
    assert not isinstance(made.residency.available[("m", 1)].servable, TfliteServable)
    made.residency.apply([])
    made.until(lambda: not made.states(), "unloaded")


def test_without_the_flag_such_a_file_is_no_model(
    parts: Callable[..., Parts], model_path: Callable[[str], Path]
) -> None:
    made = load(parts, model_path("tflite_plain"), 0)
    (report,) = made.residency.reports()
    assert report.code == Code.NOT_FOUND and "saved_model.pb" in report.message


def test_loading_and_unloading(parts: Callable[..., Parts], model_path: Callable[[str], Path]) -> None:
    made = load(parts, model_path("tflite_signatures"), 2)
    assert made.residency.available[("m", 1)].signatures
    made.residency.apply([])
    made.until(lambda: not made.states(), "unloaded")


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(ServingError) as caught:
        tflite.load(str(tmp_path), interpreters=1)
    assert caught.value.code == Code.NOT_FOUND
