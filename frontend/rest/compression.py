"""gzip for large answers, off the loop and never in the way of others.

Level 1 takes about 10 ms a MiB of JSON numbers and halves it: a loss wherever the network carries more than some
50 MB/s, and most HTTP clients offer gzip without being asked. So it is off unless a size is configured. Small answers
cost one comparison. Compression runs in one thread, with Python's lock released; answers that would have to wait
behind too many bytes go out as they are.
"""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

from frontend.exchange import Exchange

_LEVEL = 1
_GZIP_FORMAT = 31
# Bodies that wait for the thread or are in it: about a third of a second.
_MAX_WAITING_BYTES = 32 << 20
_CACHED_FIELDS = 256
_MAX_FIELD_BYTES = 256

_VARY = b"Vary: Accept-Encoding\r\n"
_ENCODED = b"Content-Encoding: gzip\r\n" + _VARY


class Compression:
    """Answers whose body is large enough to be compressed.

    Args:
        min_bytes: of a body that is compressed for who accepts it; 0 compresses none.
    """

    def __init__(self, min_bytes: int) -> None:
        self.min_bytes = min_bytes or 1 << 62
        self._waiting_bytes = 0
        self._executor: ThreadPoolExecutor | None = None

    def respond(self, exchange: Exchange, body: bytes, headers: bytes) -> None:
        """Answer 200 with a body of at least `min_bytes`: compressed, and later, if the client accepts gzip."""
        accepted = accepts_gzip(exchange.field(b"accept-encoding"))
        if not accepted or self._waiting_bytes + len(body) > _MAX_WAITING_BYTES:
            exchange.respond(200, body, headers + _VARY)
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="gzip")
        self._waiting_bytes += len(body)
        exchange.on_cancel = None  # the work behind it is done
        work = asyncio.get_running_loop().run_in_executor(self._executor, _gzip, body)
        work.add_done_callback(partial(self._finish, exchange, body, headers))

    def _finish(self, exchange: Exchange, body: bytes, headers: bytes, work: asyncio.Future[bytes]) -> None:
        self._waiting_bytes -= len(body)
        if work.cancelled() or work.exception() is not None:  # the loop ends, or there is no memory
            exchange.respond(200, body, headers + _VARY)
        else:
            exchange.respond(200, work.result(), headers + _ENCODED)


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, _LEVEL, _GZIP_FORMAT)


def accepts_gzip(field: bytes) -> bool:
    """Whether an `Accept-Encoding` field prefers gzip to no encoding at all (RFC 9110, section 12.5.3).

    It must name gzip (or `x-gzip`, or `*`) with a weight above 0, and not below that of a named `identity`. A field
    that is not well-formed accepts nothing.
    """
    return bool(field) and len(field) <= _MAX_FIELD_BYTES and _accepts_gzip(field)


@lru_cache(maxsize=_CACHED_FIELDS)
def _accepts_gzip(field: bytes) -> bool:
    weights: dict[str, float] = {}
    for member in field.decode("latin-1").lower().split(","):
        coding, *parameters = [part.strip() for part in member.split(";")]
        weight = _weight(parameters)
        if weight is None:
            return False
        if coding:
            weights[coding] = weight
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(parameters: list[str]) -> float | None:
    """Of a coding with these parameters: 1 without any, None if they are no weight."""
    if not parameters:
        return 1.0
    name, equals, text = parameters[0].partition("=")
    digits = text.strip()
    if len(parameters) > 1 or name.strip() != "q" or not equals or not digits.replace(".", "", 1).isdecimal():
        return None
    weight = float(digits)
    return weight if weight <= 1 else None
