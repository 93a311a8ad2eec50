"""Sums over processes that come and go."""

from __future__ import annotations

from control import metrics as ledgers
from control.metrics import Ledger
from protos.metrics import CONNECTIONS, CPU_SECONDS, REQUEST_COUNT, REQUEST_LATENCY, CellSnapshot, Registry

OK = (REQUEST_COUNT, ("m", "OK"))
LATENCY = (REQUEST_LATENCY, ("m", "Predict", "GRPC"))


def front_end(requests: int, *, name: str = "frontend-0", connections: int = 0, cpu: float = 0.0) -> Registry:
    """The registry of a front end that has answered so many, each in 25 microseconds."""
    registry = Registry()
    for _ in range(requests):
        registry.histogram(REQUEST_LATENCY, "m", "Predict", "GRPC").observe(25.0)
    registry.value(CONNECTIONS, name).add(connections)
    registry.value(CPU_SECONDS, name).add(cpu)
    return registry


def sums(ledger: Ledger) -> dict[tuple[str, tuple[str, ...]], float]:
    return {key: cell.sum for key, cell in ledger.total([]).items()}


def test_counts_of_processes_are_added_and_a_later_report_replaces_an_earlier_one() -> None:
    ledger = Ledger()
    ledger.report("a", front_end(1).snapshot())
    ledger.report("b", front_end(2, name="frontend-1").snapshot())
    ledger.report("a", front_end(5).snapshot())
    total = ledger.total(front_end(1, name="control").snapshot())
    assert total[OK].sum == 8
    assert total[LATENCY].sum == 8 * 25.0
    assert total[LATENCY].counts[:4] == [0, 0, 8, 0] and sum(total[LATENCY].counts) == 8
    assert {labels for name, labels in total if name == CPU_SECONDS} == {("frontend-0",), ("frontend-1",), ("control",)}


def test_adding_up_changes_no_report() -> None:
    ledger = Ledger()
    for source in "ab":
        ledger.report(source, front_end(2).snapshot())
    assert [ledger.total(front_end(1).snapshot())[LATENCY].counts[2] for _ in range(3)] == [5, 5, 5]


def test_what_a_lost_process_had_counted_stays_and_its_gauges_go() -> None:
    ledger = Ledger()
    ledger.report("a", front_end(3, connections=7, cpu=1.5).snapshot())
    ledger.leave("a")
    assert sums(ledger) == {OK: 3, LATENCY: 75.0, (CPU_SECONDS, ("frontend-0",)): 1.5}
    ledger.report("its successor", front_end(1, connections=1, cpu=0.25).snapshot())
    now = sums(ledger)
    assert (now[OK], now[CPU_SECONDS, ("frontend-0",)], now[CONNECTIONS, ("frontend-0",)]) == (4, 1.75, 1)


def test_a_process_that_was_silent_and_is_back_counts_once() -> None:
    ledger = Ledger()
    ledger.report("a", front_end(3).snapshot())
    ledger.leave("a")
    ledger.leave("a")
    ledger.report("a", front_end(4).snapshot())
    assert sums(ledger)[OK] == 4


def test_many_lost_processes_take_bounded_memory_and_nothing_is_lost() -> None:
    ledger = Ledger()
    count = ledgers._REMEMBERED + ledgers._REMEMBERED_NAMES + 50
    for number in range(count):
        ledger.report(number, front_end(1, name=f"frontend-{number}", cpu=1.0).snapshot())
        ledger.leave(number)
    total = sums(ledger)
    assert (total[OK], total[LATENCY]) == (count, count * 25.0)
    left = [labels[0] for name, labels in total if name == CPU_SECONDS]
    assert len(left) == ledgers._REMEMBERED + ledgers._REMEMBERED_NAMES and f"frontend-{count - 1}" in left
    assert len(ledger._left) == ledgers._REMEMBERED


def test_a_restarted_slot_keeps_rising_however_often() -> None:
    ledger = Ledger()
    seen = []
    for number in range(ledgers._REMEMBERED + 20):
        ledger.report(number, front_end(1, cpu=2.0).snapshot())
        ledger.leave(number)
        seen.append(sums(ledger)[CPU_SECONDS, ("frontend-0",)])
    assert seen == [2.0 * (number + 1) for number in range(len(seen))]


def test_cells_that_fit_no_definition_are_left_out() -> None:
    ledger = Ledger()
    odd = [
        CellSnapshot("/no/such/metric", (), 1),
        CellSnapshot(REQUEST_COUNT, ("m",), 1),
        CellSnapshot(REQUEST_COUNT, ("m", "OK"), 1, [1]),
        CellSnapshot(REQUEST_LATENCY, ("m", "Predict", "GRPC"), 1, [1, 2]),
    ]
    ledger.report("a", [*odd, *front_end(1).snapshot()])
    assert sums(ledger)[OK] == 1 and set(sums(ledger)) == {OK, LATENCY} | {
        (name, ("frontend-0",)) for name in (CPU_SECONDS, CONNECTIONS)
    }
