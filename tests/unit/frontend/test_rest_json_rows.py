"""Values at the edges, row by row: names of types, ranges, precision, text; requests and answers, large and small."""

import base64
import json
import math
import struct

import numpy as np
import pytest

from frontend.rest.json_encode import encode_predict
from frontend.rest.json_parse import parse_object
from frontend.rest.json_tensors import parse_predict
from frontend.rest.json_values import JSON_DTYPES, type_name
from protos import dtypes
from protos.dtypes import DT_DOUBLE, DT_FLOAT, DT_INT32, DT_INT64, DT_STRING, DT_UINT32, DT_UINT64
from protos.errors import Code, ServingError
from protos.messages import Tensor
from protos.signature import Signature

NAMES = {
    **{DT_FLOAT: "float", DT_DOUBLE: "double", DT_STRING: "string", dtypes.DT_BOOL: "bool"},
    **{dtypes.DT_INT8: "int8", dtypes.DT_INT16: "int16", DT_INT32: "int32", DT_INT64: "int64"},
    **{dtypes.DT_UINT8: "uint8", dtypes.DT_UINT16: "uint16", DT_UINT32: "uint32", DT_UINT64: "uint64"},
    **{dtypes.DT_HALF: "half", dtypes.DT_BFLOAT16: "bfloat16"},
    **{dtypes.DT_COMPLEX64: "complex64", dtypes.DT_COMPLEX128: "complex128"},
}
# Of numbers and strings, whatever their data type wants.
GOOD = {**dict.fromkeys(NAMES, "1"), DT_STRING: '"a"', dtypes.DT_BOOL: "true"}


def signature(defaults: dict[str, Tensor] | None = None, **inputs: int) -> Signature:
    pairs = {alias: (dtype, f"{alias}:0") for alias, dtype in inputs.items()}
    return Signature(name="s", method_name="", inputs=pairs, outputs={"y": DT_FLOAT}, defaults=defaults or {})


def tensors(body: str | bytes, **inputs: int) -> list[Tensor]:
    return parse_predict(body.encode() if isinstance(body, str) else body).tensors(signature(**inputs))[1]


def refusal(body: str | bytes, **inputs: int) -> str:
    with pytest.raises(ServingError) as caught:
        tensors(body, **inputs)
    assert caught.value.code == Code.INVALID_ARGUMENT
    return caught.value.message


