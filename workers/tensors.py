"""Between `messages.Tensor` and NumPy arrays that TensorFlow takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from protos.dtypes import DT_STRING, DTYPES
from protos.errors import Code, ServingError
from protos.messages import FRAME_THRESHOLD_BYTES, Tensor

# bfloat16 and half get their true NumPy types here, unlike in the front end.
_NUMPY: dict[int, np.dtype[Any]] = {number: np.dtype(tf.as_dtype(number).as_numpy_dtype) for number in DTYPES}
_NUMBER: dict[np.dtype[Any], int] = {numpy: number for number, numpy in _NUMPY.items()}
_OBJECT = np.dtype(object)


def to_array(tensor: Tensor, frames: Sequence[Any]) -> np.ndarray:
    """The tensor as an array that shares its bytes; `frames` are the message's frames behind the header.

    Raises:
        ServingError: INTERNAL, the bytes do not fill the shape or a frame is missing.
    """
    data = tensor.data
    try:
        if tensor.dtype == DT_STRING:
            array = np.empty(len(data), _OBJECT)  # type: ignore[arg-type]
            array[:] = data
        else:
            array = np.frombuffer(frames[data].buffer if type(data) is int else data, _NUMPY[tensor.dtype])
        shape = tensor.shape
        return array if array.shape == shape else array.reshape(shape)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ServingError(Code.INTERNAL, f"malformed tensor from a front end: {error}") from None


def from_array(array: Any, frames: list[Any]) -> Tensor:
    """An output of a session as a `Tensor`; large data is appended to `frames` instead of copied.

    Raises:
        ServingError: UNIMPLEMENTED, the data type cannot be sent to clients.
    """
    if type(array) is bytes:  # a scalar string
        return Tensor(DT_STRING, (), [array])
    dtype = array.dtype
    if dtype is _OBJECT or dtype == _OBJECT:
        return Tensor(DT_STRING, array.shape, array.ravel().tolist())
    number = _NUMBER.get(dtype)
    if number is None:
        raise ServingError(Code.UNIMPLEMENTED, f"outputs of type {dtype} cannot be served")
    if array.nbytes < FRAME_THRESHOLD_BYTES:
        return Tensor(number, array.shape, array.tobytes())
    frames.append(np.ascontiguousarray(array).view(np.uint8).data if array.ndim else array.tobytes())
    return Tensor(number, array.shape, len(frames) - 1)


def row_count(arrays: Sequence[np.ndarray]) -> int:
    """Rows of a request: size of dimension 0 of its first input, 1 when there is none."""
    return len(arrays[0]) if arrays and arrays[0].ndim else 1


def dtype_number(numpy: np.dtype[Any]) -> int:
    """The `tensorflow.DataType` of a NumPy type.

    Raises:
        KeyError: no such type can be served.
    """
    return _NUMBER[numpy]
