"""Heads of HTTP/1.1 requests that were parsed before.

A client sends the same head over and over. One that the parser took, and that passed the limits, means the same the
next time: its bytes are looked up instead, which spares the parser and its callbacks. Only plain requests are known:
with all of their body in the same piece, and neither chunked, nor the last of their connection, nor with an
expectation.

Measured on one core: of a small request, 2 us of 7.7 (four fields in its head), 3 us of 8.8 (seven).
"""

from __future__ import annotations

from frontend.exchange import Exchange

_END = b"\r\n\r\n"
# Longer ones are parsed every time, and when there are too many, all are forgotten: clients choose heads.
_MAX_HEAD_BYTES = 1024
_MAX_HEADS = 1024


class Head:
    """A head that was parsed, `size` bytes long; with its body, the request is `total` bytes long."""

    __slots__ = ("method", "target", "fields", "size", "total")

    def __init__(self, exchange: Exchange, size: int, total: int) -> None:
        self.method = exchange.method
        self.target = exchange.target
        self.fields = exchange.fields
        self.size = size
        self.total = total


class Heads:
    """Those of one front end."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def find(self, data: bytes) -> Head | None:
        """The head that `data` begins with, if it is known and `data` is all of one request."""
        head = self._known.get(data[: data.find(_END, 0, _MAX_HEAD_BYTES) + 4])
        return head if head is not None and len(data) == head.total else None

    def learn(self, data: bytes, exchange: Exchange) -> None:
        """Remember the head of a request that was parsed from `data`, if it was all of it and is plain."""
        size = data.find(_END, 0, _MAX_HEAD_BYTES) + 4
        fields = exchange.fields
        # No other request can be in `data`, nor its head end elsewhere, when the lengths agree.
        if (
            size + len(exchange.body) == len(data)
            and exchange.keep_alive
            and not exchange.http10
            and b"expect" not in fields
            and b"transfer-encoding" not in fields
        ):
            if len(self._known) >= _MAX_HEADS:
                self._known.clear()
            self._known[data[:size]] = Head(exchange, size, len(data))
