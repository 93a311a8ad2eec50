"""Requests whose worker was lost, while it isn't known why.

A request that makes a kernel crash would end the next worker, too, and with it the second try of everybody else's
requests. So what was under way to a worker waits for control to say how it ended (`Catalog.ended`), which takes
milliseconds. Requests for what it was running when it crashed end there; all others may go to another worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator

from frontend.call import Call
from frontend.link import Link
from protos.flight_record import Servable
from protos.messages import Catalog

# While control counts the worker as there, it may well live, and only the connection be broken.
_BROKEN_S = 0.5
# Once control has taken it away, it ends or is being killed: the kernel may need a while for one with much memory.
_ENDING_S = 10.0

Release = Callable[[Link, Iterable[Call], Collection[Servable]], None]


class Stranded:
    """Holds them.

    Args:
        release: takes over requests again, with the link that they were sent on and what may have ended its worker.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, release: Release) -> None:
        self._loop = loop
        self._release = release
        self._present: Collection[str] = ()
        self._suspects: dict[str, Collection[Servable]] = {}
        self._waiting: dict[Link, tuple[list[Call], asyncio.TimerHandle]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __iter__(self) -> Iterator[Call]:
        """All that wait."""
        return (call for calls, _ in self._waiting.values() for call in calls)

    def add(self, link: Link, calls: list[Call]) -> None:
        """The worker of a link has been lost with these."""
        suspects = self._suspects.get(link.entry.incarnation)
        if suspects is not None or not link.entry.watched:
            self._release(link, calls, suspects or ())
        elif calls:
            self._wait(link, calls)

    def _wait(self, link: Link, calls: list[Call]) -> None:
        seconds = _BROKEN_S if link.entry.incarnation in self._present else _ENDING_S
        self._waiting[link] = calls, self._loop.call_later(seconds, self._end, link, ())

    def update(self, snapshot: Catalog) -> None:
        """Control has told which workers there are, and how others ended."""
        self._suspects = {worker.incarnation: frozenset(worker.suspects) for worker in snapshot.ended}
        before, self._present = self._present, {entry.incarnation for entry in snapshot.workers}
        for link, (calls, timer) in list(self._waiting.items()):
            incarnation = link.entry.incarnation
            if incarnation in self._suspects:
                self._end(link, self._suspects[incarnation])
            elif incarnation in before and incarnation not in self._present:
                timer.cancel()
                self._wait(link, calls)

    def _end(self, link: Link, suspects: Collection[Servable]) -> None:
        calls, timer = self._waiting.pop(link)
        timer.cancel()
        self._release(link, calls, suspects)

    def close(self) -> list[Call]:
        """Wait for nothing any more; returns what was waiting."""
        calls = list(self)
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        return calls
