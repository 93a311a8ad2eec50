import json
import math

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.rest import json_parse, json_tolerant
from protos.errors import Code, ServingError

DEEP = 500_000


def failure(body: bytes) -> str:
    with pytest.raises(ServingError) as caught:
        json_tolerant.parse(body)
    assert caught.value.code == Code.INVALID_ARGUMENT
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "text", "offset"),
    [
        (b" ", "The document is empty.", 1),
        (b"\n\t \r", "The document is empty.", 4),
        (b"\0{}", "The document is empty.", 0),
        (b"]", "The document is empty.", 0),
        (b" ,", "The document is empty.", 1),
        (b"instances = [1, 2]", "Invalid value.", 0),
        (b"nul", "Invalid value.", 3),
        (b"[truE]", "Invalid value.", 4),
        (b"[falze]", "Invalid value.", 4),
        (b"[+1]", "Invalid value.", 1),
        (b"[-]", "Invalid value.", 2),
        (b"[-x]", "Invalid value.", 2),
        (b"[.5]", "Invalid value.", 1),
        (b"['a']", "Invalid value.", 1),
        (b"[1,]", "Invalid value.", 3),
        (b"[,1]", "Invalid value.", 1),
        (b"[", "Invalid value.", 1),
        (b"[1,", "Invalid value.", 3),
        (b'{"a":}', "Invalid value.", 5),
        (b'{"a":', "Invalid value.", 5),
        (b"[Nan]", "Invalid value.", 3),
        (b"[Inx]", "Invalid value.", 3),
        (b"[Infinitx]", "Invalid value.", 8),
        (b"[-I", "Invalid value.", 3),
        (b"// x\n{}", "Invalid value.", 0),
        (b"{", "Missing a name for object member.", 1),
        (b"{1:2}", "Missing a name for object member.", 1),
        (b'{"a":1,}', "Missing a name for object member.", 7),
        (b"{,", "Missing a name for object member.", 1),
        (b'{"a" 1}', "Missing a colon after a name of object member.", 5),
        (b'{"a"', "Missing a colon after a name of object member.", 4),
        (b'{"a":1 "b":2}', "Missing a comma or '}' after an object member.", 7),
        (b'{"a":1]', "Missing a comma or '}' after an object member.", 6),
        (b'{"a":1', "Missing a comma or '}' after an object member.", 6),
        (b"[1 2]", "Missing a comma or ']' after an array element.", 3),
        (b"[1}", "Missing a comma or ']' after an array element.", 2),
        (b"[01]", "Missing a comma or ']' after an array element.", 2),
        (b"[0x1]", "Missing a comma or ']' after an array element.", 2),
        (b"[1.5.2]", "Missing a comma or ']' after an array element.", 4),
        (b"[1", "Missing a comma or ']' after an array element.", 2),
        (b"[1\0]", "Missing a comma or ']' after an array element.", 2),
        (b'["\\u12g4"]', "Incorrect hex digit after \\u escape in string.", 2),
        (b'["ab\\u12', "Incorrect hex digit after \\u escape in string.", 4),
        (b'["\\ud800"]', "The surrogate pair in string is invalid.", 2),
        (b'["\\ud800\\u0041"]', "The surrogate pair in string is invalid.", 2),
        (b'["\\ud800\\n"]', "The surrogate pair in string is invalid.", 2),
        (b'["\\ud800\\ux"]', "Incorrect hex digit after \\u escape in string.", 2),
        (b'["a\\x"]', "Invalid escape character in string.", 3),
        (b'["a\\', "Invalid escape character in string.", 3),
        (b'["a\nb"]', "Invalid escape character in string.", 3),
        (b'["abc', "Missing a closing quotation mark in string.", 5),
        (b'["abc\0"]', "Missing a closing quotation mark in string.", 5),
        (b"[1, 1e400]", "Number too big to be stored in double.", 4),
        (b"[-1e400]", "Number too big to be stored in double.", 1),
        (b"[" + b"9" * 400 + b"]", "Number too big to be stored in double.", 1),
        (b"[1.]", "Miss fraction part in number.", 3),
        (b"[1.e5]", "Miss fraction part in number.", 3),
        (b"[1e]", "Miss exponent in number.", 3),
        (b"[1.5E+]", "Miss exponent in number.", 6),
        (b"[1e-x]", "Miss exponent in number.", 4),
        (b"\xef\xbb\xbf[", "Invalid value.", 4),
    ],
)
def test_error_texts_and_offsets(body: bytes, text: str, offset: int) -> None:
    assert failure(body) == f"JSON Parse error: {text} at offset: {offset}"
    with pytest.raises(ServingError) as caught:
        json_parse.parse_object(body)
    assert caught.value.message == failure(body)


