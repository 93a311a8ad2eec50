"""Shared memory for large tensors between processes of one box.

A front end owns an `Arena`, copies large inputs into `Block`s of it, and sends offsets in place of bytes; workers map
the same pages through `/proc` and read them there. Compared with a ZeroMQ frame this spares the kernel two copies and
several wake-ups. Where a worker cannot reach the pages (another container, another user), frames are used.

A block is free again when its `Block` object dies, so whoever may still need the bytes keeps the object. The reader
feeds a block's bytes to TensorFlow from an address that TensorFlow must copy (see `_SHIFT`): no tensor ever refers to
a block once the request that brought it has been answered.
"""

from __future__ import annotations

import bisect
import mmap
import os

_ALIGN = 4096
# TensorFlow adopts memory that is aligned to 16 bytes or more, and a graph may then keep it (in a variable). At this
# distance from alignment it copies, once, while numbers of every type are still aligned for themselves.
_SHIFT = 8


class Block:
    """A piece of an arena that holds one tensor's bytes; `offset` is where they start in the arena."""

    __slots__ = ("offset", "size", "_arena")

    def __init__(self, arena: Arena, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        self._arena = arena

    def __del__(self) -> None:
        self._arena.release(self.offset, self.size)


class Arena:
    """The writer's side: `capacity` bytes of anonymous shared memory, of which only used pages take room.

    Attributes:
        path: where processes of the same user on the same box find it.
    """

    def __init__(self, capacity: int) -> None:
        self._fd = os.memfd_create("tensormux-arena", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, capacity)
        self._map = mmap.mmap(self._fd, capacity)
        self._view = memoryview(self._map)
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        # Free ranges by start, neighbours always joined.
        self._starts = [0]
        self._ends = [capacity]

    def put(self, data: bytes | memoryview) -> Block | None:
        """Copy `data` into a new block; None when there is no room for it now."""
        size = len(data)
        need = -(-(size + _SHIFT) // _ALIGN) * _ALIGN
        for i, start in enumerate(self._starts):
            if self._ends[i] - start >= need:
                if self._ends[i] - start == need:
                    del self._starts[i], self._ends[i]
                else:
                    self._starts[i] = start + need
                offset = start + _SHIFT
                self._view[offset : offset + size] = data
                return Block(self, offset, size)
        return None

    def release(self, offset: int, size: int) -> None:
        """Take a block's range back; called when its `Block` dies."""
        start = offset - _SHIFT
        end = start + -(-(size + _SHIFT) // _ALIGN) * _ALIGN
        i = bisect.bisect(self._starts, start)
        if i > 0 and self._ends[i - 1] == start:
            i -= 1
            self._ends[i] = end
        else:
            self._starts.insert(i, start)
            self._ends.insert(i, end)
        if i + 1 < len(self._starts) and self._starts[i + 1] == end:
            self._ends[i] = self._ends[i + 1]
            del self._starts[i + 1], self._ends[i + 1]


class ArenaReader:
    """The reader's side of an arena.

    Raises:
        OSError: the pages cannot be reached from this process.
    """

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._view = memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ))
        finally:
            os.close(fd)

    def read(self, offset: int, size: int) -> memoryview:
        """The bytes of a block, in place.

        Raises:
            ValueError: the range is not inside the arena.
        """
        if offset < 0 or size < 0 or offset + size > len(self._view):
            raise ValueError(f"no block of {size} bytes at {offset} in an arena of {len(self._view)}")
        return self._view[offset : offset + size]
