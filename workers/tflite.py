"""A loaded `model.tflite`: a bounded pool of interpreters behind the interface of a SavedModel's servable.

An interpreter runs one request at a time and keeps the shapes of the last one, so a request borrows the interpreter
that was given back last. They share the model's bytes; further ones are made when so many requests run at the same
time. As in TensorFlow Serving, signatures come from the model's "signature_defs_metadata", else there is one,
`serving_default`, with the model's own inputs and outputs; the shapes of a request are given to the model as they are.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.lite.python import interpreter as lite
from tensorflow.lite.python import schema_py_generated as schema

from protos import public
from protos.dtypes import (
    DT_BOOL,
    DT_COMPLEX64,
    DT_FLOAT,
    DT_INT8,
    DT_INT16,
    DT_INT32,
    DT_INT64,
    DT_STRING,
    DT_UINT8,
)
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import SIGNATURE_SEPARATOR
from workers import flight
from workers.flight import here
from workers.run_mode import Lane
from workers.servable import Prepared

MODEL_FILE = "model.tflite"
# A request whose thread has waited so long for an interpreter fails; its client has mostly gone by then.
_WAIT_SECONDS = 30.0
_MAX_PREPARED = 128
_SIGNATURES = b"signature_defs_metadata"
_PREDICT = "tensorflow/serving/predict"
_DTYPES: dict[Any, int] = {
    np.float32: DT_FLOAT,
    np.int32: DT_INT32,
    np.uint8: DT_UINT8,
    np.int64: DT_INT64,
    np.bytes_: DT_STRING,
    np.bool_: DT_BOOL,
    np.int16: DT_INT16,
    np.complex64: DT_COMPLEX64,
    np.int8: DT_INT8,
}
# Numbers of TensorFlow Lite's own enum, for the text of an error.
_OTHER_TYPES: dict[Any, int] = {np.float16: 10, np.float64: 11, np.complex128: 12, np.uint64: 13, np.uint32: 16}
_MISSING_OPERATION = ("unresolved custom op", "not supported by this interpreter")
_SUFFIX = re.compile(r":[0-9]+\Z")
# `warnings.catch_warnings` changes the process; two threads in it at once could leave it changed.
_making = threading.Lock()


class Interpreter:
    """One interpreter; for one thread at a time.

    Raises:
        ServingError: INVALID_ARGUMENT, this is no model; INTERNAL, it cannot be built from it, for example because it
            uses an operation that is not there.
    """

    def __init__(self, content: bytes) -> None:
        try:
            with _making, warnings.catch_warnings():
                # TensorFlow recommends another package there, which this version of it does not need.
                warnings.simplefilter("ignore")
                self._lite = lite.Interpreter(model_content=content, num_threads=1)
        except (ValueError, RuntimeError) as error:
            if "valid Flatbuffer" in str(error) or not content:
                raise invalid_argument("Cannot build FlatBufferModel from buffer.") from error
            raise ServingError(Code.INTERNAL, f"Cannot build Interpreter from buffer. {error}") from error
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._allocated = False

    def tensors(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What TensorFlow Lite says of the model's inputs and of its outputs."""
        return self._lite.get_input_details(), self._lite.get_output_details()

    def check_operations(self) -> None:
        """Find out now, and not at the first request, whether all operations of the model are there.

        Raises:
            ServingError: INTERNAL, some are not.
        """
        try:
            self._lite.allocate_tensors()
        except RuntimeError as error:
            # Whatever else is wrong may be so with these shapes only; those of a request may be right.
            if any(text in str(error) for text in _MISSING_OPERATION):
                raise ServingError(Code.INTERNAL, f"Cannot build Interpreter from buffer. {error}") from error

    def run(self, inputs: Sequence[int], arrays: Sequence[np.ndarray], outputs: Sequence[int]) -> list[Any]:
        """Set tensors by their indices, run the model, get copies of others.

        Raises:
            ServingError: INTERNAL, as upstream, or INVALID_ARGUMENT for a dimension beyond what TFLite knows; the
                interpreter must not be used again.
        """
        what = "Failed to resize input tensor"
        try:
            for index, array in zip(inputs, arrays, strict=True):
                if self._shapes.get(index) != array.shape:
                    self._lite.resize_tensor_input(index, array.shape)
                    self._shapes[index] = array.shape
                    self._allocated = False
            what = "Failed to allocate tensors"
            if not self._allocated:
                self._lite.allocate_tensors()
                self._allocated = True
            what = "Failed to set input tensor"
            for index, array in zip(inputs, arrays, strict=True):
                self._lite.set_tensor(index, array)
            what = "Failed to invoke TfLite interpreter"
            self._lite.invoke()
            what = "Failed to read output tensor"
            return [self._lite.get_tensor(index) for index in outputs]
        except OverflowError as error:  # dimensions have 32 bits here
            raise invalid_argument(f"{what}: {error}") from error
        except (ValueError, RuntimeError, TypeError) as error:
            raise ServingError(Code.INTERNAL, f"{what}: {error}") from error


