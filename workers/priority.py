"""Lower CPU priority for threads that load and unload (Linux has one for each thread).

It is lowered by the work itself, once that no longer holds Python's lock for long: a thread that holds the lock and
gets no CPU would hold up those that serve. There is no way back without privileges, so such a thread does one job only.
"""

from __future__ import annotations

import contextlib
import os
import threading

# As `nice` counts: 0 is usual, 19 the least.
NICENESS = 10

_thread = threading.local()


def expendable() -> None:
    """The calling thread may lower its priority: it ends after this job."""
    _thread.expendable = True


def give_way() -> None:
    """From here on serving goes first; does nothing on a thread that is not `expendable`."""
    if getattr(_thread, "expendable", False):
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
