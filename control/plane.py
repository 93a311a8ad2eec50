"""The control plane in one place: what peers say goes to the manager, what the manager decides goes to the peers.

Every change schedules one `flush`, which decides anew, tells front ends the new catalog if it differs from the last,
and then each worker its new list if that differs: in this order, so that nobody is sent to a version that is about to
be unloaded. Flushes are at least `FLUSH_SECONDS` apart, except that the loss of a worker is told at once. Epochs begin
with the time of day in milliseconds, so a control that was restarted never uses one again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection
from typing import Protocol

import msgspec
from google.protobuf.message import DecodeError

from control.catalog import Key
from control.increases import Increases
from control.log import LOGGER
from control.manager import Manager
from control.peers import FRONTEND, WORKER, Peer, PeerTable
from control.ports import Ports
from control.readiness import InitialLoad, Reloads
from control.scrapes import Scrapes
from control.server import Send
from protos.configs import FrontendConfig, WorkerConfig
from protos.errors import ServingError, invalid_argument
from protos.messages import (
    Catalog,
    Desired,
    DesiredServable,
    EndedWorker,
    FrontendReport,
    MetricsReport,
    ModelEntry,
    ReloadReply,
    ReloadRequest,
    ScrapeRequest,
    WorkerEntry,
    WorkerReport,
)
from protos.public import ModelServerConfig

FLUSH_SECONDS = 0.010
# Workers of which front ends are told how they ended: more than can be lost between two messages to them.
_ENDED_WORKERS = 32


class Host(Protocol):
    """What the plane needs of the process around it."""

    def fatal(self, error: ServingError) -> None:
        """The server cannot start."""

    def peer_hangs(self, name: str) -> None:
        """A peer has stopped sending heartbeats, or cannot do its work; end it if it was started here."""

    def look_at(self, due: Collection[str]) -> None:
        """The configuration has changed; the models in `due` are to be looked at on disk at once."""


class Plane:
    """Holds the manager and the table of peers together. All methods are for the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Send,
        host: Host,
        manager: Manager,
        *,
        worker_config: WorkerConfig,
        frontend_config: FrontendConfig,
        own_frontends: Collection[str],
        own_workers: Collection[str],
        silence_seconds: float,
        start_timeout_seconds: float,
    ) -> None:
        """Know no peer yet; `start_timeout_seconds` 0 is for ever.

        `own_frontends` and `own_workers` are those that are started here; the latter may change later. That others left
        is no proof of a crash.
        """
        self._own_workers = own_workers
        # Of workers that are started here and have not ended, by name.
        self._incarnations: dict[str, str] = {}
        self._ended: deque[EndedWorker] = deque(maxlen=_ENDED_WORKERS)
        self.manager = manager
        self.ports = Ports(frontend_config, own_frontends)
        self.peers = PeerTable(
            send, self, worker_config=worker_config, frontend_config=frontend_config, silence_seconds=silence_seconds
        )
        # Without an endpoint nobody is asked for metrics, except for a reload whose client wants to know.
        self._measured = bool(frontend_config.metrics_path and frontend_config.rest_port)
        self._scrapes = Scrapes(loop, self.peers)
        self._increases = Increases(self._scrapes)
        self.stopping = False
        self._loop = loop
        self._host = host
        self._initial = InitialLoad(loop.time() + start_timeout_seconds if start_timeout_seconds > 0 else None)
        self._reloads: Reloads[int] = Reloads(self._answer)
        self._encode = msgspec.msgpack.Encoder().encode
        self._epoch = time.time_ns() // 1_000_000
        self._catalog: tuple[bool, list[WorkerEntry], list[ModelEntry], list[EndedWorker]] | None = None
        self._catalog_epoch = 0
        self._catalog_bytes = b""
        self._lists: dict[int, list[DesiredServable]] = {}
        self._flush_at: asyncio.TimerHandle | None = None
        self._flushed_at = float("-inf")

    @property
    def serving(self) -> bool:
        """The initial load is done."""
        return self._initial.serving

    def receive(self, identity: bytes, payload: memoryview) -> None:
        """A message has arrived."""
        self.peers.receive(identity, payload, self._loop.time())

    def tick(self) -> None:
        """Notice the silent, and what is due by the clock; to be called about twice a second."""
        self.peers.check(self._loop.time())
        self.manager.tick(self._loop.time())
        if self.manager.dirty:
            self.changed()
        if self._measured:
            self._scrapes.tick()
        if not self.manager.dirty and self._flush_at is None:
            self._check()
            self._reloads.check(self.manager, self._loop.time())

    # --- configuration ---

    def apply(self, config: ModelServerConfig) -> list[str]:
        """Take over a configuration; returns the names of new models.

        Raises:
            ServingError: it is illegal; nothing has changed.
        """
        # Labels are checked against what is available now.
        self.manager.refresh()
        new, due = self.manager.apply(config)
        self._host.look_at(due)
        self.changed()
        return new

    def reload_requested(self, peer: Peer, request: ReloadRequest) -> None:
        """Apply a client's configuration; the answer comes when its new models are there."""
        if not request.metric_names:
            self._reload(peer.id, request)
            return
        try:
            self._increases.begin((peer.id, request.id), request.metric_names, lambda: self._reload(peer.id, request))
        except ServingError as error:
            self._answer(peer.id, request.id, error)

    def _reload(self, peer_id: int, request: ReloadRequest) -> None:
        try:
            config = _client_config(request.config)
            new = self.apply(config)
            self._reloads.add(peer_id, request.id, new, self._loop.time())
        except ServingError as error:
            self._answer(peer_id, request.id, error)

    def _answer(self, peer_id: int, request_id: int, error: ServingError | None) -> None:
        if error is None:
            self._increases.end(
                (peer_id, request_id),
                lambda increases: self._reply(
                    peer_id, ReloadReply(id=request_id, code=0, message="", increases=increases)
                ),
            )
            return
        LOGGER.error("Reload failed: %s", error)
        self._increases.drop((peer_id, request_id))
        self._reply(peer_id, ReloadReply(id=request_id, code=error.code, message=error.message))

    def _reply(self, peer_id: int, reply: ReloadReply) -> None:
        for peer in self.peers.role(FRONTEND):
            if peer.id == peer_id:
                self.peers.tell(peer, reply)

    # --- peers ---

    def peer_joined(self, peer: Peer) -> None:
        """Send what the peer needs to know."""
        if peer.role == WORKER:
            hello = peer.hello
            watched = peer.name in self._own_workers
            if watched:
                self._incarnations[peer.name] = hello.incarnation
            entry = WorkerEntry(
                id=peer.id,
                name=hello.name,
                incarnation=hello.incarnation,
                endpoint=hello.endpoint,
                watched=watched,
            )
            self.manager.worker_joined(entry)
            self._lists.pop(peer.id, None)
            self.changed()
        elif self._catalog_bytes and self._hears(peer):
            self.peers.publish(peer, self._catalog_epoch, self._catalog_bytes, self._loop.time())
        else:
            self.changed()

    def peer_left(self, peer: Peer, *, silent: bool) -> None:
        """Route nothing to it any more, at once."""
        if silent and not self.stopping:
            self._host.peer_hangs(peer.name)
        if peer.role == WORKER:
            self._lists.pop(peer.id, None)
            self.manager.worker_left(peer.id, crashed=not self.stopping and peer.name in self._own_workers)
            self.flush()
        else:
            self.ports.gone(peer.name)
            self._reloads.forget(peer.id)
            self._increases.forget(peer.id)
        self._scrapes.left(peer)

    def worker_ended(self, name: str, running: Collection[Key], *, evidence: bool) -> None:
        """The process of a worker that was started here is gone, after it has left; so it was running these."""
        suspects: Collection[Key] = ()
        if not self.stopping:
            suspects = self.manager.worker_ended(name, running, now=self._loop.time(), evidence=evidence)
        incarnation = self._incarnations.pop(name, None)
        if incarnation is not None:
            self._ended.append(EndedWorker(incarnation=incarnation, suspects=sorted(suspects)))
        # Front ends wait for this, and nobody is to be sent to what has just been blamed.
        self.flush()

    def worker_reported(self, peer: Peer, report: WorkerReport) -> None:
        """States have changed."""
        if self.manager.worker_reported(peer.id, report.servables, full=report.full):
            self.changed()
        else:
            self.peers.resync(peer, self._loop.time())

    def worker_acked(self, peer: Peer) -> None:
        """Failures that the worker has forgotten may be tried again."""
        self.manager.acked(peer.id, peer.acked_epoch)
        self.changed()

    def frontend_reported(self, peer: Peer, report: FrontendReport) -> None:
        """Ports are open, or can't be."""
        try:
            self.ports.report(peer.name, report)
        except ServingError as error:
            if self.ports.open:
                self._host.peer_hangs(peer.name)
            else:
                self._host.fatal(error)

    def scrape_requested(self, peer: Peer, request: ScrapeRequest) -> None:
        """Answer with the metrics of all processes."""
        if self._measured:
            self._scrapes.requested(peer, request)

    def metrics_reported(self, peer: Peer, report: MetricsReport) -> None:
        """Add them up."""
        self._scrapes.reported(peer, report)

    # --- decisions ---

    def looked(self) -> None:
        """A model was looked at on disk, which most of the time shows nothing new."""
        if self.manager.dirty or self._reloads or not self.serving:
            self.changed()

    def changed(self) -> None:
        """Flush soon."""
        if self._flush_at is None:
            delay = max(0.0, self._flushed_at + FLUSH_SECONDS - self._loop.time())
            self._flush_at = self._loop.call_later(delay, self.flush)

    def flush(self) -> None:
        """Decide, and tell whom it concerns."""
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        now = self._flushed_at = self._loop.time()
        self.manager.refresh()
        self._check()
        self._publish_catalog(now)
        # Whoever is told that a reload is done may use its models at once.
        self._reloads.check(self.manager, now)
        self._publish_lists(now)

    def _check(self) -> None:
        now = self._loop.time()
        was_serving = self.serving
        try:
            self._initial.check(self.manager, now)
        except ServingError as error:
            self._host.fatal(error)
        if self.serving and not was_serving:
            LOGGER.info("All configured models are available")
            self.manager.careful = True
            self.changed()

    def _publish_catalog(self, now: float) -> None:
        state = (self.serving, self.manager.workers(), self.manager.models(), list(self._ended))
        if state == self._catalog:
            return
        self._epoch += 1
        self._catalog, self._catalog_epoch = state, self._epoch
        serving, workers, models, ended = state
        self._catalog_bytes = self._encode(
            Catalog(epoch=self._epoch, serving=serving, workers=workers, models=models, ended=ended)
        )
        for peer in self.peers.role(FRONTEND):
            if self._hears(peer):
                self.peers.publish(peer, self._epoch, self._catalog_bytes, now)

    def _hears(self, peer: Peer) -> bool:
        """A front end that is already serving keeps the catalog of an earlier control until this one has caught up."""
        return self.serving or not peer.older

    def _publish_lists(self, now: float) -> None:
        for peer in self.peers.role(WORKER):
            if peer.wants_full:
                # Deciding over a worker without knowing what it has would unload it.
                continue
            decided = self.manager.decided(peer.id)
            if decided != self._lists.get(peer.id):
                self._epoch += 1
                self._lists[peer.id] = decided
                snapshot = self._encode(Desired(epoch=self._epoch, servables=decided))
                self.peers.publish(peer, self._epoch, snapshot, now)
            self.manager.sent(peer.id, peer.sent_epoch)
            if peer.acked_epoch >= peer.sent_epoch:
                # What is to be forgotten was not in the list before either.
                self.manager.acked(peer.id, peer.acked_epoch)
        if self.manager.dirty:
            self.changed()


def _client_config(serialized: bytes) -> ModelServerConfig:
    try:
        config = ModelServerConfig.FromString(serialized)
    except DecodeError as error:
        raise invalid_argument(f"Cannot read the ModelServerConfig: {error}") from None
    if config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    for index, entry in enumerate(config.model_config_list.config):
        text = "\nConfig entry\n\tindex : %d\n\tpath : %s\n\tname : %s\n\tplatform : %s"
        LOGGER.info(text, index, entry.base_path, entry.name, entry.model_platform)
    return config
