"""Metrics of the whole server for those who ask this front end: control, which knows all processes, has the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from protos.errors import Code, ServingError
from protos.messages import ScrapeReply, ScrapeRequest

TIMEOUT_SECONDS = 5.0
MAX_WAITING = 64

Done = Callable[[bytes | ServingError], None]
"""Gets the text, or why there is none; is called once, unless the scrape is cancelled."""

Scrape = Callable[[Done], Callable[[], None]]
"""Asks for the text; what it returns cancels the scrape."""


class Scrapes:
    """Scrapes under way; `send` says whether the message has left for control."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[ScrapeRequest], bool]) -> None:
        self._loop = loop
        self._send = send
        self._waiting: dict[int, tuple[Done, asyncio.TimerHandle]] = {}
        self._last_id = 0

    def ask(self, done: Done) -> Callable[[], None]:
        """Have `done` called with the text, or after at most `TIMEOUT_SECONDS` with an error; a `Scrape`.

        Raises:
            ServingError: UNAVAILABLE, too many wait already, or control cannot be reached.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise ServingError(Code.UNAVAILABLE, f"{MAX_WAITING} scrapes of metrics are under way already")
        self._last_id = number = self._last_id + 1
        if not self._send(ScrapeRequest(id=number)):
            raise ServingError(Code.UNAVAILABLE, "control cannot be reached")
        late = ServingError(Code.UNAVAILABLE, "control did not answer in time with the metrics of all processes")
        timer = self._loop.call_later(TIMEOUT_SECONDS, self._end, number, late)
        self._waiting[number] = (done, timer)

        def cancel() -> None:
            self._forget(number)

        return cancel

    def replied(self, message: ScrapeReply) -> None:
        """Control has answered."""
        for number in message.ids:
            self._end(number, message.text)

    def control_restarted(self) -> None:
        """Control knows nothing of what it was asked before."""
        for number in list(self._waiting):
            self._end(number, ServingError(Code.UNAVAILABLE, "control has restarted"))

    def _end(self, number: int, outcome: bytes | ServingError) -> None:
        done = self._forget(number)
        if done is not None:
            done(outcome)

    def _forget(self, number: int) -> Done | None:
        done, timer = self._waiting.pop(number, (None, None))
        if timer is not None:
            timer.cancel()
        return done
