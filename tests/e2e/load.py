"""Steady load from threads, each answer kept: what clients see while a test breaks things."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

# A pause between the requests of one thread, so that the load generator leaves the CPU to the server.
PAUSE_SECONDS = 0.005
END_SECONDS = 60.0


class Load:
    """Calls each of `requests` again and again from a thread of its own while the block runs.

    Attributes:
        answers: what the calls returned.
        failures: the exceptions of those that failed.
    """

    def __init__(self, *requests: Callable[[], Any]) -> None:
        self.answers: list[Any] = []
        self.failures: list[Exception] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(request,), daemon=True) for request in requests]

    def _repeat(self, request: Callable[[], Any]) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            try:
                self.answers.append(request())
            except Exception as error:
                self.failures.append(error)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(END_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a request never ended"