def test_empty_body() -> None:
    assert failure(b"") == "JSON Parse error: The document is empty"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}garbage", {}),
        (b"{} {}", {}),
        (b"5 6", 5),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"\xbf[1]", [1]),
        (b"[1]\0[", [1]),
        (b"[Inf, -Inf, Infinity, -Infinity]", [math.inf, -math.inf, math.inf, -math.inf]),
        (b'"\xff\xc3"', b"\xff\xc3".decode("utf-8", "surrogateescape")),
        (b'"\\udc00"', b"\xed\xb0\x80".decode("utf-8", "surrogateescape")),
        (b'"\\ud83d\\ude00\\u0000\\"\\\\\\/\\b\\f\\n\\r\\t"', '\U0001f600\0"\\/\b\f\n\r\t'),
        (b'{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
        (b"[-0]", [0]),
        (b"[18446744073709551615, -9223372036854775808]", [(1 << 64) - 1, -(1 << 63)]),
        (b'{"a":{"b":[{},[],null,true,false]},"c":""}', {"a": {"b": [{}, [], None, True, False]}, "c": ""}),
    ],
)
def test_tolerated(body: bytes, value: object) -> None:
    assert json_tolerant.parse(body) == value


def test_classes_of_numbers() -> None:
    body = b"[1, -0, -0.0, 1e3, 1.0, 18446744073709551616, -9223372036854775809, NaN, -NaN, 1e-400]"
    values = json_tolerant.parse(body)
    assert isinstance(values, list)
    assert [type(value) for value in values] == [int, int] + [float] * 8
    assert math.copysign(1, values[2]) == -1
    assert values[5:7] == [2.0**64, -(2.0**63)]
    assert math.isnan(values[7]) and math.isnan(values[8])


@pytest.mark.parametrize("body", [b"[1]", b"5", b'"x"', b"null", b"[NaN]"])
def test_root_is_an_object(body: bytes) -> None:
    with pytest.raises(ServingError) as caught:
        json_parse.parse_object(body)
    text = {b"[NaN]": "["}.get(body, body.decode())
    assert caught.value.message == f"JSON Value: {text} Is not object"


def test_nesting_without_bound() -> None:
    body = b'{"a":' + b"[" * DEEP + b"]" * DEEP + b',"b":1}'
    root = json_parse.parse_object(body)
    assert root["b"] == 1
    with pytest.raises(ServingError, match="at offset: 500005"):
        json_parse.parse_object(body[: 5 + DEEP])


def test_signature_name() -> None:
    assert json_parse.signature_name({}) == ""
    assert json_parse.signature_name({"signature_name": "s"}) == "s"
    for value in (5, None, ["a"], {}):
        with pytest.raises(ServingError) as caught:
            json_parse.signature_name({"signature_name": value})
        assert caught.value.message.startswith('JSON Value: {\n    "signature_name": ')
        assert caught.value.message.endswith("not formatted correctly. 'signature_name' key must be a string value.")


@pytest.mark.parametrize(
    "tail",
    [
        b"NaN, -Infinity, 1e300, 18446744073709551616",
        b"NaN, 1e400",
        b"NaN, " + b"9" * 500,
        b'NaN, "\\ud800"',
        b'NaN, "\\ud83d\\ude00"',
        b'NaN, "\xff"',
        b"NaN] , [",
        b"-NaN",
        b"Inf",
        b"[" * 3000 + b"]" * 3000,
    ],
)
def test_larger_bodies_are_read_alike(tail: bytes) -> None:
    body = b'{"a":[' + b"1," * 4000 + tail + b"]}"

    def outcome(parse: object) -> str:
        try:
            return repr(parse(body)) if len(tail) < 1000 else str(parse(body) is not None)  # type: ignore[operator]
        except ServingError as error:
            return str(error)

    assert outcome(json_parse.parse_object) == outcome(json_tolerant.parse)


def test_what_only_the_slow_parser_takes_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_parse, "MAX_TOLERANT_BYTES", 8)
    assert json_parse.parse_object(b'{"a":1} ') == {"a": 1}
    with pytest.raises(ServingError, match="JSON Parse error: .+ at offset: "):
        json_parse.parse_object(b'{"a":1} x')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_reads_what_python_writes(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert repr(json_tolerant.parse(text.encode())) == repr(value)


@settings(max_examples=300, deadline=None)
@given(JSON, st.lists(st.tuples(st.integers(0, 200), st.sampled_from(b'[]{},:"\\0159.eE+-ntfu \x00\x80')), max_size=3))
def test_agrees_with_orjson_where_that_reads(value: object, edits: list[tuple[int, int]]) -> None:
    body = bytearray(json.dumps(value).encode())
    for position, byte in edits:
        body[position % len(body)] = byte
    try:
        expected: object = orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        try:
            json_tolerant.parse(bytes(body))
        except ServingError as error:
            assert error.code == Code.INVALID_ARGUMENT
        return
    assert repr(json_tolerant.parse(bytes(body))) == repr(expected)
