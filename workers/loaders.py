"""The threads that load and unload versions, kept apart from those that serve.

A thread whose load hangs cannot be ended, only given up: another takes its place, and what it brings in the end is
thrown away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from workers.executor import Executor, Job

log = logging.getLogger("tensormux.worker")

# Threads that were given up and not replaced by another beyond this: each may hold a whole model.
MAX_ABANDONED = 16


class Loaders(Executor):
    """An executor whose threads can be given up.

    Args:
        threads: how many jobs run at a time.
        prepare: called once, before any job.
        discard: called with the result that a thread has brought after it was given up.
    """

    def __init__(
        self,
        threads: int,
        *,
        prepare: Callable[[], None] = lambda: None,
        discard: Callable[[Any], None] = lambda result: None,
    ) -> None:
        self._prepare: Callable[[], None] | None = prepare
        self._discard = discard
        self._preparing = threading.Lock()
        self._lock = threading.Lock()
        # What is being done, by context.
        self._current: dict[Any, object] = {}
        self._abandoned = 0
        # Threads that were given up and not replaced.
        self._missing = 0
        super().__init__(threads, name="load")

    def is_running(self, context: Any) -> bool:
        """Whether a thread is at the job of `context`, rather than that it waits or is done."""
        return context in self._current

    def abandon(self, context: Any) -> bool:
        """Give up the thread that runs the job of `context`; False: that has just ended, and its outcome will come."""
        with self._lock:
            if self._current.pop(context, None) is None:
                return False
            self._abandoned += 1
            replace = self._abandoned <= MAX_ABANDONED
            if not replace:
                self._missing += 1
                self.threads -= 1
        if replace:
            threading.Thread(target=self._work, name="load-again", daemon=True).start()
        else:
            log.error("%d loads hang: %d threads are left for others", self._abandoned, self.threads)
        return True

    def _work(self) -> None:
        self._begin()
        while (item := self._jobs.get()) is not None:
            job, context = item
            token = object()
            with self._lock:
                self._current[context] = token
            result, error = _run(job)
            with self._lock:
                mine = self._current.get(context) is token
                if mine:
                    del self._current[context]
            if mine:
                self.hand_in(context, result, error)
            elif not self._come_back(result):
                return
            del job, context, item, result, error

    def _begin(self) -> None:
        with self._preparing:
            prepare, self._prepare = self._prepare, None
            if prepare is not None:
                try:
                    prepare()
                except Exception as error:  # a job will fail of the same, and say so
                    log.error("cannot prepare for loading: %s", error)

    def _come_back(self, result: Any) -> bool:
        """A thread that was given up has ended its job after all; whether it is needed."""
        if result is not None:
            try:
                self._discard(result)
            except Exception as error:
                log.error("cannot free what a load brought too late: %s", error)
        with self._lock:
            self._abandoned -= 1
            needed = self._missing > 0
            if needed:
                self._missing -= 1
                self.threads += 1
        return needed


def _run(job: Job) -> tuple[Any, BaseException | None]:
    """The result of a job, or what it raised."""
    try:
        return job(), None
    except BaseException as failure:  # whatever a model does, the next one gets its turn
        return None, failure
