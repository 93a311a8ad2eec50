"""SavedModels that end or hold up the process that loads or runs them; TensorFlow is imported when one is written.

Each has the signature serving_default, `x` float [-1] -> `y` = 0.5 x + 2, if it ever comes to that. Each function
takes the path of the version directory and raises FileExistsError if it exists.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.sample_model import PREDICT, whole_directory


def kills_loading(path: Path) -> None:
    """Its initialization aborts the process."""
    _write(path, main_op=_abort)


def hangs_loading(path: Path) -> None:
    """Its initialization waits for ever, without using any CPU time."""
    import tensorflow as tf

    def wait() -> Any:
        return tf.queue.FIFOQueue(1, [tf.float32], [[]]).dequeue().op

    _write(path, main_op=wait)


def kills_running(path: Path) -> None:
    """A negative `x` aborts the process."""
    import tensorflow as tf

    def unless_negative(x: Any) -> Any:
        def bad() -> Any:
            with tf.control_dependencies([_abort()]):
                return tf.identity(x)

        return tf.cond(tf.reduce_any(x < 0.0), bad, lambda: tf.identity(x))

    _write(path, before=unless_negative)


def another_tag(path: Path) -> None:
    """It has no graph for the tag `serve`."""
    _write(path, tag="train")


def _info(tensor: Any) -> Any:
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

    return TensorInfo(name=tensor.name, dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto())


def _abort() -> Any:
    import tensorflow as tf

    return tf.raw_ops.Abort(error_msg="this model ends its process on purpose", exit_without_error=False)


def _write(
    path: Path,
    *,
    main_op: Callable[[], Any] | None = None,
    before: Callable[[Any], Any] = lambda x: x,
    tag: str = "serve",
) -> None:
    import tensorflow as tf

    tf1 = tf.compat.v1
    with whole_directory(path) as unfinished, tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None], name="x")
        a = tf1.get_variable("a", initializer=0.5, use_resource=True)
        y = a * before(x) + 2.0
        signature = tf1.saved_model.build_signature_def({"x": _info(x)}, {"y": _info(y)}, PREDICT)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            builder = tf1.saved_model.Builder(str(unfinished))
            builder.add_meta_graph_and_variables(
                session,
                [tag],
                signature_def_map={"serving_default": signature},
                main_op=main_op() if main_op is not None else None,
            )
            builder.save()
