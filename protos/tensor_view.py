"""Wire views: read a PredictRequest and write a PredictResponse without building the messages.

Clients serialize these messages in field order, with packed numbers; then a float tensor is a slice of the
request. The reader below walks exactly that form, and hands everything else (unknown fields, other orders,
unpacked or split numbers, varint and string data, lengths that disagree with the shape, damaged bytes) to the true
message classes, so the outcome never depends on which way was taken. What repeats between requests (the
ModelSpec, the head of a tensor) is looked up by its bytes in bounded tables.

Sources: `predict.proto`, `tensor.proto`; decoding rules of TensorFlow's `Tensor::FromProto`.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from protos import public
from protos.dtypes import DT_BFLOAT16, DT_BOOL, DT_HALF, DT_STRING, DTYPES
from protos.errors import Code, ServingError
from protos.messages import Tensor

# A tensor of rank beyond this is refused by TensorFlow.
MAX_RANK = 254
# Largest tensor, in bytes, that a request may make us fill in by broadcasting its last value.
MAX_FILL_BYTES = 1 << 30
_MAX_ELEMENTS = 1 << 40
_MAX_INT64 = (1 << 63) - 1

_TABLE_LIMIT = 4096
_KEY_LIMIT = 512

# Field numbers of TensorProto whose packed form is the tensor's own bytes, as (dtype -> tag byte(s)).
_PACKED_TAG = {1: b"\x2a", 2: b"\x32", 8: b"\x4a", 10: b"\x5a", 18: b"\x62"}


class Target(NamedTuple):
    """A ModelSpec; `version` and `label` are None when not set (an empty label can be set)."""

    name: str
    version: int | None
    label: str | None
    signature: str


class PredictCall(NamedTuple):
    """What a PredictRequest says.

    Attributes:
        target: None when the request has no `model_spec`.
        inputs: tensors by alias; a `ServingError` stands where a tensor could not be decoded.
        output_filter: aliases wanted, empty for all.
    """

    target: Target | None
    inputs: dict[str, Tensor | ServingError]
    output_filter: tuple[str, ...]


_targets: dict[bytes, Target] = {}
# Head of a tensor (dtype and shape fields) -> dtype, shape, packed tag of the dtype, bytes of the data.
_heads: dict[bytes, tuple[int, tuple[int, ...], int, int]] = {}


class _Unusual(Exception):
    """The bytes are not in the common form; ask the true message."""


def parse_predict_request(data: bytes | memoryview) -> PredictCall:
    """Read a serialized PredictRequest.

    Large tensors in the result are slices of `data`, not copies.

    Raises:
        ServingError: INTERNAL, the bytes are no PredictRequest (the code that gRPC itself uses).
    """
    try:
        return _walk(memoryview(data))
    except (_Unusual, IndexError, UnicodeDecodeError):
        return _parse_with_message(data)


def _walk(data: memoryview) -> PredictCall:
    end = len(data)
    pos = 0
    target: Target | None = None
    inputs: dict[str, Tensor | ServingError] = {}
    output_filter: tuple[str, ...] = ()
    while pos < end:
        tag = data[pos]
        size = data[pos + 1]
        pos += 2
        if size > 127:
            size, pos = _long_varint(data, pos - 1)
        stop = pos + size
        if stop > end:
            raise _Unusual
        if tag == 0x12:  # inputs: one map entry
            if data[pos] != 0x0A:
                raise _Unusual
            key_end = pos + 2 + data[pos + 1]
            if data[pos + 1] > 127 or key_end + 2 > stop or data[key_end] != 0x12:
                raise _Unusual
            alias = str(data[pos + 2 : key_end], "utf-8")
            size = data[key_end + 1]
            pos = key_end + 2
            if size > 127:
                size, pos = _long_varint(data, key_end + 1)
            if pos + size != stop:
                raise _Unusual
            inputs[alias] = _walk_tensor(data, pos, stop)
        elif tag == 0x0A and target is None:  # model_spec
            target = _target(bytes(data[pos:stop]))
        elif tag == 0x1A:  # output_filter
            output_filter += (str(data[pos:stop], "utf-8"),)
        else:
            raise _Unusual
        pos = stop
    return PredictCall(target, inputs, output_filter)


def _long_varint(data: memoryview, pos: int) -> tuple[int, int]:
    """A length varint of several bytes that starts at `pos`; the value and the position behind it."""
    value = data[pos] & 0x7F
    for shift in (7, 14, 21, 28):
        pos += 1
        byte = data[pos]
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, pos + 1
    raise _Unusual


def _walk_tensor(data: memoryview, pos: int, stop: int) -> Tensor | ServingError:
    """The tensor in data[pos:stop]; in the common form its data is a slice."""
    # dtype (08 xx), tensor_shape (12 len ...), then one packed field or tensor_content that fills the rest.
    if stop - pos < 4 or data[pos] != 0x08 or data[pos + 1] > 127 or data[pos + 2] != 0x12 or data[pos + 3] > 127:
        return _tensor_from_bytes(data[pos:stop])
    head_end = pos + 4 + data[pos + 3]
    if head_end + 2 > stop:
        return _tensor_from_bytes(data[pos:stop])
    key = bytes(data[pos:head_end])
    head = _heads.get(key)
    if head is None:
        head = _learn_head(key)
        if head is None:
            return _tensor_from_bytes(data[pos:stop])
    dtype, shape, packed_tag, nbytes = head
    size = data[head_end + 1]
    start = head_end + 2
    if size > 127:
        size, start = _long_varint(data, head_end + 1)
    tag = data[head_end]
    if size == nbytes and start + size == stop and (tag == packed_tag or tag == 0x22) and size:
        return Tensor(dtype, shape, data[start:stop])  # type: ignore[arg-type]
    return _tensor_from_bytes(data[pos:stop])


def _learn_head(key: bytes) -> tuple[int, tuple[int, ...], int, int] | None:
    """Decode the dtype and shape of a new kind of tensor; None when it must go the long way."""
    try:
        message = public.TensorProto.FromString(key)
    except DecodeError:
        return None
    row = DTYPES.get(message.dtype)
    shape = tuple(dim.size for dim in message.tensor_shape.dim)
    if row is None or row.number in (DT_STRING, DT_BOOL):
        return None  # strings; bools, whose varints and bytes need not be 0 or 1
    if len(shape) > MAX_RANK or message.tensor_shape.unknown_rank or min(shape, default=1) < 1:
        return None
    nbytes = prod(shape) * row.size
    if nbytes > _MAX_ELEMENTS:
        return None
    tag = _PACKED_TAG.get(row.number)
    head = (row.number, shape, tag[0] if tag else 0x22, nbytes)
    if len(key) <= _KEY_LIMIT:
        if len(_heads) >= _TABLE_LIMIT:
            _heads.clear()
        _heads[key] = head
    return head


def _target(key: bytes) -> Target:
    target = _targets.get(key)
    if target is None:
        try:
            spec = public.ModelSpec.FromString(key)
        except DecodeError:
            raise _Unusual from None
        target = target_of(spec)
        if len(key) <= _KEY_LIMIT:
            if len(_targets) >= _TABLE_LIMIT:
                _targets.clear()
            _targets[key] = target
    return target


def target_of(spec: public.ModelSpec) -> Target:
    """A ModelSpec message as a `Target`."""
    choice = spec.WhichOneof("version_choice")
    return Target(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
        spec.signature_name,
    )


def _parse_with_message(data: bytes | memoryview) -> PredictCall:
    """The long way: the true message decides what the bytes mean."""
    try:
        request = public.PredictRequest.FromString(bytes(data))
    except DecodeError:
        raise ServingError(Code.INTERNAL, "Failed to parse PredictRequest") from None
    return PredictCall(
        target_of(request.model_spec) if request.HasField("model_spec") else None,
        {alias: _decode(proto) for alias, proto in request.inputs.items()},
        tuple(request.output_filter),
    )


def _tensor_from_bytes(data: memoryview) -> Tensor | ServingError:
    try:
        return _decode(public.TensorProto.FromString(bytes(data)))
    except DecodeError:
        raise _Unusual from None


def _decode(proto: public.TensorProto) -> Tensor | ServingError:
    try:
        return decode_tensor(proto)
    except ServingError as error:
        return error


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


def _element_count(shape: tuple[int, ...]) -> int:
    """Product of the sizes; a product that overflows on the way is refused even when a zero follows."""
    count = 1
    for size in shape:
        count *= size
        if size < 0 or count > _MAX_INT64:
            raise _bad_tensor()
    if count > _MAX_ELEMENTS:
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


# --- writing ---------------------------------------------------------------------------------------------------


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
    tag = b"\x22" if as_content else _PACKED_TAG.get(tensor.dtype)
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
