"""Which workers that crashed have not come back to stay, and for how long. No I/O; the clock is passed in.

A worker is absent from its crash until a successor in its slot has been there for `STAY_SECONDS`, so one that crashes
again and again is absent all the time. After `LIMIT_SECONDS` it is given up: it is still started again and loads what
it can, but nobody waits for it, or counts on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

LIMIT_SECONDS = 600.0
# As `control.supervisor`: what lived for so long starts with short pauses again.
STAY_SECONDS = 30.0


@dataclass
class _Absence:
    """Times are those of the first `tick` after the event."""

    since: float | None = None
    is_back: bool = False
    back_since: float | None = None


class Absences:
    """By the name of the worker's slot.

    Attributes:
        given_up: absent for too long, as of the last `tick`; some may be there at the moment.
    """

    def __init__(self) -> None:
        self._absences: dict[str, _Absence] = {}
        self.given_up: frozenset[str] = frozenset()

    def lost(self, name: str) -> None:
        """The worker in a slot has crashed."""
        absence = self._absences.setdefault(name, _Absence())
        absence.is_back, absence.back_since = False, None

    def back(self, name: str) -> None:
        """There is a worker in the slot."""
        if name in self._absences:
            self._absences[name].is_back = True

    def closed(self, name: str) -> None:
        """No worker will come back to the slot."""
        self._absences.pop(name, None)
        self.given_up -= {name}

    def awaited(self) -> Collection[str]:
        """Slots without a worker that are worth waiting for."""
        return {name for name, absence in self._absences.items() if not absence.is_back} - self.given_up

    def tick(self, now: float) -> bool:
        """What has changed by the clock; tells whether `given_up` has."""
        for name, absence in list(self._absences.items()):
            if absence.since is None:
                absence.since = now
            if absence.is_back and absence.back_since is None:
                absence.back_since = now
            if absence.back_since is not None and now - absence.back_since >= STAY_SECONDS:
                del self._absences[name]
        before, self.given_up = self.given_up, frozenset(self._overdue(now))
        return self.given_up != before

    def _overdue(self, now: float) -> Collection[str]:
        return [
            name
            for name, absence in self._absences.items()
            if absence.since is not None and now - absence.since >= LIMIT_SECONDS
        ]
