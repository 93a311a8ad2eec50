"""Gives memory back to the system after versions were freed.

What Python's collector has to find is found, and what the C library keeps of freed memory returns to the kernel. Both
take a while with much memory, so it happens on a loader thread, and only every so often.
"""

from __future__ import annotations

import gc

from protos.heap import give_back_freed_memory
from workers.executor import Executor

_EVERY_NS = 2_000_000_000


class Housekeeping:
    """Told by `freed`, it cleans up at the next `tick`, unless it has just done so."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._dirty = False
        self._next_ns = 0

    def freed(self) -> None:
        """A version was freed, or failed to load."""
        self._dirty = True

    def tick(self, now_ns: int) -> int | None:
        """Clean up when it is due; when it is due next, or None. Its outcome comes back with the context None."""
        if not self._dirty:
            return None
        if now_ns < self._next_ns:
            return self._next_ns
        self._dirty = False
        self._next_ns = now_ns + _EVERY_NS
        self._executor.submit(clean_up, None)
        return None


def clean_up() -> None:
    """Do it now."""
    gc.collect()
    give_back_freed_memory()
