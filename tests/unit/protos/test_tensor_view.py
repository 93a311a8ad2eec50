"""Wire views and true messages agree on every encoding, and TensorFlow agrees with both."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protos import public, tensor_proto, tensor_view
from protos.dtypes import DT_BOOL, DT_FLOAT, DT_HALF, DT_INT32, DT_STRING, DTYPES
from protos.errors import Code, ServingError
from protos.messages import Tensor
from protos.response_view import model_spec_field, output_key, response_parts, tensor_parts
from protos.tensor_proto import decode_tensor
from protos.tensor_view import PredictCall, Target, parse_predict_request
from tests.wire_writer import WireWriter, varint

Value = tuple[int, tuple[int, ...], bytes | list[bytes]] | None
SEEDS = st.integers(0, 2**48)
_PACK = {
    "float_val": "<f",
    "double_val": "<d",
    "int64_val": "<q",
    "uint32_val": "<I",
    "uint64_val": "<Q",
    "bool_val": "<?",
}


@pytest.fixture(autouse=True)
def _small_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged shapes ask for huge fills: the bound is what matters here, not its size."""
    monkeypatch.setattr(tensor_proto, "MAX_FILL_BYTES", 1 << 16)


# --- the oracle: the decoding table, from the true message, element by element -------------------------------------


