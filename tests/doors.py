"""A listening front end on a thread of its own, for tests that come with real clients and real sockets."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from frontend.connections import Connections
from frontend.listeners import Listener, listen
from frontend.tls import tls_door
from protos.configs import FrontendConfig
from tests import loops

T = TypeVar("T")
MakeProtocol = Callable[[asyncio.AbstractEventLoop, FrontendConfig, Connections], asyncio.BaseProtocol]


class Doors:
    """Listens on a free port of the loopback; `complaints` are exceptions that reached the loop.

    With `config.tls`, the door speaks TLS and offers the protocol `alpn`.
    """

    def __init__(
        self, make: MakeProtocol, config: FrontendConfig, *, loop: str = "uvloop", alpn: str = "http/1.1"
    ) -> None:
        self._alpn = alpn
        self.complaints: list[str] = []
        self.port = 0
        self.connections: Connections
        self._make = make
        self._config = config
        self._factory = loops.FACTORIES[loop]
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Doors:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert not self.complaints, self.complaints

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._complain)
        self._stop = asyncio.Event()
        self.connections = Connections(loop, max_connections=self._config.max_connections)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        door = tls_door(self._config.tls, self._config, self.connections, alpn=self._alpn)
        server: Listener = await listen(loop, listener, lambda: self._make(loop, self._config, self.connections), door)
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in list(self.connections._open):
            connection.abort()
        await loops.until(lambda: not self.connections._open)

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the loop and give its result."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._loop.call_soon_threadsafe(work)
        return future.result(10)

    def drain(self, seconds: float) -> concurrent.futures.Future[None]:
        """Drain all connections; every one has been told when this returns."""
        drained = asyncio.run_coroutine_threadsafe(self.connections.drain(seconds), self._loop)
        loops.wait_until(lambda: self.connections.draining)
        self.call(lambda: None)  # the turn of the loop in which they are told has ended
        return drained

    def open_count(self) -> int:
        """Connections that are open now."""
        return self.call(lambda: len(self.connections._open))

    def connect(self, seconds: float = 5.0) -> socket.socket:
        """A client's socket; no call on it takes longer than so many seconds."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


def read_all(sock: socket.socket) -> bytes:
    """Everything until the server closes."""
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)
