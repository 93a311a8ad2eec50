"""Which form a request has and which its answer gets, JSON or serialized messages: `Content-Type` and `Accept`.

TensorFlow Serving speaks JSON only and looks at neither field, so whatever doesn't name protobuf is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

PROTOBUF_TYPE = b"Content-Type: application/x-protobuf\r\n"

# What `Content-Type` and `Accept` of nearly all requests are. With one of these in both, all is JSON.
PLAIN = frozenset((None, b"*/*", b"application/json", b"application/x-www-form-urlencoded"))

_PROTOBUF = ("application/x-protobuf", "application/protobuf")
_JSON = "application/json"
_CACHED_FIELDS = 256
_MAX_FIELD_BYTES = 1024


class Form(NamedTuple):
    """Whether a request, and its answer, are serialized messages."""

    request: bool
    answer: bool


def form(fields: Mapping[bytes, bytes]) -> Form:
    """What the header fields, by lower-case name, ask for: the form of the request is the answer's, if all the same.

    Fields that are too long to be what they are called say nothing.
    """
    content_type, accept = fields.get(b"content-type", b""), fields.get(b"accept", b"")
    if len(content_type) + len(accept) > _MAX_FIELD_BYTES:
        return Form(request=False, answer=False)
    return _form(content_type, accept)


@lru_cache(maxsize=_CACHED_FIELDS)
def _form(content_type: bytes, accept: bytes) -> Form:
    media_type = content_type.partition(b";")[0].strip().lower()
    request = media_type.decode("latin-1") in _PROTOBUF
    return Form(request, _answer(accept, request))


def _answer(accept: bytes, request: bool) -> bool:
    """RFC 9110, section 12.5.1: the more specific range counts, then the higher weight."""
    ranges: dict[str, float] = {}
    for member in accept.decode("latin-1").lower().split(","):
        media_range, *parameters = [part.strip() for part in member.split(";")]
        ranges[media_range] = max(ranges.get(media_range, 0.0), _weight(parameters))
    others = ranges.get("application/*", ranges.get("*/*", 0.0))
    protobuf = max((ranges[name] for name in _PROTOBUF if name in ranges), default=others)
    json = ranges.get(_JSON, others)
    return request if protobuf == json else protobuf > json


def _weight(parameters: list[str]) -> float:
    """Of a range with these parameters; 1 without `q`, 0 when that is malformed."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0
