"""A request body -> the JSON object in it, and the keys that all inference requests share.

orjson parses what is plain JSON; whatever it refuses goes to `json_tolerant`, which either takes it (NaN tokens,
bytes that are no UTF-8, bytes after the root value) or words the error. For larger bodies Python's own parser, which
knows NaN and Infinity, is tried in between. All give the same values for what they accept: integers beyond 64 bits are
floats, and of equal keys in one object the last wins (TensorFlow Serving takes the first where it looks a key up: on
purpose different, as all fast parsers keep the last).

Measured for 3.1 MB of floats, one NaN among them: Python's parser 55 ms with the checks below, `json_tolerant` 0.25 s.
"""

from __future__ import annotations

import contextlib
import json
import math
import re

import orjson

from frontend.rest import json_tolerant
from frontend.rest.debug_text import render
from protos.errors import invalid_argument

# The tolerant parser takes up to 0.4 s a MB, in which nobody else is served: beyond this, what only it would take is
# refused, with the fast parser's words.
MAX_TOLERANT_BYTES = 2 << 20
# From this size on it is worth a try whether NaN and infinities were the only trouble, with Python's own parser.
_STDLIB_BYTES = 4096
# More would hold the loop for seconds.
_MAX_STDLIB_BYTES = 32 << 20
# Escapes of surrogates, paired or not: Python's parser does not check them.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_INTEGER_CHARS = 20


def parse_object(body: bytes) -> dict[str, object]:
    """The object that is the root of `body`.

    Raises:
        ServingError: INVALID_ARGUMENT `JSON Parse error: ...`, or `JSON Value: ... Is not object`.
    """
    try:
        root: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        root = _parse_again(body, error)
    if not isinstance(root, dict):
        raise invalid_argument(f"JSON Value: {render(root)} Is not object")
    return root


def _parse_again(body: bytes, error: orjson.JSONDecodeError) -> object:
    """The value of a body that orjson refused with `error`."""
    if _STDLIB_BYTES <= len(body) <= _MAX_STDLIB_BYTES and _SURROGATE.search(body) is None:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(body.decode(), parse_int=_integer, parse_float=_finite)
    if len(body) > MAX_TOLERANT_BYTES:
        raise invalid_argument(f"JSON Parse error: {error.msg} at offset: {error.pos}")
    return json_tolerant.parse(body)


def _integer(text: str) -> int | float:
    if len(text) <= _INTEGER_CHARS:
        value = int(text)
        if -(1 << 63) <= value < 1 << 64:
            return value
    return _finite(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("too big")
    return value


def signature_name(root: dict[str, object]) -> str:
    """The `signature_name` of a request; empty when absent.

    Raises:
        ServingError: INVALID_ARGUMENT when it is not a string.
    """
    name = root.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {render(root)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name