class Pool:
    """At most `limit` interpreters of one model."""

    def __init__(self, content: bytes, limit: int, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._content = content
        self._wait_seconds = wait_seconds
        self._free: list[Interpreter] = [Interpreter(content)]
        self._left = limit - 1
        self._condition = threading.Condition()

    @contextmanager
    def lend(self) -> Iterator[Interpreter]:
        """An interpreter for the block; one that raised is replaced, for nobody knows what state it is in.

        Raises:
            ServingError: UNAVAILABLE, none became free in time.
        """
        borrowed = self._take() or self._make()
        try:
            yield borrowed
        except BaseException:
            self._give_back(None)
            raise
        self._give_back(borrowed)

    def _take(self) -> Interpreter | None:
        with self._condition:
            if not self._condition.wait_for(lambda: self._free or self._left, self._wait_seconds):
                raise ServingError(
                    Code.UNAVAILABLE, f"no TfLite interpreter became free within {self._wait_seconds:g} s"
                )
            if self._free:
                return self._free.pop()
            self._left -= 1
            return None

    def _make(self) -> Interpreter:
        try:
            return Interpreter(self._content)
        except BaseException:
            self._give_back(None)
            raise

    def _give_back(self, interpreter: Interpreter | None) -> None:
        with self._condition:
            if interpreter is None:
                self._left += 1
            else:
                self._free.append(interpreter)
            self._condition.notify()

    def close(self) -> None:
        """Free all interpreters; none is lent any more."""
        self._free.clear()


class TflitePrepared(Prepared):
    """One signature of a model, with one choice of outputs; `run` may be called from several threads."""

    __slots__ = ("_inputs", "_outputs")

    def __init__(self, pool: Pool, signature: Any, outputs: Sequence[int], tensors: _Tensors) -> None:
        super().__init__(pool, signature, outputs)
        self._inputs = [tensors.inputs[name].index for name in self.input_names]
        self._outputs = [tensors.outputs[name].index for name in self._fetch]
        # The interpreter's word counts, whatever a signature in the file says.
        self.input_dtypes = [tensors.inputs[name].dtype for name in self.input_names]

    def run(self, lane: Lane, arrays: Sequence[np.ndarray]) -> list[Any]:
        """Run the model in the calling thread, whatever the lane.

        Raises:
            ServingError: INTERNAL, the model cannot run with these inputs; UNAVAILABLE, no interpreter became free.
        """
        with self._session.lend() as interpreter:
            cell = here.cell
            cell[0] = self.mark
            try:
                outputs = interpreter.run(self._inputs, arrays, self._outputs)
            finally:
                cell[0] = 0
        return [outputs[i] for i in self._positions] if self._positions else outputs


class TfliteServable:
    """One loaded version of a model, with the interface of `servable.Servable`."""

    def __init__(self, content: bytes, interpreters: int) -> None:
        self._pool = Pool(content, interpreters)
        with self._pool.lend() as first:
            self._tensors = _Tensors(*first.tensors())
            first.check_operations()
        self._signatures = _signatures(content, self._tensors)
        self._prepared: dict[tuple[str, tuple[int, ...]], TflitePrepared] = {}
        self._mark = 0

    def record_as(self, mark: int) -> None:
        """Let what runs be seen in the flight record under this mark, which goes with the version."""
        self._mark = mark
        for prepared in self._prepared.values():
            prepared.mark = mark

    def prepared(self, signature: str, outputs: tuple[int, ...]) -> TflitePrepared:
        """What runs a signature's outputs at the given positions of their sorted aliases.

        Raises:
            ServingError: FAILED_PRECONDITION, no such signature; UNIMPLEMENTED, several to be run as one.
        """
        key = (signature, outputs)
        prepared = self._prepared.get(key)
        if prepared is None:
            definition = self._signatures.get(signature)
            if SIGNATURE_SEPARATOR in signature:
                # Needs an operation that reads tf.Examples, which TensorFlow Lite has not.
                raise ServingError(Code.UNIMPLEMENTED, "a TensorFlow Lite model cannot run several signatures as one")
            if definition is None:
                raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.')
            prepared = TflitePrepared(self._pool, definition, outputs, self._tensors)
            prepared.mark = self._mark
            if len(self._prepared) >= _MAX_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[key] = prepared
        return prepared

    def signature_map(self) -> bytes:
        """All signatures as a serialized `tensorflow.serving.SignatureDefMap`."""
        message = public.SignatureDefMap()
        for name, definition in self._signatures.items():
            message.signature_def[name].MergeFromString(definition.SerializeToString())
        return message.SerializeToString()

    def close(self) -> None:
        """Free the interpreters."""
        flight.leave(self._mark)
        self._mark = 0
        self._prepared.clear()
        self._pool.close()


class _Tensor:
    """One input or output: its number in the interpreter, type, and shape with -1 for a dimension that may vary."""

    __slots__ = ("name", "index", "dtype", "shape")

    def __init__(self, details: dict[str, Any]) -> None:
        self.name: str = details["name"]
        self.index: int = details["index"]
        self.shape = [int(size) for size in details["shape_signature"]]
        number = _DTYPES.get(details["dtype"])
        if number is None:
            other = _OTHER_TYPES.get(details["dtype"], details["dtype"].__name__)
            raise ServingError(Code.INTERNAL, f"Unknown TfLite type: {other}")
        self.dtype = number


class _Tensors:
    """The model's inputs and outputs by name."""

    def __init__(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        self.inputs = {item.name: item for item in map(_Tensor, inputs)}
        self.outputs = {item.name: item for item in map(_Tensor, outputs)}


def is_there(path: str) -> bool:
    """Whether the version directory `path` has a TensorFlow Lite model."""
    return os.path.isfile(os.path.join(path, MODEL_FILE))


def load(path: str, *, interpreters: int) -> TfliteServable:
    """Load `model.tflite` in the version directory `path`, to be run by at most `interpreters` at a time.

    Raises:
        ServingError: INVALID_ARGUMENT, it is no model, or its signatures are wrong; INTERNAL, an operation or a type
            that cannot be run; NOT_FOUND, it cannot be read.
    """
    try:
        with open(os.path.join(path, MODEL_FILE), "rb") as file:
            content = file.read()
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{path}/{MODEL_FILE}: {error.strerror}") from error
    return TfliteServable(content, interpreters)


def _signatures(content: bytes, tensors: _Tensors) -> dict[str, Any]:
    """Signature definitions by name."""
    stored = _stored_signatures(content)
    if not stored:
        return {"serving_default": _own_signature(tensors)}
    for definition in stored.values():
        for kind, infos, known in (
            ("input", definition.inputs, tensors.inputs),
            ("output", definition.outputs, tensors.outputs),
        ):
            for alias, info in infos.items():
                # Names by TensorFlow's rule end in the number of an operation's output, which older models lack.
                name = info.name if info.name in known else _SUFFIX.sub("", info.name)
                if name not in known:
                    raise invalid_argument(
                        f"Unknown tensor '{info.name}'. Signature {kind} {alias} references an unknown tensor"
                    )
                info.name = name
    return stored


def _stored_signatures(content: bytes) -> dict[str, Any]:
    """The signatures in the model's metadata: a flexbuffer map from names to serialized SignatureDefs."""
    try:
        model = schema.Model.GetRootAs(content, 0)
        for i in range(model.MetadataLength()):
            item = model.Metadata(i)
            if item.Name() == _SIGNATURES:
                stored = flexbuffers.GetRoot(model.Buffers(item.Buffer()).DataAsNumpy().tobytes()).AsMap
                return {
                    key.AsKey: meta_graph_pb2.SignatureDef.FromString(bytes(value.AsStringBytes))
                    for key, value in zip(stored.Keys, stored.Values, strict=True)
                }
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError, struct.error, DecodeError) as error:
        raise invalid_argument(f"Invalid SignatureDefs found in TfLite model: {error}") from error
    return {}


def _own_signature(tensors: _Tensors) -> Any:
    """A signature of all inputs and outputs; aliases are their names without `:N`, unless two would be the same."""
    definition = meta_graph_pb2.SignatureDef(method_name=_PREDICT)
    for infos, items in ((definition.inputs, tensors.inputs), (definition.outputs, tensors.outputs)):
        for name, item in sorted(items.items()):
            alias = _SUFFIX.sub("", name)
            info = infos[name if alias in infos else alias]
            info.name, info.dtype = name, item.dtype
            for size in item.shape:
                info.tensor_shape.dim.add(size=size)
    return definition
