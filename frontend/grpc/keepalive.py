"""When to ask a silent client whether it is still there, and when to give it up. Sans-IO: the clock is an argument."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What is to be done about a client."""

    WAIT = 0
    PING = 1
    DEAD = 2


class Keepalive:
    """One connection's; looked at with each sweep, so its times are as exact as the sweep is frequent.

    Args:
        every_seconds: a client that has sent nothing for so long is sent a PING; <= 0 never.
        timeout_seconds: how long it may be silent after that.
    """

    __slots__ = ("_every", "_timeout", "_heard_at", "_pinged_at")

    def __init__(self, every_seconds: float, timeout_seconds: float) -> None:
        self._every = every_seconds
        self._timeout = timeout_seconds
        self._heard_at = 0.0
        self._pinged_at = 0.0

    def check(self, now: float, *, heard: bool) -> Verdict:
        """What to do now; `heard` if the client has sent anything since the last time, at the first time True."""
        if self._every <= 0:
            return Verdict.WAIT
        if heard:
            self._heard_at = now
            self._pinged_at = 0.0
        elif self._pinged_at:
            if now - self._pinged_at >= self._timeout:
                return Verdict.DEAD
        elif now - self._heard_at >= self._every:
            self._pinged_at = now
            return Verdict.PING
        return Verdict.WAIT
