"""Bounds that the connections of one front end share, and the sweep that enforces waits."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from frontend.heads import Heads

log = logging.getLogger("tensormux.frontend")

# Request bytes that all connections together may hold while bodies arrive.
BUFFER_BUDGET = 4 << 30
_SWEEP_S = 1.0
_READ_BYTES = 1 << 20


class Connection(Protocol):
    """What the sweep needs to know of a connection."""

    def check_time(self, now: float) -> None:
        """Close yourself if your peer keeps you waiting (`now` is the loop's time)."""

    def drain(self) -> None:
        """Take no more requests; close when what is in flight has been answered."""

    def abort(self) -> None:
        """Close at once."""


class Connections:
    """All open connections: counts them, bounds them, checks their timeouts, and drains them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, max_connections: int) -> None:
        self._loop = loop
        self._max = max_connections
        self._open: set[Connection] = set()
        self._handshakes = 0
        self._timer: asyncio.TimerHandle | None = None
        self.draining = False
        self.buffered_bytes = 0
        self.heads = Heads()
        # Bytes are read here by all gRPC connections, which leave nothing in it: large messages come in few pieces,
        # and ten thousand idle connections hold no buffers.
        self.read_buffer = memoryview(bytearray(_READ_BYTES))

    def add(self, connection: Connection) -> bool:
        """Whether the connection may stay."""
        if len(self._open) >= self._max or self.draining:
            return False
        self._open.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(_SWEEP_S, self._sweep)
        return True

    def begin_handshake(self) -> bool:
        """Whether a client may begin its TLS handshake: it counts as a connection until `end_handshake`."""
        if len(self._open) + self._handshakes >= self._max or self.draining:
            return False
        self._handshakes += 1
        return True

    def end_handshake(self) -> None:
        """The handshake has failed, or the connection was added."""
        self._handshakes -= 1

    def remove(self, connection: Connection) -> None:
        """The connection is closed."""
        self._open.discard(connection)

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def has_room(self, more_bytes: int) -> bool:
        """Whether so many more bytes of request bodies may be held."""
        return self.buffered_bytes + more_bytes <= BUFFER_BUDGET

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(_SWEEP_S, self._sweep) if self._open else None
        now = self._loop.time()
        for connection in list(self._open):
            try:
                connection.check_time(now)
            except Exception:  # one connection's trouble is not the others'
                log.exception("closing a connection whose timeouts cannot be checked")
                connection.abort()

    async def drain(self, seconds: float) -> None:
        """Let open connections finish what they have, for so long; then close them."""
        self.draining = True
        for connection in list(self._open):
            connection.drain()
        deadline = self._loop.time() + seconds
        while self._open and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        for connection in list(self._open):
            connection.abort()
