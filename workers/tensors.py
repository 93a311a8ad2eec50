"""Between `messages.Tensor` and NumPy arrays that TensorFlow takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from protos.dtypes import DT_STRING, DTYPES
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import FRAME_THRESHOLD_BYTES, Tensor

# bfloat16 and half get their true NumPy types here, unlike in the front end.
_NUMPY: dict[int, np.dtype[Any]] = {number: np.dtype(tf.as_dtype(number).as_numpy_dtype) for number in DTYPES}
_NUMBER: dict[np.dtype[Any], int] = {numpy: number for number, numpy in _NUMPY.items()}
_OBJECT = np.dtype(object)
# NumPy has no more dimensions.
_MAX_RANK = 64
# TensorFlow reads strings through NumPy's iterators, which have no more, and ends the process beyond.
_MAX_STRING_RANK = 32


def to_array(tensor: Tensor, buffers: Sequence[Any]) -> np.ndarray:
    """The tensor as an array that shares its bytes.

    `buffers` are those outside the header, so that `buffers[tensor.data]` is right for numbers of frames and of blocks.

    Raises:
        ServingError: INTERNAL, the bytes do not fill the shape or a buffer is missing; INVALID_ARGUMENT, there are more
            dimensions than can be fed.
    """
    data, shape = tensor.data, tensor.shape
    try:
        if tensor.dtype == DT_STRING:
            if type(data) is not list:
                raise TypeError("strings must be a list")
            if len(shape) > _MAX_STRING_RANK:
                raise invalid_argument(f"strings of more than {_MAX_STRING_RANK} dimensions are not supported")
            array = np.empty(len(data), _OBJECT)
            array[:] = data
        elif type(data) is int:
            array = np.frombuffer(buffers[data], _NUMPY[tensor.dtype])
        else:
            array = np.frombuffer(data, _NUMPY[tensor.dtype])  # type: ignore[arg-type]
        if array.shape != shape:
            array = array.reshape(shape)
            if array.shape != shape:
                raise ValueError("the shape has a negative dimension")
        return array
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        if len(shape) > _MAX_RANK:
            raise invalid_argument(f"tensors of more than {_MAX_RANK} dimensions are not supported") from None
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
