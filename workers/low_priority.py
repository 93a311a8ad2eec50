"""Threads of lower priority than those that serve. Linux has a priority for each thread, not only for the process.

They are for calls that take long without Python's lock. What wants the lock often must not run on them: whoever lets go
of it for another thread waits until that one has taken it, so a thread that gets no CPU would hold up everybody.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

# Added to what the process has, as `nice` does; 19 is the least priority.
NICENESS = 10
_LEAST = 19


def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it on a thread of its own, and wait for it; threads that it makes have the same priority.

    Raises:
        what the call raises.
    """
    results: list[Any] = []
    failures: list[BaseException] = []

    def work() -> None:
        _lower()
        try:
            results.append(function(*arguments))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="load-low", daemon=True)
    thread.start()
    thread.join()
    try:
        for failure in failures:
            raise failure
        return results[0]
    finally:
        del failures[:]  # or error, traceback and this frame would keep each other


def _lower() -> None:
    """The priority of the calling thread; there is no way back without privileges."""
    with contextlib.suppress(OSError, AttributeError):
        thread = threading.get_native_id()
        usual = os.getpriority(os.PRIO_PROCESS, os.getpid())
        os.setpriority(os.PRIO_PROCESS, thread, min(_LEAST, usual + NICENESS))
        # Nor does it interrupt others when it has something to do.
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
