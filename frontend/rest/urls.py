"""The REST URL grammar: (method, request target) -> `Route`, or the error that the server answers with.

The grammar is TensorFlow Serving's: literals match in any case, the verb and the sub-resource must be spelled exactly
as documented, model names and labels are percent-decoded (`+` stays `+`). On purpose different: a `?query` or
`#fragment` is dropped before matching instead of breaking POST and corrupting the model name of GET; bytes that are
no UTF-8 once decoded are refused. Routes are immutable and shared: those of recent, short targets are kept in a
bounded cache.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from protos.errors import Code, ServingError, invalid_argument

# Together they bound the cache to a few MiB, whatever clients send.
_CACHED_ROUTES = 4096
_CACHED_TARGET_CHARS = 512

_INT64_MAX = (1 << 63) - 1

_VERSION_OR_LABEL = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL
_POST = re.compile(rf"/v1/models/([^/:]+){_VERSION_OR_LABEL}:(classify|regress|predict)", _FLAGS)
_GET = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION_OR_LABEL}(?:/(metadata))?", _FLAGS)
_REST = re.compile(r"/v1/.*", _FLAGS)
_ORIGIN = re.compile(r"https?://[^/?#]*", _FLAGS)
# What RFC 3986 allows in a path; in particular every '%' starts a well-formed escape.
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*", re.ASCII)


class Kind(Enum):
    """What a REST request asks for."""

    PREDICT = "predict"
    CLASSIFY = "classify"
    REGRESS = "regress"
    STATUS = "status"
    METADATA = "metadata"


_VERBS = {kind.value: kind for kind in (Kind.PREDICT, Kind.CLASSIFY, Kind.REGRESS)}


class Route(NamedTuple):
    """A matched URL; at most one of `version` and `label` is set."""

    kind: Kind
    model: str
    version: int | None
    label: str | None


def route(method: str, target: str) -> Route:
    """The route of a request line's method and target (origin form, or absolute form with http or https).

    Raises:
        ServingError: NOT_FOUND for a path outside `/v1/`; INVALID_ARGUMENT for everything else that names no
            resource: a wrong verb or malformed path or escape, a version beyond 64 bits, a missing model name.
    """
    if len(target) <= _CACHED_TARGET_CHARS:
        return _cached_route(method, target)
    return _route(method, target)


def _route(method: str, target: str) -> Route:
    path = target.partition("#")[0].partition("?")[0]
    if not path.startswith("/"):
        path = _ORIGIN.sub("", path, count=1)
    malformed = invalid_argument(f"Malformed request: {method} {target}")
    if _PATH.fullmatch(path) is None:
        raise malformed
    if _REST.fullmatch(path) is None:
        raise ServingError(Code.NOT_FOUND, f"Not Found: {path}")
    pattern = _POST if method == "POST" else _GET if method == "GET" else None
    match = pattern.fullmatch(path) if pattern is not None else None
    if match is None:
        raise malformed
    raw_model, digits, raw_label, last = match.groups()
    model = _decode(raw_model or "", "model name")
    label = _decode(raw_label, "model version label") if raw_label is not None else None
    version = _version(digits) if digits is not None else None
    if method == "POST":
        kind = _VERBS.get(last)
        if kind is None:
            raise malformed
    else:
        kind = Kind.METADATA if last == "metadata" else Kind.STATUS
        if not model:
            raise invalid_argument("Missing model name in request.")
    return Route(kind, model, version, label)


_cached_route = lru_cache(maxsize=_CACHED_ROUTES)(_route)


def _decode(text: str, what: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise invalid_argument(f"Failed to decode {what}:{text}") from None


def _version(digits: str) -> int:
    significant = digits.lstrip("0")
    if len(significant) > 19 or int(significant or "0") > _INT64_MAX:
        raise invalid_argument(f"Failed to convert version: {digits} to numeric.")
    return int(significant or "0")
