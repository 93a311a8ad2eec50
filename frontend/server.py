"""A front end's life: registers with control, takes catalogs, opens its doors, drains, ends."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Sequence

import msgspec
import zmq

from frontend import listeners, tls
from frontend.connections import Connections
from frontend.grpc.connection import GrpcConnection
from frontend.grpc.models import Reloaded
from frontend.grpc.services import methods
from frontend.handover import Handover, Taker
from frontend.http1 import HttpConnection
from frontend.rest.handler import RestHandler
from frontend.rest.json_encode import encode_error
from frontend.router import Router
from frontend.scrapes import Scrapes
from protos import metrics
from protos.channel import ENV_BULK, ENV_BULK_BIND, Channel, Frames, LoopReader
from protos.configs import FrontendConfig
from protos.errors import Code, ServingError
from protos.messages import (
    PROTOCOL_VERSION,
    Catalog,
    FrontendReport,
    Heartbeat,
    Hello,
    MetricsReport,
    MetricsRequest,
    Rejected,
    ReloadReply,
    ReloadRequest,
    Resync,
    ScrapeReply,
    ScrapeRequest,
    Stop,
    ToPeer,
    Welcome,
)
from protos.process_metrics import watch_process

log = logging.getLogger("tensormux.frontend")

_HELLO_EVERY_S = 0.5
_RELOAD_TIMEOUT_S = 660.0


class Server:
    """One front end process; `run` returns when it has been stopped."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: Channel, *, control: str, name: str, incarnation: str
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._identity = f"{name}/{incarnation}"
        self._socket = channel.connect_dealer(control, identity=self._identity.encode())
        self._reader = LoopReader(loop, self._socket, self._on_control)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ToPeer).decode
        self._hello = Hello(
            protocol=PROTOCOL_VERSION, role="frontend", name=name, incarnation=incarnation, pid=os.getpid()
        )
        self._config: FrontendConfig | None = None
        self._router: Router
        self._connections: Connections
        self._servers: list[listeners.Listener] = []
        self._taker: Taker | None = None
        self._report: FrontendReport | None = None
        self._opening = False
        self._epoch = 0
        self._reloads: dict[int, Reloaded] = {}
        self._next_reload = 0
        self._scrapes = Scrapes(loop, self._send)
        self._ended: asyncio.Future[None] = loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            SystemExit: control refuses this front end.
        """
        self._beat()
        await self._ended

    # --- control plane ---

    def _send(
        self, message: Hello | Heartbeat | FrontendReport | ReloadRequest | ScrapeRequest | MetricsReport
    ) -> bool:
        """Send to control, if there is room.

        A control that has been away for long finds the queue full; it asks for everything when it is back.
        """
        try:
            self._socket.send(self._encode(message), zmq.DONTWAIT)
        except zmq.Again:
            return False
        self._reader.poke()
        return True

    def _beat(self) -> None:
        if self._ended.done():
            return
        if self._config is None:
            self._send(self._hello)
            self._loop.call_later(_HELLO_EVERY_S, self._beat)
            return
        self._send(Heartbeat(epoch=self._epoch, outstanding=self._router.outstanding))
        self._loop.call_later(self._config.heartbeat_seconds, self._beat)

    def _on_control(self, frames: Frames) -> None:
        try:
            message = self._decode(frames[0].buffer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.error("unreadable message from control: %s", error)
            return
        if isinstance(message, Catalog):
            self._on_catalog(message)
        elif isinstance(message, Welcome):
            self._on_welcome(message)
        elif isinstance(message, Resync):
            self._send(self._hello)
            if self._report is not None:
                self._send(self._report)
            for number in list(self._reloads):
                self._end_reload(number, Code.UNAVAILABLE, "control restarted; the reload may have been applied or not")
            self._scrapes.control_restarted()
        elif isinstance(message, ReloadReply):
            self._end_reload(message.id, message.code, message.message, message.increases)
        elif isinstance(message, ScrapeReply):
            self._scrapes.replied(message)
        elif isinstance(message, MetricsRequest):
            self._report_metrics(message.round)
        elif isinstance(message, Stop):
            self.stop(message.grace_seconds)
        elif isinstance(message, Rejected):
            self._ended.set_exception(SystemExit(f"control refuses this front end: {message.reason}"))

    def _on_welcome(self, message: Welcome) -> None:
        if self._config is not None or message.frontend is None:
            return
        config = self._config = message.frontend
        self._router = Router(
            self._loop, self._channel, identity=self._identity, max_outstanding=config.max_outstanding_requests
        )
        self._connections = Connections(self._loop, max_connections=config.max_connections)
        registry = self._router.metrics.registry
        registry.on_snapshot(self._look)
        watch_process(registry, self._hello.name)

    def _on_catalog(self, message: Catalog) -> None:
        if self._config is None or message.epoch < self._epoch:
            return
        self._router.update(message)
        self._epoch = message.epoch
        if message.serving and not self._opening and not self._stopping:
            self._opening = True
            self._spawn(self._open(self._config))
        self._send(Heartbeat(epoch=self._epoch, outstanding=self._router.outstanding))

    def _look(self) -> None:
        registry, name = self._router.metrics.registry, self._hello.name
        registry.value(metrics.OUTSTANDING, name).value = self._router.outstanding
        registry.value(metrics.CONNECTIONS, name).value = self._connections.count

    def _report_metrics(self, number: int) -> None:
        if self._config is not None:
            self._send(MetricsReport(round=number, cells=self._router.metrics.registry.snapshot()))

    def reload(self, config: bytes, metric_names: list[str], done: Reloaded) -> None:
        """Pass a new model configuration on to control; `done` gets the outcome (code OK when it was applied).

        When it was, it also gets the increases of `metric_names`, names of `protos.metrics`, in their order.
        """
        self._next_reload += 1
        number = self._next_reload
        self._reloads[number] = done
        if not self._send(ReloadRequest(id=number, config=config, metric_names=metric_names)):
            self._end_reload(number, Code.UNAVAILABLE, "control cannot be reached")
            return
        late = "control did not answer the reload in time"
        self._loop.call_later(_RELOAD_TIMEOUT_S, self._end_reload, number, Code.DEADLINE_EXCEEDED, late)

    def _end_reload(self, number: int, code: int, message: str, increases: Sequence[int] = ()) -> None:
        done = self._reloads.pop(number, None)
        if done is not None:
            done(ServingError(code, message), increases)

    # --- doors ---

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, config: FrontendConfig) -> None:
        loop, connections = self._loop, self._connections
        table = methods(self._router, config, self.reload, lambda: connections.draining)
        rest = RestHandler(self._router, config, self._scrapes.ask)

        def grpc() -> asyncio.BaseProtocol:
            return GrpcConnection(loop, config, connections, table)

        others = [path for path in os.environ.get(ENV_BULK, "").split(os.pathsep) if path]
        pass_on = Handover(others) if others else None
        if pass_on is not None:
            self._servers.append(pass_on)

        def http(read: bytes = b"") -> asyncio.Protocol:
            return HttpConnection(loop, config, connections, rest, encode_error, pass_on=pass_on, read=read)

        bulk = os.environ.get(ENV_BULK_BIND, "")
        if bulk:  # no doors: others pass connections on
            self._taker = Taker(loop, bulk, http)
            self._servers.append(self._taker)
            return
        report = FrontendReport(epoch=self._epoch)
        try:
            door = tls.tls_door(config.tls, config, connections, alpn=tls.GRPC)
            if config.grpc_port:
                port = listeners.ipv4_socket(config.grpc_port)
                self._servers.append(await listeners.listen(loop, port, grpc, door))
                report.grpc_open = True
            if config.grpc_socket_path:
                unix = listeners.unix_socket(config.grpc_socket_path, os.environ)
                self._servers.append(await listeners.listen(loop, unix, grpc, door))
                report.unix_open = True
        except (OSError, ServingError) as error:
            report.grpc_error = str(error)
        if config.rest_port and not report.grpc_error:
            try:
                door = tls.tls_door(config.rest_tls, config, connections, alpn=tls.HTTP)
                port = listeners.dual_stack_socket(config.rest_port)
                self._servers.append(await listeners.listen(loop, port, http, door))
                report.rest_open = True
            except (OSError, ServingError) as error:
                report.rest_error = str(error)
        self._report = report
        self._send(report)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Close the doors, let requests in flight end for so long (as configured when not given), then end."""
        if not self._stopping:
            self._stopping = True
            if grace_seconds is None:
                grace_seconds = self._config.drain_seconds if self._config is not None else 0.0
            self._spawn(self._drain(grace_seconds))

    async def _drain(self, grace_seconds: float) -> None:
        for server in self._servers:
            server.close()
        if self._taker is not None:
            await self._taker.settle()
        if self._config is not None:
            await self._connections.drain(grace_seconds)
            self._router.close()
        if not self._ended.done():
            self._ended.set_result(None)
