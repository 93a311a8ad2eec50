"""Wire view of PredictRequest: what it says, read without building the message.

Clients serialize these messages in field order, with packed numbers; then a float tensor is a slice of the
request. The reader below walks exactly that form, and hands everything else (unknown fields, other orders,
unpacked or split numbers, varint and string data, lengths that disagree with the shape, damaged bytes) to the true
message classes, so the outcome never depends on which way was taken. What repeats between requests is looked up by its
bytes in bounded tables: ModelSpecs, heads of tensors, and in requests with one tensor all that stands before its
numbers.

Sources: `predict.proto`, `tensor.proto`; decoding rules of TensorFlow's `Tensor::FromProto`.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from google.protobuf.message import DecodeError

from protos import public
from protos.dtypes import DT_BOOL, DT_STRING, DTYPES, PACKED_TAG
from protos.errors import Code, ServingError
from protos.messages import Tensor
from protos.tensor_proto import MAX_ELEMENTS, MAX_RANK, decode_or_error

_TABLE_LIMIT = 4096
_KEY_LIMIT = 512
_PREFIX_LIMIT = 256


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


class _Form(NamedTuple):
    """Requests of one length and beginning, that have one tensor, whose numbers are all that follows."""

    prefix: bytes
    size: int
    target: Target
    alias: str
    dtype: int
    shape: tuple[int, ...]


# By the length of the request: all lengths that the prefix tells are right for it then.
_forms: dict[int, _Form] = {}
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
    form = _forms.get(len(data))
    if form is not None and data[: form.size] == form.prefix:
        tensor = Tensor(form.dtype, form.shape, memoryview(data)[form.size :])  # type: ignore[arg-type]
        return PredictCall(form.target, {form.alias: tensor}, ())
    try:
        return _walk(memoryview(data))
    except (_Unusual, IndexError, UnicodeDecodeError):
        return _parse_with_message(data)


def _walk(data: memoryview) -> PredictCall:
    end = len(data)
    pos = tag = 0
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
    if tag == 0x12 and target is not None and not output_filter and len(inputs) == 1:
        ((alias, tensor),) = inputs.items()
        _learn_form(data, target, alias, tensor)
    return PredictCall(target, inputs, output_filter)


def _learn_form(data: memoryview, target: Target, alias: str, tensor: Tensor | ServingError) -> None:
    """Remember all that stands before the numbers of a request's one tensor, which is its last field."""
    # A slice of the request fills its field to the end; other tensors were decoded.
    if isinstance(tensor, Tensor) and isinstance(tensor.data, memoryview):
        size = len(data) - len(tensor.data)
        if size <= _PREFIX_LIMIT:
            if len(_forms) >= _TABLE_LIMIT:
                _forms.clear()
            _forms[len(data)] = _Form(bytes(data[:size]), size, target, alias, tensor.dtype, tensor.shape)


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
    if nbytes > MAX_ELEMENTS:
        return None
    tag = PACKED_TAG.get(row.number)
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
        {alias: decode_or_error(proto) for alias, proto in request.inputs.items()},
        tuple(request.output_filter),
    )


def _tensor_from_bytes(data: memoryview) -> Tensor | ServingError:
    try:
        return decode_or_error(public.TensorProto.FromString(bytes(data)))
    except DecodeError:
        raise _Unusual from None
