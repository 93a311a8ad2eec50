"""Doors with TLS: accepts clients, bounds their handshakes in number and time, then hands them to the usual protocols.

Clients are accepted here and not by the loop's server, which would not tell of those that are still in their handshake:
they count among the connections, and one that breaks off, dawdles or speaks no TLS is closed without a word to anybody
but, now and then, the log.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from frontend.connections import Connections
from protos.configs import FrontendConfig, TlsConfig
from protos.tls import server_context

log = logging.getLogger("tensormux.frontend")

BACKLOG = 4096
GRPC = "h2"
HTTP = "http/1.1"

# Longest handshake; less when a request must be sent in less.
_HANDSHAKE_S = 10.0
# Clients accepted in one turn of the loop before others get theirs.
_ACCEPT_BURST = 64
# When no file can be opened: how long to wait for some to be closed.
_PAUSE_S = 0.5
# Failed handshakes are told in one line that often at most: anybody can cause them.
_COMPLAINT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class TlsDoor:
    """How clients of one door are taken in.

    Attributes:
        handshake_seconds: then a client that has not finished its handshake is closed.
        shutdown_seconds: how long a client that we part from may take to read what is left and to close.
    """

    context: ssl.SSLContext
    connections: Connections
    handshake_seconds: float
    shutdown_seconds: float


def tls_door(tls: TlsConfig | None, config: FrontendConfig, connections: Connections, *, alpn: str) -> TlsDoor | None:
    """The door for `tls`, with the waits of `config`; None without encryption.

    Raises:
        ServingError: as `server_context` says.
    """
    if tls is None:
        return None
    return TlsDoor(
        context=server_context(tls, alpn=(alpn,)),
        connections=connections,
        handshake_seconds=min(_HANDSHAKE_S, config.request_timeout_seconds),
        shutdown_seconds=config.request_timeout_seconds,
    )


class TlsListener:
    """Accepts clients on a bound socket until `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        door: TlsDoor,
    ) -> None:
        """Listen.

        Raises:
            OSError: somebody else listens there already without sharing.
        """
        self._loop = loop
        self._sock = sock
        self._factory = factory
        self._door = door
        self._handshakes: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._quiet_until = 0.0
        self._closed = False
        sock.setblocking(False)
        sock.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Accept no more, and break off handshakes; connections that are open go on."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock)
            self._sock.close()
            for handshake in self._handshakes:
                handshake.cancel()

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPT_BURST):
            try:
                client, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # most likely too many open files: asking again at once would be a busy loop
                log.error("cannot accept a client: %s", error)
                self._loop.remove_reader(self._sock)
                self._loop.call_later(_PAUSE_S, self._resume)
                return
            if not self._door.connections.begin_handshake():
                client.close()
                continue
            handshake = self._loop.create_task(self._handshake(client))
            self._handshakes.add(handshake)
            handshake.add_done_callback(partial(self._ended, client))

    def _ended(self, client: socket.socket, handshake: asyncio.Task[None]) -> None:
        if handshake.cancelled():
            client.close()  # also when it had not begun
        self._handshakes.discard(handshake)
        self._door.connections.end_handshake()

    async def _handshake(self, client: socket.socket) -> None:
        door = self._door
        try:
            client.setblocking(False)
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                self._factory,
                client,
                ssl=door.context,
                ssl_handshake_timeout=door.handshake_seconds,
                ssl_shutdown_timeout=door.shutdown_seconds,
            )
        except OSError as error:  # those of ssl and of the timeout included
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._failures += 1
        now = self._loop.time()
        if now >= self._quiet_until:
            log.warning("%d TLS handshakes have failed so far; the last one: %s", self._failures, error)
            self._quiet_until = now + _COMPLAINT_S
