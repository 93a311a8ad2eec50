import base64
import json
import math
import struct

import numpy as np
import pytest

from frontend.rest import json_bulk, json_tensors
from frontend.rest.json_bulk import read_bulk
from frontend.rest.json_tensors import parse_predict
from protos import dtypes
from protos.errors import Code, ServingError
from protos.messages import Tensor
from protos.signature import Signature

FLOAT, DOUBLE, INT32, STRING = dtypes.DT_FLOAT, dtypes.DT_DOUBLE, dtypes.DT_INT32, dtypes.DT_STRING
DEEP = 500_000


def signature(**inputs: int) -> Signature:
    pairs = {alias: (dtype, f"{alias}:0") for alias, dtype in inputs.items()}
    return Signature(name="s", method_name="", inputs=pairs, outputs={"y": FLOAT}, defaults={})


def read(body: bytes | str, **inputs: int) -> tuple[bool, dict[str, object]]:
    """Row format or not, and (shape, values) by alias."""
    sig = signature(**inputs)
    row_format, tensors = parse_predict(body.encode() if isinstance(body, str) else body).tensors(sig)
    assert [tensor.dtype for tensor in tensors] == list(sig.input_dtypes)
    return row_format, {alias: values(tensor) for alias, tensor in zip(sig.inputs, tensors, strict=True)}


def values(tensor: Tensor) -> object:
    if isinstance(tensor.data, list):
        assert len(tensor.data) == math.prod(tensor.shape)
        return tensor.shape, tensor.data
    assert isinstance(tensor.data, bytes)
    return tensor.shape, np.frombuffer(tensor.data, dtypes.DTYPES[tensor.dtype].numpy).reshape(tensor.shape).tolist()


def refusal(body: bytes | str, **inputs: int) -> ServingError:
    with pytest.raises(ServingError) as caught:
        read(body, **inputs)
    return caught.value


def float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


