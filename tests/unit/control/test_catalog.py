"""Summing states over workers."""

from __future__ import annotations

import pytest

from control.catalog import Board, Ended, sum_version
from protos.errors import Code
from protos.messages import ServableReport, State, WorkerEntry

START, LOADING, AVAILABLE, UNLOADING, END = State.START, State.LOADING, State.AVAILABLE, State.UNLOADING, State.END
FAILED = "failed"
CANCELLED = "cancelled"


def said(what: State | str | None, *, version: int = 1, name: str = "m") -> ServableReport | None:
    if what is None:
        return None
    if what == FAILED:
        return ServableReport(name=name, version=version, state=END, code=Code.NOT_FOUND, message="no file")
    if what == CANCELLED:
        return ServableReport(name=name, version=version, state=END, code=Code.CANCELLED, message="cancelled")
    signatures = b"sigs" if what == AVAILABLE else b""
    return ServableReport(name=name, version=version, state=what, signatures=signatures)


def worker(worker_id: int) -> WorkerEntry:
    return WorkerEntry(id=worker_id, name=f"worker-{worker_id}", incarnation=f"i{worker_id}", endpoint="ipc://x")


@pytest.mark.parametrize(
    ("states", "aspired", "state", "workers"),
    [
        ([], True, START, []),
        ([], False, END, []),
        ([None], True, START, []),
        ([None], False, END, []),
        ([START], True, START, []),
        ([LOADING], True, LOADING, []),
        ([AVAILABLE], True, AVAILABLE, [0]),
        ([AVAILABLE], False, AVAILABLE, [0]),
        ([UNLOADING], False, UNLOADING, []),
        ([END], False, END, []),
        ([END], True, START, []),
        ([CANCELLED], True, START, []),
        ([FAILED], True, END, []),
        ([FAILED, AVAILABLE], True, AVAILABLE, [1]),
        ([AVAILABLE, LOADING, AVAILABLE], True, AVAILABLE, [0, 2]),
        ([FAILED, LOADING], True, LOADING, []),
        ([FAILED, None], True, START, []),
        ([FAILED, FAILED], True, END, []),
        ([END, UNLOADING], False, UNLOADING, []),
        ([UNLOADING, None], True, START, []),
        ([LOADING, UNLOADING], False, LOADING, []),
    ],
)
def test_the_sum_over_workers(states: list, aspired: bool, state: State, workers: list[int]) -> None:
    entry = sum_version(7, list(enumerate(map(said, states))), aspired=aspired, ended=Ended())
    assert (entry.version, entry.state, entry.workers) == (7, state, workers)
    assert entry.signatures == (b"sigs" if state == AVAILABLE else b"")


def test_an_end_tells_why_it_ended() -> None:
    entry = sum_version(1, [(0, said(FAILED)), (1, said(FAILED))], aspired=True, ended=Ended())
    assert (entry.code, entry.message) == (Code.NOT_FOUND, "no file")
    entry = sum_version(1, [(0, None)], aspired=False, ended=Ended(Code.INTERNAL, "earlier"))
    assert (entry.code, entry.message) == (Code.INTERNAL, "earlier")


def test_a_failure_elsewhere_does_not_show_on_an_available_version() -> None:
    entry = sum_version(1, [(0, said(FAILED)), (1, said(AVAILABLE))], aspired=True, ended=Ended(Code.NOT_FOUND, "x"))
    assert (entry.code, entry.message) == (0, "")


def test_a_version_about_to_be_unloaded_is_not_routed_to() -> None:
    both = [(0, said(AVAILABLE)), (1, said(AVAILABLE))]
    assert sum_version(1, both, aspired=False, ended=Ended(), leaving=[0]).workers == [1]
    assert sum_version(1, both, aspired=False, ended=Ended(), leaving=[0, 1]).state == UNLOADING


def board(*workers: int) -> Board:
    made = Board()
    for worker_id in workers:
        made.add_worker(worker(worker_id), {})
    return made


def states(made: Board, name: str = "m") -> dict[int, int]:
    return {entry.version: entry.state for entry in made.model(name)}


