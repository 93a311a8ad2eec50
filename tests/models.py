"""Sample SavedModels, written with TensorFlow (imported only when a model is written).

`python -m tests.models DIR [NAME ...]` writes DIR/NAME/1 for the models named, or for all, unless they are there.
Each function takes the path of the version directory and raises FileExistsError if it exists.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import inference_models, json_models, reference, signature_models, tflite_models
from workers.sample_model import CLASSIFY, PREDICT, Signature, half_plus, half_plus_two, save, whole_directory

# Types that a server must carry, by TensorFlow's names; `identity` has a signature for each.
DTYPE_NAMES = (
    *("float", "double", "half", "bfloat16", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool", "string", "complex64", "complex128"),
)


def half_plus_three(path: Path) -> None:
    """y = 0.5 x + 3, otherwise as half_plus_two."""
    half_plus(path, plus=3.0)


def counter(path: Path) -> None:
    """A variable that starts at 0: get_counter, incr_counter, reset_counter, incr_counter_by(delta) -> output."""
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        value = tf.compat.v1.get_variable("counter", initializer=0.0, use_resource=True)
        delta = tf.compat.v1.placeholder(tf.float32, name="delta")

        def after(change: Any) -> dict[str, Any]:
            with tf.control_dependencies([change]):
                return {"output": value.read_value()}

        return {
            "get_counter": Signature(PREDICT, {}, {"output": value.read_value()}),
            "incr_counter": Signature(PREDICT, {}, after(value.assign_add(1.0, read_value=False))),
            "incr_counter_by": Signature(PREDICT, {"delta": delta}, after(value.assign_add(delta, read_value=False))),
            "reset_counter": Signature(PREDICT, {}, after(value.assign(0.0, read_value=False))),
        }

    save(path, build)


def ctr(path: Path) -> None:
    """A click-through model, `reference.ctr`: `ids` string [-1, 20] -> `score` float [-1]."""
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        ids = tf.compat.v1.placeholder(tf.string, [None, reference.CTR_IDS_PER_ROW], name="ids")
        numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant([reference.ctr_id(i) for i in range(reference.CTR_VOCABULARY)]),
                tf.range(1, reference.CTR_VOCABULARY + 1, dtype=tf.int64),
            ),
            default_value=0,
        )
        embeddings, cross_weights, cross_biases, score = (_variable(value) for value in reference.ctr_weights())
        first = tf.reduce_sum(tf.gather(embeddings, numbers.lookup(ids)), axis=1)

        def cross(i: Any, x: Any) -> tuple[Any, Any]:
            return i + 1, first * tf.linalg.matvec(x, cross_weights[i])[:, None] + cross_biases[i] + x

        _, x = tf.while_loop(lambda i, x: i < reference.CTR_CROSSES, cross, [tf.constant(0), first])
        return {"serving_default": Signature(PREDICT, {"ids": ids}, {"score": tf.sigmoid(tf.linalg.matvec(x, score))})}

    save(path, build)


def mlp(path: Path) -> None:
    """Dense layers 256-512-256-128-1, `reference.mlp`: `x` float [-1, 256] -> `y` float [-1, 1]."""
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        x = tf.compat.v1.placeholder(tf.float32, [None, reference.MLP_SIZES[0]], name="x")
        y, layers = x, reference.mlp_weights()
        for i, (weights, biases) in enumerate(layers):
            y = tf.nn.bias_add(tf.matmul(y, _variable(weights)), _variable(biases))
            if i < len(layers) - 1:
                y = tf.nn.relu(y)
        return {"serving_default": Signature(PREDICT, {"x": x}, {"y": y})}

    save(path, build)


def image(path: Path) -> None:
    """A large input, `reference.image`: `image` float [-1, 224, 224, 3] -> `scores` float [-1, 10]."""
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        x = tf.compat.v1.placeholder(tf.float32, [None, *reference.IMAGE_SHAPE], name="image")
        scores = tf.matmul(tf.reduce_mean(x, axis=[1, 2]), _variable(reference.image_weights()))
        return {"serving_default": Signature(PREDICT, {"image": x}, {"scores": scores})}

    save(path, build)


def wide(path: Path) -> None:
    """A large output, `reference.wide`: `x` float [-1, 1] -> `y` float [-1, 4096]."""
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        x = tf.compat.v1.placeholder(tf.float32, [None, 1], name="x")
        return {
            "serving_default": Signature(PREDICT, {"x": x}, {"y": tf.matmul(x, _variable(reference.wide_weights()))})
        }

    save(path, build)


def slow(path: Path) -> None:
    """Keeps a thread busy: `seconds` float [-1] -> `seconds` and `rounds` int64 [-1].

    The batch multiplies matrices until the largest of its `seconds` has passed; `rounds` says how often, in each row.
    """
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        seconds = tf.compat.v1.placeholder(tf.float32, [None], name="seconds")
        end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
        turn = _variable(reference.image_weights() @ reference.image_weights().T)

        def multiply(rounds: Any, matrix: Any) -> tuple[Any, Any]:
            return rounds + 1, tf.math.l2_normalize(tf.matmul(matrix, turn))

        rounds, matrix = tf.while_loop(
            lambda rounds, matrix: tf.timestamp() < end, multiply, [tf.constant(0, tf.int64), tf.ones([3, 3])]
        )
        with tf.control_dependencies([matrix]):
            outputs = {"seconds": tf.identity(seconds), "rounds": tf.fill(tf.shape(seconds), rounds)}
        return {"serving_default": Signature(PREDICT, {"seconds": seconds}, outputs)}

    save(path, build)


def batching(path: Path) -> None:
    """What tests of batching need to see; all signatures take `x` float [-1, -1].

    serving_default -> `y` = 2 x and `rows` int32 [-1], how many rows the executed batch had; scalar_output ->
    `total` []; short_output -> `y`, x without its last row; ragged_sum -> `sum` [-1], the same when padded with zeros;
    pair also takes `w` float [-1] -> `y` = w x by row.
    """
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        x = tf.compat.v1.placeholder(tf.float32, [None, None], name="x")
        w = tf.compat.v1.placeholder(tf.float32, [None], name="w")
        rows = tf.shape(x)[0]
        return {
            "serving_default": Signature(PREDICT, {"x": x}, {"y": 2.0 * x, "rows": tf.fill([rows], rows)}),
            "scalar_output": Signature(PREDICT, {"x": x}, {"total": tf.reduce_sum(x)}),
            "short_output": Signature(PREDICT, {"x": x}, {"y": x[:-1]}),
            "ragged_sum": Signature(PREDICT, {"x": x}, {"sum": tf.reduce_sum(x, axis=1)}),
            "pair": Signature(PREDICT, {"x": x, "w": w}, {"y": w[:, None] * x}),
        }

    save(path, build)


def identity(path: Path) -> None:
    """`x` -> `y` = x of any shape; one signature for each of `DTYPE_NAMES`, named after the type."""
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        signatures = {}
        for name in DTYPE_NAMES:
            x = tf.compat.v1.placeholder(tf.dtypes.as_dtype(name), name=f"{name}_x")
            signatures[name] = Signature(PREDICT, {"x": x}, {"y": tf.identity(x, name=f"{name}_y")})
        return signatures

    save(path, build)


def labels(path: Path) -> None:
    """Classify with labels and a default signature: tf.Example `x` (2 floats) -> `classes` low, high and `scores` x."""
    import tensorflow as tf

    def build() -> dict[str, Signature]:
        examples = tf.compat.v1.placeholder(tf.string, [None], name="examples")
        x = tf.compat.v1.parse_example(examples, {"x": tf.compat.v1.FixedLenFeature([2], tf.float32)})["x"]
        classes = tf.tile(tf.constant([["low", "high"]]), [tf.shape(x)[0], 1])
        return {
            "serving_default": Signature(CLASSIFY, {"inputs": examples}, {"classes": classes, "scores": x}),
            "classes_only": Signature(CLASSIFY, {"inputs": examples}, {"classes": classes}),
        }

    save(path, build)


def tf2(path: Path) -> None:
    """A TensorFlow 2 module: serving_default `x` float [-1, 1] -> `y` = 0.5 x + 2; six_times `x` float -> `y` = 6 x."""
    import tensorflow as tf

    module = tf.Module()
    module.a = tf.Variable(0.5)
    module.b = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def half_plus_two_of(x: Any) -> dict[str, Any]:
        return {"y": module.a * x + module.b}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def six_times(x: Any) -> dict[str, Any]:
        return {"y": 6.0 * x}

    with whole_directory(path) as unfinished:
        tf.saved_model.save(module, str(unfinished), {"serving_default": half_plus_two_of, "six_times": six_times})


def unloadable(path: Path) -> None:
    """A version directory whose saved_model.pb is no SavedModel."""
    with whole_directory(path) as unfinished:
        unfinished.mkdir()
        (unfinished / "saved_model.pb").write_bytes(b"this is not a SavedModel")


def _variable(value: Any) -> Any:
    import tensorflow as tf

    return tf.compat.v1.Variable(value, use_resource=True)


MODELS: dict[str, Callable[[Path], None]] = {
    write.__name__: write
    for write in (
        *(half_plus_two, half_plus_three, counter, ctr, mlp, image, wide),
        *(slow, batching, identity, labels, tf2, unloadable),
        *(signature_models.signatures, signature_models.tf_function),
        *(signature_models.two_signatures, signature_models.keras),
        json_models.answers,
        inference_models.inferences,
        *(tflite_models.tflite_plain, tflite_models.tflite_signatures, tflite_models.tflite_mixed),
    )
}


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("names", nargs="*", choices=[*MODELS, []], metavar="NAME", help=", ".join(MODELS))
    arguments = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in arguments.names or MODELS:
        path = arguments.directory / name / "1"
        if not path.exists():
            MODELS[name](path)
        print(path)


if __name__ == "__main__":
    main()