def oracle_tensor(proto: Message) -> Value:
    """(dtype, shape, data), or None where TensorFlow refuses the tensor."""
    row = DTYPES.get(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = 1
    for size in shape:
        count *= size
        if size < 0 or count >= 2**63:
            return None
    if row is None or len(shape) > 254 or count > 2**40:
        return None
    content = proto.tensor_content
    if count == 0:
        return row.number, shape, [] if row.number == DT_STRING else b""
    if row.number == DT_STRING:
        strings = oracle_strings(content, count) if content else fill(list(proto.string_val), count, 64, b"")
        return None if strings is None else (row.number, shape, strings)
    if content:
        fits = len(content) == count * row.size and (row.number != DT_BOOL or set(content) <= {0, 1})
        return (row.number, shape, content) if fits else None
    elements = fill(oracle_elements(proto, row.number, row.field, row.size), count, row.size, bytes(row.size))
    return None if elements is None else (row.number, shape, b"".join(elements))


def oracle_elements(proto: Message, dtype: int, field: str, size: int) -> list[bytes]:
    values = list(getattr(proto, field))
    if field in ("int_val", "half_val"):
        return [(value & 0xFFFFFFFF).to_bytes(4, "little")[:size] for value in values]
    if field in ("scomplex_val", "dcomplex_val"):
        code = "<ff" if field == "scomplex_val" else "<dd"
        return [struct.pack(code, *pair) for pair in zip(values[::2], values[1::2], strict=False)]
    return [struct.pack(_PACK[field], value) for value in values]


def oracle_strings(content: bytes, count: int) -> list[bytes] | None:
    lengths, pos = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            if pos >= len(content):
                return None
            value |= (content[pos] & 0x7F) << shift
            shift += 7
            pos += 1
            if content[pos - 1] < 128:
                break
        lengths.append(value)
    if pos + sum(lengths) != len(content):
        return None
    strings = []
    for length in lengths:
        strings.append(content[pos : pos + length])
        pos += length
    return strings


def fill(values: list[bytes], count: int, cost: int, zero: bytes) -> list[bytes] | None:
    """First `count` values, the last repeated, zeros if there are none; None beyond our documented bound."""
    if len(values) < count and count * cost > tensor_proto.MAX_FILL_BYTES:
        return None
    return (values + [values[-1] if values else zero] * max(0, count - len(values)))[:count]


def oracle(data: bytes) -> tuple[Target | None, dict[str, Value], tuple[str, ...]] | None:
    try:
        request = public.PredictRequest.FromString(data)
    except DecodeError:
        return None
    target = None
    if request.HasField("model_spec"):
        spec = request.model_spec
        target = Target(
            spec.name,
            spec.version.value if spec.HasField("version") else None,
            spec.version_label if spec.HasField("version_label") else None,
            spec.signature_name,
        )
    inputs = {alias: plain(oracle_tensor(proto)) for alias, proto in request.inputs.items()}
    return target, inputs, tuple(request.output_filter)


# --- comparison ----------------------------------------------------------------------------------------------------


def plain(value: Value) -> Value:
    """With one bit pattern for every NaN: reading a number may quieten it."""
    if value is None or isinstance(value[2], list) or DTYPES[value[0]].numpy.kind not in "fc":
        return value
    kind = DTYPES[value[0]].numpy
    numbers = np.frombuffer(value[2], f"<f{kind.itemsize // (2 if kind.kind == 'c' else 1)}").copy()
    numbers[np.isnan(numbers)] = np.nan
    return value[0], value[1], numbers.tobytes()


def as_value(tensor: Tensor | ServingError) -> Value:
    if isinstance(tensor, ServingError):
        assert (tensor.code, tensor.message) == (Code.INVALID_ARGUMENT, "tensor parsing error")
        return None
    assert not isinstance(tensor.data, int)
    data = list(tensor.data) if isinstance(tensor.data, list) else bytes(tensor.data)
    return plain((tensor.dtype, tensor.shape, data))


def outcome(data: bytes) -> tuple[Target | None, dict[str, Value], tuple[str, ...]] | None:
    try:
        call = parse_predict_request(data)
    except ServingError as error:
        assert error.code == Code.INTERNAL
        return None
    return call.target, {alias: as_value(tensor) for alias, tensor in call.inputs.items()}, call.output_filter


@settings(max_examples=1200, deadline=None)
@given(SEEDS)
def test_every_encoding_reads_as_the_true_message_says(seed: int) -> None:
    data = WireWriter(seed).request()
    assert outcome(data) == oracle(data)


@settings(max_examples=1200, deadline=None)
@given(SEEDS)
def test_damaged_bytes_read_as_the_true_message_says_or_both_refuse(seed: int) -> None:
    writer = WireWriter(seed)
    data = writer.damaged(writer.request())
    assert outcome(data) == oracle(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
@example(b"")
@example(b"\x12")
@example(b"\x12\x00")
@example(b"\x12\x02\x0a\x00")
@example(b"\x0a\x00\x0a\x00")
def test_random_bytes(data: bytes) -> None:
    assert outcome(data) == oracle(data)


def test_every_cut_of_common_requests() -> None:
    request = public.PredictRequest(output_filter=["y"])
    request.model_spec.name = "m"
    request.model_spec.version.value = 3
    for number in DTYPES:
        request.inputs[f"in{number}"].CopyFrom(proto_of(number, (2, 1)))
    data = request.SerializeToString(deterministic=True)
    for end in range(len(data) + 1):
        assert outcome(data[:end]) == oracle(data[:end])


def proto_of(dtype: int, shape: tuple[int, ...]) -> Message:
    proto = public.TensorProto(dtype=dtype)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    row = DTYPES[dtype]
    count = int(np.prod(shape, dtype=np.int64)) * (2 if "complex" in row.field else 1)
    getattr(proto, row.field).extend([b"s"] * count if dtype == DT_STRING else [1] * count)
    return proto


@pytest.mark.parametrize("dtype", [n for n in DTYPES if DTYPES[n].field.endswith(("float_val", "double_val", "x_val"))])
def test_large_packed_tensors_are_slices_of_the_request(dtype: int) -> None:
    request = public.PredictRequest()
    request.inputs["x"].CopyFrom(proto_of(dtype, (3, 100)))
    data = request.SerializeToString()
    tensor = parse_predict_request(data).inputs["x"]
    assert isinstance(tensor, Tensor) and isinstance(tensor.data, memoryview)
    assert tensor.data.obj is data
    assert as_value(tensor) == plain(oracle_tensor(request.inputs["x"]))


def test_tables_stay_bounded() -> None:
    for i in range(tensor_view._TABLE_LIMIT + 50):
        request = public.PredictRequest()
        request.model_spec.name = f"model-{i}"
        request.inputs["x"].CopyFrom(public.TensorProto(dtype=DT_INT32, tensor_content=bytes(4 * (i + 1))))
        request.inputs["x"].tensor_shape.dim.add(size=i + 1)
        call = parse_predict_request(request.SerializeToString())
        assert call.target == Target(f"model-{i}", None, None, "")
        tensor = call.inputs["x"]
        assert isinstance(tensor, Tensor) and tensor.shape == (i + 1,)
    assert len(tensor_view._targets) <= tensor_view._TABLE_LIMIT
    assert len(tensor_view._heads) <= tensor_view._TABLE_LIMIT


@pytest.mark.parametrize(
    ("fields", "shape", "expected"),
    [
        ({"dtype": DT_FLOAT, "tensor_content": b"abcd"}, (0,), b""),
        ({"dtype": DT_STRING, "tensor_content": b"abcd"}, (0,), []),
        ({"dtype": DT_FLOAT}, (2**40, 2**40, 0), None),
        ({"dtype": DT_FLOAT}, (0, 2**40, 2**40), b""),
        ({"dtype": DT_BOOL, "tensor_content": b"\1\0"}, (2,), b"\1\0"),
        ({"dtype": DT_BOOL, "tensor_content": b"\2\0"}, (2,), None),
        ({"dtype": DT_FLOAT}, (2,), bytes(8)),
        ({"dtype": DT_FLOAT, "int_val": [5]}, (1,), bytes(4)),
        ({"dtype": DT_FLOAT, "float_val": [1, 2, 3]}, (), struct.pack("<f", 1)),
        ({"dtype": DT_FLOAT, "float_val": [1, 2]}, (3,), struct.pack("<3f", 1, 2, 2)),
        ({"dtype": DT_INT32, "int_val": [1], "tensor_content": bytes(4)}, (1,), bytes(4)),
        ({"dtype": 6, "int_val": [300, -129]}, (2,), b"\x2c\x7f"),
        ({"dtype": 17, "int_val": [-1, 70000]}, (2,), struct.pack("<HH", 65535, 4464)),
        ({"dtype": DT_HALF, "half_val": [-1, 0x3C00]}, (2,), struct.pack("<HH", 65535, 0x3C00)),
        ({"dtype": 8, "scomplex_val": [1, 2, 3]}, (2,), struct.pack("<4f", 1, 2, 1, 2)),
        ({"dtype": 8, "scomplex_val": [1]}, (1,), bytes(8)),
        ({"dtype": DT_STRING, "tensor_content": b"\x80\x00\x01a"}, (2,), [b"", b"a"]),
        ({"dtype": DT_STRING, "tensor_content": b"\x00\x01ab"}, (2,), None),
        ({"dtype": DT_STRING, "string_val": [b"a"]}, (2,), [b"a", b"a"]),
        ({"dtype": DT_STRING}, (1,), [b""]),
        ({"dtype": DT_FLOAT, "float_val": [1]}, (1,) * 254, struct.pack("<f", 1)),
        ({"dtype": DT_FLOAT, "float_val": [1]}, (1,) * 255, None),
        ({"dtype": DT_FLOAT, "float_val": [1]}, (-1,), None),
        ({"dtype": 0, "float_val": [1]}, (1,), None),
        ({"dtype": DT_FLOAT}, (2**15,), None),  # a fill beyond the bound that this module sets
    ],
)
def test_decoding_table(fields: dict[str, object], shape: tuple[int, ...], expected: object) -> None:
    proto = public.TensorProto(**fields)
    proto.tensor_shape.dim.extend([public.TensorShapeProto.Dim(size=size) for size in shape])
    if expected is None:
        with pytest.raises(ServingError, match="tensor parsing error"):
            decode_tensor(proto)
    else:
        tensor = decode_tensor(proto)
        assert (tensor.dtype, tensor.shape, tensor.data) == (proto.dtype, shape, expected)


def test_unknown_rank_without_dims_is_a_scalar() -> None:
    proto = public.TensorProto(dtype=DT_INT32, int_val=[7])
    proto.tensor_shape.unknown_rank = True
    assert decode_tensor(proto) == Tensor(DT_INT32, (), struct.pack("<i", 7))


# --- responses -----------------------------------------------------------------------------------------------------


def random_tensor(seed: int, dtype: int) -> Tensor:
    rng = WireWriter(seed).rng
    shape = tuple(rng.choice((0, 1, 2, 3, 40)) for _ in range(rng.randrange(4)))
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == DT_STRING:
        return Tensor(dtype, shape, [rng.randbytes(rng.choice((0, 1, 200))) for _ in range(count)])
    if dtype == DT_BOOL:
        return Tensor(dtype, shape, bytes(rng.randrange(2) for _ in range(count)))
    return Tensor(dtype, shape, rng.randbytes(count * DTYPES[dtype].size))


@pytest.mark.parametrize("as_content", [False, True])
@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, dtypes=st.lists(st.sampled_from(list(DTYPES)), max_size=4), version=st.integers(0, 2**63 - 1))
def test_responses_parse_with_the_true_message(as_content: bool, seed: int, dtypes: list[int], version: int) -> None:
    tensors = [random_tensor(seed + i, dtype) for i, dtype in enumerate(dtypes)]
    aliases = [f"out-{i}" + "ä" * (i * 60) for i in range(len(tensors))]
    spec = model_spec_field(name="modèl", version=version, signature="sig")
    keys = tuple(output_key(alias) for alias in aliases)
    response = public.PredictResponse.FromString(b"".join(response_parts(keys, tensors, spec, as_content=as_content)))
    assert (response.model_spec.name, response.model_spec.signature_name) == ("modèl", "sig")
    assert response.model_spec.version.value == version
    assert not response.model_spec.version_label
    assert set(response.outputs) == set(aliases)
    for alias, tensor in zip(aliases, tensors, strict=True):
        proto = response.outputs[alias]
        assert proto.HasField("tensor_shape")
        assert plain(oracle_tensor(proto)) == as_value(tensor)
        field, count = DTYPES[tensor.dtype].field, int(np.prod(tensor.shape, dtype=np.int64))
        assert len(getattr(proto, field)) == (0 if as_content else count * (2 if "complex" in field else 1))
        assert bool(proto.tensor_content) == (as_content and count > 0)


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", list(DTYPES))
def test_large_tensors_in_responses(dtype: int, as_content: bool) -> None:
    size = DTYPES[dtype].size
    data = [b"ab"] * 20_000 if dtype == DT_STRING else bytes(i % 2 for i in range(size * 20_000))
    tensor = Tensor(dtype, (20_000,), data)
    proto = public.TensorProto.FromString(b"".join(tensor_parts(tensor, as_content=as_content)))
    assert plain(oracle_tensor(proto)) == as_value(tensor)


# --- TensorFlow as the judge ---------------------------------------------------------------------------------------

_JUDGE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

def flat(array):
    if array.dtype == object or array.dtype.kind == "S":
        return [bytes(item).hex() for item in array.ravel().tolist()]
    return array.tobytes().hex()

verdicts = []
for way, dtype, data in json.load(sys.stdin):
    data = bytes.fromhex(data)
    try:
        if way == "parse_tensor":
            array = np.asarray(tf.io.parse_tensor(data, tf.dtypes.as_dtype(dtype)).numpy())
        else:
            array = tf.make_ndarray(tensor_pb2.TensorProto.FromString(data))
        verdicts.append([list(array.shape), flat(array)])
    except (tf.errors.InvalidArgumentError, TypeError, KeyError):
        verdicts.append(None)
print(json.dumps(verdicts))
"""


def judged(cases: list[tuple[str, int, bytes]]) -> list[Value]:
    """What TensorFlow makes of serialized TensorProtos; None where it refuses."""
    result = subprocess.run(
        [sys.executable, "-c", _JUDGE],
        input=json.dumps([(way, dtype, data.hex()) for way, dtype, data in cases]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    values: list[Value] = []
    for (_, dtype, _), verdict in zip(cases, json.loads(result.stdout), strict=True):
        if verdict is None:
            values.append(None)
            continue
        shape, data = verdict
        parsed = [bytes.fromhex(item) for item in data] if isinstance(data, list) else bytes.fromhex(data)
        values.append(plain((dtype, tuple(shape), parsed)))
    return values


def _case(proto_bytes: bytes) -> bool:
    """Whether a case can be put to the judge: served dtype, and a rank that NumPy has."""
    try:
        proto = public.TensorProto.FromString(proto_bytes)
    except DecodeError:
        return False
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    return proto.dtype in DTYPES and len(sizes) <= 8 and all(size < 1000 for size in sizes)


def test_tensorflow_agrees() -> None:
    cases: list[tuple[str, int, bytes]] = []
    expected: list[Value] = []
    seed = 0
    while len(cases) < 400:
        seed += 1
        data = WireWriter(seed).tensor()
        if _case(data):
            proto = public.TensorProto.FromString(data)
            cases.append(("parse_tensor", proto.dtype, data))
            expected.append(_attempt(lambda proto=proto: decode_tensor(proto)))  # type: ignore[misc]
    for dtype in DTYPES:
        for as_content in (False, True):
            if dtype == DT_STRING and as_content:
                continue  # make_ndarray cannot read it
            tensor = random_tensor(seed + dtype, dtype)
            cases.append(("make_ndarray", dtype, b"".join(tensor_parts(tensor, as_content=as_content))))
            expected.append(as_value(tensor))
    verdicts = judged(cases)
    for case, ours, theirs in zip(cases, expected, verdicts, strict=True):
        assert ours == theirs, (case[0], public.TensorProto.FromString(case[2]))
    assert any(verdict is None for verdict in verdicts)


def _attempt(decode: Callable[[], Tensor]) -> Value:
    try:
        return as_value(decode())
    except ServingError as error:
        return as_value(error)


def test_padded_varints_mean_the_same() -> None:
    assert varint(1, 2) == b"\x81\x80\x00"
    padded = b"\x0a" + varint(3, 2) + b"\x0a\x01m"
    assert parse_predict_request(padded) == PredictCall(Target("m", None, None, ""), {}, ())


def test_no_bytes_are_an_empty_request() -> None:
    assert parse_predict_request(b"") == PredictCall(None, {}, ())


# --- requests that begin alike -------------------------------------------------------------------------------------


@settings(max_examples=800, deadline=None)
@given(SEEDS)
def test_known_beginnings_mean_the_same_every_time(seed: int) -> None:
    writer = WireWriter(seed)
    data = writer.request()
    assert outcome(data) == oracle(data)
    # As long, and alike up to somewhere: most of it is a beginning that is known now.
    other = bytearray(data)
    for _ in range(writer.rng.randint(0, 3) if data else 0):
        other[-1 - int(writer.rng.expovariate(0.1)) % len(other)] = writer.rng.randrange(256)
    assert outcome(bytes(other)) == oracle(bytes(other))
    assert outcome(memoryview(data)) == oracle(data)


def test_the_numbers_behind_a_known_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_view, "_forms", {})
    request = public.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(proto_of(DT_FLOAT, (2, 3)))
    data = request.SerializeToString()
    first = parse_predict_request(data)
    assert list(tensor_view._forms) == [len(data)]
    again = parse_predict_request(data[:-4] + b"abcd")
    assert (again.target, again.output_filter) == (first.target, ())
    tensor = again.inputs["x"]
    assert isinstance(tensor, Tensor) and isinstance(tensor.data, memoryview)
    assert (tensor.dtype, tensor.shape, tensor.data[-4:]) == (DT_FLOAT, (2, 3), b"abcd")


@pytest.mark.parametrize("after", ["model_spec", "output_filter", "second tensor", "no model_spec"])
def test_what_is_no_known_beginning(monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    monkeypatch.setattr(tensor_view, "_forms", {})
    tensor = public.PredictRequest()
    tensor.inputs["x"].CopyFrom(proto_of(DT_FLOAT, (2, 3)))
    spec, other = public.PredictRequest(), public.PredictRequest()
    spec.model_spec.name = "m"
    other.inputs["y"].CopyFrom(proto_of(DT_FLOAT, (2, 3)))
    data = {
        "model_spec": tensor.SerializeToString() + spec.SerializeToString(),
        "output_filter": spec.SerializeToString() + tensor.SerializeToString() + b"\x1a\x01y",
        "second tensor": spec.SerializeToString() + tensor.SerializeToString() + other.SerializeToString(),
        "no model_spec": tensor.SerializeToString(),
    }[after]
    for _ in range(2):
        assert outcome(data) == oracle(data)
    assert not tensor_view._forms
