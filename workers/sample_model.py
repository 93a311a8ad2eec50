"""Writes half_plus_two, the model that TensorFlow Serving's own examples use: y = 0.5 x + 2.

`python -m workers.sample_model DIR` writes DIR/half_plus_two/1 unless it is there. `save` is the general part:
any TensorFlow 1 graph into a SavedModel directory that appears complete or not at all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


class Signature(NamedTuple):
    """One entry of a SavedModel's signature map; tensors by alias."""

    method_name: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Gives a name for a directory to write; on success it is renamed to `path`, on an error it is removed.

    Its parent is made; the temporary name isn't a number, so a server that watches the parent passes it over.

    Raises:
        FileExistsError: `path` exists.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f"unfinished-{path.name}-{os.getpid()}"
    try:
        yield unfinished
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def save(path: Path, build: Callable[[], Mapping[str, Signature]]) -> None:
    """Write the graph that `build` makes, with its variables and tables initialized, as a SavedModel at `path`.

    `build` is called with a fresh graph as the default one and returns the signatures. The tag is `serve`.

    Raises:
        FileExistsError: `path` exists.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

    tf1 = tf.compat.v1

    def info(tensors: Mapping[str, Any]) -> dict[str, Any]:
        return {
            alias: TensorInfo(
                name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto()
            )
            for alias, tensor in tensors.items()
        }

    with whole_directory(path) as unfinished, tf.Graph().as_default():
        signatures = build()
        with tf1.Session() as session:
            tables = tf1.tables_initializer()
            session.run([tf1.global_variables_initializer(), tables])
            builder = tf1.saved_model.Builder(str(unfinished))
            builder.add_meta_graph_and_variables(
                session,
                ["serve"],
                signature_def_map={
                    name: tf1.saved_model.build_signature_def(
                        info(signature.inputs), info(signature.outputs), signature.method_name
                    )
                    for name, signature in signatures.items()
                },
                main_op=tables,
                strip_default_attrs=True,
            )
            builder.save()


def half_plus(path: Path, *, plus: float) -> None:
    """Write y = 0.5 x + `plus` at `path`, with the six signatures of TensorFlow Serving's sample.

    From a tf.Example come `x` (one float) and `x2` (one float, 0 where absent). y2 = 0.5 x + 3 and y3 = 0.5 x2 + 3.

    Raises:
        FileExistsError: `path` exists.
    """
    import tensorflow as tf

    tf1 = tf.compat.v1

    def build() -> dict[str, Signature]:
        a = tf1.get_variable("a", initializer=0.5, use_resource=True)
        b = tf1.get_variable("b", initializer=float(plus), use_resource=True)
        c = tf1.get_variable("c", initializer=3.0, use_resource=True)
        tf_example = tf1.placeholder(tf.string, name="tf_example")
        features = tf1.parse_example(
            tf_example,
            {
                "x": tf1.FixedLenFeature([1], tf.float32),
                "x2": tf1.FixedLenFeature([1], tf.float32, default_value=[0.0]),
            },
        )
        x = tf.identity(features["x"], name="x")
        x2 = tf.identity(features["x2"], name="x2")
        # What the metadata says. The graph itself takes any shape, as the sample's does.
        x.set_shape([None, 1])
        x2.set_shape([None, 1])
        y = tf.identity(a * x + b, name="y")
        y2 = tf.identity(a * x + c, name="y2")
        y3 = tf.identity(a * x2 + c, name="y3")
        return {
            "serving_default": Signature(PREDICT, {"x": x}, {"y": y}),
            "regress_x_to_y": Signature(REGRESS, {"inputs": tf_example}, {"outputs": y}),
            "regress_x_to_y2": Signature(REGRESS, {"inputs": tf_example}, {"outputs": y2}),
            "regress_x2_to_y3": Signature(REGRESS, {"inputs": x2}, {"outputs": y3}),
            "classify_x_to_y": Signature(CLASSIFY, {"inputs": tf_example}, {"scores": y}),
            "classify_x2_to_y3": Signature(CLASSIFY, {"inputs": x2}, {"scores": y3}),
        }

    save(path, build)


def half_plus_two(path: Path) -> None:
    """Write y = 0.5 x + 2 at `path`; see `half_plus`."""
    half_plus(path, plus=2.0)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m workers.sample_model", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the model's folder half_plus_two/1 goes")
    path = parser.parse_args(argv).directory / "half_plus_two" / "1"
    if not path.exists():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        half_plus_two(path)
    print(path, file=sys.stdout)


if __name__ == "__main__":
    main()
