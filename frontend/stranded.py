"""Requests whose worker was lost, while it isn't known why.

A request that makes a kernel crash would end the next worker, too, and with it the second try of everybody else's
requests. So what was under way to a worker waits for control to say how it ended (`Catalog.ended`), which takes
milliseconds. Requests for what it was running when it crashed end there; all others may go to another worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from frontend.call import Call
from frontend.link import Link
from protos.messages import EndedWorker

# When control says nothing in this time the worker may well live, and only the connection be broken.
_VERDICT_S = 0.5

Servable = tuple[str, int]
Release = Callable[[Link, list[Call], Collection[Servable]], None]


class Stranded:
    """Holds them.

    Args:
        release: takes over requests again, with the link that they were sent on and what may have ended its worker.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, release: Release) -> None:
        self._loop = loop
        self._release = release
        self._suspects: dict[str, Collection[Servable]] = {}
        self._waiting: dict[Link, tuple[list[Call], asyncio.TimerHandle]] = {}

    def add(self, link: Link, calls: list[Call]) -> None:
        """The worker of a link has been lost with these."""
        suspects = self._suspects.get(link.entry.incarnation)
        if suspects is None and calls and link.up and link.entry.watched:
            self._waiting[link] = calls, self._loop.call_later(_VERDICT_S, self._end, link, ())
        else:
            # What was never connected had nothing to run.
            self._release(link, calls, suspects if suspects is not None and link.up else ())

    def update(self, ended: Iterable[EndedWorker]) -> None:
        """Control has told how these workers ended."""
        self._suspects = {worker.incarnation: worker.suspects for worker in ended}
        for link in [link for link in self._waiting if link.entry.incarnation in self._suspects]:
            self._end(link, self._suspects[link.entry.incarnation])

    def _end(self, link: Link, suspects: Collection[Servable]) -> None:
        calls, timer = self._waiting.pop(link)
        timer.cancel()
        self._release(link, calls, suspects)

    def close(self) -> list[Call]:
        """Wait for nothing any more; returns what was waiting."""
        waiting, self._waiting = self._waiting, {}
        for _, timer in waiting.values():
            timer.cancel()
        return [call for calls, _ in waiting.values() for call in calls]
