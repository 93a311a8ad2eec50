"""Steady load from threads: what clients see while a test, or a bench, breaks things."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

# A pause between the requests of one thread, so that the load generator leaves the CPU to the server.
PAUSE_SECONDS = 0.005
END_SECONDS = 60.0


class Load:
    """Calls each of `requests` again and again from a thread of its own while the block runs.

    Attributes:
        answers: what the calls returned.
        failures: the exceptions of those that failed.
    """

    def __init__(self, *requests: Callable[[], Any], pause_seconds: float = PAUSE_SECONDS) -> None:
        self.answers: list[Any] = []
        self.failures: list[Exception] = []
        self._pause_seconds = pause_seconds
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(request,), daemon=True) for request in requests]

    def _repeat(self, request: Callable[[], Any]) -> None:
        while not self._over.wait(self._pause_seconds):
            try:
                answer = request()
            except Exception as error:
                self.keep_failure(error)
            else:
                self.keep_answer(answer)

    def keep_answer(self, answer: Any) -> None:
        """Called from each of the threads."""
        self.answers.append(answer)

    def keep_failure(self, error: Exception) -> None:
        """Called from each of the threads."""
        self.failures.append(error)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(END_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a request never ended"
