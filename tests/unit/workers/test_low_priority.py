"""Calls on threads that give way to others."""

from __future__ import annotations

import os
import threading

import pytest

from workers import low_priority

USUAL = os.getpriority(os.PRIO_PROCESS, os.getpid())
LOW = (min(19, USUAL + low_priority.NICENESS), os.SCHED_BATCH)


def how() -> tuple[int, int]:
    thread = threading.get_native_id()
    return os.getpriority(os.PRIO_PROCESS, thread), os.sched_getscheduler(thread)


def test_the_call_has_low_priority_and_its_caller_keeps_its_own() -> None:
    before = how()
    assert low_priority.run(how) == LOW
    assert how() == before


def test_a_call_in_a_call_is_not_lower_still() -> None:
    assert low_priority.run(low_priority.run, how) == LOW


def test_what_it_makes_comes_back() -> None:
    assert low_priority.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        low_priority.run(divmod, 7, 0)
