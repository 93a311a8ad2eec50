"""No orphans: a child process asks the kernel to be killed when the process that started it ends.

Control sets `TENSORMUX_PARENT_PID` in the environment of each child; the child calls `die_with_parent` before
anything else. The kernel then ends the child also when control was killed with SIGKILL and could tell nobody. A
process that somebody else started (a container, a service manager) has no such variable and is left alone.

The signal is tied to the *thread* that started the child, so control starts children from its main thread only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

ENV_PARENT_PID = "TENSORMUX_PARENT_PID"

_PR_SET_PDEATHSIG = 1


def die_with_parent(env: Mapping[str, str]) -> None:
    """Bind this process's life to that of its parent; does nothing without `TENSORMUX_PARENT_PID`.

    Guarantees on Linux that after the return the process gets SIGKILL when its parent ends. Elsewhere only the check
    for a parent that has gone already is made.

    Raises:
        SystemExit: the parent ended before this call.
        OSError: the kernel refused.
        ValueError: the variable is not a process id.
    """
    text = env.get(ENV_PARENT_PID, "")
    if not text:
        return
    expected = int(text)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # A parent that ended before prctl() sends no signal any more: this process has a new parent by now.
    if os.getppid() != expected:
        raise SystemExit(f"the parent process {expected} has ended")
