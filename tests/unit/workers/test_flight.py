"""The worker's part of the flight record: what runs can be seen while it runs, and only then."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protos.configs import BatchingConfig, WorkerConfig
from protos.errors import ServingError
from protos.flight_record import Recorder, create, path_of, read
from protos.messages import SIGNATURE_SEPARATOR, DesiredServable, Infer, State
from workers import flight, loading, tflite, warmup
from workers.engine import Outbox
from workers.run_mode import Lane
from workers.servable import Prepared
from workers.tensors import from_array

X = np.array([2.0], np.float32)
EXAMPLES = np.array([b""], object)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A new record, for threads that the test starts."""
    fd = create()
    monkeypatch.setattr(flight, "_recorder", Recorder(path_of(fd)))
    yield fd
    os.close(fd)


def on_a_thread(call: Callable[[], Any]) -> Any:
    """What `call` returns, or the exception that it raises, on a thread that has run nothing yet."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


def watched(prepared: Prepared, record: int, *, error: Exception | None = None) -> list[Any]:
    """Let the session's callables tell what the record shows while they run."""
    seen: list[Any] = []

    def run(*arrays: Any) -> list[Any]:
        seen.append(read(record))
        if error is not None:
            raise error
        return [X] * 3

    prepared._run = [run, run]
    return seen


def loaded(model: Path, key: tuple[str, int] | None = ("m", 7)) -> Any:
    outcome = loading.load(str(model), WorkerConfig(tflite_interpreters=2), lambda: True, key)
    assert outcome.error is None
    return outcome.servable


@pytest.mark.parametrize("lane", list(Lane))
def test_a_run_is_seen_in_every_lane(record: int, model_path: Callable[[str], Path], lane: Lane) -> None:
    servable = loaded(model_path("half_plus_two"))
    prepared = servable.prepared("serving_default", ())
    seen = watched(prepared, record)
    on_a_thread(lambda: prepared.run(lane, [X]))
    assert (seen, read(record)) == ([{("m", 7)}], frozenset())
    servable.close()


def test_a_run_that_fails_is_over_too(record: int, model_path: Callable[[str], Path]) -> None:
    servable = loaded(model_path("half_plus_two"))
    prepared = servable.prepared("serving_default", ())
    seen = watched(prepared, record, error=ValueError("bad"))
    after: list[Any] = []

    def run() -> None:
        with pytest.raises(ValueError, match="bad"):
            prepared.run(Lane.CALLER, [X])
        # The thread lives on.
        after.append(read(record))

    assert on_a_thread(run) is None
    assert (seen, after) == ([{("m", 7)}], [frozenset()])
    servable.close()


def test_what_is_prepared_later_and_several_signatures_at_once(record: int, model_path: Callable[[str], Path]) -> None:
    servable = loaded(model_path("half_plus_two"))
    for signature, outputs, array in (
        ("regress_x_to_y", (0,), EXAMPLES),
        (SIGNATURE_SEPARATOR.join(["regress_x_to_y", "classify_x_to_y"]), (), EXAMPLES),
    ):
        prepared = servable.prepared(signature, outputs)
        seen = watched(prepared, record)
        on_a_thread(lambda prepared=prepared, array=array: prepared.run(Lane.CALLER, [array]))
        assert seen == [{("m", 7)}]
    servable.close()


