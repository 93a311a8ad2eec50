"""A version that ends its worker while it is loaded harms nobody else, and is not tried for ever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.transition import Transition
from protos.errors import Code
from protos.messages import ServableReport, State
from tests.unit.control.paper_world import World, config, crash, serving


@pytest.fixture
def world() -> World:
    """One worker, as id 1."""
    made = World()
    made.manager.apply(config("m"))
    made.join(1)
    return made


def pair(*, transition: Transition = Transition.AVAILABILITY_PRESERVING, names: tuple[str, ...] = ("m",)) -> World:
    """Two workers, as ids 1 and 2, that serve version 1 of each model; the server is open."""
    made = World(transition=transition)
    made.manager.apply(config(*names))
    for worker in (1, 2):
        made.join(worker, f"worker-{worker - 1}")
    for name in names:
        made.disk(name, [1])
        for worker in (1, 2):
            made.say(worker, 1, State.AVAILABLE, name=name)
    made.manager.careful = True
    return made


def end_of(made: World, version: int) -> tuple[int, int]:
    made.manager.refresh()
    entry = next(entry for entry in made.manager.versions("m") if entry.version == version)
    return entry.state, entry.code


def test_twice_is_enough_and_the_old_version_serves_again(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2])
    world.say(1, 2, State.LOADING)
    at = crash(world, 1)
    # Not aspired any more, but the last that was good: it comes first, then the suspect once more.
    assert world.wants(at) == [("m", 1)]
    world.say(at, 1, State.LOADING)
    assert world.wants(at) == [("m", 1)]
    world.say(at, 1, State.AVAILABLE)
    assert world.wants(at) == [("m", 2), ("m", 1)]
    world.say(at, 2, State.LOADING)
    at = crash(world, at)
    assert world.wants(at) == [("m", 1)]
    world.say(at, 1, State.AVAILABLE)
    assert world.wants(at) == [("m", 1)]
    assert end_of(world, 2) == (State.END, Code.INTERNAL)
    assert "ended the worker 2 times" in world.manager.versions("m")[0].message
    # Other files are another matter.
    world.disk("m", [2], stamps={2: "mended"})
    world.disk("m", [2], stamps={2: "mended"})
    world.wants(at)
    world.ack(at)
    assert world.wants(at) == [("m", 2), ("m", 1)]
    world.say(at, 2, State.AVAILABLE)
    assert world.wants(at) == [("m", 2)]


def test_a_failed_version_does_not_keep_a_restarted_worker_from_serving(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2])
    world.say(1, 2, State.LOADING)
    world.say(1, 2, State.END, code=5)
    at = crash(world, 1)
    assert world.wants(at) == [("m", 1)]
    world.say(at, 1, State.AVAILABLE)
    assert world.wants(at) == [("m", 2), ("m", 1)]
    world.say(at, 2, State.END, code=5)
    assert world.wants(at) == [("m", 2), ("m", 1)]
    assert world.states() == {2: State.END, 1: State.AVAILABLE}


def test_when_the_last_good_version_cannot_be_loaded_either_the_new_one_is_tried(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2])
    at = crash(world, 1)
    assert world.wants(at) == [("m", 1)]
    world.say(at, 1, State.END, code=5)
    assert world.wants(at) == [("m", 2)]


def test_what_nobody_wants_at_all_does_not_come_back(world: World) -> None:
    serving(world, 1)
    world.disk("m", [])
    at = crash(world, 1)
    assert world.wants(at) == []


def test_a_new_version_is_tried_by_one_worker_first() -> None:
    made = pair()
    made.disk("m", [2])
    assert (made.wants(1), made.wants(2)) == ([("m", 2), ("m", 1)], [("m", 1)])
    made.say(1, 2, State.LOADING)
    assert (made.wants(1), made.wants(2)) == ([("m", 2), ("m", 1)], [("m", 1)])
    made.say(1, 2, State.AVAILABLE)
    assert (made.wants(1), made.wants(2)) == ([("m", 2)], [("m", 2), ("m", 1)])


def test_an_orderly_failure_is_no_reason_for_the_next_worker_not_to_try() -> None:
    made = pair()
    made.disk("m", [2])
    made.say(1, 2, State.LOADING)
    made.say(1, 2, State.END, code=8)
    assert made.wants(2) == [("m", 2), ("m", 1)]
    made.say(2, 2, State.AVAILABLE)
    assert made.states() == {2: State.AVAILABLE, 1: State.AVAILABLE}


@pytest.mark.parametrize("transition", [Transition.AVAILABILITY_PRESERVING, Transition.RESOURCE_PRESERVING])
def test_what_was_loaded_once_is_loaded_by_all_at_once(transition: Transition) -> None:
    made = pair(transition=transition)
    at = crash(made, 2, name="worker-1")
    at = crash(made, at, name="worker-1")
    assert made.wants(at) == [("m", 1)]


def test_the_second_worker_never_meets_a_version_that_ends_the_first() -> None:
    made = pair()
    made.disk("m", [2])
    made.say(1, 2, State.LOADING)
    made.manager.worker_left(1, crashed=True)
    assert made.wants(2) == [("m", 1)]
    made.join(3)
    assert (made.wants(3), made.wants(2)) == ([("m", 1)], [("m", 1)])
    made.say(3, 1, State.AVAILABLE)
    assert (made.wants(3), made.wants(2)) == ([("m", 2), ("m", 1)], [("m", 1)])
    made.say(3, 2, State.LOADING)
    made.manager.worker_left(3, crashed=True)
    made.join(4)
    assert (made.wants(4), made.wants(2)) == ([("m", 1)], [("m", 1)])
    assert end_of(made, 2) == (State.END, Code.INTERNAL)
    # A worker that joins later is told, too.
    made.join(5, "worker-2")
    assert made.wants(5) == [("m", 1)]
    assert end_of(made, 2) == (State.END, Code.INTERNAL)


def test_new_models_that_end_their_worker_leave_the_other_one_alone() -> None:
    made = pair(names=("good",))
    made.manager.apply(config("good", "m"))
    made.disk("m", [1])
    assert (made.wants(1), made.wants(2)) == ([("good", 1), ("m", 1)], [("good", 1)])
    made.say(1, 1, State.LOADING)
    made.manager.worker_left(1, crashed=True)
    assert made.wants(2) == [("good", 1)]
    made.join(3)
    assert (made.wants(3), made.wants(2)) == ([("good", 1), ("m", 1)], [("good", 1)])
    made.say(3, 1, State.LOADING)
    made.manager.worker_left(3, crashed=True)
    assert made.wants(2) == [("good", 1)]
    assert end_of(made, 1) == (State.END, Code.INTERNAL)


def test_a_new_model_waits_for_nobody_who_was_lost_for_another_reason() -> None:
    made = pair(names=("good",))
    made.manager.worker_left(1, crashed=True)
    made.manager.apply(config("good", "m"))
    made.disk("m", [1])
    assert made.wants(2) == [("good", 1), ("m", 1)]


def test_a_place_that_is_given_up_is_not_waited_for() -> None:
    made = pair()
    made.disk("m", [2])
    made.say(1, 2, State.LOADING)
    made.manager.worker_left(1, crashed=True)
    assert made.wants(2) == [("m", 1)]
    made.manager.slot_closed("worker-0")
    assert made.wants(2) == [("m", 2), ("m", 1)]


def test_rolling_tries_a_new_model_with_one_worker_too() -> None:
    made = pair(transition=Transition.ROLLING, names=("good",))
    made.manager.apply(config("good", "m"))
    made.disk("m", [1])
    assert (made.wants(1), made.wants(2)) == ([("good", 1), ("m", 1)], [("good", 1)])
    made.say(1, 1, State.AVAILABLE)
    assert made.wants(2) == [("good", 1), ("m", 1)]
    made.say(2, 1, State.AVAILABLE)
    made.disk("m", [2])
    assert (made.wants(1), made.wants(2)) == ([("good", 1)], [("good", 1), ("m", 1)])


def test_a_worker_that_cannot_have_the_model_holds_up_nobody() -> None:
    made = World()
    made.manager.apply(config("m"))
    for worker in (1, 2):
        made.join(worker, f"worker-{worker - 1}")
    made.disk("m", [1])
    made.say(1, 1, State.END, code=8)
    made.say(2, 1, State.AVAILABLE)
    made.manager.careful = True
    made.manager.refresh()
    made.disk("m", [2])
    # The last good version first, once more.
    assert (made.wants(1), made.wants(2)) == ([("m", 1)], [("m", 1)])
    made.say(1, 1, State.LOADING)
    made.say(1, 1, State.END, code=8)
    assert (made.wants(1), made.wants(2)) == ([("m", 2)], [("m", 1)])
    made.say(1, 2, State.LOADING)
    made.say(1, 2, State.END, code=8)
    assert made.wants(2) == [("m", 2), ("m", 1)]


def test_what_cannot_be_is_not_believed(world: World) -> None:
    def reported(state: State, *, full: bool = False) -> bool:
        return world.manager.worker_reported(1, [ServableReport(name="m", version=1, state=state)], full=full)

    world.disk("m", [1])
    assert not reported(State.AVAILABLE)
    assert world.states() == {1: State.START}
    assert reported(State.LOADING)
    assert reported(State.END)
    assert not reported(State.AVAILABLE)
    assert world.states() == {1: State.START}
    assert reported(State.AVAILABLE, full=True)
    assert world.states() == {1: State.AVAILABLE}


def test_suspects_are_loaded_one_at_a_time_so_that_the_innocent_go_free() -> None:
    made = World()
    made.manager.apply(config("a", "b", "c"))
    made.join(1)
    for name in ("a", "b", "c"):
        made.disk(name, [1])
        made.say(1, 1, State.LOADING, name=name)
    at = crash(made, 1)
    assert made.wants(at) == [("a", 1)]
    made.say(at, 1, State.AVAILABLE, name="a")
    assert made.wants(at) == [("a", 1), ("b", 1)]
    made.say(at, 1, State.LOADING, name="b")
    at = crash(made, at)
    assert made.wants(at) == [("a", 1), ("c", 1)]
    assert made.states("b") == {1: State.END}


def test_an_orderly_end_is_no_strike(world: World) -> None:
    world.disk("m", [1])
    for at in (1, 2, 3):
        world.say(at, 1, State.LOADING)
        world.manager.worker_left(at, crashed=False)
        world.join(at + 1)
        assert world.wants(at + 1) == [("m", 1)]


class Fleet:
    """Workers that do as they are told, one random step at a time; loading `deadly` ends them."""

    def __init__(self, workers: int, transition: Transition, deadly: int) -> None:
        self.world = World(transition=transition)
        self.world.manager.apply(config("m"))
        self.world.disk("m", [1])
        self.deadly = deadly
        self.crashes = 0
        self.last_id = 0
        self.ids: dict[str, int] = {}
        self.states: dict[str, dict[int, State]] = {f"worker-{index}": {} for index in range(workers)}
        for name in self.states:
            self.start(name)
            for state in (State.LOADING, State.AVAILABLE):
                self.report(name, 1, state)
        self.world.manager.careful = True
        self.world.manager.refresh()

    def start(self, name: str) -> None:
        self.last_id += 1
        self.ids[name] = self.last_id
        self.states[name] = {}
        self.world.join(self.last_id, name)

    def report(self, name: str, version: int, state: State) -> None:
        self.states[name][version] = state
        if state == State.END:
            del self.states[name][version]
        self.world.say(self.ids[name], version, state)

    def steps(self) -> list[tuple[str, int]]:
        """What could happen next: a worker that is away comes back (0), or goes on with a version."""
        possible = []
        for name, states in self.states.items():
            if name not in self.ids:
                possible.append((name, 0))
                continue
            wanted = {version for _, version in self.world.wants(self.ids[name])}
            self.world.ack(self.ids[name])
            busy = {v for v, state in states.items() if state != State.AVAILABLE or v not in wanted}
            possible += [(name, v) for v in sorted(busy | (wanted - states.keys()))]
        return possible

    def step(self, name: str, version: int) -> None:
        if version == 0:
            self.start(name)
            return
        wanted = ("m", version) in self.world.wants(self.ids[name])
        match self.states[name].get(version):
            case None:
                self.report(name, version, State.LOADING)
            case State.LOADING if version == self.deadly:
                self.crashes += 1
                self.crash(name)
            case State.LOADING:
                self.report(name, version, State.AVAILABLE if wanted else State.UNLOADING)
            case State.AVAILABLE:
                self.report(name, version, State.UNLOADING)
            case _:
                self.report(name, version, State.END)

    def crash(self, name: str) -> None:
        self.world.manager.worker_left(self.ids.pop(name), crashed=True)
        self.states[name] = {}

    def idle(self) -> list[str]:
        """Workers that are there and load nothing."""
        return [name for name in self.ids if State.LOADING not in self.states[name].values()]

    def serving(self) -> int:
        return sum(State.AVAILABLE in states.values() for states in self.states.values())


@pytest.mark.parametrize("transition", [Transition.AVAILABILITY_PRESERVING, Transition.ROLLING])
@settings(max_examples=100, deadline=None)
@given(data=st.data(), workers=st.integers(2, 4))
def test_a_deadly_version_ends_two_workers_at_most_and_never_the_last(
    transition: Transition, data: st.DataObject, workers: int
) -> None:
    fleet = Fleet(workers, transition, deadly=2)
    fleet.world.disk("m", [2])
    for _ in range(60):
        assert fleet.serving() >= 1
        possible = fleet.steps()
        if not possible:
            break
        fleet.step(*data.draw(st.sampled_from(possible)))
    for _ in range(200):
        if not (possible := fleet.steps()):
            break
        assert fleet.serving() >= 1
        fleet.step(*possible[0])
    assert fleet.steps() == []
    assert fleet.crashes == 2
    assert all(states == {1: State.AVAILABLE} for states in fleet.states.values())
    assert end_of(fleet.world, 2) == (State.END, Code.INTERNAL)


@pytest.mark.parametrize("transition", [Transition.AVAILABILITY_PRESERVING, Transition.ROLLING])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), workers=st.integers(1, 4))
def test_workers_that_end_for_other_reasons_make_no_difference_in_the_end(
    transition: Transition, data: st.DataObject, workers: int
) -> None:
    fleet = Fleet(workers, transition, deadly=2)
    fleet.world.disk("m", [2])
    for _ in range(40):
        if (idle := fleet.idle()) and data.draw(st.integers(0, 4)) == 0:
            fleet.crash(data.draw(st.sampled_from(idle)))
        if possible := fleet.steps():
            fleet.step(*data.draw(st.sampled_from(possible)))
    for _ in range(400):
        if not (possible := fleet.steps()):
            break
        fleet.step(*possible[0])
    assert fleet.steps() == []
    assert fleet.crashes == 2
    assert all(states == {1: State.AVAILABLE} for states in fleet.states.values())
