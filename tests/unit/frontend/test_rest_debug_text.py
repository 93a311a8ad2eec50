import math

import pytest

from frontend.rest.debug_text import render


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (-7, "-7"),
        ((1 << 64) - 1, "18446744073709551615"),
        ("x", '"x"'),
        ('a"\\\b\f\n\r\t\x01\x1f/\x7fä', '"a\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001F/\x7fä"'),
        ({}, "{}"),
        ([], "[]"),
        ([1, [2, "a"], []], '[1, [2, "a"], []]'),
        ({"a": 1, "b": [True]}, '{\n    "a": 1,\n    "b": [true]\n}'),
        (
            {"a": [{"b": {}}, {"c": 1}]},
            '{\n    "a": [{\n            "b": {}\n        }, {\n            "c": 1\n        }]\n}',
        ),
        (1.0, "1.0"),
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (123.456, "123.456"),
        (100.0, "100.0"),
        (1e20, "100000000000000000000.0"),
        (1.5e20, "150000000000000000000.0"),
        (1e21, "1e21"),
        (1e30, "1e30"),
        (-1.25e30, "-1.25e30"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
        # Not finite: the text ends there.
        (math.nan, ""),
        ([1, math.inf, 2], "[1, "),
        ({"a": 1, "b": math.nan, "c": 1}, '{\n    "a": 1,\n    "b": '),
    ],
)
def test_render(value: object, text: str) -> None:
    assert render(value) == text


def test_a_long_string_is_not_cut_but_nothing_follows() -> None:
    text = "x" * 1000
    assert render([text, 1]) == f'["{text}"'
    assert render({text: 1}) == '{\n    "' + text + '"'


def test_stops_at_the_first_event_after_256_bytes() -> None:
    # "[" and n elements of 3 bytes; the separator belongs to its element.
    assert render([10] * 1000) == "[" + ", ".join(["10"] * 65)
    exactly = ["x" * 253]
    assert render(exactly) == f'["{exactly[0]}"'
    assert render(["x" * 252]).endswith("]")


def test_size_is_counted_in_bytes() -> None:
    assert render(["ä" * 127]) == '["' + "ä" * 127 + '"'
    assert render(["ä" * 126]) == '["' + "ä" * 126 + '"]'


def test_deep_nesting_does_not_recurse_deeply() -> None:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    assert render(value) == "[" * 256
