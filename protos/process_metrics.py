"""What every process of a server tells of itself: CPU time and memory."""

from __future__ import annotations

import os
import time

from protos import metrics
from protos.metrics import Registry

_STATM = "/proc/self/statm"


def watch_process(registry: Registry, process: str) -> None:
    """Have this process' CPU time and resident memory in every snapshot, under the name of its slot.

    Memory is missing where there is no /proc (other systems than Linux). Shared memory counts for each process that
    has touched it.
    """
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    cpu_seconds = registry.value(metrics.CPU_SECONDS, process)

    def look() -> None:
        cpu_seconds.value = time.process_time()
        try:
            with open(_STATM) as file:
                resident_pages = int(file.read().split()[1])
        except OSError:
            return
        registry.value(metrics.RESIDENT_BYTES, process).value = resident_pages * page_bytes

    registry.on_snapshot(look)


def private_memory_bytes() -> int:
    """Memory of this process without what it shares with others, such as libraries and arenas; 0 if it is not known."""
    try:
        with open(_STATM) as file:
            fields = file.read().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
