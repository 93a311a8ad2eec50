"""Loads that take too long, and what a load leaves behind."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protos.configs import WorkerConfig
from protos.errors import Code, ServingError
from protos.heap import give_back_freed_memory
from protos.messages import DesiredServable, State
from tests.loops import wait_until
from workers import loading, servable
from workers.sample_model import PREDICT, Signature, save
from workers.servable import Servable

PATIENCE_S = 30.0
SECOND_NS = 1_000_000_000


class Hanging:
    """`servable.load`, which hangs for paths that end in `hang` until the test lets it go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.loaded: list[weakref.ref[Servable]] = []
        self._load = servable.load

    def load(self, path: str, **arguments: Any) -> Servable:
        if path.endswith("hang"):
            self.begun.set()
            assert self.go.wait(PATIENCE_S)
        loaded = self._load(path, **arguments)
        self.loaded.append(weakref.ref(loaded))
        return loaded


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    made = Hanging()
    monkeypatch.setattr(servable, "load", made.load)
    yield made
    made.go.set()


@pytest.fixture
def slow_path(model_path: Callable[[str], Path], tmp_path: Path) -> str:
    """A version whose load hangs."""
    return str(shutil.copytree(model_path("half_plus_two"), tmp_path / "hang"))


def want(**paths: str) -> list[DesiredServable]:
    return [DesiredServable(name=name, version=1, path=path) for name, path in paths.items()]


def test_a_load_that_takes_too_long(
    parts: Callable[..., Any], hanging: Hanging, slow_path: str, model_path: Callable[[str], Path]
) -> None:
    other = str(model_path("counter"))
    made = parts(WorkerConfig(num_load_threads=1, load_timeout_seconds=5.0))
    made.residency.apply(want(hung=slow_path))
    assert hanging.begun.wait(PATIENCE_S)
    due_ns = made.residency.tick(made.now_ns)
    assert due_ns == 5 * SECOND_NS
    made.residency.apply(want(hung=slow_path, other=other))
    made.now_ns = due_ns - 1
    made.turn()
    assert made.states() == {("hung", 1): State.LOADING, ("other", 1): State.START}

    made.now_ns = due_ns
    made.until(lambda: ("other", 1) in made.residency.available, "another thread loads what waits")
    report = next(report for report in made.residency.reports() if report.name == "hung")
    assert (report.state, report.code) == (State.END, Code.DEADLINE_EXCEEDED)
    assert report.message == "Loading servable: {name: hung version: 1} takes longer than 5 s"
    assert not made.residency.busy

    # What comes in the end is thrown away; the version stays as it is.
    hanging.go.set()
    made.until(lambda: len(hanging.loaded) == 2, "the load has ended")
    late = hanging.loaded[1]
    made.until(lambda: late() is None or late()._session is None, "freed")
    made.turn()
    assert made.states()["hung", 1] == State.END
    assert made.retries == 0


def test_a_load_waits_for_ever_without_a_limit(parts: Callable[..., Any], hanging: Hanging, slow_path: str) -> None:
    made = parts(WorkerConfig(num_load_threads=1))
    made.residency.apply(want(hung=slow_path))
    assert hanging.begun.wait(PATIENCE_S)
    made.now_ns = 1 << 60
    assert made.residency.tick(made.now_ns) is None
    hanging.go.set()
    made.until(lambda: made.residency.available, "AVAILABLE")


def test_time_counts_from_when_a_thread_begins(
    parts: Callable[..., Any], hanging: Hanging, slow_path: str, model_path: Callable[[str], Path]
) -> None:
    made = parts(WorkerConfig(num_load_threads=1, load_timeout_seconds=5.0))
    blocker = threading.Event()
    made.loaders.submit(lambda: blocker.wait(PATIENCE_S), None)
    made.residency.apply(want(other=str(model_path("counter"))))
    for made.now_ns in (SECOND_NS, 100 * SECOND_NS):
        assert made.residency.tick(made.now_ns) > made.now_ns
    blocker.set()
    made.until(lambda: made.residency.available, "AVAILABLE")


