"""Loader threads, and how those that hang are given up."""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workers import loaders as loaders_module
from workers.loaders import Loaders

PATIENCE_S = 20.0


class Job:
    """Runs until it is let go, then gives its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = threading.Event()
        self._go = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self._go.wait(PATIENCE_S)
        return self.name

    def end(self) -> None:
        self._go.set()


def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.002)


class Pool:
    """`Loaders`, with what they threw away and the jobs that must end after a test."""

    def __init__(self, threads: int, **arguments: Any) -> None:
        self.discarded: list[Any] = []
        self.jobs: list[Job] = []
        self.loaders = Loaders(threads, discard=self.discarded.append, **arguments)

    def hang(self, name: str) -> Job:
        job = Job(name)
        self.jobs.append(job)
        self.loaders.submit(job, name)
        assert job.begun.wait(PATIENCE_S)
        return job

    def result(self) -> tuple[Any, Any, BaseException | None]:
        assert select.select([self.loaders.wake_fd], [], [], PATIENCE_S)[0]
        (one,) = self.loaders.finished()
        return one


@pytest.fixture
def pool() -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(threads: int = 1, **arguments: Any) -> Pool:
        made.append(Pool(threads, **arguments))
        return made[-1]

    yield make
    for item in made:
        for job in item.jobs:
            job.end()
        item.loaders.close()


def test_what_cannot_be_prepared_is_logged_only(pool: Callable[..., Pool], caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("no device")

    made = pool(prepare=fail)
    made.loaders.submit(lambda: 1, "one")
    assert made.result() == ("one", 1, None)
    assert "no device" in caplog.text


def test_errors_come_back(pool: Callable[..., Pool]) -> None:
    made = pool()
    made.loaders.submit(lambda: 1 // 0, "division")
    context, result, error = made.result()
    assert (context, result, type(error)) == ("division", None, ZeroDivisionError)


def test_another_thread_takes_the_place_of_one_that_hangs(pool: Callable[..., Pool]) -> None:
    made = pool(1)
    job = made.hang("hung")
    assert made.loaders.is_running("hung")
    made.loaders.submit(lambda: "done", "next")
    assert not made.loaders.is_running("next")
    assert made.loaders.abandon("hung")
    assert made.result() == ("next", "done", None)
    assert not made.loaders.abandon("hung")
    assert made.loaders.threads == 1
    job.end()
    until(lambda: made.discarded == ["hung"], "the late result was thrown away")
    assert made.loaders.finished() == []


def test_what_has_ended_cannot_be_given_up(pool: Callable[..., Pool]) -> None:
    made = pool(1)
    made.loaders.submit(lambda: "done", "ended")
    assert made.result() == ("ended", "done", None)
    assert not made.loaders.abandon("ended")
    assert made.discarded == []


def test_only_so_many_are_replaced_until_some_come_back(
    pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loaders_module, "MAX_ABANDONED", 2)
    made = pool(1)
    jobs = []
    for name in ("a", "b", "c"):
        jobs.append(made.hang(name))
        assert made.loaders.abandon(name)
    assert made.loaders.threads == 0
    assert "3 loads hang: 0 threads are left for others" in caplog.text
    made.loaders.submit(lambda: "done", "next")
    jobs[0].end()  # comes back, and is needed
    assert made.result() == ("next", "done", None)
    assert made.loaders.threads == 1
    jobs[1].end()
    until(lambda: sorted(made.discarded) == ["a", "b"], "both late results were thrown away")
    assert made.loaders.threads == 1


def test_a_result_that_cannot_be_thrown_away(pool: Callable[..., Pool], caplog: pytest.LogCaptureFixture) -> None:
    made = pool(1)
    job = made.hang("hung")

    def fail(result: Any) -> None:
        raise RuntimeError(f"cannot free {result}")

    made.loaders._discard = fail
    assert made.loaders.abandon("hung")
    job.end()
    until(lambda: "cannot free hung" in caplog.text, "logged")


def test_threads_end_when_closed(pool: Callable[..., Pool]) -> None:
    made = pool(3)
    made.loaders.close()
    for thread in made.loaders._threads:
        with contextlib.suppress(RuntimeError):
            thread.join(PATIENCE_S)
        assert not thread.is_alive()
