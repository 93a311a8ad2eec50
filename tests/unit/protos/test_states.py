"""The table of a version's life."""

from __future__ import annotations

import pytest

from protos.messages import State
from protos.states import MOVES, may_move, may_report

START, LOADING, AVAILABLE, UNLOADING, END = State.START, State.LOADING, State.AVAILABLE, State.UNLOADING, State.END
LIVES = [
    (START, LOADING, AVAILABLE, UNLOADING, END),
    (START, END),
    (START, LOADING, END),
    (START, LOADING, UNLOADING, END),
]


def test_every_state_but_unknown_has_its_row() -> None:
    assert set(MOVES) == set(State) - {State.UNKNOWN}


@pytest.mark.parametrize("life", LIVES)
def test_lives(life: tuple[State, ...]) -> None:
    assert all(may_move(before, after) for before, after in zip(life, life[1:], strict=False))
    assert MOVES[life[-1]] == frozenset()


def test_all_moves_are_made_in_some_life() -> None:
    made = {pair for life in LIVES for pair in zip(life, life[1:], strict=False)}
    assert made == {(before, after) for before, afters in MOVES.items() for after in afters}


@pytest.mark.parametrize(
    ("before", "possible"),
    [
        (None, {START, LOADING, END}),
        (START, {START, LOADING, AVAILABLE, UNLOADING, END}),
        (LOADING, {LOADING, AVAILABLE, UNLOADING, END}),
        (AVAILABLE, {AVAILABLE, UNLOADING, END}),
        (UNLOADING, {UNLOADING, END}),
        (END, {END, START, LOADING}),
    ],
)
def test_what_may_be_reported_after(before: State | None, possible: set[State]) -> None:
    assert {after for after in MOVES if may_report(before, after)} == possible
