"""Threads of lower priority than those that serve. Linux has a priority for each thread, not only for the process.

They are for calls that take long without Python's lock. What wants the lock often must not run on them: whoever lets go
of it for another thread waits until that one has taken it, so a thread that gets no CPU would hold up everybody.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import threading
from collections.abc import Callable
from typing import Any

# Added to what the process has, as `nice` does; 19 is the least priority.
NICENESS = 10
_LEAST = 19
# Linux lets a thread finish its slice (a few ms) before one that wakes up gets the CPU, whatever their priorities; but
# since 6.12 not if that one has the shorter slice. So these have the longest that Linux takes.
_SLICE_NS = 100_000_000
# What sched_setattr is called by (the kernel's syscall tables), and its argument: size, policy, flags, niceness,
# priority, runtime, deadline, period (sched_setattr(2)). glibc has had a function for it since 2.41 only.
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_ATTRIBUTES = struct.Struct("<IIQiIQQQ")


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
        niceness = min(_LEAST, usual + NICENESS)
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
        # Nor does it interrupt others when it has something to do.
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
        _lengthen_slice(niceness)


def _lengthen_slice(niceness: int) -> None:
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_BATCH, 0, niceness, 0, _SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)  # older kernels ignore the slice
