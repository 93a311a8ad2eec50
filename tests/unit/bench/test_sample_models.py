"""The sample models, run by TensorFlow, agree with the NumPy reference that benchmarks check answers against."""

import time

import numpy as np
import pytest

from tests import models, reference
from workers import sample_model

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """call(model, {alias: value}, signature) -> {alias: array}, in one session a model."""
    root = tmp_path_factory.mktemp("models")
    sessions = {}

    def run(name, inputs, signature="serving_default"):
        if name not in sessions:
            models.MODELS[name](root / name / "1")
            session = tf.compat.v1.Session(graph=tf.Graph())
            with session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(root / name / "1"))
            sessions[name] = session, meta_graph.signature_def
        session, signatures = sessions[name]
        signature = signatures[signature]
        return session.run(
            {alias: info.name for alias, info in signature.outputs.items()},
            {signature.inputs[alias].name: value for alias, value in inputs.items()},
        )

    yield run
    for session, _ in sessions.values():
        session.close()


def _example(**features):
    lists = {name: tf.train.Feature(float_list=tf.train.FloatList(value=value)) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()


@pytest.mark.parametrize(
    ("model", "signature", "inputs", "alias", "expected"),
    [
        ("half_plus_two", "serving_default", {"x": [[2.0]]}, "y", 3.0),
        ("half_plus_two", "regress_x_to_y", {"inputs": {"x": [2.0]}}, "outputs", 3.0),
        ("half_plus_two", "regress_x_to_y2", {"inputs": {"x": [2.0]}}, "outputs", 4.0),
        ("half_plus_two", "regress_x2_to_y3", {"inputs": [[2.0]]}, "outputs", 4.0),
        ("half_plus_two", "classify_x_to_y", {"inputs": {"x": [2.0], "x2": [9.0]}}, "scores", 3.0),
        ("half_plus_two", "classify_x2_to_y3", {"inputs": [[4.0]]}, "scores", 5.0),
        ("half_plus_three", "serving_default", {"x": [[2.0]]}, "y", 4.0),
        ("tf2", "serving_default", {"x": [[2.0]]}, "y", 3.0),
        ("tf2", "six_times", {"x": 2.0}, "y", 12.0),
    ],
)
def test_small_models(call, model, signature, inputs, alias, expected):
    values = {name: [_example(**value)] if isinstance(value, dict) else value for name, value in inputs.items()}
    assert np.ravel(call(model, values, signature)[alias]).tolist() == [expected]


def test_counter(call):
    assert call("counter", {}, "get_counter")["output"] == 0.0
    assert call("counter", {}, "incr_counter")["output"] == 1.0
    assert call("counter", {"delta": 2.5}, "incr_counter_by")["output"] == 3.5
    assert call("counter", {}, "get_counter")["output"] == 3.5
    assert call("counter", {}, "reset_counter")["output"] == 0.0


def test_larger_models_compute_their_reference(call):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 256)).astype(np.float32)
    np.testing.assert_allclose(call("mlp", {"x": x})["y"], reference.mlp(x), rtol=1e-4, atol=1e-5)

    ids = [[reference.ctr_id(int(n)) for n in rng.integers(0, 12_000, 20)] for _ in range(5)]
    assert len(set(reference.ctr(ids))) == 5
    np.testing.assert_allclose(call("ctr", {"ids": ids})["score"], reference.ctr(ids), rtol=1e-4)

    pixels = rng.random((2, *reference.IMAGE_SHAPE)).astype(np.float32)
    np.testing.assert_allclose(call("image", {"image": pixels})["scores"], reference.image(pixels), rtol=1e-3)

    column = np.float32([[0.5], [-3.0]])
    np.testing.assert_allclose(call("wide", {"x": column})["y"], reference.wide(column), rtol=1e-6)


def test_slow_lasts_as_long_as_its_slowest_row(call):
    call("slow", {"seconds": [0.0]})
    start = time.monotonic()
    result = call("slow", {"seconds": [0.0, 0.2]})
    assert time.monotonic() - start >= 0.2
    assert result["seconds"].tolist() == [0.0, np.float32(0.2)]
    assert result["rounds"][0] == result["rounds"][1] > 0


def test_batching_signatures(call):
    x = np.float32([[1, 2, 0], [3, 4, 5]])
    result = call("batching", {"x": x})
    assert result["rows"].tolist() == [2, 2]
    assert result["y"].tolist() == (2 * x).tolist()
    assert call("batching", {"x": x}, "scalar_output")["total"] == 15.0
    assert call("batching", {"x": x}, "short_output")["y"].shape == (1, 3)
    assert call("batching", {"x": x}, "ragged_sum")["sum"].tolist() == [3.0, 12.0]
    assert call("batching", {"x": x, "w": [2.0, 1.0]}, "pair")["y"].tolist() == [[2, 4, 0], [3, 4, 5]]


@pytest.mark.parametrize("name", models.DTYPE_NAMES)
def test_identity_of_every_type(call, name):
    dtype = tf.dtypes.as_dtype(name).as_numpy_dtype
    value = np.array([[1, 0, 1]]).astype(dtype) if name != "string" else np.array([[b"a\0", b""]], object)
    result = call("identity", {"x": value}, name)["y"]
    assert result.dtype == value.dtype
    assert result.tolist() == value.tolist()


def test_labels(call):
    result = call("labels", {"inputs": [_example(x=[0.25, 0.75])]})
    assert result["classes"].tolist() == [[b"low", b"high"]]
    assert result["scores"].tolist() == [[0.25, 0.75]]


def test_an_existing_version_is_not_overwritten(tmp_path):
    models.unloadable(tmp_path / "1")
    with pytest.raises(FileExistsError):
        models.unloadable(tmp_path / "1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), sample_model.whole_directory(tmp_path / "m" / "1") as unfinished:
        unfinished.mkdir()
        raise RuntimeError
    assert list((tmp_path / "m").iterdir()) == []
