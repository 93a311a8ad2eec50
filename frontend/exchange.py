"""One HTTP/1.1 request and its answer."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frontend.http1 import HttpConnection

# Reason phrases that differ from, or are missing in, the standard library: clients see upstream's.
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    429: "Client Error",
    499: "Client Error",
    504: "Gateway Time-out",
}
_STATUS_LINES = {code: f"HTTP/1.1 {code} {reason}\r\n".encode() for code, reason in _REASONS.items()}

JSON_TYPE = b"Content-Type: application/json\r\n"

KEPT_FIELDS = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"origin",
        b"transfer-encoding",
    )
)


class Exchange:
    """One request and its answer; `respond` is called once.

    Attributes:
        method, target: of the request line, as sent.
        body: decoded from chunks, not from its content encoding.
        fields: header fields of `KEPT_FIELDS`, by lower-case name; of equal names the last.
        on_cancel: called when the client goes away first.
    """

    __slots__ = (
        "connection",
        "method",
        "target",
        "body",
        "fields",
        "keep_alive",
        "http10",
        "answer",
        "on_cancel",
    )

    def __init__(self, connection: HttpConnection, method: str, target: str, fields: dict[bytes, bytes]) -> None:
        self.connection = connection
        self.method = method
        self.target = target
        self.body = b""
        self.fields = fields
        self.keep_alive = True
        self.http10 = False
        self.answer: bytes | None = None
        self.on_cancel: Callable[[], None] | None = None

    def field(self, name: bytes) -> bytes:
        """The header field of this lower-case name; empty when it is missing."""
        return self.fields.get(name, b"")

    def respond(self, status: int, body: bytes, headers: bytes = JSON_TYPE) -> None:
        """Answer; `headers` are complete header lines."""
        if self.keep_alive:
            last = b"\r\nConnection: keep-alive\r\n\r\n" if self.http10 else b"\r\n\r\n"
        else:
            last = b"\r\nConnection: close\r\n\r\n"
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Error\r\n" % status
        head = b"%b%b%bContent-Length: %d%b" % (line, headers, _date_line(), len(body), last)
        self.answer = head if self.method == "HEAD" else head + body
        self.on_cancel = None  # it leads back here: without the cycle, all is freed at once
        self.connection.answered(self)


_date: tuple[int, bytes] = (0, b"")


def _date_line() -> bytes:
    global _date
    now = int(time())
    if _date[0] != now:
        _date = (now, b"Date: " + formatdate(now, usegmt=True).encode() + b"\r\n")
    return _date[1]
