"""When a graph that was always cheap holds up the loop, another thread goes on with the loop.

Cheap graphs run on the loop's own thread, where nothing else happens meanwhile: no request is read, no heartbeat
leaves. What a graph costs can depend on its data, so one call may take seconds after a thousand that took
microseconds. A watchdog looks at the call under way; when it has lasted too long, a new thread becomes the leader and
takes the loop over in whatever state it is. The old one, when its call returns at last, hands in the outcome like an
executor thread and ends.

The loop's state needs no lock: only the leader touches it. Leadership goes with a token, a list that holds the call
under way: whoever pops it, the leader that has returned from its call or the watchdog, decides (a pop is atomic).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

_LOOK_EVERY_S = 0.02
# How long a call may hold up the loop.
LIMIT_NS = 50_000_000

Token = list[Any]


class Deposed(BaseException):
    """This thread is no longer the leader: it must touch nothing of the loop any more."""


class Takeover:
    """Guards the calls that run on the leader's thread.

    Args:
        lead: runs the loop, on a new thread.
        adopt: told of a call whose leader is being deposed while it runs.
        limit_ns: how long a call may take.
    """

    def __init__(self, lead: Callable[[], None], adopt: Callable[[Any], None], *, limit_ns: int = LIMIT_NS) -> None:
        self._lead = lead
        self._adopt = adopt
        self._limit_ns = limit_ns
        self._token: Token = []
        self._since_ns = 0
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def enter(self, call: Any) -> Token:
        """The leader is about to make a call; what it gets is for `leave`."""
        self._since_ns = monotonic_ns()
        token = self._token
        token.append(call)
        return token

    def leave(self, token: Token) -> bool:
        """The call has returned. False: another thread leads now, and the outcome is to be handed in to it."""
        try:
            token.pop()
        except IndexError:
            return False
        self._since_ns = 0
        return True

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY_S):
            since_ns = self._since_ns
            if since_ns and monotonic_ns() - since_ns > self._limit_ns:
                self._take_over()

    def _take_over(self) -> None:
        try:
            call = self._token.pop()
        except IndexError:
            return  # it has just returned
        self._since_ns = 0
        self._token = []
        self._adopt(call)
        threading.Thread(target=self._lead, name="leader", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
