"""Who is registered with control, and what each of them last heard and said. No socket here: bytes in, bytes out.

The protocol is mended by snapshots. A peer that control does not know, or whose reports have a gap, is asked to
register anew (`Resync`); a peer whose heartbeats show an old epoch gets the last snapshot again; a peer that is silent
for too long, or was replaced by a new incarnation, leaves. An incarnation that was replaced is refused for good, so
that two processes by one name show up as an error instead of taking turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from control.log import LOGGER
from protos.configs import FrontendConfig, WorkerConfig
from protos.messages import (
    PROTOCOL_VERSION,
    FrontendReport,
    Heartbeat,
    Hello,
    MetricsReport,
    Rejected,
    ReloadRequest,
    Resync,
    ScrapeRequest,
    Stop,
    ToControl,
    Welcome,
    WorkerReport,
)

WORKER = "worker"
FRONTEND = "frontend"

# A peer that is behind by an epoch for longer gets its snapshot again; a resync is asked for at most this often.
MEND_AFTER_SECONDS = 1.0
_REMEMBERED_INCARNATIONS = 1024
_REMEMBERED_STRANGERS = 1024

_Item = TypeVar("_Item", str, bytes)


@dataclass
class Peer:
    """A registered process. `id` is never used twice; a new incarnation is a new peer.

    Attributes:
        older: it was at work before it registered here, under an earlier control that its state comes from.
        wants_full: a worker of which not everything is known: its next full report is waited for.
    """

    id: int
    identity: bytes
    hello: Hello
    heard_at: float
    seq: int = 0
    acked_epoch: int = 0
    outstanding: int = 0
    unloads: int = 0
    memory_bytes: int = 0
    snapshot: bytes = b""
    sent_epoch: int = 0
    sent_at: float = 0.0
    older: bool = False
    wants_full: bool = False
    # When a full report was asked for last.
    resync_at: float = field(default=float("-inf"))

    @property
    def role(self) -> str:
        """`worker` or `frontend`."""
        return self.hello.role

    @property
    def name(self) -> str:
        """The stable name of its slot."""
        return self.hello.name


class PeerEvents(Protocol):
    """What the table tells its owner."""

    def peer_joined(self, peer: Peer) -> None:
        """A new process has registered, or one that was registered asks for its snapshot again."""

    def peer_left(self, peer: Peer, *, silent: bool) -> None:
        """A peer is no longer registered; `silent` when it stopped sending heartbeats."""

    def worker_reported(self, peer: Peer, report: WorkerReport) -> None:
        """A worker's report without a gap before it."""

    def worker_acked(self, peer: Peer) -> None:
        """A worker has carried out the snapshot of `peer.acked_epoch`."""

    def frontend_reported(self, peer: Peer, report: FrontendReport) -> None:
        """A front end has opened its listeners, or could not."""

    def reload_requested(self, peer: Peer, request: ReloadRequest) -> None:
        """A front end passes on a client's reload."""

    def scrape_requested(self, peer: Peer, request: ScrapeRequest) -> None:
        """A front end asks for the metrics of all processes."""

    def metrics_reported(self, peer: Peer, report: MetricsReport) -> None:
        """A process tells what it has counted."""