@pytest.mark.parametrize(
    ("inputs", "body", "row_format", "expected"),
    [
        ({"d": INT32}, '{"instances": [[1,2],[3,4],[5,6]]}', True, {"d": ((3, 2), [[1, 2], [3, 4], [5, 6]])}),
        (
            {"d": FLOAT},
            '{"instances": [1, 2.0, 3, 4, 5.003, 0.007, 0.0]}',
            True,
            {"d": ((7,), [1.0, 2.0, 3.0, 4.0, float32(5.003), float32(0.007), 0.0])},
        ),
        (
            {"d": DOUBLE},
            '{"instances": [1.0, 2, 3, 4, 0.662, 0, 0.0]}',
            True,
            {"d": ((7,), [1.0, 2.0, 3.0, 4.0, 0.662, 0.0, 0.0])},
        ),
        ({"d": FLOAT}, '{"instances":[1435774380]}', True, {"d": ((1,), [float32(1435774380)])}),
        ({"d": FLOAT}, '{"instances":[1435774380.0]}', True, {"d": ((1,), [float32(1435774380)])}),
        ({"d": FLOAT}, '{"instances":[1.79769e+308, -1.79769e+308]}', True, {"d": ((2,), [math.inf, -math.inf])}),
        ({"d": FLOAT}, '{"instances":[18446744073709551616]}', True, {"d": ((1,), [2.0**64])}),
        ({"d": FLOAT}, '{"instances":[[],[]]}', True, {"d": ((2, 0), [[], []])}),
        (
            {"d": STRING},
            '{"instances":[{"b64":"aGVsbG8="},{"b64":"d29ybGQ="}]}',
            True,
            {"d": ((2,), [b"hello", b"world"])},
        ),
        (
            {"d": STRING},
            '{"instances":[[{"b64":"aGVsbG8="}],[{"b64":"d29ybGQ="}]]}',
            True,
            {"d": ((2, 1), [b"hello", b"world"])},
        ),
        (
            {"default": STRING},
            '{"instances":[{"default":[[{"b64":"aGVsbG8="}],[{"b64":"d29ybGQ="}]]}]}',
            True,
            {"default": ((1, 2, 1), [b"hello", b"world"])},
        ),
        ({"b64": STRING}, '{"instances":[{"b64":"aGVsbG8="}]}', True, {"b64": ((1,), [b"hello"])}),
        ({"b64": INT32}, '{"instances":[{"b64":1},{"b64":2}]}', True, {"b64": ((2,), [1, 2])}),
        (
            {"i": INT32, "s": STRING, "f": FLOAT, "d": DOUBLE},
            '{"instances":[{"i":[[1,2],[3,4],[5,6]],"s":["foo","bar"],"f":[1.0,0.5],"d":[7]},'
            '{"d":[2.0],"f":[2.0,Infinity],"s":["baz","bat"],"i":[[7,8],[9,0],[1,2]]}]}',
            True,
            {
                "i": ((2, 3, 2), [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]),
                "s": ((2, 2), [b"foo", b"bar", b"baz", b"bat"]),
                "f": ((2, 2), [[1.0, 0.5], [2.0, math.inf]]),
                "d": ((2, 1), [[7.0], [2.0]]),
            },
        ),
        ({"i": INT32}, '{"inputs":{"i":[[[1,2],[3,4]]]}}', False, {"i": ((1, 2, 2), [[[1, 2], [3, 4]]])}),
        ({"i": INT32}, '{"inputs":[[[1,2],[3,4]]]}', False, {"i": ((1, 2, 2), [[[1, 2], [3, 4]]])}),
        (
            {"i": INT32, "s": STRING, "b": STRING},
            '{"inputs":{"i":[[[1,2]]],"s":["foo","bar"],"b":{"b64":"aGVsbG8="},"other":[1,[2]]}}',
            False,
            {"i": ((1, 1, 2), [[[1, 2]]]), "s": ((2,), [b"foo", b"bar"]), "b": ((), [b"hello"])},
        ),
        ({"i": INT32}, '{"inputs":5}', False, {"i": ((), 5)}),
        ({"i": INT32}, '{"inputs":[]}', False, {"i": ((0,), [])}),
        ({"s": STRING}, '{"inputs":{"b64":"aGk="}}', False, {"s": ((), [b"hi"])}),
        ({"s": STRING}, b'{"inputs":["a\\u0000\xc3\xa4", "\xff", "\\udc00"]}', False, {
            "s": ((3,), [b"a\0\xc3\xa4", b"\xff", b"\xed\xb0\x80"])
        }),
        # Other keys are ignored, also deep and odd ones; bytes after the root value too.
        ({"d": INT32}, '{"instances":[1], "n": ' + "[" * DEEP + "]" * DEEP + "}", True, {"d": ((1,), [1])}),
        ({"d": INT32}, '{"output_filter":["y"],"instances":[1]}trailing', True, {"d": ((1,), [1])}),
        ({"h": dtypes.DT_HALF}, '{"inputs":[[],[]]}', False, {"h": ((2, 0), [[], []])}),
        # The last of equal keys counts.
        ({"a": INT32, "b": INT32}, '{"instances":[{"a":1,"b":2,"a":3}]}', True, {"a": ((1,), [3]), "b": ((1,), [2])}),
    ],
)  # fmt: skip
def test_documents(inputs: dict[str, int], body: str, row_format: bool, expected: dict[str, object]) -> None:
    assert read(body, **inputs) == (row_format, expected)


def test_nan_and_signs_of_zero() -> None:
    _, tensors = parse_predict(b'{"instances": [NaN, -NaN, -0.0, -0, 2.22507e-308, -2.22507e-308]}').tensors(
        signature(x=FLOAT)
    )
    found = np.frombuffer(tensors[0].data, "<f4")
    assert np.isnan(found[:2]).all()
    assert found[2:].tolist() == [0.0] * 4
    assert np.signbit(found[2:]).tolist() == [True, False, False, True]


def test_signature_name() -> None:
    assert parse_predict(b'{"signature_name":"predict_images","instances":[[1,2]]}').signature_name == "predict_images"
    assert parse_predict(b'{"instances":[[1,2]]}').signature_name == ""
    assert parse_predict(b"{}").signature_name == ""
    nested = b'{"signature_name": ' + b"[" * DEEP + b"]" * DEEP + b"}"
    for body in (b'{"signature_name":5,"instances":[[1,2],[3,4],[5,6,7]]}', b'{"signature_name":null}', nested):
        with pytest.raises(ServingError, match="'signature_name' key must be a string value") as caught:
            parse_predict(body)
        assert caught.value.code == Code.INVALID_ARGUMENT


ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "
KEY = "Failed to process element: {} key: {} of 'instances' list. Error: INVALID_ARGUMENT: "
DOCUMENT = 'JSON Value: {{\n    "{}": {}\n}} '


