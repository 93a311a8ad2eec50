"""A fixed pool of threads whose results wake the worker's loop.

`concurrent.futures` would do, at four times the cost per call: here one queue goes in, one deque comes out, and the
loop is woken through an eventfd only when it may be asleep.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

Job = Callable[[], Any]


class Executor:
    """Runs jobs on `threads` threads; finished ones are collected with `finished()` on the loop's thread."""

    def __init__(self, threads: int, *, name: str) -> None:
        self.threads = threads
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._jobs: queue.SimpleQueue[tuple[Job, Any] | None] = queue.SimpleQueue()
        self._done: deque[tuple[Any, Any, BaseException | None]] = deque()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, context: Any) -> None:
        """Run `job()` on some thread; `context` comes back with its result."""
        self._jobs.put((job, context))

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, context = item
            try:
                result, error = job(), None
            except BaseException as failure:  # whatever a model does, the thread lives on
                result, error = None, failure
            self.hand_in(context, result, error)
            del job, context, item, result, error

    def hand_in(self, context: Any, result: Any, error: BaseException | None) -> None:
        """An outcome for `finished`; from any thread."""
        self._done.append((context, result, error))
        os.eventfd_write(self.wake_fd, 1)

    def finished(self) -> list[tuple[Any, Any, BaseException | None]]:
        """`(context, result, error)` of the jobs that ended; to be called when `wake_fd` is readable."""
        # Clear the wake-up first: a job that ends after this line wakes the loop again.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.wake_fd)
        results = []
        while self._done:
            results.append(self._done.popleft())
        return results

    def close(self) -> None:
        """Let the threads end after the jobs that are queued; does not wait."""
        for _ in self._threads:
            self._jobs.put(None)
