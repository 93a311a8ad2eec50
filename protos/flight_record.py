"""What a worker is running at this moment, kept where it outlives the process: who was at work when it crashed?

A worker that control has started is told a path by `TENSORMUX_FLIGHT_RECORD`, one for each of its lives, and maps the
file there. Control has made it and holds it, in memory: with one on a disk a store has to wait for that disk now and
then. Each thread that runs graphs has a cell of its own in it, and writes there which version it is about to run, and 0
afterwards: one store into memory each, no lock, no system call. When the process is no more, control reads the cells,
whatever has ended it; nothing has to be written at the moment of the crash.

    header      64 bytes: a mark of the format, then whether some thread had no cell
    cells       THREADS times 64 bytes, of which the first four hold a number; a cache line each, for threads on other
                CPUs write to theirs all the time
    versions    SERVABLES times 256 bytes: version, length of the name, name; number n of the cells is the nth

Everything is bounded. What has no place (a thread too many, a version too many, a name too long) is not left out, for
then somebody else would look like the only one: it is recorded as `UNKNOWN`.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import deque

ENV_FLIGHT_RECORD = "TENSORMUX_FLIGHT_RECORD"

# Threads that run graphs at the same time, and versions that are loaded.
THREADS = 1_024
SERVABLES = 4_096

_MAGIC = 0x52464D54
_LINE = 64
_WORD = 4
_TABLE = _LINE * (1 + THREADS)
_ENTRY = struct.Struct("<qH246s")
_SIZE = _TABLE + _ENTRY.size * SERVABLES
_LONGEST_NAME = 246
# The number of whatever has no entry.
_NO_ENTRY = SERVABLES + 1

Servable = tuple[str, int]
"""Model name and version number."""

UNKNOWN: Servable = ("", 0)
"""Something was running, and nobody knows what. No model has this name."""


class Slot:
    """A thread's place: `cell[0]` is the number of what it runs, 0 for nothing. Free again when this object dies."""

    __slots__ = ("cell", "_free")

    def __init__(self, cell: memoryview, free: deque[memoryview] | None) -> None:
        self.cell = cell
        self._free = free
        cell[0] = 0

    def __del__(self) -> None:
        if self._free is not None:
            self.cell[0] = 0
            self._free.append(self.cell)


class Recorder:
    """The worker's side. Without a lock, so that a thread may end (and give its cell back) at any point.

    Args:
        path: an empty file.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            # Not only its size: where there is no room it must refuse now, and not with a SIGBUS later.
            os.posix_fallocate(fd, 0, _SIZE)
            self._map = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        self._words = memoryview(self._map)[:_TABLE].cast("I")
        self._words[0] = _MAGIC
        step = _LINE // _WORD
        self._cells = deque(self._words[step * i : step * i + 1] for i in range(1, THREADS + 1))
        self._numbers = deque(range(1, SERVABLES + 1))

    def slot(self) -> Slot:
        """A place for the calling thread; when none is left, one that nobody reads."""
        try:
            return Slot(self._cells.popleft(), self._cells)
        except IndexError:
            # What such a thread runs is not known from now on, nor whether there still is one.
            self._words[1] = 1
            return unread_slot()

    def enter(self, name: str, version: int) -> int:
        """The number for a version that may run from now on."""
        text = name.encode(errors="replace")
        if len(text) > _LONGEST_NAME:
            return _NO_ENTRY
        try:
            number = self._numbers.popleft()
        except IndexError:
            return _NO_ENTRY
        _ENTRY.pack_into(self._map, _at(number), version, len(text), text)
        return number

    def leave(self, number: int) -> None:
        """The version of this number runs no more: another may have the number."""
        if 0 < number <= SERVABLES:
            self._numbers.append(number)


def unread_slot() -> Slot:
    """A place in memory of its own, for a thread of which nothing is recorded."""
    return Slot(memoryview(bytearray(_WORD)).cast("I"), None)


def create() -> int:
    """An empty file for a record, in memory; it is gone when all have closed it."""
    return os.memfd_create("flight-record", os.MFD_CLOEXEC)


def path_of(fd: int) -> str:
    """Where others of this user find a file that this process has open."""
    return f"/proc/{os.getpid()}/fd/{fd}"


def read(fd: int) -> frozenset[Servable]:
    """The versions that were running when the process that wrote the file ended.

    Never fails for what is in the file: whatever has ended the process may have written to it, too.
    """
    try:
        return _read(fd)
    except OSError:
        return frozenset({UNKNOWN})


def _read(fd: int) -> frozenset[Servable]:
    head = os.pread(fd, _TABLE, 0)
    if not head.strip(b"\0"):
        # The process ended before it ran anything.
        return frozenset()
    if len(head) < _TABLE:
        return frozenset({UNKNOWN})
    words = memoryview(head).cast("I")
    numbers = set(words[_LINE // _WORD :: _LINE // _WORD].tolist()) - {0}
    found = {_servable(os.pread(fd, _ENTRY.size, _at(n))) if n <= SERVABLES else UNKNOWN for n in numbers}
    if words[0] != _MAGIC or words[1]:
        found.add(UNKNOWN)
    return frozenset(found)


def _at(number: int) -> int:
    return _TABLE + (number - 1) * _ENTRY.size


def _servable(entry: bytes) -> Servable:
    if len(entry) != _ENTRY.size:
        return UNKNOWN
    version, length, text = _ENTRY.unpack(entry)
    try:
        name = text[:length].decode()
    except UnicodeDecodeError:
        return UNKNOWN
    return (name, version) if name and length <= _LONGEST_NAME else UNKNOWN
