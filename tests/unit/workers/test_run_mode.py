"""Where calls run, as a table of reported durations."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from workers.run_mode import INLINE_LIMIT_US, Lane, RunModes

INLINE, CALLER, POOL = Lane.INLINE, Lane.CALLER, Lane.POOL


def serve(modes: RunModes, calls: int, *, caller_us: float, pool_us: float, size: int = 8) -> list[Lane]:
    """Lanes chosen for `calls` calls, one after another, of a graph with these costs."""
    lanes = []
    for _ in range(calls):
        lane = modes.choose(size)
        lanes.append(lane)
        if lane == INLINE:
            modes.report_inline(size, caller_us)
        else:
            modes.report(lane, size, pool_us if lane == POOL else caller_us)
    return lanes


@pytest.mark.parametrize(
    ("caller_us", "pool_us", "lane", "trials"),
    [
        (5, 40, INLINE, [CALLER] * 4),
        (INLINE_LIMIT_US - 1, 40, INLINE, [CALLER] * 4),
        (INLINE_LIMIT_US, 40, POOL, [CALLER] * 4 + [POOL] * 4),
        (400, 300, POOL, [CALLER] * 4 + [POOL] * 4),
        (300, 400, CALLER, [CALLER] * 4 + [POOL] * 4),
        (300, 300, CALLER, [CALLER] * 4 + [POOL] * 4),
        (1_000_000, 40, POOL, [CALLER] * 4 + [POOL] * 4),
    ],
)
def test_the_lane_after_trials(caller_us: float, pool_us: float, lane: Lane, trials: list[Lane]) -> None:
    # The first call of each callable is not counted, then three are.
    lanes = serve(RunModes(), 60, caller_us=caller_us, pool_us=pool_us)
    assert lanes == trials + [lane] * (60 - len(trials))


def settled(caller_us: float, pool_us: float) -> RunModes:
    modes = RunModes()
    serve(modes, 20, caller_us=caller_us, pool_us=pool_us)
    return modes


def test_the_first_call_of_a_callable_does_not_count() -> None:
    modes = RunModes()
    modes.report(CALLER, 8, 1e6)  # TensorFlow optimizes the graph
    for _ in range(3):
        modes.report(CALLER, 8, 10)
    assert modes.choose(8) == INLINE


def test_one_slow_trial_of_three_does_not_count() -> None:
    modes = RunModes()
    for duration_us in (1e6, 10, 5_000, 10):
        modes.report(CALLER, 8, duration_us)
    assert modes.choose(8) in (INLINE, CALLER)
    assert serve(modes, 30, caller_us=10, pool_us=40)[-1] == INLINE


@pytest.mark.parametrize("outliers", [[4e4], [400.0] * 3, [4e4] * 3], ids=str)
def test_a_few_slow_inline_calls_are_no_reason(outliers: list[float]) -> None:
    modes = settled(10, 40)
    for duration_us in outliers:
        assert modes.choose(8) == INLINE
        modes.report_inline(8, duration_us)
    assert modes.is_inline(8)
    modes.report_inline(8, 10)  # the row is broken: counting begins anew
    for duration_us in outliers:
        modes.report_inline(8, duration_us)
    assert modes.is_inline(8)


def test_a_graph_that_has_become_slow_leaves_the_reading_thread() -> None:
    modes = settled(10, 40)
    lanes = serve(modes, 40, caller_us=100_000, pool_us=90_000)
    assert lanes.count(INLINE) == 2
    assert lanes[-1] == POOL


def test_a_graph_that_is_a_little_too_slow_leaves_within_a_hundred_calls() -> None:
    modes = settled(10, 40)
    assert serve(modes, 100, caller_us=INLINE_LIMIT_US + 20, pool_us=900)[-1] == CALLER


def test_the_second_call_that_holds_up_everybody_bars_the_reading_thread() -> None:
    modes = settled(10, 40)
    modes.report_inline(8, 60_000)
    assert modes.is_inline(8)
    serve(modes, 1_000, caller_us=10, pool_us=40)
    modes.report_inline(8, 60_000)
    assert not modes.is_inline(8)
    assert INLINE not in serve(modes, 9_000, caller_us=10, pool_us=40)
    assert serve(modes, 2_000, caller_us=10, pool_us=40)[-1] == INLINE


def test_holding_up_once_in_a_long_while_is_forgiven() -> None:
    modes = settled(10, 40)
    for _ in range(3):
        modes.report_inline(8, 60_000)
        serve(modes, 5_000, caller_us=10, pool_us=40)
    assert modes.is_inline(8)


def test_fast_calls_of_another_size_do_not_hide_slow_ones() -> None:
    modes = RunModes()
    for size in (8, 8_000):
        serve(modes, 20, caller_us=10, pool_us=40, size=size)
    for _ in range(10):
        modes.report_inline(8_000, 100_000)
        modes.report_inline(8, 10)
    assert not modes.is_inline(8_000)
    assert modes.is_inline(8)


def times_chosen(lanes: Iterable[Lane], lane: Lane) -> int:
    return sum(chosen == lane for chosen in lanes)


def test_the_other_lane_is_tried_now_and_then() -> None:
    lanes = serve(settled(300, 400), 2_048, caller_us=300, pool_us=400)
    assert times_chosen(lanes, POOL) == 2_048 // 64
    lanes = serve(settled(400, 300), 2_048, caller_us=400, pool_us=300)
    assert times_chosen(lanes, CALLER) == 2_048 // 64


def test_a_retry_finds_that_costs_have_changed() -> None:
    modes = settled(400, 300)
    lanes = serve(modes, 200, caller_us=200, pool_us=300)
    assert lanes[-1] == CALLER


def test_sizes_are_measured_apart() -> None:
    modes = RunModes()
    serve(modes, 20, caller_us=10, pool_us=40, size=100)
    assert modes.is_inline(64)
    assert modes.is_inline(127)
    assert not modes.is_inline(63)
    assert not modes.is_inline(128)
    assert serve(modes, 20, caller_us=900, pool_us=400, size=1 << 20)[-1] == POOL
    assert modes.choose(100) == INLINE
    assert modes.choose(1 << 70) == CALLER  # larger than the largest class: not measured yet, and no error
    assert modes.choose(0) == CALLER


def test_a_cheap_graph_measured_on_a_busy_machine_comes_home_soon() -> None:
    modes = settled(4_000, 3_000)
    assert serve(modes, 200, caller_us=20, pool_us=60)[-1] == INLINE


def test_a_call_of_the_pool_is_counted_as_such() -> None:
    modes = settled(300, 400)
    for _ in range(60):
        modes.report(POOL, 8, 200)
    assert modes.choose(8) == POOL


def test_the_limit_is_the_caller_s_choice() -> None:
    modes = RunModes(inline_limit_us=1_000)
    assert serve(modes, 20, caller_us=900, pool_us=10)[-1] == INLINE


def test_two_inline_calls_that_hold_up_the_loop_bar_that_lane() -> None:
    modes = settled(10, 40)
    modes.report_inline(8, 10_000_000)
    assert modes.is_inline(8)
    modes.report_inline(8, 10_000_000)
    assert not modes.is_inline(8)
    assert modes.choose(8) in (CALLER, POOL)
