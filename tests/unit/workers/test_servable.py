"""Loading SavedModels and running their signatures."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from protos import public
from protos.configs import WorkerConfig
from protos.dtypes import DT_BOOL, DT_FLOAT, DT_STRING, DTYPES
from protos.errors import Code, ServingError
from tests.models import DTYPE_NAMES
from tests.reference import ctr, ctr_id, mlp
from workers import loading, saved_model, servable
from workers.c_session import CSession
from workers.run_mode import Lane
from workers.sample_model import PREDICT, Signature, save
from workers.servable import Prepared, Servable
from workers.session import PythonSession
from workers.status import as_serving_error
from workers.tensors import to_array

LANES = [Lane.CALLER, Lane.POOL]
PATIENCE_S = 30.0


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def load(path: Path, tags: tuple[str, ...] = ("serve",)) -> Servable:
    return servable.load(str(path), tags=tags, session_config=b"")


def refusal(call: Callable[[], Any]) -> ServingError:
    """What a client would be told when `call` fails."""
    try:
        call()
    except Exception as error:
        return as_serving_error(error)
    pytest.fail("nothing was raised")


@pytest.fixture(params=["small graph", "large graph"], autouse=True)
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether all graphs count as large, or none does: they have sessions of another kind."""
    is_large = bool(request.param == "large graph")
    monkeypatch.setattr(saved_model, "SMALL_GRAPH", 0 if is_large else 1 << 30)
    return is_large


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signatures that a converter would not write: aliases of one tensor, tensors that pass through."""

    def build() -> dict[str, Signature]:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        s = tf.compat.v1.placeholder(tf.string, [], name="s")
        return {
            "twice_out": Signature(PREDICT, {"x": x}, {"a": x + 1, "b": x * 2, "c": x + 1}),
            "same_out": Signature(PREDICT, {"x": x}, dict.fromkeys("ba", x * 3)),
            "same_in": Signature(PREDICT, {"a": x, "b": x}, {"y": x * 2}),
            "through": Signature(PREDICT, {"x": x}, {"x": x, "y": x + 1}),
            "greeting": Signature(PREDICT, {"s": s}, {"t": tf.strings.join([s, "!"])}),
        }

    path = tmp_path_factory.mktemp("odd") / "1"
    save(path, build)
    return path


# --- loading -----------------------------------------------------------------------------------------------------


def test_no_saved_model(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        error = refusal(lambda path=path: load(path))
        assert error.code == Code.NOT_FOUND
        assert error.message == (
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`saved_model.pb`)\nSpecified file path: {path}"
        )


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    assert refusal(lambda: load(tmp_path / "1")).code == Code.NOT_FOUND


def test_a_session_bundle(tmp_path: Path) -> None:
    (tmp_path / "export.meta").touch()
    error = refusal(lambda: load(tmp_path))
    assert (error.code, error.message) == (Code.UNIMPLEMENTED, "Session Bundle is deprecated and removed.")


@pytest.mark.parametrize("tags", [("serve", "gpu"), ("train",), ()], ids=str)
def test_other_tags(model_path: Callable[[str], Path], tags: tuple[str, ...]) -> None:
    error = refusal(lambda: load(model_path("half_plus_two"), tags))
    assert error.code == Code.NOT_FOUND
    assert error.message == (
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect available tag-sets "
        "in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
    )


@pytest.mark.parametrize(("tags", "code"), [(("serve",), None), (("serve", "gpu"), Code.NOT_FOUND)])
def test_the_tags_of_the_configuration_count(
    model_path: Callable[[str], Path], tags: tuple[str, ...], code: Code | None
) -> None:
    outcome = loading.load(str(model_path("half_plus_two")), WorkerConfig(saved_model_tags=tags), lambda: True)
    assert (outcome.error and outcome.error.code) == code
    outcome.discard()


def test_one_of_several_meta_graphs_by_its_exact_tags(tmp_path: Path) -> None:
    builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "1"))
    for first, (tags, factor) in enumerate({("serve",): 2.0, ("serve", "gpu"): 3.0}.items()):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, name="x")
            tensors = ({"x": x}, {"y": x * factor})
            infos = [
                {alias: tf.compat.v1.saved_model.build_tensor_info(tensor) for alias, tensor in side.items()}
                for side in tensors
            ]
            signature = tf.compat.v1.saved_model.build_signature_def(*infos, PREDICT)
            if first == 0:
                builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            else:
                builder.add_meta_graph(tags, {"serving_default": signature})
    builder.save()
    for tags, expected in ((("serve",), 2.0), (("gpu", "serve"), 3.0)):
        loaded = load(tmp_path / "1", tags)
        assert loaded.prepared("serving_default", ()).run(Lane.CALLER, [floats(1)])[0].tolist() == [expected]
        loaded.close()


def test_an_unreadable_saved_model(model_path: Callable[[str], Path]) -> None:
    error = refusal(lambda: load(model_path("unloadable")))
    assert error.code == Code.DATA_LOSS
    assert "saved_model.pb" in error.message


def test_variables_that_are_missing(model_path: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(model_path("mlp"), tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    error = refusal(lambda: load(tmp_path / "1"))
    assert error.code == Code.INTERNAL  # not one of the permanent ones: the files may still be on their way
    assert "not a valid checkpoint" in error.message


def test_a_session_config_that_is_none(model_path: Callable[[str], Path]) -> None:
    error = refusal(
        lambda: servable.load(str(model_path("half_plus_two")), tags=("serve",), session_config=b"\xff\xff")
    )
    assert error.code == Code.INTERNAL


@pytest.mark.parametrize("name", ["half_plus_two", "labels", "counter", "tf2"])
def test_the_signature_map_is_the_saved_models(
    load_model: Callable[[str], Any], model_path: Callable[[str], Path], name: str
) -> None:
    saved = SavedModel.FromString((model_path(name) / "saved_model.pb").read_bytes())
    expected = saved.meta_graphs[0].signature_def
    with load_model(name) as loaded:
        found = public.SignatureDefMap.FromString(loaded.signature_map()).signature_def
    assert set(found) == set(expected)
    for signature, definition in expected.items():
        assert found[signature].SerializeToString(deterministic=True) == definition.SerializeToString(
            deterministic=True
        )


# --- running -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    ("signature", "given", "expected"),
    [
        ("serving_default", floats(1, 2, 5), floats(2.5, 3, 4.5)),
        ("serving_default", floats(2)[0], np.float32(3)),
        ("serving_default", np.ones((2, 1), np.float32), np.full((2, 1), 2.5, np.float32)),
        ("serving_default", np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32)),
        ("regress_x2_to_y3", floats(2), floats(4)),
        ("classify_x2_to_y3", floats(2), floats(4)),
    ],
)
def test_half_plus_two(
    load_model: Callable[[str], Any], lane: Lane, signature: str, given: np.ndarray, expected: np.ndarray
) -> None:
    with load_model("half_plus_two") as loaded:
        (found,) = loaded.prepared(signature, ()).run(lane, [given])
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


def test_tf2(load_model: Callable[[str], Any]) -> None:
    with load_model("tf2") as loaded:
        assert loaded.prepared("serving_default", ()).run(Lane.CALLER, [np.ones((1, 1), np.float32)])[0] == [[2.5]]
        assert loaded.prepared("six_times", ()).run(Lane.CALLER, [floats(7)])[0] == [42]


def test_tables_and_variables_are_initialized(load_model: Callable[[str], Any]) -> None:
    rows = [[ctr_id(i + k) for i in range(20)] for k in (0, 5)]
    with load_model("ctr") as loaded:
        (found,) = loaded.prepared("serving_default", ()).run(Lane.CALLER, [np.array(rows, object)])
    assert np.allclose(found, ctr(rows), rtol=1e-4)
    x = np.random.default_rng(1).standard_normal((3, 256)).astype(np.float32)
    with load_model("mlp") as loaded:
        (found,) = loaded.prepared("serving_default", ()).run(Lane.POOL, [x])
    assert np.allclose(found, mlp(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_every_type_goes_through_a_session(load_model: Callable[[str], Any], name: str) -> None:
    from protos.messages import Tensor
    from workers.tensors import from_array

    row = next(row for row in DTYPES.values() if row.name == name)
    data: Any = [b"a", b"\xff"] if row.number == DT_STRING else bytes(i & 1 for i in range(2 * row.size))
    with load_model("identity") as loaded:
        prepared = loaded.prepared(name, ())
        assert prepared.input_dtypes == [row.number]
        for shape in ((2,), (1, 2)):
            sent = Tensor(row.number, shape, data)
            assert from_array(prepared.run(Lane.CALLER, [to_array(sent, [])])[0], []) == sent
        scalar = Tensor(row.number, (), data[:1] if row.number == DT_STRING else data[: row.size])
        assert from_array(prepared.run(Lane.CALLER, [to_array(scalar, [])])[0], []) == scalar


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ((), [2.0, 2.0, 2.0]),
        ((0, 1, 2), [2.0, 2.0, 2.0]),
        ((1,), [2.0]),
        ((2, 0), [2.0, 2.0]),
        ((1, 0, 1), [2.0, 2.0, 2.0]),
    ],
)
def test_outputs_come_in_the_order_asked_for(odd: Path, outputs: tuple[int, ...], expected: list[float]) -> None:
    loaded = load(odd)
    run = loaded.prepared("twice_out", outputs).run
    assert [output.tolist() for output in run(Lane.CALLER, [floats(1)])] == [[value] for value in expected]
    # At 5: a and c are 6, b is 10.
    by_position = [6.0, 10.0, 6.0]
    wanted = [by_position[i] for i in outputs or (0, 1, 2)]
    assert [output.tolist() for output in run(Lane.POOL, [floats(5)])] == [[value] for value in wanted]
    loaded.close()


def test_two_aliases_of_one_output(odd: Path) -> None:
    loaded = load(odd)
    for outputs in ((), (1, 0)):
        assert [o.tolist() for o in loaded.prepared("same_out", outputs).run(Lane.CALLER, [floats(2)])] == [[6.0]] * 2
    loaded.close()


def test_a_scalar_string(odd: Path) -> None:
    loaded = load(odd)
    assert loaded.prepared("greeting", ()).run(Lane.CALLER, [np.array(b"hi", object)]) == [b"hi!"]
    loaded.close()


def test_what_the_graph_cannot_do_is_said_at_the_request(odd: Path) -> None:
    loaded = load(odd)  # broken signatures don't keep a version from loading
    error = refusal(lambda: loaded.prepared("through", ()).run(Lane.CALLER, [floats(1)]))
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, "x:0 is both fed and fetched.")
    assert loaded.prepared("through", (1,)).run(Lane.CALLER, [floats(1)])[0].tolist() == [2.0]
    error = refusal(lambda: loaded.prepared("same_in", ()).run(Lane.CALLER, [floats(1), floats(1)]))
    assert error.code == Code.INVALID_ARGUMENT
    assert "fed more than once" in error.message
    loaded.close()


def test_kernel_errors_keep_code_and_text(load_model: Callable[[str], Any]) -> None:
    with load_model("half_plus_two") as loaded:
        run = loaded.prepared("regress_x_to_y", ()).run
        for example, text in ((b"", "is required but could not be found"), (b"\xff\xfe", "Could not parse example")):
            error = refusal(lambda example=example: run(Lane.CALLER, [np.array([example], object)]))
            assert error.code == Code.INVALID_ARGUMENT
            assert text in error.message
            error.message.encode()  # can be sent


def test_unknown_signature_and_output(load_model: Callable[[str], Any]) -> None:
    with load_model("half_plus_two") as loaded:
        error = refusal(lambda: loaded.prepared("nope", ()))
        assert (error.code, error.message) == (
            Code.FAILED_PRECONDITION,
            'Serving signature key "nope" not found.',
        )
        assert refusal(lambda: loaded.prepared("serving_default", (1,))).code == Code.INTERNAL


@pytest.mark.parametrize(
    ("dtypes", "code", "message"),
    [
        ([DT_STRING], Code.INVALID_ARGUMENT, "Expects arg[0] to be float but string is provided"),
        ([DT_BOOL], Code.INVALID_ARGUMENT, "Expects arg[0] to be float but bool is provided"),
        ([], Code.INTERNAL, "a front end sent another number of inputs than the signature has"),
        ([DT_FLOAT] * 2, Code.INTERNAL, "a front end sent another number of inputs than the signature has"),
    ],
)
def test_refusals(load_model: Callable[[str], Any], dtypes: list[int], code: Code, message: str) -> None:
    with load_model("half_plus_two") as loaded:
        error = refusal(lambda: loaded.prepared("serving_default", ()).refuse(dtypes))
    assert (error.code, error.message) == (code, message)


def test_state_lives_as_long_as_the_version(load_model: Callable[[str], Any]) -> None:
    steps = [("get", [], 0), ("incr", [], 1), ("reset", [], 0), ("incr", [], 1), ("incr_by", [np.float32(3)], 4)]
    signatures = {"get": "get_counter", "incr": "incr_counter", "reset": "reset_counter", "incr_by": "incr_counter_by"}
    with load_model("counter") as first, load_model("counter") as second:
        for step, inputs, expected in steps:
            (found,) = first.prepared(signatures[step], ()).run(Lane.CALLER, inputs)
            assert (found.shape, found.item()) == ((), expected)
        assert second.prepared("get_counter", ()).run(Lane.CALLER, [])[0].item() == 0


@pytest.mark.parametrize("lane", LANES)
def test_runs_from_several_threads(load_model: Callable[[str], Any], lane: Lane) -> None:
    wrong: list[Any] = []
    start = threading.Barrier(4, timeout=PATIENCE_S)

    def ask(prepared: Prepared, first: int) -> None:
        start.wait()
        for value in range(first, first + 100):
            (found,) = prepared.run(lane, [floats(value, value + 1)])
            if found.tolist() != [value / 2 + 2, value / 2 + 2.5]:
                wrong.append((value, found))

    with load_model("half_plus_two") as loaded:
        prepared = loaded.prepared("serving_default", ())
        threads = [threading.Thread(target=ask, args=(prepared, 1000 * i), daemon=True) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    assert wrong == []


def test_prepared_callables_are_kept_and_bounded(load_model: Callable[[str], Any]) -> None:
    with load_model("half_plus_two") as loaded:
        assert loaded.prepared("serving_default", ()) is loaded.prepared("serving_default", ())
        made = [loaded.prepared("serving_default", (0,) * n) for n in range(1, 400)]
        assert len(loaded._prepared) <= 128
        # One that is no longer kept still works for those who hold it.
        assert made[0].run(Lane.CALLER, [floats(2)])[0].tolist() == [3.0]


# --- freeing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["half_plus_two", "ctr", "tf2", "counter"])
def test_close_frees_session_and_graph(model_path: Callable[[str], Path], name: str, large: bool) -> None:
    loaded = load(model_path(name))
    for signature in list(loaded._signatures):
        loaded.prepared(signature, ())
    session = loaded._session
    assert isinstance(session, CSession if large else PythonSession)
    things = [session] if large else [session, session._owner, session._owner.graph]
    kept = [weakref.ref(thing) for thing in things]
    del session, things
    loaded.close()
    gc.collect()
    assert [one() for one in kept] == [None] * len(kept)


def test_a_failed_load_leaves_nothing(model_path: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(model_path("mlp"), tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")

    def graphs() -> int:
        gc.collect()
        return sum(isinstance(thing, tf.Graph) for thing in gc.get_objects())

    refusal(lambda: load(tmp_path / "1"))
    before = graphs()
    for _ in range(3):
        refusal(lambda: load(tmp_path / "1"))
    assert graphs() == before


def test_signatures_are_copies_that_do_not_hold_the_graph() -> None:
    meta_graph = MetaGraphDef()
    meta_graph.signature_def["serving_default"].inputs["x"].name = "x:0"
    loaded = Servable(None, meta_graph)
    meta_graph.signature_def["serving_default"].inputs["x"].name = "changed:0"
    assert loaded.prepared("serving_default", ()).input_names == ["x:0"]
