"""The methods of an event loop that control's parts use, on a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FakeLoop:
    """Calls what was asked for when `advance` comes to its time."""

    def __init__(self) -> None:
        self.now = 50.0
        self._calls: list[tuple[float, Callable[[], Any]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> FakeLoop.Handle:
        entry = (self.now + delay, lambda: callback(*args))
        self._calls.append(entry)
        return FakeLoop.Handle(self, entry)

    class Handle:
        def __init__(self, loop: FakeLoop, entry: tuple[float, Callable[[], Any]]) -> None:
            self._loop, self._entry = loop, entry

        def cancel(self) -> None:
            if self._entry in self._loop._calls:
                self._loop._calls.remove(self._entry)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((call for call in self._calls if call[0] <= end), key=lambda call: call[0]):
            self._calls.remove(due[0])
            self.now = max(self.now, due[0][0])
            due[0][1]()
        self.now = end
