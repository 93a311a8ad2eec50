"""Wire view of PredictResponse: its bytes, written without building the message.

A float tensor's own bytes are its packed field, so they go into the answer as they are; what answers repeat (the
ModelSpec, the head of a tensor) is made once. The true message parses what is written here to the same values.
"""

from __future__ import annotations

import numpy as np

from protos import public
from protos.dtypes import DTYPES, PACKED_TAG
from protos.messages import Tensor

_TABLE_LIMIT = 4096


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_VARINT_1_2 = [_varint(i) for i in range(1 << 14)]

# (dtype, shape) -> serialized dtype and tensor_shape fields.
_written_heads: dict[tuple[int, tuple[int, ...]], bytes] = {}


def _head_bytes(dtype: int, shape: tuple[int, ...]) -> bytes:
    key = (dtype, shape)
    head = _written_heads.get(key)
    if head is None:
        dims = b"".join(b"\x12" + _length_prefixed(b"\x08" + _varint(size) if size else b"") for size in shape)
        head = b"\x08" + _varint(dtype) + b"\x12" + _length_prefixed(dims)
        if len(_written_heads) >= _TABLE_LIMIT:
            _written_heads.clear()
        _written_heads[key] = head
    return head


def _length_prefixed(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _varint_field(tensor: Tensor) -> bytes:
    """Packed varints of an integer tensor; protobuf packs them, NumPy only hands over the numbers."""
    row = DTYPES[tensor.dtype]
    proto = public.TensorProto()
    getattr(proto, row.field).extend(np.frombuffer(tensor.data, row.numpy).tolist())  # type: ignore[arg-type]
    serialized: bytes = proto.SerializeToString()
    return serialized


def tensor_parts(tensor: Tensor, *, as_content: bool) -> tuple[bytes, bytes | memoryview]:
    """A serialized TensorProto in two parts: head, and data that is often the tensor's own bytes.

    Every element is written. `as_content` uses `tensor_content` for all types, strings included.
    """
    head = _head_bytes(tensor.dtype, tensor.shape)
    data = tensor.data
    if isinstance(data, list):
        if as_content:
            content = b"".join([_varint(len(item)) for item in data]) + b"".join(data)
            return head + (b"\x22" + _varint(len(content)) if content else b""), content
        return head, public.TensorProto(string_val=data).SerializeToString()
    assert not isinstance(data, int)
    size = len(data)
    if not size:
        return head, b""
    tag = b"\x22" if as_content else PACKED_TAG.get(tensor.dtype)
    if tag is not None:
        return head + tag + (_VARINT_1_2[size] if size < 16384 else _varint(size)), data
    return head, _varint_field(tensor)


def model_spec_field(*, name: str, version: int, signature: str) -> bytes:
    """The serialized `model_spec` field (2) of a PredictResponse; the same for all answers of one signature."""
    spec = public.ModelSpec(name=name, signature_name=signature)
    spec.version.value = version
    return b"\x12" + _length_prefixed(spec.SerializeToString())


def output_key(alias: str) -> bytes:
    """The serialized key of an entry of `outputs`."""
    return b"\x0a" + _length_prefixed(alias.encode())


def response_parts(
    keys: tuple[bytes, ...], tensors: list[Tensor], spec_field: bytes, *, as_content: bool = False
) -> list[bytes | memoryview]:
    """A serialized PredictResponse, as parts to be joined or sent one after another.

    `keys` are `output_key`s in the order of `tensors`; `spec_field` comes from `model_spec_field`.
    """
    parts: list[bytes | memoryview] = []
    for key, tensor in zip(keys, tensors, strict=True):
        head, data = tensor_parts(tensor, as_content=as_content)
        value = len(head) + len(data)
        value_size = _VARINT_1_2[value] if value < 16384 else _varint(value)
        entry = len(key) + 1 + len(value_size) + value
        entry_size = _VARINT_1_2[entry] if entry < 16384 else _varint(entry)
        parts.append(b"\x0a" + entry_size + key + b"\x12" + value_size + head)
        parts.append(data)
    parts.append(spec_field)
    return parts