def test_one_that_nobody_wants_any_more(parts: Callable[..., Any], hanging: Hanging, slow_path: str) -> None:
    made = parts(WorkerConfig(num_load_threads=1, load_timeout_seconds=5.0))
    made.residency.apply(want(hung=slow_path))
    assert hanging.begun.wait(PATIENCE_S)
    made.residency.tick(made.now_ns)
    made.residency.apply([])
    made.now_ns = 6 * SECOND_NS
    made.turn()
    assert made.states() == {}
    assert made.changes[-1] == ("hung", 1, State.END)


def test_a_pause_between_tries_ends_when_the_version_is_not_wanted(
    parts: Callable[..., Any], model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    made = parts(WorkerConfig(load_timeout_seconds=5.0))
    shutil.copytree(model_path("mlp"), tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    made.residency.apply(want(m=str(tmp_path / "1")))
    made.until(lambda: made.retries, "a failure that may pass")
    assert made.states() == {("m", 1): State.LOADING}
    made.residency.apply([])
    assert made.states() == {}
    assert not made.residency.busy


# --- memory --------------------------------------------------------------------------------------------------------

_MEGABYTES = 16


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a variable of `_MEGABYTES`."""
    import tensorflow as tf

    path = tmp_path_factory.mktemp("large") / "1"

    def build() -> dict[str, Signature]:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        weights = np.arange(_MEGABYTES << 18, dtype=np.float32)
        held = tf.compat.v1.get_variable("held", initializer=tf.constant(0.0), use_resource=True)
        big = tf.compat.v1.get_variable(
            "big", shape=weights.shape, initializer=tf.compat.v1.random_uniform_initializer(), use_resource=True
        )
        return {"serving_default": Signature(PREDICT, {"x": x}, {"y": x + held + big[0]})}

    save(path, build)
    return path


def resident_mb() -> float:
    gc.collect()
    give_back_freed_memory()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


def repeat(path: Path, times: int) -> None:
    for _ in range(times):
        loading.load(str(path), WorkerConfig(), lambda: True).discard()


def test_a_failed_load_leaves_nothing_behind(large: Path, tmp_path: Path) -> None:
    shutil.copytree(large, tmp_path / "1")
    data = tmp_path / "1" / "variables" / "variables.data-00000-of-00001"
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size - 4096)
    outcome = loading.load(str(tmp_path / "1"), WorkerConfig(), lambda: True)
    assert isinstance(outcome.error, ServingError)
    # It is kept for as long as the version is listed: nothing of the model may hang on it.
    assert outcome.error.__traceback__ is None
    assert outcome.error.__cause__ is None
    assert outcome.error.__context__ is None
    repeat(tmp_path / "1", 5)
    before = resident_mb(), threads(), files()
    repeat(tmp_path / "1", 30)
    assert resident_mb() - before[0] < _MEGABYTES / 2
    # Threads of TensorFlow's may end a moment after their work.
    wait_until(lambda: threads() <= before[1] and files() <= before[2])


def test_an_unloaded_version_leaves_nothing_behind(large: Path) -> None:
    repeat(large, 5)
    before = resident_mb(), threads(), files()
    repeat(large, 30)
    assert resident_mb() - before[0] < _MEGABYTES / 2
    # Threads of TensorFlow's may end a moment after their work.
    wait_until(lambda: threads() <= before[1] and files() <= before[2])


def test_memory_of_an_unloaded_version_returns_to_the_system(large: Path) -> None:
    repeat(large, 2)
    before = resident_mb()
    outcome = loading.load(str(large), WorkerConfig(), lambda: True)
    assert resident_mb() - before > _MEGABYTES * 0.9
    outcome.discard()
    assert resident_mb() - before < _MEGABYTES * 0.3
