"""Loading and unloading what is wanted, with real models, real loader threads and a clock of the test's own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protos.configs import BatchingConfig, WorkerConfig
from protos.errors import Code, ServingError
from protos.messages import DesiredServable, ServableReport, State
from workers import residency, servable
from workers.residency import Resident

START, LOADING, AVAILABLE, UNLOADING, END = State.START, State.LOADING, State.AVAILABLE, State.UNLOADING, State.END
PATIENCE_S = 30.0
SECOND_NS = 1_000_000_000


class FakeServable:
    """Stands for a loaded version; knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def signature_map(self) -> bytes:
        return b"signatures"

    def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()


class Loads:
    """Takes the place of `servable.load`: each load waits until the test says how it ends."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.made: list[FakeServable] = []
        self._outcomes: dict[str, list[BaseException | None]] = {}
        self._changed = threading.Condition()

    def end(self, path: str, error: BaseException | None = None) -> None:
        """The next load of `path`, or the one that waits, ends."""
        with self._changed:
            self._outcomes.setdefault(path, []).append(error)
            self._changed.notify_all()

    def load(self, path: str, **_: Any) -> FakeServable:
        with self._changed:
            self.begun.append(path)
            assert self._changed.wait_for(lambda: self._outcomes.get(path), PATIENCE_S), f"{path} was never ended"
            error = self._outcomes[path].pop(0)
            if error is not None:
                raise error
            self.made.append(FakeServable())
            return self.made[-1]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loads]:
    made = Loads()
    monkeypatch.setattr(servable, "load", made.load)
    yield made
    for path in made.begun * 2:  # let threads go that a failed test left waiting
        made.end(path)


def want(*versions: int, path: str = "/m") -> list[DesiredServable]:
    return [DesiredServable(name="m", version=version, path=f"{path}/{version}") for version in versions]


def history(parts: Any, version: int) -> list[int]:
    return [state for _, number, state in parts.changes if number == version]


CANCELLED = (Code.CANCELLED, "Loading of servable cancelled")


def last_error(parts: Any, seen: list[ServableReport]) -> tuple[int, str]:
    return seen[-1].code, seen[-1].message


@pytest.fixture
def seen(parts: Callable[..., Any]) -> Callable[[Any], list[ServableReport]]:
    """Reports of every change, as control would get them if each were sent alone."""

    def watch(made: Any) -> list[ServableReport]:
        reports: list[ServableReport] = []
        before = made.residency._on_change

        def note(resident: Resident) -> None:
            before(resident)
            reports.append(residency.report(resident))

        made.residency._on_change = note
        return reports

    return watch


def test_the_life_of_a_version(parts: Callable[..., Any], model_path: Callable[[str], Path]) -> None:
    made = parts()
    made.residency.apply([DesiredServable(name="m", version=1, path=str(model_path("half_plus_two")))])
    assert made.states() == {("m", 1): LOADING}
    assert made.residency.busy
    resident = made.until(lambda: made.residency.available.get(("m", 1)), "AVAILABLE")
    assert not made.residency.busy
    (report,) = made.residency.reports()
    assert (report.state, report.code, report.message) == (AVAILABLE, 0, "")
    assert report.signatures == resident.servable.signature_map()
    made.residency.apply([])
    assert made.residency.available == {}
    assert made.residency.busy
    made.until(lambda: not made.residency.busy, "unloaded")
    assert history(made, 1) == [START, LOADING, AVAILABLE, UNLOADING, END]
    assert made.residency.reports() == []


def test_applying_the_same_twice_changes_nothing(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    for _ in range(3):
        made.residency.apply(want(1))
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    made.residency.apply(want(1))
    assert loads.begun == ["/m/1"]
    assert history(made, 1) == [START, LOADING, AVAILABLE]


def test_so_many_load_at_once(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts(WorkerConfig(num_load_threads=2))
    made.residency.apply(want(1, 2, 3, 4))
    made.until(lambda: len(loads.begun) == 2, "two loads")
    assert made.states() == {("m", 1): LOADING, ("m", 2): LOADING, ("m", 3): START, ("m", 4): START}
    loads.end("/m/2")
    made.until(lambda: len(loads.begun) == 3, "a third load")
    assert made.states()["m", 2] == AVAILABLE
    for version in (1, 3, 4):
        loads.end(f"/m/{version}")
    made.until(lambda: len(made.residency.available) == 4, "all")


def test_dropped_before_its_turn(parts: Callable[..., Any], loads: Loads, seen: Callable[..., Any]) -> None:
    made = parts()
    reports = seen(made)
    made.residency.apply(want(1, 2))
    made.residency.apply(want(1))
    assert history(made, 2) == [START, END]
    assert last_error(made, reports) == CANCELLED
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    assert loads.begun == ["/m/1"]


def test_dropped_while_loading(parts: Callable[..., Any], loads: Loads, seen: Callable[..., Any]) -> None:
    made = parts()
    reports = seen(made)
    made.residency.apply(want(1))
    made.until(lambda: loads.begun, "loading")
    made.residency.apply([])
    made.residency.apply([])
    assert made.states() == {("m", 1): LOADING}
    loads.end("/m/1")
    made.until(lambda: not made.residency.busy, "gone")
    assert history(made, 1) == [START, LOADING, UNLOADING, END]
    assert last_error(made, reports) == CANCELLED
    assert loads.made[0].closed.is_set()
    assert made.residency.available == {}
    assert made.states() == {}


def test_a_load_that_fails_after_it_was_dropped(
    parts: Callable[..., Any], loads: Loads, seen: Callable[..., Any]
) -> None:
    made = parts()
    reports = seen(made)
    made.residency.apply(want(1))
    made.until(lambda: loads.begun, "loading")
    made.residency.apply([])
    loads.end("/m/1", ServingError(Code.INTERNAL, "flaky"))
    made.until(lambda: not made.residency.busy, "gone")
    assert last_error(made, reports) == CANCELLED
    assert (made.states(), made.retries) == ({}, 0)


def test_wanted_again_while_still_loading_keeps_the_load(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1))
    made.until(lambda: loads.begun, "loading")
    made.residency.apply([])
    made.residency.apply(want(1))
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    assert loads.begun == ["/m/1"]
    assert history(made, 1) == [START, LOADING, AVAILABLE]


def test_wanted_again_from_another_path_while_still_loading(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1))
    made.until(lambda: loads.begun, "loading")
    made.residency.apply([])
    made.residency.apply(want(1, path="/other"))
    loads.end("/m/1")
    loads.end("/other/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    assert loads.begun == ["/m/1", "/other/1"]
    assert history(made, 1) == [START, LOADING, UNLOADING, END, START, LOADING, AVAILABLE]


def test_wanted_again_while_being_unloaded(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1))
    loads.end("/m/1")
    resident = made.until(lambda: made.residency.available.get(("m", 1)), "AVAILABLE")
    resident.in_flight = 1
    made.residency.apply([])
    made.residency.apply(want(1))
    made.turn()
    assert made.states() == {("m", 1): UNLOADING}
    resident.in_flight = 0
    made.residency.release(resident)
    loads.end("/m/1")
    again = made.until(lambda: made.residency.available.get(("m", 1)), "AVAILABLE again")
    assert again is not resident
    assert history(made, 1) == [START, LOADING, AVAILABLE, UNLOADING, END, START, LOADING, AVAILABLE]
    assert [item.closed.is_set() for item in loads.made] == [True, False]


def test_requests_in_flight_delay_the_unload(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1))
    loads.end("/m/1")
    resident = made.until(lambda: made.residency.available.get(("m", 1)), "AVAILABLE")
    resident.in_flight = 2
    made.residency.apply([])
    for left in (1, 0):
        made.turn()
        assert not loads.made[0].closed.is_set()
        assert made.residency.busy
        resident.in_flight = left
        made.residency.release(resident)
    made.residency.release(resident)  # once more does no harm
    made.until(lambda: not made.residency.busy, "gone")
    assert loads.made[0].closed.is_set()
    assert history(made, 1)[-2:] == [UNLOADING, END]


def test_retries_with_a_pause(parts: Callable[..., Any], loads: Loads, seen: Callable[..., Any]) -> None:
    made = parts(WorkerConfig(max_num_load_retries=2, load_retry_interval_micros=60_000_000))
    reports = seen(made)
    made.residency.apply(want(1))
    for attempt in (1, 2):
        loads.end("/m/1", ServingError(Code.INTERNAL, f"failure {attempt}"))
        made.until(lambda attempt=attempt: made.retries == attempt, "a failure")
        assert made.states() == {("m", 1): LOADING}
        due_ns = made.now_ns + 60 * SECOND_NS
        assert made.residency.tick(made.now_ns) == due_ns
        made.now_ns = due_ns - 1
        made.turn()
        assert len(loads.begun) == attempt
        made.now_ns = due_ns
        made.until(lambda attempt=attempt: len(loads.begun) == attempt + 1, "a retry")
    assert made.residency.tick(made.now_ns) is None
    loads.end("/m/1", ServingError(Code.INTERNAL, "the last"))
    made.until(lambda: made.states() == {("m", 1): END}, "given up")
    assert last_error(made, reports) == (Code.INTERNAL, "the last")
    assert history(made, 1) == [START, LOADING, END]
    assert not made.residency.busy


def test_what_the_log_says_of_retries(
    parts: Callable[..., Any], loads: Loads, caplog: pytest.LogCaptureFixture
) -> None:
    made = parts(WorkerConfig(max_num_load_retries=1, load_retry_interval_micros=0))
    with caplog.at_level(logging.INFO):
        made.residency.apply(want(1))
        for _ in range(2):
            loads.end("/m/1", ServingError(Code.INTERNAL, "flaky"))
        made.until(lambda: made.states() == {("m", 1): END}, "given up")
    what = "Loading servable: {name: m version: 1}"
    said = [record.getMessage() for record in caplog.records if record.getMessage().find("oading servable:") >= 0]
    assert said == [
        f"{what} failed: INTERNAL: flaky",
        f"Retrying of {what} retry: 1",
        f"{what} failed: INTERNAL: flaky",
        f"Retrying of {what} exhausted max_num_retries: 1",
    ]
    assert "Servable {name: m version: 1} cannot be loaded: INTERNAL: flaky" in caplog.text


def test_what_the_log_says_of_a_load_that_is_not_wanted_any_more(
    parts: Callable[..., Any], loads: Loads, caplog: pytest.LogCaptureFixture
) -> None:
    made = parts()
    with caplog.at_level(logging.INFO):
        made.residency.apply(want(1, 2))
        loads.end("/m/1", ServingError(Code.INTERNAL, "flaky"))
        made.until(lambda: made.retries == 1 and len(loads.begun) == 2, "one waits, the other loads")
        made.residency.apply([])
        loads.end("/m/2")
        made.until(lambda: not made.residency.busy, "gone")
    for version in (1, 2):
        text = f"Retrying of Loading servable: {{name: m version: {version}}} was cancelled."
        assert caplog.text.count(text) == 1


def test_another_path_of_a_version_that_is_there_changes_nothing(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1))
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    made.residency.apply(want(1, path="/other"))
    made.turn()
    assert loads.begun == ["/m/1"]
    assert history(made, 1) == [START, LOADING, AVAILABLE]


def test_a_retry_that_works(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts(WorkerConfig(load_retry_interval_micros=-1))  # negative: no pause
    made.residency.apply(want(1))
    loads.end("/m/1", MemoryError())
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    (report,) = made.residency.reports()
    assert (report.state, report.code, report.message) == (AVAILABLE, 0, "")


def test_others_load_while_one_waits_for_its_retry(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1, 2))
    loads.end("/m/1", ServingError(Code.INTERNAL, "flaky"))
    loads.end("/m/2")
    made.until(lambda: ("m", 2) in made.residency.available, "the other")
    assert made.states()["m", 1] == LOADING


@pytest.mark.parametrize(
    "code",
    [Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED, Code.FAILED_PRECONDITION, Code.DATA_LOSS],
    ids=str,
)
def test_permanent_errors_are_not_retried(parts: Callable[..., Any], loads: Loads, code: Code) -> None:
    made = parts()
    made.residency.apply(want(1))
    loads.end("/m/1", ServingError(code, "never"))
    made.until(lambda: made.states() == {("m", 1): END}, "END")
    assert (made.retries, made.residency.tick(0)) == (0, None)
    made.residency.apply(want(1))
    assert made.states() == {("m", 1): END}
    assert len(loads.begun) == 1


def test_a_failed_version_is_tried_again_after_it_was_dropped(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1))
    loads.end("/m/1", ServingError(Code.NOT_FOUND, "no files yet"))
    made.until(lambda: made.states() == {("m", 1): END}, "END")
    made.residency.apply([])
    assert made.states() == {}
    made.residency.apply(want(1))
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    (report,) = made.residency.reports()
    assert (report.code, report.message) == (0, "")


def test_dropped_while_it_waits_for_a_retry(parts: Callable[..., Any], loads: Loads, seen: Callable[..., Any]) -> None:
    made = parts()
    reports = seen(made)
    made.residency.apply(want(1))
    loads.end("/m/1", ServingError(Code.INTERNAL, "flaky"))
    made.until(lambda: made.retries, "a failure")
    made.residency.apply([])
    assert made.states() == {}
    assert last_error(made, reports) == CANCELLED
    made.residency.apply(want(1))  # a new try, at once
    made.until(lambda: len(loads.begun) == 2, "a new load")
    made.now_ns = 3600 * SECOND_NS  # the old retry is due: it is no longer anybody's
    made.turn()
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    made.turn()
    assert len(loads.begun) == 2


def test_dropped_and_wanted_again_while_a_retry_runs(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts(WorkerConfig(num_load_threads=2, load_retry_interval_micros=0))
    made.residency.apply(want(1))
    loads.end("/m/1", ServingError(Code.INTERNAL, "flaky"))
    made.until(lambda: len(loads.begun) == 2, "the retry")
    made.residency.apply([])
    assert made.states() == {("m", 1): LOADING}, "the retry is still running"
    made.residency.apply(want(1))
    loads.end("/m/1")
    resident = made.until(lambda: made.residency.available.get(("m", 1)), "AVAILABLE")
    assert len(loads.begun) == 2
    assert history(made, 1) == [START, LOADING, AVAILABLE]
    made.residency.apply([])
    made.until(lambda: not made.residency.busy, "unloaded")
    assert resident.servable is None
    assert loads.made[0].closed.is_set()


def test_whatever_a_loader_raises_is_an_error_of_the_version(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts(WorkerConfig(max_num_load_retries=0))
    made.residency.apply(want(1))
    loads.end("/m/1", KeyError("what"))
    made.until(lambda: made.states() == {("m", 1): END}, "END")
    (report,) = made.residency.reports()
    assert (report.code, report.message) == (Code.INTERNAL, "KeyError: 'what'")


def test_a_version_whose_close_fails_is_gone_all_the_same(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts()
    made.residency.apply(want(1))
    loads.end("/m/1")
    made.until(lambda: made.residency.available, "AVAILABLE")
    loads.made[0].closed.set()  # closing it again raises
    made.residency.apply([])
    made.until(lambda: not made.residency.busy, "gone")
    assert history(made, 1)[-1] == END
    assert made.states() == {}


def test_batching_parameters_that_cannot_work_fail_the_load(parts: Callable[..., Any], loads: Loads) -> None:
    made = parts(WorkerConfig(batching=BatchingConfig(num_batch_threads=1, batch_timeout_micros=-1)))
    made.residency.apply(want(1))
    made.until(lambda: made.states() == {("m", 1): END}, "END")
    (report,) = made.residency.reports()
    assert (report.code, report.message) == (
        Code.INVALID_ARGUMENT,
        "batch_timeout_micros must be non-negative; was -1",
    )
    assert loads.begun == []