@pytest.mark.parametrize(
    ("inputs", "body", "message"),
    [
        ({"d": INT32}, "", "JSON Parse error: The document is empty"),
        ({"d": INT32}, "[1]", "JSON Value: [1] Is not object"),
        ({"d": INT32}, "{}", "Missing 'inputs' or 'instances' key"),
        (
            {"d": INT32},
            '{"instances":1,"inputs":2}',
            'JSON Value: {\n    "instances": 1,\n    "inputs": 2\n} Not formatted correctly expecting only one of'
            " 'inputs' or 'instances' keys to exist ",
        ),
        (
            {"d": INT32},
            '{"instances":{}}',
            DOCUMENT.format("instances", "{}") + "Expecting 'instances' to be an list/array",
        ),
        ({"d": INT32}, '{"instances":[]}', DOCUMENT.format("instances", "[]") + "No values in 'instances' array"),
        # Row format, value mode.
        ({"d": INT32}, '{"instances":[[1,2],[3,4],[5,6,7]]}', ROW.format(2) + "Expecting tensor size: 2 but got: 3"),
        ({"d": INT32}, '{"instances":[[1,2],[3,4],[[5,6]]]}', ROW.format(2) + "Expecting shape [2] but got: [1,2]"),
        ({"d": INT32}, '{"instances":[1,[1]]}', ROW.format(1) + "Expecting shape [] but got: [1]"),
        ({"d": INT32}, '{"instances":[[],[[]]]}', ROW.format(1) + "Expecting shape [0] but got: [1,0]"),
        (
            {"d": INT32},
            '{"instances":[[1,2],["a","b"]]}',
            ROW.format(1) + 'JSON Value: "a" Type: String is not of expected type: int32',
        ),
        (
            {"d": INT32},
            '{"instances":[[1,[2]]]}',
            ROW.format(0) + "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            {"d": INT32},
            '{"instances":[[[1],2]]}',
            ROW.format(0) + "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            {"d": INT32},
            '{"instances":[[[],[1]]]}',
            ROW.format(0) + "Encountered list at unexpected size: 1 at level: 1 expected size: 0",
        ),
        ({"s": STRING}, '{"instances":["a",{"x":1}]}', "Expecting value/list but got object at item 1 of input list"),
        ({"s": STRING}, '{"instances":[{"b64":"="}]}', ROW.format(0) + "Unable to base64 decode"),
        (
            {"h": dtypes.DT_HALF},
            '{"instances":[1.5]}',
            "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: 1.5"
            " to type: half",
        ),
        (
            {"a": INT32, "b": INT32},
            '{"instances":[1]}',
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
            " tensorinfo_map",
        ),
        (
            {"a": STRING, "b": INT32},
            '{"instances":[{"b64":"aGk="}]}',
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}."
            " Missing but required: {b}.",
        ),
        # Row format, object mode.
        (
            {"i": INT32, "s": STRING},
            '{"instances":[{"i":[[1,2]],"s":"a"},{"i":[[[7,8]]],"s":"b"}]}',
            KEY.format(1, "i") + "Expecting shape [1,2] but got: [1,1,2]",
        ),
        (
            {"i": INT32, "s": STRING},
            '{"instances":[{"i":[1,2],"s":"a"},{"i":[1],"s":"b"}]}',
            KEY.format(1, "i") + "Expecting tensor size: 2 but got: 1",
        ),
        (
            {"i": INT32, "s": STRING},
            '{"instances":[{"i":1,"s":"a"},[1],{"i":1,"s":"a"}]}',
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"i": INT32},
            '{"instances":[{"i":1},{"b64":"aGk="}]}',
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"i": INT32},
            '{"instances":[{"foo":1}]}',
            KEY.format(0, "foo") + "JSON object: does not have named input: foo",
        ),
        (
            {"i": INT32, "j": INT32},
            '{"instances":[{"j":1}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"j\": 1\n}"
            " keys must be equal to: i,j",
        ),
        (
            {"i": INT32},
            '{"instances":[{}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: i",
        ),
        # Columnar.
        (
            {"a": INT32, "b": INT32},
            '{"inputs":[1]}',
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
            " tensorinfo_map",
        ),
        (
            {"a": INT32, "b": INT32},
            '{"inputs":{"b64":"aGk="}}',
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
            " tensorinfo_map",
        ),
        ({"a": INT32, "b": INT32}, '{"inputs":{"a":1}}', "Missing named input: b in 'inputs' object."),
        ({"a": INT32}, '{"inputs":[1,[2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        (
            {"a": INT32},
            '{"inputs":[[1],2]}',
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            {"a": INT32},
            '{"inputs":[[],[1]]}',
            "Encountered list at unexpected size: 1 at level: 1 expected size: 0",
        ),
        ({"a": INT32}, '{"inputs":null}', "JSON Value: null Type: Null is not of expected type: int32"),
        ({"a": INT32}, '{"inputs":{"a":{}}}', "JSON Value: {} Type: Object is not of expected type: int32"),
        (
            {"a": STRING},
            '{"inputs":[{"c":1}]}',
            'JSON Value: {\n    "c": 1\n} not formatted correctly for base64 data',
        ),
    ],
)  # fmt: skip
def test_refusals(inputs: dict[str, int], body: str, message: str) -> None:
    error = refusal(body, **inputs)
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, message)


