"""Sample SavedModels for the rows about signatures: many inputs, defaults, shared tensors, strange methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.sample_model import PREDICT, Signature, save, whole_directory

# How long the message of the signature `complains` is, at least: longer than what travels.
COMPLAINT_LENGTH = 3000
STRANGE_METHOD = "tensorflow/serving/train"


def signatures(path: Path) -> None:
    """Signatures for every row of the checks of Predict; tensors are floats of any shape unless said otherwise.

    serving_default: `a`, `b` -> `difference` = a - b, `sum`, `total` (the same tensor as `sum`); some_defaults: `a`,
    `b` (10 unless sent), `c` (100 unless sent) -> `sum`; all_defaults: `b`, `c` -> `sum`; bad_default: `b` (its
    default is no tensor) and `c` (100) -> `sum`; echo: `x` -> `x` itself and `y` = 2 x; strange_method:
    `a`, `b` -> `sum`, of method STRANGE_METHOD; complains: `x` -> an error, longer than COMPLAINT_LENGTH, when x < 0;
    nowhere: `x`, a tensor that the graph does not have -> `y`.
    """
    import tensorflow as tf

    tf1 = tf.compat.v1

    def build() -> dict[str, Signature]:
        a, b, c, x = (tf1.placeholder(tf.float32, name=name) for name in "abcx")
        total, fold = tf.identity(a + b, name="sum"), tf.identity(b + c, name="fold")
        check = tf.debugging.Assert(tf.reduce_all(x >= 0.0), ["too small: " + "!" * COMPLAINT_LENGTH])
        with tf.control_dependencies([check]):
            checked = tf.identity(x, name="checked")
        return {
            "serving_default": Signature(
                PREDICT, {"a": a, "b": b}, {"sum": total, "difference": a - b, "total": total}
            ),
            "some_defaults": Signature(PREDICT, {"a": a, "b": b, "c": c}, {"sum": a + b + c}),
            "all_defaults": Signature(PREDICT, {"b": b, "c": c}, {"sum": fold}),
            "bad_default": Signature(PREDICT, {"b": b, "c": c}, {"sum": fold}),
            "echo": Signature(PREDICT, {"x": x}, {"x": x, "y": 2.0 * x}),
            "strange_method": Signature(STRANGE_METHOD, {"a": a, "b": b}, {"sum": total}),
            "complains": Signature(PREDICT, {"x": x}, {"y": checked}),
            "nowhere": Signature(PREDICT, {"x": x}, {"y": checked}),
        }

    save(path, build)
    _edit(path)


def _edit(path: Path) -> None:
    """What TensorFlow's builder cannot write: defaults, and things that are wrong."""
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = path / "saved_model.pb"
    saved = SavedModel.FromString(file.read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    for name in ("some_defaults", "all_defaults", "bad_default"):
        for alias, value in (("b", 10.0), ("c", 100.0)):
            definitions[name].defaults[alias].CopyFrom(tf.make_tensor_proto(value))
    definitions["bad_default"].defaults["b"].tensor_content = b"three"
    definitions["nowhere"].inputs["x"].name = "nowhere:0"
    file.write_bytes(saved.SerializeToString(deterministic=True))


def tf_function(path: Path) -> None:
    """A TensorFlow 2 module whose one function has no signature of its own: serving_default `x` -> `y` = 6 x."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def times(self, x: Any) -> dict[str, Any]:
            return {"y": self.twice(x) * 3.0}

        @tf.function
        def twice(self, x: Any) -> Any:
            return x + x

    with whole_directory(path) as unfinished:
        tf.saved_model.save(Module(), str(unfinished))


def two_signatures(path: Path) -> None:
    """serving_default: `x` float -> `y` = x / 2; custom_signature_key: `x` -> `y` = x."""
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, name="x")
    functions = {
        "serving_default": tf.function(lambda x: {"y": x / 2.0}, input_signature=[spec]),
        "custom_signature_key": tf.function(lambda x: {"y": x}, input_signature=[spec]),
    }
    with whole_directory(path) as unfinished:
        tf.saved_model.save(module, str(unfinished), functions)


def keras(path: Path) -> None:
    """A Keras model, exported: one dense layer of ones, `x` float [-1, 1] -> `output_0` = x."""
    import keras as k

    model = k.Sequential([k.Input((1,), name="x"), k.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    with whole_directory(path) as unfinished:
        model.export(str(unfinished), format="tf_saved_model", verbose=False)
