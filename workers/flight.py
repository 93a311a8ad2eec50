"""What this process runs now, thread by thread, for control to read in case the process dies of it.

One record a process, as there is one fate: `start` is called before anything runs, and without it nothing is recorded.
Whoever runs a graph does, on its own thread,

    cell = here.cell
    cell[0] = mark
    try:
        ...
    finally:
        cell[0] = 0

with the `mark` of the version, which costs less than 0.1 us. A thread has its cell from its first run until it ends.
"""

from __future__ import annotations

import threading

from protos.flight_record import Recorder, unread_slot

_recorder: Recorder | None = None


def start(path: str) -> None:
    """Record from now on, in the file at `path`; for threads that have run nothing yet.

    Raises:
        OSError: the file cannot be written.
    """
    global _recorder
    _recorder = Recorder(path)


def enter(name: str, version: int) -> int:
    """The mark of a version that is about to be loaded; 0 when nothing is recorded."""
    return _recorder.enter(name, version) if _recorder is not None else 0


def leave(mark: int) -> None:
    """The version of this mark is no longer there."""
    if _recorder is not None:
        _recorder.leave(mark)


class _Here(threading.local):
    """The calling thread's place in the record."""

    def __init__(self) -> None:
        # Kept by the thread: it is free again when the thread ends.
        self._slot = _recorder.slot() if _recorder is not None else unread_slot()
        self.cell = self._slot.cell


here = _Here()
