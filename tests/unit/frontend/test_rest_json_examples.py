"""Bodies of `:classify` and `:regress`: the examples in them, and every error with its place in the order."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.rest.json_examples import parse_examples
from protos import public
from protos.errors import Code, ServingError

Features = dict[str, tuple[str | None, list[Any]]]


def read(data: bytes) -> Features:
    result: Features = {}
    for name, feature in public.Example.FromString(data).features.feature.items():
        kind = feature.WhichOneof("kind")
        result[name] = (kind, list(getattr(feature, kind).value) if kind else [])
    return result


def examples(body: str | bytes) -> list[Features]:
    document = parse_examples(body.encode() if isinstance(body, str) else body, "classify")
    return [read(data) for data in document.examples]


def refusal(body: str | bytes, verb: str = "classify") -> str:
    with pytest.raises(ServingError) as raised:
        parse_examples(body.encode() if isinstance(body, str) else body, verb)
    assert raised.value.code == Code.INVALID_ARGUMENT
    return raised.value.message


def test_lists_and_scalars() -> None:
    body = '{"examples":[{"names":["foo","bar"],"ratings":[8.0,9.0],"age":20},{"names":["baz"],"ratings":6.0}]}'
    assert parse_examples(body.encode(), "regress").signature_name == ""
    assert examples(body) == [
        {
            "names": ("bytes_list", [b"foo", b"bar"]),
            "ratings": ("float_list", [8.0, 9.0]),
            "age": ("int64_list", [20]),
        },
        {"names": ("bytes_list", [b"baz"]), "ratings": ("float_list", [6.0])},
    ]


def test_a_context_and_a_signature() -> None:
    body = b"""{"signature_name":"custom_signture","context":{"query":"pizza","location":["sfo"]},"examples":[
        {"names":["foo","bar"],"ratings":[8.0,9.0,NaN,Infinity],"age":20},
        {"names":["baz",{"b64":"aGVsbG8="}],"ratings":6.0,"intboolmix":[1,true,false]},
        {"names":"bar","ratings":-Infinity,"query":"pasta"}]}"""
    assert parse_examples(body, "classify").signature_name == "custom_signture"
    first, second, third = examples(body)
    context = {"query": ("bytes_list", [b"pizza"]), "location": ("bytes_list", [b"sfo"])}
    assert {name: first[name] for name in context} == {name: second[name] for name in context} == context
    ratings = first["ratings"][1]
    assert ratings[:2] == [8.0, 9.0] and math.isnan(ratings[2]) and ratings[3] == math.inf
    assert first["age"] == ("int64_list", [20])
    assert second["names"] == ("bytes_list", [b"baz", b"hello"])
    assert second["intboolmix"] == ("int64_list", [1, 1, 0])
    assert third["ratings"] == ("float_list", [-math.inf])
    assert third["query"] == ("bytes_list", [b"pasta"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[]", (None, [])),
        ("true", ("int64_list", [1])),
        ("[false, 7]", ("int64_list", [0, 7])),
        ("-9223372036854775808", ("int64_list", [-(1 << 63)])),
        ("9223372036854775807", ("int64_list", [(1 << 63) - 1])),
        # Beyond 64 bits, or with a point or exponent, a number is a double.
        ("18446744073709551616", ("float_list", [2.0**64])),
        ("[-9223372036854775809, 1.0]", ("float_list", [-(2.0**63), 1.0])),
        ("1e3", ("float_list", [1000.0])),
        ("1e300", ("float_list", [math.inf])),
        ('""', ("bytes_list", [b""])),
        ('"\\u0000"', ("bytes_list", [b"\0"])),
        ('{"b64": "/w=="}', ("bytes_list", [b"\xff"])),
        ('["a", {"b64": "YWE"}]', ("bytes_list", [b"a", b"aa"])),
    ],
)
def test_kinds_of_values(value: str, expected: tuple[str | None, list[Any]]) -> None:
    assert examples(f'{{"examples":[{{"f":{value}}}]}}') == [{"f": expected}]


def test_an_example_without_features() -> None:
    assert examples('{"examples":[{}]}') == [{}]
    assert examples('{"context":{"a":1},"examples":[{}]}') == [{"a": ("int64_list", [1])}]
    assert examples('{"context":{},"examples":[{"a":1}]}') == [{"a": ("int64_list", [1])}]


def test_bytes_that_are_no_utf8() -> None:
    assert examples(b'{"examples":[{"f":"\xff"}]}') == [{"f": ("bytes_list", [b"\xff"])}]
    assert refusal(b'{"examples":[{"\xff":1}]}') == "The name of a feature is not UTF-8"


def test_of_equal_names_the_last_counts() -> None:
    assert examples('{"examples":[{"f":1,"f":"x"}]}') == [{"f": ("bytes_list", [b"x"])}]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("[1]", "JSON Value: [1] Is not object"),
        (
            '{"signature_name":["hello"],"examples":[{"a":1}]}',
            "not formatted correctly. 'signature_name' key must be a string value.",
        ),
        ('{"context":[{"names":["foo","bar"]}]}', "Example must be JSON object but got JSON Array"),
        ('{"context":null,"examples":[{}]}', "Example must be JSON object but got JSON Null"),
        (
            "{}",
            "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
        ),
        (
            '{"examples":{"names":["foo","bar"]}}',
            "Expecting 'examples' value to be an list/array",
        ),
        ('{"examples":[]}', "'examples' value is an empty array"),
        ('{"examples":[[{"names":["foo"]}]]}', "Example must be JSON object but got JSON Array"),
        ('{"examples":[{},true]}', "Example must be JSON object but got JSON True"),
        ('{"examples":[{},"x"]}', "Example must be JSON object but got JSON String"),
        ('{"examples":[0.5]}', "Example must be JSON object but got JSON Number"),
        # The first that is wrong counts.
        ('{"signature_name":1,"context":1}', "'signature_name' key must be a string value."),
        ('{"context":{"f":null}}', "Feature: f has element with unexpected JSON type: Null"),
        ('{"context":{"f":1},"examples":1}', "Expecting 'examples' value to be an list/array"),
        ('{"examples":[{"f":null},1]}', "Feature: f has element with unexpected JSON type: Null"),
    ],
)
def test_refused_documents(body: str, text: str) -> None:
    message = refusal(body)
    assert message.endswith(text)


def test_the_verb_is_named() -> None:
    assert "When method is regress, key 'examples'" in refusal("{}", "regress")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("null", "Feature: names has element with unexpected JSON type: Null"),
        ("[10, null]", "Feature: names has element with unexpected JSON type: Null"),
        ("[[10], 20]", "Feature: names has element with unexpected JSON type: Array"),
        ('[10, {"test":10}]', "Feature: names has element with unexpected JSON type: Object"),
        ("{}", "Feature: names has element with unexpected JSON type: Object"),
        ("[10, 10.0]", "Unexpected element type in feature: names expecting type: int64"),
        ("[10.0, 10]", "Unexpected element type in feature: names expecting type: float"),
        ("[true, 0.5]", "Unexpected element type in feature: names expecting type: int64"),
        ('["a", 1]', "Unexpected element type in feature: names expecting type: bytes"),
        ('[{"b64":""}, true]', "Unexpected element type in feature: names expecting type: bytes"),
        ('[1, {"b64":"???"}]', "Unexpected element type in feature: names expecting type: int64"),
        ("[20, 18446744073709551603]", "Feature: names has uint64_t element. Only int64_t is supported."),
        ("9223372036854775808", "Feature: names has uint64_t element. Only int64_t is supported."),
        ("[0.5, 9223372036854775808]", "Unexpected element type in feature: names expecting type: float"),
        ('{"b64":"???"}', "Unable to base64 decode"),
    ],
)
def test_refused_features(value: str, text: str) -> None:
    assert refusal(f'{{"examples":[{{"names":{value}}}]}}') == text
    assert refusal(f'{{"context":{{"names":{value}}},"examples":[{{}}]}}') == text


VALUES = (
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=3)
    | st.lists(st.floats(width=32, allow_nan=False), max_size=3)
    | st.lists(st.text(max_size=3), max_size=3)
)


@settings(max_examples=100)
@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), min_size=1, max_size=3))
def test_what_is_read_is_what_was_written(rows: list[dict[str, list[Any]]]) -> None:
    expected = [
        {name: [v.encode() if isinstance(v, str) else v for v in values] for name, values in row.items()}
        for row in rows
    ]
    found = examples(json.dumps({"examples": rows}))
    assert [{name: values for name, (_, values) in row.items()} for row in found] == expected