def test_tflite(record: int, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    servable = loaded(model_path("tflite_plain"))
    seen: list[Any] = []
    outcomes: list[Any] = [ServingError(13, "bad"), [X]]

    def run(*_: Any) -> list[Any]:
        seen.append(read(record))
        outcome = outcomes.pop()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    prepared = servable.prepared("serving_default", ())
    monkeypatch.setattr(tflite.Interpreter, "run", run)
    assert on_a_thread(lambda: prepared.run(Lane.CALLER, [X])) == [X]
    assert isinstance(on_a_thread(lambda: prepared.run(Lane.CALLER, [X])), ServingError)
    assert (seen, read(record)) == ([{("m", 7)}] * 2, frozenset())
    servable.close()


def test_versions_side_by_side(record: int, model_path: Callable[[str], Path]) -> None:
    servables = [loaded(model_path("half_plus_two"), key) for key in (("a", 1), ("b", 2))]
    meeting = threading.Barrier(3)
    threads = []
    for servable in servables:
        prepared = servable.prepared("serving_default", ())

        def run(*_: Any) -> list[Any]:
            meeting.wait(30)
            meeting.wait(30)
            return [X]

        prepared._run = [run, run]
        threads.append(threading.Thread(target=prepared.run, args=(Lane.CALLER, [X])))
        threads[-1].start()
    meeting.wait(30)
    assert read(record) == {("a", 1), ("b", 2)}
    meeting.wait(30)
    for thread in threads:
        thread.join()
    assert read(record) == frozenset()
    for servable in servables:
        servable.close()


def test_a_number_is_given_back_when_its_version_is_gone(record: int, model_path: Callable[[str], Path]) -> None:
    recorder = flight._recorder
    assert recorder is not None
    before = len(recorder._numbers)
    servable = loaded(model_path("half_plus_two"))
    assert len(recorder._numbers) == before - 1
    servable.close()
    assert len(recorder._numbers) == before
    for path in (model_path("half_plus_two").parent, model_path("half_plus_two") / "missing"):
        assert loading.load(str(path), WorkerConfig(), lambda: True, ("m", 8)).error is not None
    assert len(recorder._numbers) == before


def test_warm_up_is_seen_and_a_failed_one_is_forgotten(
    record: int, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = flight._recorder
    assert recorder is not None
    before = len(recorder._numbers)
    seen: list[Any] = []

    def warm_up(servable: Any, *_: Any) -> None:
        prepared = servable.prepared("serving_default", ())
        seen.append(watched(prepared, record))
        prepared.run(Lane.CALLER, [X])
        raise ServingError(13, "bad")

    monkeypatch.setattr(warmup, "warm_up", warm_up)
    outcome = on_a_thread(
        lambda: loading.load(str(model_path("half_plus_two")), WorkerConfig(), lambda: True, ("m", 9))
    )
    assert outcome.error.message == "bad"
    assert seen == [[{("m", 9)}]]
    assert len(recorder._numbers) == before


@pytest.mark.parametrize("batching", [None, BatchingConfig(num_batch_threads=1)])
def test_a_worker_records_what_it_was_told_to_load(
    record: int, parts: Callable[..., Any], model_path: Callable[[str], Path], batching: BatchingConfig | None
) -> None:
    made = parts(WorkerConfig(batching=batching))
    made.residency.apply([DesiredServable(name="m", version=3, path=str(model_path("half_plus_two")))])
    resident = made.until(lambda: made.residency.available.get(("m", 3)), "AVAILABLE")
    prepared = resident.servable.prepared("serving_default", ())
    seen = watched(prepared, record)
    # This thread is not a new one.
    prepared.modes.inline_limit_us = -1.0
    outbox = Outbox(b"front end")
    frames: list[Any] = []
    made.engine.infer(outbox, Infer(1, "m", 3, "serving_default", 0, [from_array(X, frames)], ()), frames)
    made.until(lambda: outbox.replies, "the reply")
    assert seen == [{("m", 3)}]
    made.residency.apply([])
    made.until(lambda: made.states().get(("m", 3), State.END) == State.END, "END")
    assert read(record) == frozenset()


def test_without_a_record_nothing_changes(model_path: Callable[[str], Path]) -> None:
    servable = loaded(model_path("half_plus_two"))
    prepared = servable.prepared("serving_default", ())
    assert prepared.mark == 0
    assert on_a_thread(lambda: prepared.run(Lane.CALLER, [X]))[0].tolist() == [3.0]
    servable.close()