class PeerTable:
    """The registry. `send(identity, payload)` may lose a message; heartbeats mend that."""

    def __init__(
        self,
        send: Callable[[bytes, bytes], None],
        events: PeerEvents,
        *,
        worker_config: WorkerConfig,
        frontend_config: FrontendConfig,
        silence_seconds: float,
    ) -> None:
        self._send = send
        self._events = events
        self._silence_seconds = silence_seconds
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ToControl).decode
        self._welcome = {
            WORKER: self._encode(Welcome(protocol=PROTOCOL_VERSION, worker=worker_config)),
            FRONTEND: self._encode(Welcome(protocol=PROTOCOL_VERSION, frontend=frontend_config)),
        }
        self._resync = self._encode(Resync())
        self._by_identity: dict[bytes, Peer] = {}
        self._by_name: dict[tuple[str, str], Peer] = {}
        self._replaced: OrderedDict[str, None] = OrderedDict()
        # Identities that were told to register: their reports may have begun before this table did.
        self._strangers: OrderedDict[bytes, None] = OrderedDict()
        self._last_id = 0

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._by_identity.values()))

    def role(self, role: str) -> list[Peer]:
        """All registered peers of a role, oldest first."""
        return [peer for peer in self if peer.role == role]

    def named(self, role: str, name: str) -> Peer | None:
        """The registered peer in a slot."""
        return self._by_name.get((role, name))

    def receive(self, identity: bytes, payload: bytes | memoryview, now: float) -> None:
        """Handle one message; never raises for what a peer may send."""
        try:
            message = self._decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            LOGGER.error("Unreadable message of %d bytes from %r: %s", len(payload), identity, error)
            return
        if isinstance(message, Hello):
            self._hello(identity, message, now)
            return
        peer = self._by_identity.get(identity)
        if peer is None:
            _remember(self._strangers, identity, _REMEMBERED_STRANGERS)
            self._send(identity, self._resync)
            return
        peer.heard_at = now
        self._known(peer, message, now)

    def _hello(self, identity: bytes, hello: Hello, now: float) -> None:
        refusal = self._refusal(hello)
        if refusal:
            LOGGER.error("Refused %s %s (pid %d): %s", hello.role, hello.name, hello.pid, refusal)
            self._send(identity, self._encode(Rejected(reason=refusal)))
            return
        old = self._by_name.get((hello.role, hello.name))
        again = old is not None and old.hello.incarnation == hello.incarnation and old.identity == identity
        for other in (old, self._by_identity.get(identity)):
            if other is not None and not again and self._by_identity.get(other.identity) is other:
                self._leave(other, silent=False)
        if again and old is not None:
            peer = old
            peer.heard_at, peer.wants_full, peer.resync_at = now, peer.role == WORKER, now
        else:
            self._last_id += 1
            peer = Peer(self._last_id, identity, hello, now)
            peer.older = identity in self._strangers
            peer.wants_full = peer.older and peer.role == WORKER
            peer.resync_at = now
            self._by_identity[identity] = peer
            self._by_name[peer.role, peer.name] = peer
            where = f" on {hello.device}" if hello.device else ""
            LOGGER.info("%s (pid %d)%s has registered", hello.name, hello.pid, where)
        self._strangers.pop(identity, None)
        self._send(identity, self._welcome[peer.role])
        self._events.peer_joined(peer)

    def _refusal(self, hello: Hello) -> str:
        if hello.protocol != PROTOCOL_VERSION:
            return f"control speaks protocol version {PROTOCOL_VERSION}, not {hello.protocol}"
        if hello.role not in self._welcome:
            return f"unknown role {hello.role!r}"
        if hello.role == WORKER and not hello.endpoint:
            return "a worker must say where it takes inferences"
        if hello.incarnation in self._replaced:
            return f"another process has registered as {hello.name}"
        return ""

    def _known(self, peer: Peer, message: ToControl, now: float) -> None:
        match message:
            case Heartbeat():
                self._acked(peer, message.epoch)
                peer.outstanding = message.outstanding
                peer.unloads = message.unloads
                peer.memory_bytes = message.memory_bytes
                if peer.wants_full:
                    self._ask_full(peer, now)
                if peer.acked_epoch < peer.sent_epoch and now - peer.sent_at > MEND_AFTER_SECONDS:
                    peer.sent_at = now
                    self._send(peer.identity, peer.snapshot)
            case WorkerReport() if peer.role == WORKER:
                self._worker_report(peer, message, now)
            case FrontendReport() if peer.role == FRONTEND:
                self._events.frontend_reported(peer, message)
            case ReloadRequest() if peer.role == FRONTEND:
                self._events.reload_requested(peer, message)
            case ScrapeRequest() if peer.role == FRONTEND:
                self._events.scrape_requested(peer, message)
            case MetricsReport():
                self._events.metrics_reported(peer, message)
            case _:
                LOGGER.error("%s sent a %s, which is not its to send", peer.name, type(message).__name__)

    def _worker_report(self, peer: Peer, report: WorkerReport, now: float) -> None:
        gap = report.seq != peer.seq + 1
        peer.seq = report.seq
        self._acked(peer, report.epoch)
        if report.full:
            peer.wants_full = False
        elif gap or peer.wants_full:
            peer.wants_full = True
            self._ask_full(peer, now)
            return
        self._events.worker_reported(peer, report)

    def _acked(self, peer: Peer, epoch: int) -> None:
        if epoch > peer.acked_epoch:
            peer.acked_epoch = epoch
            if peer.role == WORKER:
                self._events.worker_acked(peer)

    def resync(self, peer: Peer, now: float) -> None:
        """What a worker says makes no sense: take in nothing more before it has told everything."""
        peer.wants_full = True
        self._ask_full(peer, now)

    def _ask_full(self, peer: Peer, now: float) -> None:
        if now - peer.resync_at > MEND_AFTER_SECONDS:
            peer.resync_at = now
            self._send(peer.identity, self._resync)

    def publish(self, peer: Peer, epoch: int, snapshot: bytes, now: float) -> None:
        """Send a snapshot, and keep it for as long as the peer does not confirm `epoch`."""
        peer.snapshot, peer.sent_epoch, peer.sent_at = snapshot, epoch, now
        self._send(peer.identity, snapshot)

    def tell(self, peer: Peer, message: msgspec.Struct) -> None:
        """Send a message once."""
        self._send(peer.identity, self._encode(message))

    def stop(self, peer: Peer, grace_seconds: float) -> None:
        """Ask a peer to end in order."""
        self.tell(peer, Stop(grace_seconds=grace_seconds))

    def drop(self, role: str, name: str) -> None:
        """The process in this slot has ended."""
        peer = self._by_name.get((role, name))
        if peer is not None:
            self._leave(peer, silent=False)

    def check(self, now: float) -> None:
        """Let the silent ones leave."""
        for peer in self:
            if now - peer.heard_at > self._silence_seconds:
                LOGGER.error(
                    "%s (pid %d) has been silent for %.1f s; it had %d requests outstanding",
                    peer.name,
                    peer.hello.pid,
                    now - peer.heard_at,
                    peer.outstanding,
                )
                self._leave(peer, silent=True)

    def _leave(self, peer: Peer, *, silent: bool) -> None:
        del self._by_identity[peer.identity]
        if self._by_name.get((peer.role, peer.name)) is peer:
            del self._by_name[peer.role, peer.name]
        if not silent:
            _remember(self._replaced, peer.hello.incarnation, _REMEMBERED_INCARNATIONS)
        self._events.peer_left(peer, silent=silent)


def _remember(known: OrderedDict[_Item, None], item: _Item, limit: int) -> None:
    known[item] = None
    known.move_to_end(item)
    while len(known) > limit:
        known.popitem(last=False)
