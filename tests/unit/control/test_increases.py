"""Reloads that are measured: the looks before and after, their order, and reloads that come to nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from control import increases
from control.increases import Increases
from control.metrics import Cells
from protos.errors import Code, ServingError
from protos.metrics import PADDED_ROWS, REQUEST_COUNT, REQUEST_LATENCY, CellSnapshot

NAMES = [REQUEST_COUNT, REQUEST_LATENCY, "/nowhere", PADDED_ROWS]


class Looks:
    """Stands where `Scrapes` does; a test says when a round is over, and what was counted."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[Cells], None]] = []

    def when_counted(self, done: Callable[[Cells], None]) -> None:
        self.waiting.append(done)

    def over(self, *cells: CellSnapshot) -> None:
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done({(cell.name, cell.labels): cell for cell in cells})


def counted(requests: int) -> list[CellSnapshot]:
    """The value of a metric is that of the cell whose labels come first."""
    return [
        CellSnapshot(REQUEST_COUNT, ("b", "OK"), 1000 * requests),
        CellSnapshot(REQUEST_COUNT, ("a", "OK"), requests),
        CellSnapshot(REQUEST_COUNT, ("a", "UNKNOWN"), 1000),
        CellSnapshot(REQUEST_LATENCY, ("a", "Predict", "GRPC"), 50.0 * requests, [requests]),
    ]


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def measured(looks: Looks) -> Increases:
    scrapes: Any = looks
    return Increases(scrapes)


def test_the_reload_begins_after_the_first_look_and_is_answered_after_the_second(
    looks: Looks, measured: Increases
) -> None:
    said: list[object] = []
    measured.begin((1, 7), NAMES, lambda: said.append("begin"))
    assert said == []
    looks.over(*counted(10))
    assert said == ["begin"]
    measured.end((1, 7), said.append)
    assert said == ["begin"]
    looks.over(*counted(15), CellSnapshot(PADDED_ROWS, ("m", "s", "cpu"), 3.0))
    assert said == ["begin", [5, 0, 0, 3]]
    assert looks.waiting == []


def test_reloads_that_nobody_measures_are_answered_at_once(looks: Looks, measured: Increases) -> None:
    said: list[list[int]] = []
    measured.end((1, 7), said.append)
    assert said == [[]]
    assert looks.waiting == []


def test_nothing_comes_of_reloads_whose_front_end_has_gone(looks: Looks, measured: Increases) -> None:
    said: list[object] = []
    measured.begin((1, 7), NAMES, lambda: said.append("early"))
    measured.begin((2, 7), NAMES, lambda: said.append("begin"))
    measured.forget(1)
    looks.over()
    assert said == ["begin"]
    measured.end((2, 7), said.append)
    measured.forget(2)
    looks.over()
    assert said == ["begin"]


def test_a_reload_that_failed_is_forgotten(looks: Looks, measured: Increases) -> None:
    said: list[list[int]] = []
    measured.begin((1, 7), NAMES, lambda: None)
    looks.over()
    measured.drop((1, 7))
    measured.end((1, 7), said.append)
    assert said == [[]]


def test_so_many_at_a_time(looks: Looks, measured: Increases) -> None:
    for number in range(increases._MOST):
        measured.begin((1, number), NAMES, lambda: None)
    with pytest.raises(ServingError) as raised:
        measured.begin((1, increases._MOST), NAMES, lambda: None)
    assert raised.value.code == Code.RESOURCE_EXHAUSTED
    looks.over()
    measured.end((1, 0), lambda _: None)
    looks.over()
    measured.begin((1, increases._MOST), NAMES, lambda: None)
