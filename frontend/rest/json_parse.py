"""A request body -> the JSON object in it, and the keys that all inference requests share.

orjson parses what is plain JSON; whatever it refuses goes to `json_tolerant`, which either takes it (NaN tokens, bytes that are
no UTF-8, bytes after the root value) or words the error. Both give the same values for what both accept: integers
beyond 64 bits are floats, and of equal keys in one object the last wins (TensorFlow Serving takes the first where it
looks a key up: on purpose different, as all fast parsers keep the last).
"""

from __future__ import annotations

import orjson

from frontend.rest import json_tolerant
from frontend.rest.debug_text import render
from protos.errors import invalid_argument


def parse_object(body: bytes) -> dict[str, object]:
    """The object that is the root of `body`.

    Raises:
        ServingError: INVALID_ARGUMENT `JSON Parse error: ...`, or `JSON Value: ... Is not object`.
    """
    try:
        root: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        root = json_tolerant.parse(body)
    if not isinstance(root, dict):
        raise invalid_argument(f"JSON Value: {render(root)} Is not object")
    return root


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
