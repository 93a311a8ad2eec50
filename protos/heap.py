"""Settings of the C heap for processes that move large messages.

By default glibc gives every freed block of some 100 KB back to the kernel, which clears its pages anew when the next
request needs them: for a 600 KB image that costs more than all the rest. Freed memory is kept for reuse instead, up
to a bound.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

# glibc takes no more than this for M_MMAP_THRESHOLD; larger blocks go back to the kernel when they are freed.
_MMAP_THRESHOLD_BYTES = 32 << 20
# Free memory at the top of the heap above which it is given back.
_TRIM_THRESHOLD_BYTES = 256 << 20
_SMALL_TRIM_THRESHOLD_BYTES = 1 << 20
_LOOK_BYTES = 128 << 10
# What a heap grows by, and keeps free at its top. To grow it changes the map of the process's memory, for which it has
# to wait for page faults of other threads: while a model is loaded that may be long.
_TOP_PAD_BYTES = 4 << 20
# Heaps that threads have for themselves before they share some. By default there are eight a CPU, and whoever serves
# waits for a thread that loads a model and has its heap's lock while the kernel looks for memory.
_HEAPS = 256


def keep_freed_memory() -> None:
    """Reuse freed blocks of up to 32 MiB; does nothing where the C library has no `mallopt`."""
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)
        mallopt(_M_ARENA_MAX, _HEAPS)


@contextmanager
def giving_back() -> Iterator[None]:
    """Blocks freed meanwhile return to the kernel if they are large, whichever thread had allocated them.

    `give_back_freed_memory` does not reach free memory at the top of another heap than the first.
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _SMALL_TRIM_THRESHOLD_BYTES)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


def give_back_own_heap() -> None:
    """Return what is free at the top of the heap that the calling thread allocates from."""
    malloc, free = _function("malloc"), _function("free")
    if malloc is None or free is None:
        return
    malloc.argtypes, malloc.restype, free.argtypes = [ctypes.c_size_t], ctypes.c_void_p, [ctypes.c_void_p]
    with giving_back():
        # Freeing a block of at least 64 KiB is what makes the C library look.
        free(malloc(_LOOK_BYTES))


def give_back_freed_memory() -> None:
    """Return all of it to the kernel now; does nothing where the C library has no `malloc_trim`."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _function(name: str) -> Any:
    """A function of the C library, None where there is none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