def both_sizes(values: list[str]) -> list[str]:
    """`instances` with these values; once as they are, once so often that the body takes the way of large ones."""
    return [f'{{"instances": [{", ".join(values * times)}]}}' for times in (1, 4000 // len(values))]


# --- Types ---


@pytest.mark.parametrize(
    ("literal", "name"),
    [
        *(("null", "Null"), ("false", "False"), ("true", "True"), ("{}", "Object"), ("[]", "Array")),
        *(
            ('"1"', "String"),
            ("1", "Number"),
            ("-1.5", "Number"),
            ("NaN", "Number"),
            ("99999999999999999999", "Number"),
        ),
    ],
)
def test_names_of_json_types(literal: str, name: str) -> None:
    assert type_name(parse_object(f'{{"a":{literal}}}'.encode())["a"]) == name


@pytest.mark.parametrize("dtype", NAMES)
def test_names_of_data_types(dtype: int) -> None:
    body = f'{{"inputs":[{GOOD[dtype]},null]}}'
    if dtype in JSON_DTYPES:
        assert refusal(body, x=dtype) == f"JSON Value: null Type: Null is not of expected type: {NAMES[dtype]}"
        return
    with pytest.raises(ServingError) as caught:
        tensors(body, x=dtype)
    assert caught.value.code == Code.UNIMPLEMENTED
    assert caught.value.message == f"Conversion of JSON Value: 1 to type: {NAMES[dtype]}"
    in_rows = "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: 1"
    assert refusal('{"instances":[1]}', x=dtype).startswith(in_rows)
    output = Tensor(dtype, (1,), bytes(dtypes.DTYPES[dtype].size))
    for row_format in (True, False):
        with pytest.raises(ServingError) as caught:
            encode_predict(row_format, ("y",), [output])
        assert caught.value.code == Code.INVALID_ARGUMENT
        assert caught.value.message == f"Failed to write JSON value for tensor type: {NAMES[dtype]}"
    # No element, no trouble, both ways.
    empty = tensors('{"inputs":[]}', x=dtype)
    assert empty == [Tensor(dtype, (0,), b"")]
    assert encode_predict(True, ("y",), empty) == b'{"predictions":[]}'


@pytest.mark.parametrize("dtype", sorted(JSON_DTYPES))
def test_null_is_never_a_value(dtype: int) -> None:
    text = f"JSON Value: null Type: Null is not of expected type: {NAMES[dtype]}"
    for literal in ("null", "[null]", "[[null]]"):
        assert refusal(f'{{"inputs":{literal}}}', x=dtype) == text
        row = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
        assert refusal(f'{{"instances":[{literal}]}}', x=dtype) == row + text
    padding = f'{{"instances":[{", ".join([GOOD[dtype]] * 3000)}, null]}}'
    assert refusal(padding, x=dtype).endswith(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("[1],null", "JSON Value: null found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ("[1],{}", "JSON Value: {} found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ("[[1],{}]", "JSON Value: {} found at incorrect level: 3 in the JSON DOM. Expected at level: 3"),
        ('[1],"a"', 'JSON Value: "a" found at incorrect level: 2 in the JSON DOM. Expected at level: 2'),
        ("1,[[2]]", "Encountered list at unexpected level: 1 expected < 1"),
        ("[1,2],[3,[4]]", "Encountered list at unexpected level: 2 expected < 2"),
        ("[1,2],[3]", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("[[1,2]],[[1,2],[3,4]]", "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ("[1],[]", "Encountered list at unexpected size: 0 at level: 1 expected size: 1"),
    ],
)
def test_uneven_columns(values: str, message: str) -> None:
    assert refusal(f'{{"inputs":[{values}]}}', x=DT_INT32) == message
    assert refusal(f'{{"inputs":{{"x":[{values}]}}}}', x=DT_INT32) == message


@pytest.mark.parametrize(
    ("row", "odd", "message"),
    [
        ("[1]", "[]", "Encountered list at unexpected size: 0 at level: 1 expected size: 1"),
        ("[[1]]", "[[]]", "Encountered list at unexpected size: 0 at level: 2 expected size: 1"),
        ("[1,2]", "[1]", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("[1,2]", "[[1],2]", "Encountered list at unexpected level: 2 expected < 2"),
        ("[1,2]", "3", "JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ("[1,2]", "[1,2.5]", "JSON Value: 2.5 Type: Number is not of expected type: int32"),
    ],
)
def test_one_odd_row_among_thousands(row: str, odd: str, message: str) -> None:
    for place in (1, 1000, 2000):
        values = ",".join([row] * place + [odd] + [row] * (2000 - place))
        assert refusal(f'{{"inputs":[{values}]}}', x=DT_INT32) == message


def test_defaults_of_a_signature_do_not_count() -> None:
    known = signature({"b": Tensor(DT_INT32, (), bytes(4))}, a=DT_INT32, b=DT_INT32)
    document = parse_predict(b'{"instances":[{"a":1}]}')
    with pytest.raises(ServingError, match="keys must be equal to: a,b"):
        document.tensors(known)
    with pytest.raises(ServingError, match="Missing named input: b in 'inputs' object."):
        parse_predict(b'{"inputs":{"a":1}}').tensors(known)


# --- Numbers, in ---

SMALLEST_FLOAT, SMALLEST_DOUBLE = 2.0**-149, 5e-324
FLOATS = [
    *(("0", 0.0), ("-0", 0.0), ("0.0", 0.0), ("-0.0", -0.0), ("-0e5", -0.0), ("1e3", 1e3), ("1E+3", 1e3)),
    *(("1e-7", 1e-7), ("0.1", 0.1), ("3.14159265358979323846", math.pi)),
    *(("16777217", 16777217.0), ("9007199254740993", 9007199254740992.0), ("9007199254740993.0", 9007199254740992.0)),
    *(("18446744073709551615", 2.0**64), ("18446744073709551616", 2.0**64), ("-9223372036854775809", -(2.0**63))),
    *(("1" + "0" * 300, 1e300), ("1e308", 1e308), ("-1.79769e+308", -1.79769e308), ("3.5e38", 3.5e38)),
    *(("1e-38", 1e-38), ("1.4e-45", 1.4e-45), ("-1e-45", -1e-45), ("7e-46", 7e-46), ("1e-46", 1e-46)),
    *(("2.22507e-308", 2.22507e-308), ("5e-324", SMALLEST_DOUBLE), ("-4.9e-324", -SMALLEST_DOUBLE)),
    *(("2e-324", 0.0), ("-1e-400", -0.0), ("0." + "0" * 400 + "1", 0.0), ("1e-999999999999", 0.0), ("0e400", 0.0)),
    *(("NaN", math.nan), ("-NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf)),
    *(("Inf", math.inf), ("-Inf", -math.inf)),
]


@pytest.mark.parametrize("dtype", [DT_FLOAT, DT_DOUBLE])
@pytest.mark.parametrize(("literal", "value"), FLOATS)
def test_floating_numbers(dtype: int, literal: str, value: float) -> None:
    with np.errstate(over="ignore", under="ignore"):
        expected = np.array(value).astype(dtypes.DTYPES[dtype].numpy).tobytes()
    assert tensors(f'{{"inputs":{literal}}}', x=dtype) == [Tensor(dtype, (), expected)]
    for body in both_sizes([literal, "0.5", literal]):
        (tensor,) = tensors(body, x=dtype)
        assert isinstance(tensor.data, bytes)
        size = len(expected)
        assert tensor.data[:size] == tensor.data[2 * size : 3 * size] == tensor.data[-size:] == expected


@pytest.mark.parametrize("literal", ["1e309", "-1e400", "9" * 310, "1.8e308", "1e99999999999999999999"])
def test_numbers_beyond_a_double(literal: str) -> None:
    for body in both_sizes([literal]):
        assert refusal(body, x=DT_DOUBLE) == "JSON Parse error: Number too big to be stored in double. at offset: 15"


EXTREMES = {
    dtypes.DT_INT8: ("i", [-(2**31), -129, -128, 127, 128, 2**31 - 1], [-(2**31) - 1, 2**31]),
    dtypes.DT_INT16: ("i", [-(2**31), -32769, -32768, 32767, 32768, 2**31 - 1], [-(2**31) - 1, 2**31]),
    dtypes.DT_UINT8: ("i", [-(2**31), -1, 0, 255, 256, 300, 2**31 - 1], [-(2**31) - 1, 2**31]),
    DT_INT32: ("i", [-(2**31), 2**31 - 1], [-(2**31) - 1, 2**31]),
    DT_INT64: ("q", [-(2**63), -(2**53) - 1, 2**53 + 1, 2**63 - 1], [-(2**63) - 1, 2**63, 2**64]),
    DT_UINT32: ("I", [0, 2**32 - 1], [-1, 2**32]),
    DT_UINT64: ("Q", [0, 2**53 + 1, 2**63, 2**64 - 1], [-1, 2**64]),
}


@pytest.mark.parametrize("dtype", EXTREMES)
def test_extremes_of_integers(dtype: int) -> None:
    code, accepted, refused = EXTREMES[dtype]
    for body in both_sizes(list(map(str, accepted))):
        (tensor,) = tensors(body, x=dtype)
        assert isinstance(tensor.data, bytes)
        size = dtypes.DTYPES[dtype].size
        # Types narrower than 32 bits take that range, and keep the lowest bits.
        wanted = b"".join(struct.pack(f"<{code}", value)[:size] for value in accepted)
        assert tensor.data == wanted * (len(tensor.data) // len(wanted))
        assert len(tensor.data) == tensor.shape[0] * size
    for value in refused:
        for body in both_sizes(["1", str(value)]):
            assert refusal(body, x=dtype).endswith(f" Type: Number is not of expected type: {NAMES[dtype]}")
    for literal, shown in (("1.0", "1.0"), ("1e3", "1000.0"), ("-0.0", "-0.0"), ("NaN", ""), ("Infinity", "")):
        for body in both_sizes(["1", literal]):
            row = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            expected = f"{row}JSON Value: {shown} Type: Number is not of expected type: {NAMES[dtype]}"
            assert refusal(body, x=dtype) == expected
    assert tensors('{"inputs":-0}', x=dtype)[0].data == bytes(dtypes.DTYPES[dtype].size)
    assert tensors(both_sizes(["-0", "1"])[1], x=dtype)[0].data[: dtypes.DTYPES[dtype].size] == bytes(
        dtypes.DTYPES[dtype].size
    )


# --- Text, both ways ---


@pytest.mark.parametrize(
    ("literal", "data"),
    [
        (b'"\xf0\x9f\x98\x80"', "😀".encode()),
        (b'"\\ud83d\\ude00"', "😀".encode()),
        (b'"\\uD83D\\uDE00\\u00e4"', "😀ä".encode()),
        (b'"\\udbff\\udfff"', "\U0010ffff".encode()),
        (b'"\\ud800\\udc00"', "\U00010000".encode()),
        (b'"\\uffff\\ufeff"', "\uffff\ufeff".encode()),
        (b'"\\u0000a\\u0000"', b"\0a\0"),
        (b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\/\b\f\n\r\t'),
        (b'"\\u001f\x7f"', b"\x1f\x7f"),
        (b'"\\udc00"', b"\xed\xb0\x80"),
        (b'"\\udc00\\ud83d\\ude00"', b"\xed\xb0\x80" + "😀".encode()),
        (b'"\xff\xfe"', b"\xff\xfe"),
        (b'"\xc0\x80\xed\xa0\x80"', b"\xc0\x80\xed\xa0\x80"),
        (b'"\xe2\x80\xa8"', "\u2028".encode()),
        (b'"</script>"', b"</script>"),
    ],
)
def test_strings(literal: bytes, data: bytes) -> None:
    assert tensors(b'{"inputs":%b}' % literal, x=DT_STRING) == [Tensor(DT_STRING, (), [data])]
    many = tensors(b'{"instances":[%b]}' % b",".join([literal] * 1000), x=DT_STRING)
    assert many == [Tensor(DT_STRING, (1000,), [data] * 1000)]
    assert json.loads(encode_predict(False, ("y",), many)) == {"outputs": [data.decode("utf-8", "replace")] * 1000}
    (encoded,) = json.loads(encode_predict(False, ("y_bytes",), many[:1]))["outputs"][:1]
    assert base64.b64decode(encoded["b64"]) == data


@pytest.mark.parametrize(
    ("literal", "text", "offset"),
    [
        (b'"\\ud800"', "The surrogate pair in string is invalid.", 11),
        (b'"\\ud83d\\ud83d"', "The surrogate pair in string is invalid.", 11),
        (b'"a\0b"', "Missing a closing quotation mark in string.", 12),
        (b'"a\x1fb"', "Invalid escape character in string.", 12),
        (b'"\\u12"', "Incorrect hex digit after \\u escape in string.", 11),
        (b'"\\u+123"', "Incorrect hex digit after \\u escape in string.", 11),
        (b'"\\U0041"', "Invalid escape character in string.", 11),
    ],
)
@pytest.mark.parametrize("padding", [b"", b" " * 5000])
def test_strings_that_are_none(literal: bytes, text: str, offset: int, padding: bytes) -> None:
    body = b'{"inputs":%b%b}' % (literal, padding)
    assert refusal(body, x=DT_STRING) == f"JSON Parse error: {text} at offset: {offset}"


def test_odd_keys_find_their_input() -> None:
    name = 'ä"\\\n\0😀'
    body = json.dumps({"instances": [{name: 1}]})
    for text in (body.encode(), json.dumps({"instances": [{name: 1}]}, ensure_ascii=False).encode()):
        assert tensors(text, **{name: DT_INT32}) == [Tensor(DT_INT32, (1,), b"\1\0\0\0")]
    unknown = refusal(b'{"instances":[{"\\udc00\xff":1}]}', x=DT_INT32)
    assert unknown.startswith("Failed to process element: 0 key: ")
    assert unknown.encode("utf-8", "surrogateescape").endswith(b"does not have named input: \xed\xb0\x80\xff")


# --- Shapes that documents may have ---

DEEP = 50_000


@pytest.mark.parametrize(
    "ignored",
    ["[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, '[{"a":' * (DEEP // 2) + "[]" + "}]" * (DEEP // 2)],
    ids=["arrays", "objects", "both"],
)
def test_ignored_keys_may_be_deep(ignored: str) -> None:
    expected = [Tensor(DT_INT32, (1,), b"\1\0\0\0")]
    assert tensors(f'{{"instances":[1], "nested": {ignored}}}', x=DT_INT32) == expected
    assert tensors(f'{{"nested": {ignored}, "instances":[1]}}', x=DT_INT32) == expected
    assert "key must be a string value" in refusal(f'{{"signature_name": {ignored}}}', x=DT_INT32)
    assert len(refusal(f'{{"instances": {ignored}}}', x=DT_INT32)) < 500
    assert len(refusal(f'{{"inputs": {{"x": {ignored}}}}}', x=DT_INT32)) < 500
    assert len(refusal(f'{{"instances": [{{"y": {ignored}}}]}}', x=DT_INT32)) < 500


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"instances":[1],"instances":5}', "Expecting 'instances' to be an list/array"),
        ('{"signature_name":"s","instances":[1],"signature_name":5}', "'signature_name' key must be a string value."),
        ('{"inputs":{"x":1,"x":"a"}}', 'JSON Value: "a" Type: String is not of expected type: int32'),
        ('{"instances":[{"x":1,"x":[1]},{"x":1}]}', "Expecting shape [1] but got: []"),
    ],
)
def test_the_last_of_equal_keys_counts(body: str, message: str) -> None:
    assert message in refusal(body, x=DT_INT32)
    assert message in refusal(body[:-1] + " " * 5000 + "}", x=DT_INT32)


def test_the_row_with_four_types() -> None:
    body = """{"instances": [
        {"int_tensor": [[1,2],[3,4],[5,6]], "str_tensor": ["foo","bar"], "float_tensor": [1.0,NaN],
         "dbl_tensor": [NaN]},
        {"int_tensor": [[7,8],[9,0],[1,2]], "str_tensor": ["baz","bat"], "float_tensor": [2.0,Infinity],
         "dbl_tensor": [2.0]}]}"""
    inputs = {"int_tensor": DT_INT32, "str_tensor": DT_STRING, "float_tensor": DT_FLOAT, "dbl_tensor": DT_DOUBLE}
    known = signature(**inputs)
    row_format, found = parse_predict(body.encode()).tensors(known)
    assert row_format
    by_alias = dict(zip(known.inputs, found, strict=True))
    assert by_alias["int_tensor"].shape == (2, 3, 2)
    numbers = np.frombuffer(by_alias["int_tensor"].data, "<i4")
    assert numbers.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert by_alias["str_tensor"] == Tensor(DT_STRING, (2, 2), [b"foo", b"bar", b"baz", b"bat"])
    assert by_alias["float_tensor"] == Tensor(DT_FLOAT, (2, 2), struct.pack("<4f", 1.0, math.nan, 2.0, math.inf))
    assert by_alias["dbl_tensor"] == Tensor(DT_DOUBLE, (2, 1), struct.pack("<2d", math.nan, 2.0))


# --- Numbers, out ---


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        *((DT_FLOAT, 0.1, "0.1"), (DT_FLOAT, 1 / 3, "0.33333334"), (DT_DOUBLE, 1 / 3, "0.3333333333333333")),
        *((DT_FLOAT, 16777216, "16777216.0"), (DT_FLOAT, 1e6, "1000000.0"), (DT_FLOAT, 100000, "100000.0")),
        *((DT_FLOAT, -0.0, "-0.0"), (DT_DOUBLE, -0.0, "-0.0"), (DT_FLOAT, 12345.678, "12345.678")),
        *((DT_FLOAT, 1234567, "1234567.0"), (DT_FLOAT, 1e21, "1e21"), (DT_FLOAT, 555557.5, "555557.5")),
        *((DT_FLOAT, SMALLEST_FLOAT, "1e-45"), (DT_FLOAT, 1e-38, "1e-38"), (DT_FLOAT, 3.4028235e38, "3.4028235e38")),
        *((DT_DOUBLE, SMALLEST_DOUBLE, "5e-324"), (DT_DOUBLE, 1.7976931348623157e308, "1.7976931348623157e308")),
        *((DT_DOUBLE, 1e21, "1e21"), (DT_DOUBLE, 2.0**53, "9007199254740992.0"), (DT_DOUBLE, 0.1, "0.1")),
        *((DT_FLOAT, math.nan, "NaN"), (DT_FLOAT, math.inf, "Infinity"), (DT_DOUBLE, -math.inf, "-Infinity")),
        *((DT_INT64, -(2**63), "-9223372036854775808"), (DT_UINT64, 2**64 - 1, "18446744073709551615")),
        *((DT_UINT32, 2**32 - 1, "4294967295"), (DT_INT32, -(2**31), "-2147483648")),
        *((dtypes.DT_BOOL, True, "true"), (dtypes.DT_BOOL, False, "false")),
    ],
)
def test_text_of_a_number(dtype: int, value: float, text: str) -> None:
    numpy_type = dtypes.DTYPES[dtype].numpy
    scalar = np.array(value, numpy_type)

    def encoded(row_format: bool, tensor: Tensor) -> str:
        # Both ways to write an exponent are in use.
        return encode_predict(row_format, ("y",), [tensor]).decode().replace("e+", "e")

    assert encoded(False, Tensor(dtype, (), scalar.tobytes())) == f'{{"outputs":{text}}}'
    if dtype in (DT_FLOAT, DT_DOUBLE):
        assert np.array(float(text.replace("Infinity", "inf")), numpy_type).tobytes() == scalar.tobytes()
    # Alone in a row, and in a long answer.
    for count in (1, 3000):
        rows = Tensor(dtype, (count, 1), scalar.tobytes() * count)
        expected = ",".join([f"[{text}]"] * count)
        assert encoded(True, rows) == f'{{"predictions":[{expected}]}}'
        two = json.loads(encode_predict(True, ("y", "z"), [rows, rows]))["predictions"]
        assert repr(two) == repr([{"y": [json.loads(text)], "z": [json.loads(text)]}] * count)


def test_what_was_sent_comes_back() -> None:
    """Through both codecs, every finite number is bit for bit the same."""
    random = np.random.default_rng(5)
    for dtype, numpy_type in ((DT_FLOAT, "<f4"), (DT_DOUBLE, "<f8")):
        bits = random.integers(0, 256, 6000 * np.dtype(numpy_type).itemsize, np.uint8)
        values = bits.view(numpy_type)
        values = values[np.isfinite(values)]
        sent = Tensor(dtype, values.shape, values.tobytes())
        body = b'{"instances":%b}' % encode_predict(True, ("y",), [sent])[len('{"predictions":') : -1]
        assert tensors(body, x=dtype) == [sent]
        assert tensors(b" " + body[:-1] + b',"n":NaN}', x=dtype) == [sent]
