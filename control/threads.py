"""Daemon threads for calls that may hang, such as listing a directory of a dead network file system.

A job that runs longer than `SLOW_SECONDS` no longer counts against the size of the pool: another thread takes its
place, so one hanging file system never holds up the rest. Threads are daemons, so none of them holds up the exit. The
number of jobs in flight is the caller's to bound (control keeps one for each model).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

SLOW_SECONDS = 0.5

_Result = TypeVar("_Result")


@dataclass
class _Job:
    call: Callable[[], Any]
    future: asyncio.Future[Any]
    slow: asyncio.TimerHandle | None = None
    # Under the pool's lock: whichever comes first decides who has the place of this thread.
    finished: bool = False
    written_off: bool = False


class ThreadPool:
    """Runs calls for one event loop; all methods are for the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, size: int = 4, slow_seconds: float = SLOW_SECONDS) -> None:
        self._loop = loop
        self._size = size
        self._slow_seconds = slow_seconds
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._threads = 0
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """A future of the call's result. Cancelling it doesn't interrupt the call, which ends unheard."""
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._queue.put(_Job(call, future))
        self._grow()
        return future

    def _grow(self) -> None:
        with self._lock:
            if self._threads >= self._size:
                return
            self._threads += 1
        threading.Thread(target=self._work, daemon=True, name="poll").start()

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            result: Any = None
            failure: BaseException | None = None
            if not self._tell(self._started, job):
                return
            try:
                result = job.call()
            except BaseException as error:  # The future carries it to whoever waits.
                failure = error
            with self._lock:
                job.finished = True
                replaced = job.written_off
            if not self._tell(self._finished, job, result, failure) or replaced:
                return

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return False
        return True

    def _started(self, job: _Job) -> None:
        job.slow = self._loop.call_later(self._slow_seconds, self._write_off, job)

    def _write_off(self, job: _Job) -> None:
        with self._lock:
            if job.finished:
                return
            job.written_off = True
            self._threads -= 1
        self._grow()

    def _finished(self, job: _Job, result: Any, failure: BaseException | None) -> None:
        if job.slow is not None:
            job.slow.cancel()
        if job.future.done():
            return
        if failure is not None:
            job.future.set_exception(failure)
        else:
            job.future.set_result(result)
