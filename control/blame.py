"""Which version ends the workers that run it, judged by what was running at each crash. No I/O; the clock is passed in.

- A crash is evidence when the process ended itself in a way that its code leads to (a bad memory access, an abort), or
  when control killed it because it hung. That somebody killed it, or that it exited, is none: an operator may, and the
  kernel when memory is short.
- A version is to blame when so many crashes within `WINDOW_SECONDS` had it running, and no other version was running in
  all of these. As long as another was, a crash that tells them apart is waited for.
- What was being loaded is suspected along with what was running, but not blamed here: `control.strikes` does that.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from control.catalog import Ended, Key
from protos.errors import Code
from protos.flight_record import UNKNOWN

WINDOW_SECONDS = 600.0
# Crashes that are looked back at; a worker that ends young starts again after 10 s at most, but there may be many.
_MOST_CRASHES = 1_024

_OWN_DOING = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)


def is_evidence(returncode: int, *, hung: bool) -> bool:
    """Whether a process that ended so was ended by what it ran.

    Args:
        returncode: negative for a signal, as in `subprocess`.
        hung: control has killed it because it gave no sign of life.
    """
    return hung or -returncode in _OWN_DOING


class _Crash(NamedTuple):
    at: float
    running: frozenset[Key]
    suspects: frozenset[Key]


class Blame:
    """Counts crashes.

    Args:
        crashes: how many it takes; 0 never blames.
    """

    def __init__(self, crashes: int) -> None:
        self._limit = crashes
        self._crashes: deque[_Crash] = deque(maxlen=_MOST_CRASHES)

    def crashed(self, now: float, running: Collection[Key], loading: Collection[Key] = ()) -> dict[Key, int]:
        """A worker has crashed while it was running some versions and loading others; the clock must not go back.

        Returns:
            The versions that are to blame, and how many crashes each was in. They are named again at each further
            crash that they are in.
        """
        while self._crashes and now - self._crashes[0].at > WINDOW_SECONDS:
            self._crashes.popleft()
        if not self._limit or not running:
            return {}
        self._crashes.append(_Crash(now, frozenset(running), frozenset((*running, *loading))))
        return {key: count for key in sorted(running) if key != UNKNOWN and (count := self._count(key))}

    def _count(self, key: Key) -> int:
        """In how many crashes it is the only suspect in common; 0 when that is no proof."""
        crashes = [crash for crash in self._crashes if key in crash.running]
        if len(crashes) < self._limit:
            return 0
        common = frozenset.intersection(*(crash.suspects for crash in crashes))
        return len(crashes) if common == {key} else 0

    def explain(self, key: Key) -> frozenset[Key]:
        """It was `key`: its crashes say nothing against others any more; returns who else was under suspicion."""
        crashes = [crash for crash in self._crashes if key in crash.running]
        self._crashes = deque((crash for crash in self._crashes if key not in crash.running), maxlen=_MOST_CRASHES)
        return frozenset().union(*(crash.suspects for crash in crashes)) - {key, UNKNOWN}

    def forget(self, key: Key) -> None:
        """The version has other files, or is no longer wanted: it begins anew.

        In the crashes that it was in it stays as somebody who might have been the cause, lest the others look guilty.
        """
        for index, crash in enumerate(self._crashes):
            if key in crash.suspects:
                self._crashes[index] = _Crash(crash.at, _without(crash.running, key), _without(crash.suspects, key))


def _without(keys: frozenset[Key], key: Key) -> frozenset[Key]:
    return keys - {key} | {UNKNOWN} if key in keys else keys


def why(key: Key, count: int) -> Ended:
    """What people read of a version that is not served any more."""
    return Ended(
        Code.INTERNAL, f"Servable {{name: {key[0]} version: {key[1]}}} ended the worker {count} times while it ran"
    )
