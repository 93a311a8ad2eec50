"""REST as TensorFlow Serving's clients see it, row by row: types, numbers, text, documents, layouts of answers."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
import requests

from tests.e2e.clients import Rest, rest_error, rest_outcome
from tests.json_models import UNSUPPORTED
from tests.models import DTYPE_NAMES

DEEP = 500_000

# --- Types ---


def identity(api: Rest, name: str, form: str, literal: str) -> requests.Response:
    return api.post("identity:predict", f'{{"signature_name": "{name}", "{form}": {literal}}}'.encode())


JSON_TYPES = {
    "float": "[1, 2.5, -3e2]",
    "double": "[1, 2.5, -3e2, 1e300]",
    "int8": "[-128, 127]",
    "int16": "[-32768, 32767]",
    "int32": "[-2147483648, 2147483647]",
    "int64": "[-9223372036854775808, 9223372036854775807]",
    "uint8": "[0, 255]",
    "uint32": "[0, 4294967295]",
    "uint64": "[0, 9007199254740993, 18446744073709551615]",
    "bool": "[true, false]",
    "string": '["", "a\\u0000b", "\\ud83d\\ude00", {"b64": "aGk="}]',
}
# What comes back, where that is something else.
COME_BACK = {"string": ["", "a\0b", "😀", "hi"]}


@pytest.mark.parametrize("name", JSON_TYPES)
def test_types_come_back(api: Rest, name: str) -> None:
    literal = JSON_TYPES[name]
    expected = COME_BACK.get(name) or json.loads(literal)
    assert identity(api, name, "instances", literal).json() == {"predictions": expected}
    assert identity(api, name, "inputs", literal).json() == {"outputs": expected}
    assert identity(api, name, "inputs", f'{{"x": [[{literal}]]}}').json() == {"outputs": [[expected]]}
    first = literal[1:].split(",")[0]
    assert identity(api, name, "inputs", first).json() == {"outputs": expected[0]}
    assert identity(api, name, "instances", f'[{{"x": {literal}}}, {{"x": {literal}}}]').json() == {
        "predictions": [expected] * 2
    }
    # So many that they take the way of large bodies.
    many = identity(api, name, "instances", f"[{', '.join([literal] * 500)}]")
    assert many.json() == {"predictions": [expected] * 500}


def test_types_without_a_json_form(api: Rest) -> None:
    assert set(UNSUPPORTED) == set(DTYPE_NAMES) - set(JSON_TYPES)
    for name in UNSUPPORTED:
        conversion = f"Conversion of JSON Value: 1 to type: {name}"
        assert rest_error(identity(api, name, "inputs", "[1]")) == (501, conversion)
        row = "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: "
        assert rest_error(identity(api, name, "instances", "[1]")) == (400, row + conversion)
        assert identity(api, name, "inputs", "[]").json() == {"outputs": []}
        assert identity(api, name, "instances", "[[], []]").json() == {"predictions": [[], []]}
        answer = api.post("answers:predict", {"signature_name": f"to_{name}", "instances": [1.0]})
        assert rest_error(answer) == (400, f"Failed to write JSON value for tensor type: {name}")


@pytest.mark.parametrize(
    ("name", "literal", "expected"),
    [
        ("uint8", "[300, -1]", [44, 255]),
        ("int8", "[300, 128]", [44, -128]),
        ("int16", "[65537, 40000]", [1, -25536]),
        ("uint64", "[-0]", [0]),
    ],
)
def test_small_integers_wrap(api: Rest, name: str, literal: str, expected: list[int]) -> None:
    assert identity(api, name, "instances", literal).json() == {"predictions": expected}


@pytest.mark.parametrize(
    ("name", "literal", "shown", "kind"),
    [
        *((name, "1.0", "1.0", "Number") for name in JSON_TYPES if "int" in name),
        *((name, "1e3", "1000.0", "Number") for name in JSON_TYPES if "int" in name),
        *((name, "NaN", "", "Number") for name in JSON_TYPES if "int" in name),
        *((name, "null", "null", "Null") for name in JSON_TYPES),
        *((name, '"1"', '"1"', "String") for name in JSON_TYPES if name != "string"),
        *((name, "true", "true", "True") for name in JSON_TYPES if name != "bool"),
        ("int32", "2147483648", "2147483648", "Number"),
        ("uint8", "-2147483649", "-2147483649", "Number"),
        ("uint32", "-1", "-1", "Number"),
        ("uint32", "4294967296", "4294967296", "Number"),
        ("int64", "9223372036854775808", "9223372036854775808", "Number"),
        ("int64", "-9223372036854775809", "-9223372036854776000.0", "Number"),
        ("uint64", "-1", "-1", "Number"),
        ("uint64", "18446744073709551616", "18446744073709552000.0", "Number"),
        ("bool", "0", "0", "Number"),
        ("bool", "1", "1", "Number"),
        ("string", "5", "5", "Number"),
        ("float", "{}", "{}", "Object"),
    ],
)
def test_types_that_do_not_fit(api: Rest, name: str, literal: str, shown: str, kind: str) -> None:
    text = f"JSON Value: {shown} Type: {kind} is not of expected type: {name}"
    assert rest_error(identity(api, name, "inputs", f'{{"x": [{literal}]}}')) == (400, text)
    row = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
    if kind != "Object":
        assert rest_error(identity(api, name, "instances", f"[{literal}]")) == (400, row + text)


# --- Numbers ---

FLOATS = [
    *(
        "0.0",
        "-0.0",
        "0.1",
        "1e-38",
        "-1.4e-45",
        "3.4028235e+38",
        "16777217",
        "1e39",
        "-1e300",
        "1e-50",
        "NaN",
        "Infinity",
    ),
    *("-Infinity", "Inf", "-NaN", "2.2250738585072014e-308", "5e-324", "1.7976931348623157e308", "-0", "1e-400"),
]


@pytest.mark.parametrize(("name", "code"), [("float", "<f"), ("double", "<d")])
def test_numbers_come_back(api: Rest, name: str, code: str) -> None:
    def packed(value: float) -> bytes:
        try:
            return struct.pack(code, value)
        except OverflowError:
            return struct.pack(code, math.copysign(math.inf, value))

    expected = [
        packed(0.0 if literal == "-0" else abs(float(literal)) if literal == "-NaN" else float(literal))
        for literal in FLOATS
    ]
    for times in (1, 200):
        for form, key in (("instances", "predictions"), ("inputs", "outputs")):
            answer = identity(api, name, form, f"[{', '.join(FLOATS * times)}]")
            assert [packed(value) for value in answer.json()[key]] == expected * times
    text = identity(api, name, "inputs", "[NaN, Infinity, -Infinity, -0.0, 1]").text
    assert text == '{"outputs":[NaN,Infinity,-Infinity,-0.0,1.0]}'


def test_a_number_beyond_a_double(api: Rest) -> None:
    text = "JSON Parse error: Number too big to be stored in double. at offset: {}"
    body = b'{"signature_name": "double", "instances": [%b1e400]}'
    assert rest_error(api.post("identity:predict", body % b"")) == (400, text.format(43))
    assert rest_error(api.post("identity:predict", body % (b"1.5, " * 2000))) == (400, text.format(10043))


# --- Text ---


@pytest.mark.parametrize(
    ("literal", "text", "base64"),
    [
        (b'"\xff\xfe"', "\ufffd\ufffd", "//4="),
        (b'{"b64": "//4="}', "\ufffd\ufffd", "//4="),
        (b'"\\udc00"', "\ufffd\ufffd\ufffd", "7bCA"),
        (b'"\\u0000"', "\0", "AA=="),
        (b'{"b64": " a\\nGk"}', "hi", "aGk="),
        (b'{"b64": ""}', "", ""),
        (b'"\\ud83d\\ude00\\"\\\\\\/"', '😀"\\/', "8J+YgCJcLw=="),
    ],
)
def test_strings(api: Rest, literal: bytes, text: str, base64: str) -> None:
    got = api.post("identity:predict", b'{"signature_name": "string", "instances": [%b]}' % literal)
    assert json.loads(got.content.decode()) == {"predictions": [text]}
    body = b'{"signature_name": "bytes", "%b": [%b, %b]}'
    got = api.post("answers:predict", body % (b"instances", literal, literal))
    assert got.json() == {"predictions": [{"b64": base64}] * 2}
    got = api.post("answers:predict", body % (b"inputs", literal, literal))
    assert got.json() == {"outputs": [{"b64": base64}] * 2}


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        # Offsets count from the literal on.
        (b'"\\ud800"', "JSON Parse error: The surrogate pair in string is invalid. at offset: 1"),
        (b'"a\nb"', "JSON Parse error: Invalid escape character in string. at offset: 2"),
        (b'"a\0b"', "JSON Parse error: Missing a closing quotation mark in string. at offset: 2"),
        (b'{"b64": "-_=="}', "Unable to base64 decode"),
        (b'{"b64": "aGk=="}', "Unable to base64 decode"),
        (b'{"b64": 5}', 'JSON Value: {\n    "b64": 5\n} not formatted correctly for base64 data'),
        (b'{"B64": "aGk="}', 'JSON Value: {\n    "B64": "aGk="\n} not formatted correctly for base64 data'),
    ],
)
def test_strings_that_are_refused(api: Rest, literal: bytes, message: str) -> None:
    before = b'{"signature_name": "string", "instances": [['
    text, separator, offset = message.partition(" at offset: ")
    if separator:
        expected = f"{text} at offset: {len(before) + int(offset)}"
    else:
        expected = f"Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: {message}"
    assert rest_error(api.post("identity:predict", before + literal + b"]]}")) == (400, expected)


# --- Documents ---

HALF = "half_plus_two/versions/123:predict"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"instances": [2.0]}garbage', {"predictions": [3.0]}),
        (b'{"instances": [2.0]}{"instances": []}', {"predictions": [3.0]}),
        (b'{"instances": [2.0]}\0\xff', {"predictions": [3.0]}),
        (b'\xef\xbb\xbf{"instances": [2.0]}', {"predictions": [3.0]}),
        (b' \t\r\n{"output_filter": ["?"], "instances": [2.0], "n": {"\xff": "\xff"}}', {"predictions": [3.0]}),
        (b'{"inst\\u0061nces": [2.0]}', {"predictions": [3.0]}),
        (b'{"instances": [2.0], "n": ' + b"[" * DEEP + b"]" * DEEP + b"}", {"predictions": [3.0]}),
        (b'{"instances": [4.0], "instances": [2.0]}', {"predictions": [3.0]}),
        (b'{"instances": [{"x": 4.0, "x": 2.0}, {"x": 2.0}]}', {"predictions": [3.0, 3.0]}),
        (b'{"inputs": {"x": 2.0, "z": [1, [2]]}}', {"outputs": 3.0}),
        (b'{"inputs": []}', {"outputs": []}),
        (b'{"instances": [[], []]}', {"predictions": [[], []]}),
    ],
)
def test_documents(api: Rest, body: bytes, expected: Any) -> None:
    assert rest_outcome(api.post(HALF, body)) == expected


ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b" \n", "JSON Parse error: The document is empty. at offset: 2"),
        (b'{"instances": [2.0],}', "JSON Parse error: Missing a name for object member. at offset: 20"),
        (b'{"instances": [2.0]', "JSON Parse error: Missing a comma or '}' after an object member. at offset: 19"),
        (b'{"instances": [2.0 3.0]}', "JSON Parse error: Missing a comma or ']' after an array element. at offset: 19"),
        (b'{"instances": [+2]}', "JSON Parse error: Invalid value. at offset: 15"),
        (b'{"instances": [02]}', "JSON Parse error: Missing a comma or ']' after an array element. at offset: 16"),
        (b"{'instances': [2]}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"instances": [[1, 2], [3]]}', ROW.format(1) + "Expecting tensor size: 2 but got: 1"),
        (b'{"instances": [[1, 2], [[3, 4]]]}', ROW.format(1) + "Expecting shape [2] but got: [1,2]"),
        (b'{"instances": [[1]' + b", [1]" * 2000 + b", []]}", ROW.format(2001) + "Expecting tensor size: 1 but got: 0"),
        (b'{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input list"),
        (b'{"instances": [{"x": 1}, 1]}', "Expecting object but got list at item 1 of input list"),
        (
            b'{"instances": [{"x": 1}, {"z": 1}]}',
            "Failed to process element: 1 key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not"
            " have named input: z",
        ),
        (
            b'{"instances": [{}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: x",
        ),
        (b'{"inputs": {"z": 1}}', "Missing named input: x in 'inputs' object."),
        (b'{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        (b'{"inputs": [[], [1]]}', "Encountered list at unexpected size: 1 at level: 1 expected size: 0"),
        (b'{"inputs": [[1], 2]}', "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ],
)
def test_documents_that_are_refused(api: Rest, body: bytes, message: str) -> None:
    assert rest_error(api.post(HALF, body)) == (400, message)


def test_deep_values_where_they_count(api: Rest) -> None:
    deep = b"[" * DEEP + b"]" * DEEP
    for body, text in (
        (b'{"signature_name": %b, "instances": [1]}', "'signature_name' key must be a string value."),
        (b'{"instances": %b}', "254 dimensions"),
        (b'{"inputs": {"x": %b}}', "254 dimensions"),
        (b"%b", "Is not object"),
    ):
        got, message = rest_error(api.post(HALF, body % deep))
        assert got == 400 and text in message and len(message) < 1000


# --- Answers ---

INTS = [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
WORDS = [["hello", "world"], ["tf", "serving"]]
ENCODED = [[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]]
COLUMNS = {"double_tensor": [8.0, 9.0], "float_tensor": [[1.0], [2.0]], "int_tensor": INTS, "str_tensor": WORDS}
ALL = {**COLUMNS, "str_tensor_bytes": ENCODED}
ROWS = [{alias: values[i] for alias, values in COLUMNS.items()} for i in range(2)]
ALL_ROWS = [{alias: values[i] for alias, values in ALL.items()} for i in range(2)]


def test_several_inputs_and_outputs(api: Rest) -> None:
    assert api.predict("answers", ROWS) == ALL_ROWS
    assert api.post("answers:predict", {"inputs": COLUMNS}).json() == {"outputs": ALL}
    # Columns need not have the same number of rows, until they are to become rows.
    uneven = COLUMNS | {"double_tensor": 5.0, "int_tensor": [], "str_tensor": {"b64": "aGk="}}
    answer = api.post("answers:predict", {"inputs": uneven})
    changed = {"double_tensor": 5.0, "int_tensor": [], "str_tensor": "hi", "str_tensor_bytes": {"b64": "aGk="}}
    assert answer.json() == {"outputs": ALL | changed}


# TensorFlow's own words: it runs nothing for nobody.
NOTHING_TO_RUN = "Must specify at least one target to fetch or execute."


@pytest.mark.parametrize(
    ("signature", "body", "expected"),
    [
        ("scalar", {"instances": [1.0, 2.0]}, (400, "Tensor name: total has no shape information ")),
        ("scalar", {"inputs": [1.0, 2.0]}, {"outputs": 3.0}),
        ("scalars", {"instances": [1.0, 2.0]}, (400, "Tensor name: total has no shape information ")),
        ("scalars", {"inputs": [1.0, 2.0]}, {"outputs": {"total": 3.0, "x_again": [1.0, 2.0]}}),
        (
            "unequal",
            {"instances": [[1.0], [2.0]]},
            (400, "Tensor name: one_row has inconsistent batch size: 1 expecting: 2"),
        ),
        ("unequal", {"instances": [[1.0]]}, {"predictions": [{"all_rows": [1.0], "one_row": [1.0]}]}),
        ("unequal", {"inputs": [[1.0], [2.0]]}, {"outputs": {"all_rows": [[1.0], [2.0]], "one_row": [[1.0]]}}),
        ("no_rows", {"instances": [[1.0, 2.0]]}, {"predictions": []}),
        ("no_rows", {"inputs": [[1.0, 2.0]]}, {"outputs": []}),
        ("no_outputs", {"instances": [[1.0, 2.0]]}, (400, NOTHING_TO_RUN)),
        ("no_outputs", {"inputs": [[1.0, 2.0]]}, (400, NOTHING_TO_RUN)),
        ("bytes", {"inputs": "hi"}, {"outputs": {"b64": "aGk="}}),
        ("bytes", {"instances": WORDS}, {"predictions": ENCODED}),
    ],
)
def test_answers(api: Rest, signature: str, body: dict[str, Any], expected: Any) -> None:
    assert rest_outcome(api.post("answers:predict", {"signature_name": signature, **body})) == expected
