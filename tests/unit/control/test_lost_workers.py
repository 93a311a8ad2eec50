"""A roll that meets workers that are lost: it waits for those that may come back, for a while."""

from __future__ import annotations

import pytest

from control.absences import LIMIT_SECONDS, STAY_SECONDS
from control.transition import Transition
from protos.messages import State
from tests.unit.control.paper_world import World, config

Lists = list[list[int]]


def rolling(workers: int, transition: Transition = Transition.ROLLING) -> World:
    """So many workers, with ids from 1, that serve version 1; the server is open, and version 2 is there."""
    made = World(transition=transition)
    made.manager.apply(config("m"))
    made.disk("m", [1])
    for worker in range(1, workers + 1):
        made.join(worker, f"worker-{worker}")
        made.say(worker, 1, State.AVAILABLE)
    made.manager.careful = True
    made.manager.refresh()
    return made


def wants(made: World, *workers: int) -> Lists:
    return [[version for _, version in made.wants(worker)] for worker in workers]


@pytest.mark.parametrize(
    ("workers", "crashed", "at_once", "later"),
    [
        # Lost for good: the others go on one at a time, and the last one that serves loads before it unloads.
        (3, True, [[1], [1]], [[], [1]]),
        (2, True, [[1]], [[2, 1]]),
        # Started elsewhere: it is no part of this server until it registers again.
        (3, False, [[], [1]], [[], [1]]),
        (2, False, [[2, 1]], [[2, 1]]),
    ],
)
def test_a_worker_that_never_comes_back(workers: int, crashed: bool, at_once: Lists, later: Lists) -> None:
    made = rolling(workers)
    made.manager.worker_left(workers, crashed=crashed)
    made.disk("m", [2])
    rest = range(1, workers)
    for now in (0.0, LIMIT_SECONDS - 1):
        made.manager.tick(now)
        assert wants(made, *rest) == at_once
    made.manager.tick(LIMIT_SECONDS)
    assert wants(made, *rest) == later


def test_the_whole_roll_without_a_worker_that_crashes_again_and_again() -> None:
    made = rolling(3)
    made.disk("m", [2])
    made.manager.worker_left(3, crashed=True)
    for life in range(10, 14):
        made.manager.tick((life - 10) * LIMIT_SECONDS / 2)
        made.join(life, "worker-3")
        made.manager.worker_left(life, crashed=True)
    assert wants(made, 1, 2) == [[], [1]]
    made.say(1, 1, State.UNLOADING)
    made.say(1, 1, State.END)
    assert wants(made, 1, 2) == [[2], [1]]
    # The one that crashes is there again for a moment, which changes nothing.
    made.join(14, "worker-3")
    made.say(14, 2, State.AVAILABLE)
    assert wants(made, 1, 2) == [[2], [1]]
    made.say(1, 2, State.AVAILABLE)
    assert wants(made, 1, 2) == [[2], []]
    made.say(2, 1, State.UNLOADING)
    made.say(2, 1, State.END)
    made.manager.worker_left(14, crashed=True)
    assert wants(made, 1, 2) == [[2], [2]]
    made.say(2, 2, State.AVAILABLE)
    assert made.states() == {2: State.AVAILABLE, 1: State.END}


def test_a_worker_that_came_back_to_stay_is_waited_for_again() -> None:
    made = rolling(3)
    made.manager.worker_left(3, crashed=True)
    made.manager.tick(0.0)
    made.manager.tick(LIMIT_SECONDS)
    made.join(4, "worker-3")
    made.disk("m", [2])
    made.manager.tick(LIMIT_SECONDS + 1)
    assert wants(made, 1, 2, 4) == [[], [1], [1]]
    made.manager.tick(LIMIT_SECONDS + 1 + STAY_SECONDS)
    made.say(1, 1, State.UNLOADING)
    made.say(1, 1, State.END)
    assert wants(made, 1, 2, 4) == [[2], [1], [1]]
    made.say(1, 2, State.AVAILABLE)
    # It serves nothing yet: the next one waits for it.
    assert wants(made, 1, 2, 4) == [[2], [1], [2]]
    made.say(4, 2, State.AVAILABLE)
    assert wants(made, 1, 2, 4) == [[2], [], [2]]


@pytest.mark.parametrize("transition", list(Transition))
def test_a_worker_that_was_given_up_is_not_the_one_that_tries_a_new_version(transition: Transition) -> None:
    made = rolling(3, transition)
    made.manager.worker_left(1, crashed=True)
    made.manager.tick(0.0)
    made.manager.tick(LIMIT_SECONDS)
    made.join(4, "worker-1")
    made.disk("m", [2])
    made.manager.refresh()
    assert 2 not in wants(made, 4)[0]
    for state in (State.UNLOADING, State.END) if transition is not Transition.AVAILABILITY_PRESERVING else ():
        made.say(2, 1, state)
    assert [2 in versions for versions in wants(made, 4, 2, 3)] == [False, True, False]
    made.say(2, 2, State.AVAILABLE)
    assert 2 in wants(made, 4)[0]


def test_when_all_were_given_up_one_of_them_tries_a_new_version() -> None:
    made = rolling(2)
    for worker in (1, 2):
        made.manager.worker_left(worker, crashed=True)
    made.manager.tick(0.0)
    made.manager.tick(LIMIT_SECONDS)
    for worker in (1, 2):
        made.join(worker + 2, f"worker-{worker}")
        made.say(worker + 2, 1, State.AVAILABLE)
    made.disk("m", [2])
    assert wants(made, 3, 4) == [[2, 1], [1]]


def test_a_place_that_is_given_up_for_good_is_not_waited_for() -> None:
    made = rolling(3)
    made.manager.worker_left(3, crashed=True)
    made.disk("m", [2])
    assert wants(made, 1, 2) == [[1], [1]]
    made.manager.slot_closed("worker-3")
    assert wants(made, 1, 2) == [[], [1]]


def test_a_version_that_struck_a_worker_that_never_comes_back_is_tried_by_another() -> None:
    made = World()
    made.manager.careful = True
    made.manager.apply(config("m"))
    made.join(1)
    made.join(2, "worker-1")
    made.disk("m", [1])
    for worker in (1, 2):
        made.say(worker, 1, State.AVAILABLE)
    made.disk("m", [2], others=[1])
    assert made.wants(1) == [("m", 2), ("m", 1)]
    made.say(1, 2, State.LOADING)
    made.manager.worker_left(1, crashed=True)
    made.manager.tick(1_000.0)
    assert made.wants(2) == [("m", 1)]
    made.manager.tick(1_000.0 + LIMIT_SECONDS)
    assert made.wants(2) == [("m", 2), ("m", 1)]
