from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.policy import Stage
from control.transition import Transition, View, decide, resource_preserving

ABSENT, LOADING, READY, UNLOADING, FAILED = Stage
ROLLING = Transition.ROLLING


@pytest.mark.parametrize(
    ("story", "aspired", "stages", "desired"),
    [
        ("nothing wanted, nothing there", [], {}, []),
        ("first versions", [1, 2], {}, [1, 2]),
        ("the old one goes first", [2], {1: READY}, []),
        ("and is waited for", [2], {1: UNLOADING}, []),
        ("then the new one comes", [2], {1: ABSENT}, [2]),
        ("what is aspired stays meanwhile", [2, 3], {1: READY, 2: READY}, [2]),
        ("an unwanted load is dropped first", [2], {1: LOADING}, []),
        ("nothing can take its place: it stays", [2], {1: READY, 2: FAILED}, [1, 2]),
        ("all deleted", [], {1: READY}, []),
    ],
)
def test_resource_preserving(
    story: str, aspired: Collection[int], stages: Mapping[int, Stage], desired: Collection[int]
) -> None:
    assert resource_preserving(aspired, View(stages)) == set(desired), story


@pytest.mark.parametrize(
    ("story", "aspired", "stages", "desired"),
    [
        ("start: all at once", [1], [{}, {}], [[1], [1]]),
        ("a switch: the first worker makes room", [2], [{1: READY}, {1: READY}], [[], [1]]),
        ("the second waits while it unloads", [2], [{1: UNLOADING}, {1: READY}], [[], [1]]),
        ("and while it loads", [2], [{2: LOADING}, {1: READY}], [[2], [1]]),
        ("then the second", [2], [{2: READY}, {1: READY}], [[2], []]),
        ("done", [2], [{2: READY}, {2: READY}], [[2], [2]]),
        ("a failure goes no further, the first takes the old one back", [2], [{2: FAILED}, {1: READY}], [[2, 1], [1]]),
        ("it has it back", [2], [{2: FAILED, 1: READY}, {1: READY}], [[2, 1], [1]]),
        ("a newer version than the failed one", [3], [{2: FAILED, 1: READY}, {1: READY}], [[], [1]]),
        ("a worker is lost and comes back: the other waits", [2], [{}, {1: READY}], [[2], [1]]),
        ("all deleted", [], [{1: READY}, {1: READY}], [[], []]),
        ("one more version beside the others", [2, 1], [{1: READY}, {1: READY}], [[2, 1], [2, 1]]),
    ],
)
def test_rolling(
    story: str, aspired: Collection[int], stages: list[Mapping[int, Stage]], desired: list[Collection[int]]
) -> None:
    decided = decide(ROLLING, aspired, dict(enumerate(map(View, stages))))
    assert [set(decided[worker]) for worker in range(len(stages))] == [set(versions) for versions in desired], story


def test_one_worker_alone_loads_before_it_unloads() -> None:
    assert decide(ROLLING, [2], {7: View({1: READY})}) == {7: {1, 2}}


def test_a_version_that_one_worker_must_not_load_is_not_tried_by_the_others() -> None:
    views = {1: View({1: READY}, held=frozenset({2})), 2: View({1: READY})}
    assert decide(ROLLING, [2], views) == {1: {1}, 2: {1}}


class Fleet:
    """Workers that do as they are told, one random step at a time."""

    def __init__(self, workers: int, breaks: Collection[tuple[int, int]]) -> None:
        self.stages: list[dict[int, Stage]] = [{1: READY} for _ in range(workers)]
        self.breaks = breaks

    def obey(self, aspired: Collection[int], *, lost: Collection[int] = (), given_up: Collection[int] = ()) -> None:
        views = {worker: View(dict(stages)) for worker, stages in enumerate(self.stages) if worker not in lost}
        decided = decide(ROLLING, aspired, views, given_up=given_up)
        for worker in views:
            stages = self.stages[worker]
            for version in decided[worker]:
                if stages.get(version, ABSENT) is ABSENT:
                    stages[version] = LOADING
            for version in stages.keys() - decided[worker]:
                if stages[version] in (LOADING, READY):
                    stages[version] = UNLOADING
                elif stages[version] is FAILED:
                    stages[version] = ABSENT

    def busy(self) -> list[tuple[int, int]]:
        return [
            (worker, version)
            for worker, stages in enumerate(self.stages)
            for version, stage in sorted(stages.items())
            if stage in (LOADING, UNLOADING)
        ]

    def step(self, worker: int, version: int) -> None:
        stages = self.stages[worker]
        if stages[version] is UNLOADING:
            stages[version] = ABSENT
        else:
            stages[version] = FAILED if (worker, version) in self.breaks else READY

    def without(self) -> int:
        return sum(READY not in stages.values() for stages in self.stages)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), workers=st.integers(2, 4), goals=st.lists(st.integers(2, 5), min_size=1, max_size=4))
