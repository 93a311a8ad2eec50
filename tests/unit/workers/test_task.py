"""Cutting large tasks and joining the outcomes of their pieces."""

from __future__ import annotations

import numpy as np
import pytest

from protos.errors import Code, ServingError
from workers.task import Piece, Task, cut, settle


def make(rows: int) -> Task:
    return Task([np.arange(rows), np.arange(rows * 2).reshape(rows, 2)], rows, 77, "reply")


@pytest.mark.parametrize(
    ("rows", "first", "limit", "sizes"),
    [
        (3, 0, 2, [2, 1]),
        (3, 1, 2, [1, 2]),
        (5, 1, 2, [1, 2, 2]),
        (4, 0, 2, [2, 2]),
        (2, 1, 4, [1, 1]),
        (2, 0, 2, [2]),
        (1, 1, 2, [1]),
        (1, 3, 4, [1]),
    ],
)
def test_cut(rows: int, first: int, limit: int, sizes: list[int]) -> None:
    task = make(rows)
    parts = cut(task, first=first, limit=limit)
    assert [part.rows for part in parts] == sizes
    if len(sizes) == 1:
        assert parts[0] is task
        return
    assert all(isinstance(part, Piece) and part.deadline_ns == 77 for part in parts)
    for index, whole in enumerate(task.inputs):
        np.testing.assert_array_equal(np.concatenate([part.inputs[index] for part in parts]), whole)


def test_a_whole_task_settles_at_once() -> None:
    task = make(2)
    outcome = [np.zeros(2)]
    assert settle(task, outcome) == (task, outcome)


def test_pieces_join_in_row_order_whatever_order_they_finish_in() -> None:
    task = make(5)
    pieces = cut(task, first=1, limit=2)
    assert settle(pieces[2], pieces[2].inputs) is None
    assert settle(pieces[0], pieces[0].inputs) is None
    settled = settle(pieces[1], pieces[1].inputs)
    assert settled is not None
    whole, outputs = settled
    assert whole is task
    assert isinstance(outputs, list)
    for got, given in zip(outputs, task.inputs, strict=True):
        np.testing.assert_array_equal(got, given)


def test_the_first_error_is_the_outcome_and_spares_the_other_pieces() -> None:
    task = make(6)
    pieces = cut(task, first=0, limit=2)
    first = ServingError(Code.FAILED_PRECONDITION, "first")
    assert settle(pieces[1], first) is None
    assert pieces[0].cancelled and pieces[2].cancelled
    assert settle(pieces[0], [np.zeros(2)]) is None
    assert settle(pieces[2], ServingError(Code.INTERNAL, "second")) == (task, first)


def test_outputs_that_do_not_fit_together_are_an_error() -> None:
    task = make(3)
    a, b = cut(task, first=0, limit=2)
    assert settle(a, [np.zeros((2, 3))]) is None
    settled = settle(b, [np.zeros((1, 4))])
    assert settled is not None
    assert isinstance(settled[1], ServingError)
    assert settled[1].code == Code.INVALID_ARGUMENT


def test_cancel_reaches_the_pieces() -> None:
    task = make(3)
    pieces = cut(task, first=0, limit=2)
    task.cancel()
    assert task.cancelled and all(piece.cancelled for piece in pieces)