def test_versions_come_highest_first_and_are_never_forgotten() -> None:
    made = board(1)
    made.aspire("m", [1, 2])
    made.report(1, [said(AVAILABLE, version=1), said(AVAILABLE, version=2)], full=True)
    made.aspire("m", [3])
    made.report(1, [said(END, version=1), said(END, version=2)], full=False)
    assert [(e.version, e.state) for e in made.model("m")] == [(3, START), (2, END), (1, END)]
    made.aspire("m", [])
    assert states(made) == {1: END, 2: END, 3: END}


def test_a_lost_worker_takes_its_states_along() -> None:
    made = board(1, 2)
    made.aspire("m", [1])
    made.report(1, [said(AVAILABLE)], full=True)
    made.report(2, [said(LOADING)], full=True)
    assert made.remove_worker(2) == [("m", 1)]
    assert made.model("m")[0].workers == [1]
    assert made.remove_worker(1) == []
    assert states(made) == {1: START}
    assert made.remove_worker(1) == []


def test_a_full_report_ends_what_it_leaves_out_but_no_failure() -> None:
    made = board(1)
    made.aspire("m", [1, 2])
    made.report(1, [said(AVAILABLE, version=1), said(FAILED, version=2)], full=False)
    assert made.report(1, [], full=True) == {"m"}
    made.aspire("m", [2])
    assert states(made) == {1: END, 2: END}
    assert made.model("m")[0].code == Code.NOT_FOUND


def test_a_failure_survives_an_end_without_error() -> None:
    made = board(1)
    made.aspire("m", [1])
    made.report(1, [said(FAILED)], full=False)
    made.report(1, [said(END)], full=False)
    assert made.failed_on(("m", 1)) == [1]
    made.forgive(("m", 1))
    assert made.failed_on(("m", 1)) == []
    assert states(made) == {1: START}


def test_a_failed_version_that_is_no_longer_wanted_keeps_its_error_until_it_is_wanted_again() -> None:
    made = board(1)
    made.aspire("m", [1])
    made.report(1, [said(FAILED)], full=False)
    made.aspire("m", [])
    assert [(e.state, e.code) for e in made.model("m")] == [(END, Code.NOT_FOUND)]
    made.aspire("m", [1])
    assert [(e.state, e.code) for e in made.model("m")] == [(START, 0)]


def test_a_worker_may_be_told_what_not_to_try() -> None:
    made = Board()
    made.aspire("m", [1])
    made.add_worker(worker(1), {("m", 1): Ended(Code.INTERNAL, "deadly")})
    assert [(e.state, e.message) for e in made.model("m")] == [(END, "deadly")]


def test_reports_of_unknown_workers_are_ignored() -> None:
    made = board(1)
    assert made.report(9, [said(AVAILABLE)], full=True) == set()
    assert made.model("m") == []


@pytest.mark.parametrize(
    ("states", "state", "code"),
    [
        ([], END, Code.INTERNAL),
        ([None, None], END, Code.INTERNAL),
        # About to be unloaded: nobody is sent there any more.
        ([AVAILABLE, None], UNLOADING, Code.INTERNAL),
        ([UNLOADING, END], UNLOADING, Code.INTERNAL),
        ([LOADING], LOADING, 0),
        ([END, CANCELLED], END, Code.INTERNAL),
    ],
)
def test_a_barred_version_ends_with_the_reason(states: list, state: State, code: int) -> None:
    board = Board()
    board.aspire("m", [1])
    for index, what in enumerate(states):
        board.add_worker(worker(index), {})
        report = said(what)
        board.report(index, [report] if report is not None else [], full=False)
    board.bar(("m", 1), Ended(Code.INTERNAL, "bad"))
    assert list(board.barred("m")) == [1]
    for index in range(len(states)):
        board.leave(index, "m", [])
    (entry,) = board.model("m")
    assert (entry.state, entry.code, entry.workers) == (state, code, [])
    board.forgive(("m", 1))
    assert list(board.barred("m")) == []


def test_a_barred_version_stays_so_when_it_is_no_longer_wanted() -> None:
    board = Board()
    board.aspire("m", [1, 2])
    board.bar(("m", 2), Ended(Code.INTERNAL, "bad"))
    board.aspire("m", [1])
    assert list(board.barred("m")) == [2]
