"""Calls on threads that give way to others."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
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


def slice_ns() -> int:
    """The calling thread's time slice: sched_runtime of sched_getattr(2)."""
    number = {"x86_64": 315, "aarch64": 275}[platform.machine()]
    attributes = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, len(attributes), 0) == 0
    return int(struct.unpack_from("<Q", attributes, 24)[0])


def slice_of_a_new_thread() -> int:
    slices: list[int] = []
    thread = threading.Thread(target=lambda: slices.append(slice_ns()))
    thread.start()
    thread.join()
    return slices[0]


@pytest.mark.skipif(
    tuple(int(part) for part in platform.release().split(".")[:2]) < (6, 12), reason="slices came with Linux 6.12"
)
def test_others_that_wake_up_need_not_wait_for_the_end_of_its_slice() -> None:
    usual = slice_ns()
    assert low_priority.run(slice_ns) > usual
    assert low_priority.run(slice_of_a_new_thread) > usual
    assert slice_ns() == usual
