"""The REST URL grammar: (method, request target) -> `Route`, or the error that the server answers with.

The grammar is TensorFlow Serving's: literals match in any case, the verb and the sub-resource must be spelled exactly
as documented, model names and labels are percent-decoded (`+` stays `+`). On purpose different: a `?query` or
`#fragment` is dropped before matching instead of breaking POST and corrupting the model name of GET; bytes that are
no UTF-8 once decoded are refused; HEAD is GET without a body, and any other method that a resource doesn't have is
told those that it has. Resources of our own (health, readiness of a model, the API's description) stand where
upstream's grammar names nothing, so no model is out of reach. Routes are immutable and shared: those of recent, short
targets are kept in a bounded cache.
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
_GET = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION_OR_LABEL}(?:/(metadata|ready))?", _FLAGS)
_REST = re.compile(r"/v1/.*", _FLAGS)
_ORIGIN = re.compile(r"https?://[^/?#]*", _FLAGS)
# What RFC 3986 allows in a path; in particular every '%' starts a well-formed escape.
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*", re.ASCII)

# What is said of all others, TRACE and CONNECT among them, is that the server doesn't have them.
_METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"))
_READ = "GET, HEAD, OPTIONS"
_WRITE = "POST, OPTIONS"


class Kind(Enum):
    """What a REST request asks for."""

    PREDICT = "predict"
    CLASSIFY = "classify"
    REGRESS = "regress"
    STATUS = "status"
    METADATA = "metadata"
    OPTIONS = "options"
    LIVE = "live"
    READY = "ready"
    MODEL_READY = "model readiness"
    OPENAPI = "openapi"


_FIXED = {
    "/v1/health/live": Kind.LIVE,
    "/v1/health/ready": Kind.READY,
    "/healthz": Kind.LIVE,
    "/readyz": Kind.READY,
    "/openapi.json": Kind.OPENAPI,
}
_VERBS = {kind.value: kind for kind in (Kind.PREDICT, Kind.CLASSIFY, Kind.REGRESS)}


class Route(NamedTuple):
    """A matched URL; at most one of `version` and `label` is set."""

    kind: Kind
    model: str
    version: int | None
    label: str | None


class MethodNotAllowed(ServingError):
    """The resource is there, but not for this method; to be answered with 405 and `allow`."""

    def __init__(self, message: str, allow: str) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message)
        self.allow = allow


def route(method: str, target: str) -> Route:
    """The route of a request line's method and target (origin form, or absolute form with http or https).

    A resource that is read has the same route for HEAD as for GET.

    Raises:
        MethodNotAllowed: the resource has other methods. GET where POST is meant, and POST where GET is meant, are
            INVALID_ARGUMENT instead, as upstream.
        ServingError: NOT_FOUND for a path outside of the API; UNIMPLEMENTED for a method outside of HTTP's usual
            ones; INVALID_ARGUMENT for everything else that names no resource: a wrong verb or malformed path or
            escape, a version beyond 64 bits, a missing model name.
    """
    if len(target) <= _CACHED_TARGET_CHARS:
        return _cached_route(method, target)
    return _route(method, target)


def without_origin(target: str) -> str:
    """A request target in origin form, also when it was sent in absolute form."""
    return target if target.startswith("/") else _ORIGIN.sub("", target, count=1)


def _route(method: str, target: str) -> Route:
    if method not in _METHODS:
        raise ServingError(Code.UNIMPLEMENTED, f"{method} is not supported")
    path = without_origin(target.partition("#")[0].partition("?")[0])
    malformed = invalid_argument(f"Malformed request: {method} {target}")
    if _PATH.fullmatch(path) is None:
        raise malformed
    fixed = _FIXED.get(path)
    if fixed is None and _REST.fullmatch(path) is None:
        raise ServingError(Code.NOT_FOUND, f"Not Found: {path}")
    if method == "OPTIONS":
        return Route(Kind.OPTIONS, "", None, None)
    if fixed is not None:
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(malformed.message, _READ)
        return Route(fixed, "", None, None)
    if method == "POST":
        return _inference(path, malformed)
    if method == "GET":
        return _about(path, malformed)
    _check_method(method, path, malformed)
    return _about(path, malformed)


def _check_method(method: str, path: str, malformed: ServingError) -> None:
    """Refuse what is neither GET nor POST where there is a resource; HEAD passes where GET does."""
    read = _GET.fullmatch(path)
    if method != "HEAD" and read is not None and read[1]:
        raise MethodNotAllowed(malformed.message, _READ)
    write = _POST.fullmatch(path)
    if write is not None and write[4] in _VERBS:
        raise MethodNotAllowed(malformed.message, _WRITE)
    if method != "HEAD":
        raise malformed


def _inference(path: str, malformed: ServingError) -> Route:
    match = _POST.fullmatch(path)
    kind = _VERBS.get(match[4]) if match is not None else None
    if match is None or kind is None:
        raise malformed
    return _named(kind, match)


def _about(path: str, malformed: ServingError) -> Route:
    match = _GET.fullmatch(path)
    if match is None:
        raise malformed
    kind = Kind.METADATA if match[4] == "metadata" else Kind.STATUS
    if match[4] is not None and match[4].lower() == "ready":
        if match[4] != "ready":
            raise malformed
        kind = Kind.MODEL_READY
    found = _named(kind, match)
    if not found.model:
        raise invalid_argument("Missing model name in request.")
    return found


def _named(kind: Kind, match: re.Match[str]) -> Route:
    raw_model, digits, raw_label, _ = match.groups()
    model = _decode(raw_model or "", "model name")
    label = _decode(raw_label, "model version label") if raw_label is not None else None
    version = _version(digits) if digits is not None else None
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
