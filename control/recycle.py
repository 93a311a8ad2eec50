"""Replaces worker processes while they serve: a successor loads everything beside the old one, then takes over.

What a process keeps after thousands of unloads (fragments of memory, caches of libraries) comes back only with its
end. A worker is replaced when somebody asks, after so many unloads, or when its memory has grown so far beyond what it
had once its models were there. One at a time, and without a gap:

1. A successor is started in the same place, registers, loads what is wanted and takes its share of the requests.
2. Once it serves all that the old one serves, nothing new is routed to the old one, which finishes what it has and
   ends.

If the successor doesn't get that far in time it is ended, and the old one goes on; that is tried again later. The
device must have room for both. No I/O and no clock here: `Fleet` does, and `tick` is told the time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from control.log import LOGGER

# A successor that does not serve after so long is given up, and the next try waits for so long.
GIVE_UP_SECONDS = 600.0
TRY_AGAIN_SECONDS = 300.0


@dataclass(frozen=True)
class Vitals:
    """What a worker says of itself with a heartbeat: how many versions it has unloaded, and its memory in bytes."""

    incarnation: str
    unloads: int
    memory_bytes: int


class Fleet(Protocol):
    """The workers of this box, by name."""

    def workers(self) -> Collection[str]:
        """Those that are meant to serve; neither successors nor those on their way out."""

    def vitals(self, name: str) -> Vitals | None:
        """What a worker says; None while it is not registered."""

    def has_settled(self, name: str) -> bool:
        """The worker has loaded, or failed to load, all it should."""

    def start_successor(self, name: str) -> str:
        """Start a worker in the place of another; returns its name."""

    def can_replace(self, successor: str, name: str) -> bool:
        """The successor serves all that the old worker serves."""

    def hand_over(self, successor: str, name: str) -> None:
        """The successor is one of `workers` from now on, and the old one ends when it has finished what it has."""

    def abandon(self, successor: str) -> None:
        """End a successor that was not needed or did not come up."""

    def runs(self, name: str) -> bool:
        """There is a process of this name."""


@dataclass
class _Replacement:
    old: str
    new: str
    since: float
    handed_over: bool = False


class Recycler:
    """Decides who is replaced, and sees it through.

    Args:
        fleet: does it.
        after_unloads: replace a worker that has unloaded so many versions; 0 never.
        memory_growth_bytes: replace one whose memory has grown by so much; 0 never.
    """

    def __init__(self, fleet: Fleet, *, after_unloads: int, memory_growth_bytes: int) -> None:
        self._fleet = fleet
        self._after_unloads = after_unloads
        self._memory_growth_bytes = memory_growth_bytes
        self._asked: list[str] = []
        self._now: _Replacement | None = None
        self._not_before: dict[str, float] = {}
        # Memory of a worker, by incarnation, when its models had been loaded first.
        self._baselines: dict[str, int] = {}
        self.finished = 0

    def ask(self, names: Collection[str]) -> None:
        """Replace these workers, one after another."""
        self._asked += [name for name in names if name not in self._asked]
        self._not_before = {name: at for name, at in self._not_before.items() if name not in names}

    def tick(self, now: float) -> None:
        """Go on; to be called about twice a second."""
        if self._now is not None:
            self._go_on(self._now, now)
            return
        self._look()
        for name in list(self._asked):
            if name not in self._fleet.workers():
                self._asked.remove(name)
            elif now >= self._not_before.get(name, 0.0) and self._fleet.has_settled(name):
                self._asked.remove(name)
                self._now = _Replacement(name, self._fleet.start_successor(name), now)
                LOGGER.info("%s is being replaced by %s", name, self._now.new)
                return

    def _look(self) -> None:
        known: dict[str, int] = {}
        for name in self._fleet.workers():
            vitals = self._fleet.vitals(name)
            if vitals is None:
                continue
            baseline = self._baselines.get(vitals.incarnation)
            if baseline is None and vitals.memory_bytes and self._fleet.has_settled(name):
                baseline = vitals.memory_bytes
            if baseline is None:
                continue
            known[vitals.incarnation] = baseline
            growth = vitals.memory_bytes - baseline
            due = 0 < self._after_unloads <= vitals.unloads or 0 < self._memory_growth_bytes <= growth
            if due and name not in self._asked:
                LOGGER.info("%s has unloaded %d versions and grown by %d bytes", name, vitals.unloads, growth)
                self._asked.append(name)
        self._baselines = known

    def _go_on(self, replacement: _Replacement, now: float) -> None:
        old, new = replacement.old, replacement.new
        if replacement.handed_over:
            if not self._fleet.runs(old):
                LOGGER.info("%s has been replaced by %s in %.1f s", old, new, now - replacement.since)
                self.finished += 1
                self._now = None
        elif self._fleet.can_replace(new, old):
            replacement.handed_over = True
            self._fleet.hand_over(new, old)
        elif not self._fleet.runs(new) or now - replacement.since > GIVE_UP_SECONDS:
            LOGGER.error("%s cannot be replaced: %s did not come to serve what it does", old, new)
            self._fleet.abandon(new)
            self._not_before[old] = now + TRY_AGAIN_SECONDS
            self._now = None
