"""How fast the machine is just now: CPU time of a fixed piece of work.

On shared hosts the same work takes twice the CPU time from one hour to the next. CPU figures of two runs can be
compared only in proportion to the yardstick that stands beside each.
"""

from __future__ import annotations

from statistics import median
from time import process_time

_ROUNDS = 5
_ADDITIONS = 200_000


def yardstick_ms() -> float:
    """CPU milliseconds for a fixed number of additions in Python, the median of some rounds."""
    return median(_round() for _ in range(_ROUNDS)) * 1e3


def _round() -> float:
    start = process_time()
    total = 0
    for number in range(_ADDITIONS):
        total += number
    return process_time() - start