def test_never_more_than_one_worker_is_without_the_model(data: st.DataObject, workers: int, goals: list[int]) -> None:
    fleet = Fleet(workers, breaks=())
    for goal in goals:
        for _ in range(data.draw(st.integers(0, 12))):
            fleet.obey([goal])
            assert fleet.without() <= 1
            if busy := fleet.busy():
                fleet.step(*data.draw(st.sampled_from(busy)))
    for _ in range(200):
        fleet.obey([goals[-1]])
        assert fleet.without() <= 1
        if not fleet.busy():
            break
        fleet.step(*fleet.busy()[0])
    assert all({v for v, stage in stages.items() if stage is READY} == {goals[-1]} for stages in fleet.stages)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), workers=st.integers(2, 4))
def test_a_worker_that_crashes_for_ever_neither_stops_the_others_nor_is_relied_on(
    data: st.DataObject, workers: int
) -> None:
    fleet = Fleet(workers, breaks=())
    crashing = data.draw(st.integers(0, workers - 1))
    fleet.stages[crashing] = {}
    steady = [worker for worker in range(workers) if worker != crashing]

    def turn(goal: int) -> None:
        lost = [crashing] if data.draw(st.booleans()) else []
        if lost:
            fleet.stages[crashing] = {}
        fleet.obey([goal], lost=lost, given_up=[crashing])
        if busy := fleet.busy():
            fleet.step(*data.draw(st.sampled_from(busy)))
        assert any(READY in fleet.stages[worker].values() for worker in steady)

    for goal in data.draw(st.lists(st.integers(2, 4), max_size=3)):
        for _ in range(data.draw(st.integers(0, 20))):
            turn(goal)
    for _ in range(30):
        turn(2)
        for worker, version in fleet.busy():
            if worker in steady:
                fleet.step(worker, version)
    assert all(fleet.stages[worker].get(2) is READY for worker in steady)


@pytest.mark.parametrize("workers", [2, 3])
def test_a_bad_version_costs_one_worker_a_moment(workers: int) -> None:
    fleet = Fleet(workers, breaks=[(worker, 2) for worker in range(workers)])
    for _ in range(50):
        fleet.obey([2])
        assert fleet.without() <= 1
        if not fleet.busy():
            break
        fleet.step(*fleet.busy()[0])
    assert all(stages[1] is READY for stages in fleet.stages)
    assert [stages.get(2) for stages in fleet.stages] == [FAILED] + [None] * (workers - 1)


@pytest.mark.parametrize(
    ("story", "stages", "given_up", "desired"),
    [
        ("one is waited for", [{1: READY}, {1: READY}, {}], [], [[1], [1], [2]]),
        ("one that was given up is not", [{1: READY}, {1: READY}, {}], [2], [[], [1], [2]]),
        ("the others still go one at a time", [{2: LOADING}, {1: READY}, {}], [2], [[2], [1], [2]]),
        ("then the next", [{2: READY}, {1: READY}, {}], [2], [[2], [], [2]]),
        ("the last that can be counted on loads first", [{1: READY}, {}], [1], [[1, 2], [2]]),
        ("it goes on so", [{1: READY, 2: LOADING}, {}], [1], [[1, 2], [2]]),
        ("the old one goes", [{1: READY, 2: READY}, {}], [1], [[2], [2]]),
        ("one that is just there is not counted on", [{1: READY}, {2: READY}], [1], [[1, 2], [2]]),
        ("not even with an old version", [{1: READY}, {1: READY}], [1], [[1, 2], [1]]),
        ("it has its turn, too", [{2: READY}, {1: READY}], [1], [[2], []]),
        ("a failure there says nothing", [{1: READY}, {1: READY}, {2: FAILED}], [2], [[], [1], [1, 2]]),
        ("elsewhere it does", [{2: FAILED}, {1: READY}, {}], [2], [[1, 2], [1], [2]]),
        ("all were given up: one loads first", [{1: READY}, {1: READY}], [0, 1], [[1, 2], [1]]),
    ],
)
def test_rolling_does_not_wait_for_workers_that_were_given_up(
    story: str, stages: list[Mapping[int, Stage]], given_up: list[int], desired: list[Collection[int]]
) -> None:
    decided = decide(ROLLING, [2], dict(enumerate(map(View, stages))), given_up=given_up)
    assert [set(decided[worker]) for worker in range(len(stages))] == [set(versions) for versions in desired], story


def test_what_a_worker_that_was_given_up_must_not_load_is_tried_by_the_others() -> None:
    views = {1: View({}, held=frozenset({2})), 2: View({1: READY}), 3: View({1: READY})}
    assert decide(ROLLING, [2], views)[2] == {1}
    assert decide(ROLLING, [2], views, given_up=[1]) == {1: {1}, 2: set(), 3: {1}}


def test_without_the_worker_that_was_given_up_one_alone_loads_before_it_unloads() -> None:
    assert decide(ROLLING, [2], {7: View({1: READY})}, away=True) == {7: {1}}
    assert decide(ROLLING, [2], {7: View({1: READY})}, away=False) == {7: {1, 2}}


@pytest.mark.parametrize("stages", [[{1: READY}], [{1: READY}, {1: READY}]])
def test_rolling_does_not_begin_while_a_worker_is_away(stages: list[Mapping[int, Stage]]) -> None:
    views = dict(enumerate(map(View, stages)))
    assert decide(ROLLING, [2], views, away=True) == {worker: {1} for worker in views}
