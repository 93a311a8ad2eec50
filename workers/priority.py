"""Lower CPU priority for threads that load and unload (Linux has one for each thread).

It is lowered by the work itself, once that no longer holds Python's lock for long: a thread that holds the lock and
gets no CPU would hold up those that serve. There is no way back without privileges, so such a thread does one job only.
"""

from __future__ import annotations

import contextlib
import os
import threading

# Added to what the process has, as `nice` does; 19 is the least priority.
NICENESS = 10
_LEAST = 19

_thread = threading.local()


def expendable() -> None:
    """The calling thread may lower its priority: it ends after this job."""
    _thread.expendable = True


def give_way() -> None:
    """From here on serving goes first; does nothing on a thread that is not `expendable`."""
    if getattr(_thread, "expendable", False):
        with contextlib.suppress(OSError, AttributeError):
            thread = threading.get_native_id()
            usual = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(_LEAST, usual + NICENESS))
            _thread.expendable = False
