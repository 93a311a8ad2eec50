"""The executor: results and errors come back, the loop is woken, close ends the threads."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from workers.executor import Executor

PATIENCE_S = 20.0


@pytest.fixture
def executor() -> Iterator[Executor]:
    made = Executor(2, name="test")
    yield made
    made.close()


def collect(executor: Executor, count: int) -> list[tuple[Any, Any, BaseException | None]]:
    """`count` results, read only when the file descriptor says that there are some."""
    results: list[tuple[Any, Any, BaseException | None]] = []
    while len(results) < count:
        readable, _, _ = select.select([executor.wake_fd], [], [], PATIENCE_S)
        assert readable, f"no wake-up after {len(results)} of {count} results"
        results += executor.finished()
    return results


def test_results_come_back_with_their_context(executor: Executor) -> None:
    for number in range(100):
        executor.submit(lambda number=number: number * number, number)
    results = collect(executor, 100)
    assert sorted(context for context, _, _ in results) == list(range(100))
    assert all(result == context**2 and error is None for context, result, error in results)


@pytest.mark.parametrize("failure", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_whatever_a_job_raises_comes_back_and_the_threads_live(executor: Executor, failure: BaseException) -> None:
    def job() -> None:
        raise failure

    for _ in range(3):  # more than there are threads
        executor.submit(job, "context")
    assert collect(executor, 3) == [("context", None, failure)] * 3
    executor.submit(lambda: "alive", "next")
    assert collect(executor, 1) == [("next", "alive", None)]


def test_jobs_run_on_as_many_threads_as_asked_for(executor: Executor) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)
    for _ in range(2):
        executor.submit(meeting.wait, None)
    assert [error for _, _, error in collect(executor, 2)] == [None, None]


def test_the_descriptor_is_quiet_once_results_were_taken(executor: Executor) -> None:
    executor.submit(lambda: 1, "first")
    collect(executor, 1)
    assert select.select([executor.wake_fd], [], [], 0)[0] == []
    assert executor.finished() == []
    executor.submit(lambda: 2, "second")
    assert collect(executor, 1) == [("second", 2, None)]


def test_close_lets_queued_jobs_end() -> None:
    executor = Executor(1, name="closing")
    gate = threading.Event()
    executor.submit(lambda: gate.wait(PATIENCE_S), "held")
    executor.submit(lambda: 2, "queued")
    executor.close()
    gate.set()
    assert [context for context, _, error in collect(executor, 2) if error is None] == ["held", "queued"]
    end = time.monotonic() + PATIENCE_S
    for thread in threading.enumerate():
        if thread.name.startswith("closing"):
            thread.join(end - time.monotonic())
            assert not thread.is_alive()
