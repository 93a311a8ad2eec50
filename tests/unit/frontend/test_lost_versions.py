"""Versions whose worker was lost: UNAVAILABLE until they are back, or until nobody wants them any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from frontend.catalog import Catalog, Model, Version
from protos.errors import Code, ServingError
from protos.messages import State
from protos.tensor_view import Target
from tests.catalogs import version

LATEST, ONE = Target("m", None, None, ""), Target("m", 1, None, "")
# Any link will do: nothing is sent.
LINKS: list[Any] = [object()]


def follow(states: Iterable[int]) -> Catalog:
    """The catalog after snapshots in which version 1 of model `m` was in these states."""
    catalog = Catalog()
    for state in states:
        links = LINKS if state == State.AVAILABLE else []
        entry = Version("m", version(1, state=state), links)
        catalog = Catalog([Model("m", [entry], {"stable": 1})], before=catalog)
    return catalog


@pytest.mark.parametrize("target", [LATEST, ONE, Target("m", None, "stable", "")])
@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([State.START], Code.NOT_FOUND),
        ([State.START, State.LOADING], Code.NOT_FOUND),
        ([State.AVAILABLE, State.START], Code.UNAVAILABLE),
        ([State.AVAILABLE, State.START, State.LOADING], Code.UNAVAILABLE),
        ([State.AVAILABLE, State.END], Code.NOT_FOUND),
        ([State.AVAILABLE, State.UNLOADING, State.END, State.LOADING], Code.NOT_FOUND),
        ([State.AVAILABLE, State.START, State.LOADING, State.END], Code.NOT_FOUND),
    ],
)
def test_what_is_said_meanwhile(target: Target, states: list[int], code: Code) -> None:
    with pytest.raises(ServingError) as error:
        follow(states).resolve(target)
    assert error.value.code == code
    assert "Servable not " in error.value.message


def said(*snapshots: dict[int, tuple[int, int]]) -> int:
    """The code for the latest version, after snapshots of the states and error codes of versions."""
    catalog = Catalog()
    for states in snapshots:
        versions = []
        for number, (state, code) in states.items():
            entry = version(number, state=state)
            entry.code = code
            versions.append(Version("m", entry, LINKS if state == State.AVAILABLE else []))
        catalog = Catalog([Model("m", versions, {})], before=catalog)
    with pytest.raises(ServingError) as error:
        catalog.resolve(LATEST)
    return error.value.code


SERVED, LOST, BARRED = (State.AVAILABLE, 0), (State.START, 0), (State.END, int(Code.INTERNAL))
LOADING, UNLOADING, END = (State.LOADING, 0), (State.UNLOADING, 0), (State.END, 0)


def test_while_a_good_version_takes_the_place_of_one_that_is_barred() -> None:
    barred = {1: LOST, 2: BARRED}
    assert said({1: END, 2: SERVED}, {1: END, 2: LOST}, barred) == Code.UNAVAILABLE
    assert said({1: END, 2: SERVED}, barred, {1: LOADING, 2: BARRED}) == Code.UNAVAILABLE
    assert said({1: END, 2: SERVED}, barred, {1: END, 2: BARRED}) == Code.NOT_FOUND
    # With other workers, which have it still.
    leaving = (State.UNLOADING, int(Code.INTERNAL))
    assert said({1: END, 2: SERVED}, {1: LOST, 2: leaving}, barred, {1: LOADING, 2: BARRED}) == Code.UNAVAILABLE
    # Not after an unloading in order, nor when nothing was served before.
    assert said({1: SERVED}, {1: UNLOADING, 2: LOST}, {1: END, 2: LOADING}) == Code.NOT_FOUND
    assert said({1: LOADING, 2: LOADING}, {1: LOADING, 2: BARRED}) == Code.NOT_FOUND


def test_it_is_served_again() -> None:
    assert follow([State.AVAILABLE, State.START, State.LOADING, State.AVAILABLE]).resolve(LATEST).version == 1


def test_a_model_that_is_new_or_gone_is_not_found() -> None:
    before = follow([State.AVAILABLE])
    with pytest.raises(ServingError) as error:
        Catalog([], before=before).resolve(LATEST)
    assert error.value.code == Code.NOT_FOUND
