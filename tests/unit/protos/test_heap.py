"""Settings of the C heap, in a process of their own: they cannot be taken back."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A thread other than the first has a heap of its own; a block in it is used, freed, and given back in one way.
_PROGRAM = """
import ctypes, os, threading
from protos import heap

heap.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype, libc.free.argtypes = [ctypes.c_size_t], ctypes.c_void_p, [ctypes.c_void_p]

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

def use(give_back):
    before = resident()
    block = libc.malloc(20 << 20)
    ctypes.memset(block, 1, 20 << 20)
    give_back(block)
    print(resident() - before)

def plainly(block):
    libc.free(block)

def with_the_threads_heap(block):
    libc.free(block)
    heap.give_back_own_heap()

def with_everything(block):
    libc.free(block)
    heap.give_back_freed_memory()

thread = threading.Thread(target=use, args=({way},))
thread.start()
thread.join()
"""

# Threads have heaps of their own, even if there are more of them than the C library would give heaps to.
_HEAPS_PROGRAM = """
import ctypes, os, threading
from protos import heap

heap.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
count = min(200, 8 * os.cpu_count() + 8)
together = threading.Barrier(count)
heaps = set()

def use():
    together.wait(30)
    heaps.add(libc.malloc(2000) >> 26)  # they begin at multiples of 64 MiB
    together.wait(30)

threads = [threading.Thread(target=use) for _ in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(heaps), count)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about the GNU C library")
@pytest.mark.parametrize(
    ("way", "kept"),
    [("plainly", True), ("with_the_threads_heap", False)],
)
def test_freed_blocks_are_kept_unless_they_are_given_back(way: str, kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.replace("{way}", way)], capture_output=True, text=True, timeout=60, check=True
    )
    assert (int(done.stdout) >= 18) == kept, done.stdout


def test_what_lies_between_is_given_back_by_a_trim() -> None:
    program = _PROGRAM.replace("{way}", "with_everything").replace(
        "    give_back(block)", "    above = libc.malloc(4096)\n    give_back(block)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) <= 2


@pytest.mark.skipif(sys.platform != "linux", reason="about the GNU C library")
def test_threads_do_not_share_heaps() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HEAPS_PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    heaps, threads = map(int, done.stdout.split())
    assert heaps == threads
