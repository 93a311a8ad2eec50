"""Rounds in which control asks every process what it has counted, and answers those who want to see it.

A scrape is answered by a round that began after it came, so everything that was counted before is in the answer; all
that come while a round is under way share the next one. A process that does not answer in time counts with what it
said last. Without scrapes there is a round every `EVERY_SECONDS`, so that a process that is killed takes little with
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from control.exposition import exposition
from control.metrics import Cells, Ledger
from control.peers import Peer, PeerTable
from protos.messages import MetricsReport, MetricsRequest, ScrapeReply, ScrapeRequest
from protos.metrics import DEFINITIONS, Registry
from protos.process_metrics import watch_process

EVERY_SECONDS = 10.0
# How long processes may take to answer.
ROUND_SECONDS = 1.0
# From the beginning of one round to that of the next: whoever scrapes without a pause must not cost much.
LEAST_SECONDS = 0.05
# Scrapes of one front end that wait; it sends no more itself.
MAX_WAITING = 256


class Scrapes:
    """The metrics of the whole server. All methods are for the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, peers: PeerTable) -> None:
        self._loop = loop
        self._peers = peers
        self._ledger = Ledger()
        self._registry = Registry()
        watch_process(self._registry, "control")
        # Ids of scrapes by the front end's number: of the round under way, and of the next one.
        self._waiting: dict[int, list[int]] = {}
        self._next: dict[int, list[int]] = {}
        # The same for those in this process.
        self._curious: list[Callable[[Cells], None]] = []
        self._next_curious: list[Callable[[Cells], None]] = []
        self._round = 0
        self._began_at = float("-inf")
        # Who has not answered yet; None between rounds.
        self._missing: set[int] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def requested(self, peer: Peer, request: ScrapeRequest) -> None:
        """A front end wants the text."""
        ids = self._next.setdefault(peer.id, [])
        if len(ids) < MAX_WAITING:
            ids.append(request.id)
        self._go_on()

    def when_counted(self, done: Callable[[Cells], None]) -> None:
        """Call `done` once with what all processes have counted; whatever was counted before this call is in it."""
        self._next_curious.append(done)
        self._go_on()

    def reported(self, peer: Peer, report: MetricsReport) -> None:
        """A process has told what it has counted."""
        self._ledger.report(_source(peer), report.cells)
        if report.round == self._round:
            self._arrived(peer)

    def left(self, peer: Peer) -> None:
        """A process has gone, or is silent."""
        self._ledger.leave(_source(peer))
        self._waiting.pop(peer.id, None)
        self._next.pop(peer.id, None)
        self._arrived(peer)

    def tick(self) -> None:
        """Ask again if the last round is long ago; to be called about twice a second."""
        if self._timer is None and self._loop.time() - self._began_at >= EVERY_SECONDS:
            self._begin()

    def _go_on(self) -> None:
        """Begin the next round when somebody waits for it, unless one is under way."""
        if (self._next or self._next_curious) and self._timer is None:
            delay = self._began_at + LEAST_SECONDS - self._loop.time()
            if delay > 0:
                self._timer = self._loop.call_later(delay, self._begin)
            else:
                self._begin()

    def _begin(self) -> None:
        peers = list(self._peers)
        self._round += 1
        self._began_at = self._loop.time()
        self._waiting, self._next = self._next, {}
        self._curious, self._next_curious = self._next_curious, []
        self._missing = {peer.id for peer in peers}
        self._timer = self._loop.call_later(ROUND_SECONDS, self._end)
        request = MetricsRequest(round=self._round)
        for peer in peers:
            self._peers.tell(peer, request)

    def _arrived(self, peer: Peer) -> None:
        if self._missing is not None:
            self._missing.discard(peer.id)
            if not self._missing:
                self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._missing = None
        waiting, self._waiting = self._waiting, {}
        if waiting:
            text = exposition(DEFINITIONS.values(), self._ledger.total(self._registry.snapshot())).encode()
            for peer in self._peers:
                ids = waiting.get(peer.id)
                if ids is not None:
                    self._peers.tell(peer, ScrapeReply(ids=ids, text=text))
        curious, self._curious = self._curious, []
        if curious:
            cells = self._ledger.total(self._registry.snapshot())
            for done in curious:
                done(cells)
        self._go_on()


def _source(peer: Peer) -> tuple[str, str, str]:
    return peer.role, peer.name, peer.hello.incarnation
