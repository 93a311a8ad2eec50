"""Sample TensorFlow Lite models from TensorFlow's converter; each writes `model.tflite` into a version directory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from workers.sample_model import whole_directory


def tflite_plain(path: Path) -> None:
    """Without signature definitions: serving_default_x float [-1, 1] -> PartitionedCall = 0.5 x + 2 (as one file)."""
    _write(path, _half_plus_two())


def tflite_signatures(path: Path) -> None:
    """Signature definitions in its metadata, by names with `:0`: serving_default and also `halves`, `x` -> `y`."""
    content = _half_plus_two()
    _write(path, with_signatures(content, {name: half_plus_two_signature() for name in ("serving_default", "halves")}))


def tflite_mixed(path: Path) -> None:
    """`s` string [-1] and `x` float [-1, 2] -> s itself, x matmul [[1], [2]] and x + 1."""
    import tensorflow as tf

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="s"),
            tf.TensorSpec([None, 2], tf.float32, name="x"),
        ]
    )
    def function(s: Any, x: Any) -> tuple[Any, Any, Any]:
        return tf.identity(s), x @ tf.constant([[1.0], [2.0]]), x + 1.0

    _write(path, _convert(function))


def with_a_missing_operation() -> bytes:
    """A model that uses an operation of TensorFlow's own."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def function(examples: Any) -> Any:
        return tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]

    return _convert(function, tf.lite.OpsSet.SELECT_TF_OPS)


def half_plus_two_signature(tensor: str = "serving_default_x:0") -> Any:
    """`x`, the tensor of this name, -> `y`."""
    from tensorflow.core.protobuf import meta_graph_pb2

    signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for alias, info, name in (("x", signature.inputs, tensor), ("y", signature.outputs, "PartitionedCall:0")):
        info[alias].name = name
        info[alias].dtype = 1
        for size in (-1, 1):
            info[alias].tensor_shape.dim.add(size=size)
    return signature


def with_signatures(content: bytes, signatures: dict[str, Any]) -> bytes:
    """The model `content` with SignatureDefs (or bytes in place of them) as its "signature_defs_metadata"."""
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for name, signature in signatures.items():
            builder.Key(name)
            _add_string(builder, signature if isinstance(signature, bytes) else signature.SerializeToString())
    return with_metadata(content, bytes(builder.Finish()))


def with_metadata(content: bytes, data: bytes) -> bytes:
    """The model `content` with these bytes as its "signature_defs_metadata"."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    item, buffer = schema.MetadataT(), schema.BufferT()
    item.name, item.buffer, buffer.data = "signature_defs_metadata", len(model.buffers), list(data)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), item]
    packed = flatbuffers.Builder(len(content) + len(data))
    packed.Finish(model.Pack(packed), b"TFL3")
    return bytes(packed.Output())


def _add_string(builder: Any, value: bytes) -> None:
    """Serialized messages are no UTF-8, and the library's `String` insists on it: a string's bytes by another way."""
    from flatbuffers import flexbuffers

    builder._WriteBlob(value, append_zero=True, type_=flexbuffers.Type.STRING)


def _half_plus_two() -> bytes:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def function(x: Any) -> Any:
        return 0.5 * x + 2.0

    return _convert(function)


def _convert(function: Any, *operations: Any) -> bytes:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
        if operations:
            converter.target_spec.supported_ops = operations
        content: bytes = converter.convert()
    return content


def _write(path: Path, content: bytes) -> None:
    with whole_directory(path) as unfinished:
        unfinished.mkdir()
        (unfinished / "model.tflite").write_bytes(content)