def test_unsupported_data_types_are_unimplemented_in_columnar_format() -> None:
    for dtype, name in ((dtypes.DT_HALF, "half"), (dtypes.DT_UINT16, "uint16"), (dtypes.DT_COMPLEX64, "complex64")):
        error = refusal('{"inputs":[[1]]}', x=dtype)
        assert error.code == Code.UNIMPLEMENTED
        assert error.message == f"Conversion of JSON Value: 1 to type: {name}"


def test_signature_without_inputs() -> None:
    with pytest.raises(ServingError, match="^INVALID_ARGUMENT: Failed to get input map for signature: DEFAULT$"):
        parse_predict(b'{"instances":[1]}').tensors(signature())
    with pytest.raises(ServingError, match="Failed to get input map for signature: s$"):
        parse_predict(b'{"signature_name":"s"}').tensors(signature())


SCALARS = ["0", "-0", "1", "-1", "300", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295",
           "4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
           "18446744073709551615", "18446744073709551616", "1.0", "1e3", "-0.0", "NaN", "Infinity", "true", "false",
           "null", '"x"', '{"b64":"eA=="}', "{}"]  # fmt: skip
INTEGER_RANGES = {
    dtypes.DT_INT32: (-(1 << 31), (1 << 31) - 1),
    dtypes.DT_INT16: (-(1 << 31), (1 << 31) - 1),
    dtypes.DT_INT8: (-(1 << 31), (1 << 31) - 1),
    dtypes.DT_UINT8: (-(1 << 31), (1 << 31) - 1),
    dtypes.DT_INT64: (-(1 << 63), (1 << 63) - 1),
    dtypes.DT_UINT32: (0, (1 << 32) - 1),
    dtypes.DT_UINT64: (0, (1 << 64) - 1),
}


@pytest.mark.parametrize("dtype", [*INTEGER_RANGES, FLOAT, DOUBLE, dtypes.DT_BOOL, STRING])
@pytest.mark.parametrize("literal", SCALARS)
def test_coercion(dtype: int, literal: str) -> None:
    value = json.loads(literal)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype in INTEGER_RANGES:
        low, high = INTEGER_RANGES[dtype]
        accepted = number and isinstance(value, int) and low <= value <= high
    elif dtype == STRING:
        accepted = literal in ('"x"', '{"b64":"eA=="}')
    else:
        accepted = isinstance(value, bool) if dtype == dtypes.DT_BOOL else number
    body = f'{{"inputs":{{"x":{literal}}}}}'
    if not accepted:
        assert "of expected type" in refusal(body, x=dtype).message or literal == "{}" and dtype == STRING
        return
    _, found = read(body, x=dtype)
    if dtype == STRING:
        assert found["x"] == ((), [b"x"])
    else:
        with np.errstate(over="ignore"):
            expected = np.array(value).astype(dtypes.DTYPES[dtype].numpy)
        assert repr(found["x"]) == repr(((), expected.tolist()))


