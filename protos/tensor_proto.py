"""A TensorProto as the tensor that it means, by the rules of TensorFlow's `Tensor::FromProto`."""

from __future__ import annotations

import numpy as np

from protos import public
from protos.dtypes import DT_BFLOAT16, DT_BOOL, DT_HALF, DT_STRING, DTYPES
from protos.errors import Code, ServingError
from protos.messages import Tensor

# A tensor of rank beyond this is refused by TensorFlow.
MAX_RANK = 254
# Largest tensor, in bytes, that a request may make us fill in by broadcasting its last value.
MAX_FILL_BYTES = 1 << 30
MAX_ELEMENTS = 1 << 40
_MAX_INT64 = (1 << 63) - 1


def decode_tensor(proto: public.TensorProto) -> Tensor:
    """A TensorProto as a `Tensor`, by the rules of `Tensor::FromProto`.

    `tensor_content`, when not empty, must have exactly the bytes of the shape. Otherwise the typed field counts:
    surplus values are ignored, missing ones repeat the last, none at all means zeros (or empty strings).

    Raises:
        ServingError: INVALID_ARGUMENT `tensor parsing error`, no tensor can be made of it.
    """
    row = DTYPES.get(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if row is None or len(shape) > MAX_RANK:
        raise _bad_tensor()
    count = _element_count(shape)
    if count == 0:
        return Tensor(row.number, shape, [] if row.number == DT_STRING else b"")
    content = proto.tensor_content
    if row.number == DT_STRING:
        strings = _split_strings(content, count) if content else _fill_strings(list(proto.string_val), count)
        return Tensor(DT_STRING, shape, strings)
    if content:
        if len(content) != count * row.size:
            raise _bad_tensor()
        if row.number == DT_BOOL and not _are_bools(content):
            raise _bad_tensor()
        return Tensor(row.number, shape, content)
    values = _typed_values(proto, row.number, row.field)
    if len(values) < count and count * row.size > MAX_FILL_BYTES:
        raise _bad_tensor()
    if len(values) >= count:
        values = values[:count]
    elif len(values) == 0:
        values = np.zeros(count, values.dtype)
    else:
        values = np.concatenate([values, np.full(count - len(values), values[-1])])
    return Tensor(row.number, shape, values.tobytes())


def decode_or_error(proto: public.TensorProto) -> Tensor | ServingError:
    """As `decode_tensor`, with the error as the result: whether it matters is known later."""
    try:
        return decode_tensor(proto)
    except ServingError as error:
        return error


def _element_count(shape: tuple[int, ...]) -> int:
    """Product of the sizes; a product that overflows on the way is refused even when a zero follows."""
    count = 1
    for size in shape:
        count *= size
        if size < 0 or count > _MAX_INT64:
            raise _bad_tensor()
    if count > MAX_ELEMENTS:
        raise _bad_tensor()
    return count


def _bad_tensor() -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, "tensor parsing error")


def _are_bools(content: bytes) -> bool:
    return bool(np.frombuffer(content, np.uint8).max() <= 1)


def _typed_values(proto: public.TensorProto, dtype: int, field: str) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
    """Values of the typed field in the type that `Tensor.data` has; narrow integers wrap as a C cast does."""
    values = getattr(proto, field)
    numpy = DTYPES[dtype].numpy
    if field == "int_val":
        return np.array(values, np.int32).astype(numpy)
    if dtype in (DT_HALF, DT_BFLOAT16):
        return np.array(values, np.int32).astype(np.uint16)
    if field == "scomplex_val":
        return np.array(values[: len(values) // 2 * 2], np.float32).view(np.complex64)
    if field == "dcomplex_val":
        return np.array(values[: len(values) // 2 * 2], np.float64).view(np.complex128)
    return np.array(values, numpy)


def _fill_strings(values: list[bytes], count: int) -> list[bytes]:
    if len(values) >= count:
        return values[:count]
    if count * 64 > MAX_FILL_BYTES:  # a Python reference and its share of a bytes object
        raise _bad_tensor()
    return values + [values[-1] if values else b""] * (count - len(values))


def _split_strings(content: bytes, count: int) -> list[bytes]:
    """`tensor_content` of a string tensor: `count` varint lengths, then the bytes."""
    lengths: list[int] = []
    pos = 0
    try:
        for _ in range(count):
            value = shift = 0
            while True:
                byte = content[pos]
                pos += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 128:
                    break
                if shift > 63:
                    raise _bad_tensor()
            lengths.append(value)
    except IndexError:
        raise _bad_tensor() from None
    if pos + sum(lengths) != len(content):
        raise _bad_tensor()
    strings: list[bytes] = []
    for length in lengths:
        strings.append(content[pos : pos + length])
        pos += length
    return strings
