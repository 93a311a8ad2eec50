"""Where a session call runs, decided by measurement.

Three lanes: INLINE, on the thread that reads requests, with the graph's ops in the calling thread; CALLER, on an
executor thread, ops in the calling thread; POOL, on an executor thread, ops in TensorFlow's inter-op pool. INLINE
saves two thread hops and is right for cheap graphs only, since nothing else is read meanwhile. Between CALLER and
POOL the faster one wins, which depends on the graph.

Costs depend on the size of the request, so they are kept per power of two of its input bytes. A lane's cost is the
smallest that was seen, forgotten slowly: noise only ever makes a call slower. The first call of a prepared callable is
not counted (TensorFlow optimizes the graph then).
"""

from __future__ import annotations

from enum import IntEnum


class Lane(IntEnum):
    """Where a call runs; the values index per-lane tables."""

    INLINE = 0
    CALLER = 1
    POOL = 2


# A call may hold up the reading thread for this long.
INLINE_LIMIT_US = 150.0
# An inline call that took longer holds up everybody. Once that may be the machine; twice within `_FORGIVE_CALLS` calls
# it is a graph whose cost depends on more than the size, which stays off the reading thread for `_BAR_CALLS` calls.
HOLD_UP_US = 50_000.0
_FORGIVE_CALLS = 4_096
_BAR_CALLS = 10_000
# Calls of each lane that are measured before one is chosen.
_TRIALS = 3
# After so many calls of a size class the lane not chosen is tried again once.
_RETRY_EVERY = 64
_FORGET = 1.03
# So many slow inline calls one after another count as the graph's own doing.
_SLOW_IN_A_ROW = 4
_CLASSES = 40


class _Cost:
    __slots__ = (
        "calls",
        "caller_us",
        "caller_trials",
        "pool_us",
        "pool_trials",
        "lane",
        "slow",
        "held_up_at",
        "barred",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.caller_us = 0.0
        self.caller_trials = 0
        self.pool_us = 0.0
        self.pool_trials = 0
        self.lane: Lane | None = None
        # Slow inline calls one after another.
        self.slow = 0
        # Count of inline calls when one held up everybody; None for never.
        self.held_up_at: int | None = None
        # Calls for which INLINE is out of the question.
        self.barred = 0


class RunModes:
    """The lanes of one prepared callable, by size class."""

    __slots__ = ("_costs", "_warm", "_samples", "inline_limit_us")

    def __init__(self, inline_limit_us: float = INLINE_LIMIT_US) -> None:
        self._costs = [_Cost() for _ in range(_CLASSES)]
        self._warm = [False, False]
        self._samples = 0
        self.inline_limit_us = inline_limit_us

    def choose(self, input_bytes: int) -> Lane:
        """The lane for the next call with so many bytes of input."""
        cost = self._costs[min(input_bytes.bit_length(), _CLASSES - 1)]
        cost.calls += 1
        if cost.barred:
            cost.barred -= 1
        lane = cost.lane
        if lane is not None and (lane == Lane.INLINE or cost.calls % _RETRY_EVERY):
            return lane
        if lane is not None:
            return Lane.POOL if lane == Lane.CALLER else Lane.CALLER
        if cost.caller_trials < _TRIALS:
            return Lane.CALLER
        return Lane.POOL

    def is_inline(self, input_bytes: int) -> bool:
        """Whether the next call is known to be cheap."""
        return self._costs[min(input_bytes.bit_length(), _CLASSES - 1)].lane is Lane.INLINE

    def report_inline(self, input_bytes: int, duration_us: float) -> None:
        """Count a finished inline call, if it is worth it."""
        cost = self._costs[min(input_bytes.bit_length(), _CLASSES - 1)]
        if duration_us > self.inline_limit_us:
            # One slow call is the machine's mood; several in a row of one size are the graph's.
            cost.slow += 1
            if duration_us > HOLD_UP_US:
                self.held_up(input_bytes)
            elif cost.slow >= _SLOW_IN_A_ROW:
                self.report(Lane.INLINE, input_bytes, duration_us)
            return
        cost.slow = 0
        self._samples += 1
        if not self._samples & 15:
            self.report(Lane.INLINE, input_bytes, duration_us)

    def held_up(self, input_bytes: int) -> None:
        """An inline call lasts, or lasted, far too long: the second one of a size keeps that size off the thread."""
        cost = self._costs[min(input_bytes.bit_length(), _CLASSES - 1)]
        last, cost.held_up_at = cost.held_up_at, self._samples
        if last is None or self._samples - last > _FORGIVE_CALLS:
            return
        cost.barred = _BAR_CALLS
        cost.slow = cost.caller_trials = cost.pool_trials = 0
        cost.lane = None

    def report(self, lane: Lane, input_bytes: int, duration_us: float) -> None:
        """Count a finished call."""
        pool = lane == Lane.POOL
        if not self._warm[pool]:
            self._warm[pool] = True
            return
        cost = self._costs[min(input_bytes.bit_length(), _CLASSES - 1)]
        if pool:
            cost.pool_us = _leaky_minimum(cost.pool_us, duration_us, cost.pool_trials)
            cost.pool_trials += 1
        else:
            cost.caller_us = _leaky_minimum(cost.caller_us, duration_us, cost.caller_trials)
            cost.caller_trials += 1
        if cost.caller_trials >= _TRIALS:
            if cost.caller_us < self.inline_limit_us and not cost.barred:
                cost.lane = Lane.INLINE
            elif cost.pool_trials >= _TRIALS:
                cost.lane = Lane.CALLER if cost.caller_us <= cost.pool_us else Lane.POOL
            else:
                cost.lane = None


def _leaky_minimum(old: float, new: float, trials: int) -> float:
    """The cost of a call on a quiet machine: the smallest seen, forgotten little by little."""
    return new if trials == 0 else min(new, old * _FORGET)