def test_small_integers_wrap() -> None:
    body = '{"instances":[300, -1, 128]}'
    assert read(body, x=dtypes.DT_UINT8)[1]["x"] == ((3,), [44, 255, 128])
    assert read(body, x=dtypes.DT_INT8)[1]["x"] == ((3,), [44, -1, -128])
    assert read('{"instances":[65537]}', x=dtypes.DT_INT16)[1]["x"] == ((1,), [1])


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("aGVsbG8=", b"hello"),
        ("aGVsbG8", b"hello"),
        ("aGVsbG8.", b"hello"),
        (" aGV\tsbG\n8 = \r", b"hello"),
        ("aA==", b"h"),
        ("aA", b"h"),
        ("+/+/", base64.b64decode("+/+/")),
        ("aA=", None),
        ("aA===", None),
        ("a", None),
        ("aGVsbG8==", None),
        ("aGVs=", None),
        ("aGVs====", None),
        ("=", None),
        ("aG=VsbG8", None),
        ("-_-_", None),
        ("ä", None),
        ("aGVs!", None),
    ],
)
def test_base64(text: str, data: bytes | None) -> None:
    body = json.dumps({"inputs": {"b64": text}})
    if data is None:
        assert refusal(body, x=STRING).message == "Unable to base64 decode"
    else:
        assert read(body, x=STRING)[1]["x"] == ((), [data])


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_rank_is_bounded(key: str) -> None:
    for rank in (254, 255, 900, 5000):
        body = f'{{"{key}":' + "[" * rank + "1" + "]" * rank + "}"
        if rank == 254:
            _, tensors = parse_predict(body.encode()).tensors(signature(x=INT32))
            assert tensors == [Tensor(INT32, (1,) * 254, b"\x01\0\0\0")]
        else:
            assert "254 dimensions" in refusal(body, x=INT32).message


def test_a_large_image_is_read_without_loss() -> None:
    image = np.random.default_rng(7).random((1, 32, 32, 3))
    for text in (json.dumps(image.tolist()), json.dumps(image.tolist(), indent=1)):
        body = f'{{"signature_name":"s","instances":{text}}}'.encode()
        assert len(body) > json_tensors.MIN_BULK_BYTES
        document = parse_predict(body)
        assert document.signature_name == "s"
        # Again and again: parsers are used anew.
        for dtype, numpy_type in ((FLOAT, "<f4"), (DOUBLE, "<f8")):
            row_format, tensors = parse_predict(body).tensors(signature(x=dtype))
            assert row_format
            assert tensors == [Tensor(dtype, image.shape, image.astype(numpy_type).tobytes())]


@pytest.mark.parametrize(
    ("form", "shape", "row_format"),
    [
        ('{"instances":@}', (2, 300, 2), True),
        ('{"instances":@,"signature_name":"s"}', (2, 300, 2), True),
        ('{"instances":[{"x":@}]}', (1, 2, 300, 2), True),
        ('{"signature_name":"[s]", "instances":[{"x":@}]}', (1, 2, 300, 2), True),
        ('{"inputs":@}', (2, 300, 2), False),
        ('{"inputs":{"x":@}}', (2, 300, 2), False),
    ],
)
def test_large_arrays_take_the_fast_way(form: str, shape: tuple[int, ...], row_format: bool) -> None:
    image = np.arange(1200).reshape(2, 300, 2)
    body = form.replace("@", json.dumps(image.tolist())).encode()
    expected = Tensor(INT32, shape, image.astype("<i4").tobytes())
    bulk = read_bulk(body)
    assert bulk is not None
    assert bulk.take_tensor(INT32) == expected
    # Its parser is free again.
    assert json_bulk._spare_parsers
    again = read_bulk(body)
    assert again is not None and again.take_tensor(dtypes.DT_BOOL) is None
    assert json_bulk._spare_parsers
    assert parse_predict(body).tensors(signature(x=INT32)) == (row_format, [expected])
    assert read_bulk(body.replace(b"7]", b"7, 7]", 1)) is None


def test_a_large_document_for_other_signatures() -> None:
    body = json.dumps({"inputs": list(range(2000))}).encode()
    two = "inputs is a plain value/list, but expecting an object"
    assert two in refusal(body, a=INT32, b=INT32).message
    assert refusal(body, a=STRING).message == "JSON Value: 0 Type: Number is not of expected type: string"
    assert read(body, a=dtypes.DT_UINT8)[1]["a"] == ((2000,), [i % 256 for i in range(2000)])
