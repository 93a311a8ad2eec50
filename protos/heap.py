"""Settings of the C heap for processes that move large messages.

By default glibc gives every freed block of some 100 KB back to the kernel, which clears its pages anew when the next
request needs them: for a 600 KB image that costs more than all the rest. Freed memory is kept for reuse instead, up
to a bound.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# glibc takes no more than this for M_MMAP_THRESHOLD; larger blocks go back to the kernel when they are freed.
_MMAP_THRESHOLD_BYTES = 32 << 20
# Free memory at the top of the heap above which it is given back.
_TRIM_THRESHOLD_BYTES = 256 << 20


def keep_freed_memory() -> None:
    """Reuse freed blocks of up to 32 MiB; does nothing where the C library has no `mallopt`."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
