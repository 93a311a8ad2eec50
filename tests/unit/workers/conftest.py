"""Loaded sample models, and a worker's parts put together without a process."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from protos.configs import WorkerConfig

# Longer than anything here takes on a busy machine; what never comes fails a test then.
PATIENCE_S = 30.0


def until(condition: Callable[[], Any], what: str, turn: Callable[[], None]) -> Any:
    """`turn()` over and over, which waits for events by itself, until `condition()` is true; its value."""
    end = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < end, f"never happened: {what}"
        turn()
    return value


class Parts:
    """Engine and residency with real executors, driven by the test instead of a worker's loop.

    `changes` lists (name, version, state) as they come; `now_ns` is the clock of load retries.
    """

    def __init__(self, config: WorkerConfig, run_threads: int) -> None:
        from workers.engine import Engine
        from workers.executor import Executor
        from workers.loaders import Loaders
        from workers.loading import Outcome
        from workers.metrics import WorkerMetrics
        from workers.residency import Residency
        from workers.takeover import Takeover

        self.runners = Executor(run_threads, name="run")
        self.loaders = Loaders(config.num_load_threads, discard=Outcome.discard)
        self.engine = Engine(config, self.runners)
        self.changes: list[tuple[str, int, int]] = []
        self.residency = Residency(
            config,
            self.loaders,
            WorkerMetrics("cpu"),
            on_change=lambda resident: self.changes.append((*resident.key, int(resident.state))),
            on_unload=self.engine.unloading,
        )
        self.engine.residency = self.residency
        self.engine.takeover = Takeover(lambda: None, self.engine.adopt, limit_ns=1 << 62)
        self.now_ns = 0
        self.retries = 0
        self._poll = select.poll()
        self._poll.register(self.runners.wake_fd, select.POLLIN)
        self._poll.register(self.loaders.wake_fd, select.POLLIN)

    def turn(self) -> None:
        """One turn of the loop: start what is due, wait shortly for jobs, take their results."""
        self.engine.dispatch()
        self.residency.tick(self.now_ns)
        self._poll.poll(5)
        for context, result, error in self.runners.finished():
            self.engine.finished(context, result, error)
        for resident, result, error in self.loaders.finished():
            if self.residency.finished(resident, result, error):
                self.retries += 1
                self.residency.retry_at(resident, self.now_ns)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return until(condition, what, self.turn)

    def states(self) -> dict[tuple[str, int], int]:
        return {(report.name, report.version): report.state for report in self.residency.reports()}


@pytest.fixture
def parts() -> Iterator[Callable[..., Parts]]:
    """Makes `Parts`; their threads end with the test."""
    made: list[Parts] = []

    def make(config: WorkerConfig | None = None, *, run_threads: int = 2) -> Parts:
        made.append(Parts(config or WorkerConfig(), run_threads))
        return made[-1]

    yield make
    for item in made:
        item.runners.close()
        item.loaders.close()


@pytest.fixture(scope="session")
def load_model(model_path: Callable[[str], Path]) -> Callable[[str], Any]:
    """A context manager: a sample model loaded as a `Servable`, closed at the end."""

    @contextmanager
    def load(name: str) -> Iterator[Any]:
        from workers import servable

        loaded = servable.load(str(model_path(name)), tags=("serve",), session_config=b"")
        try:
            yield loaded
        finally:
            loaded.close()

    return load
