"""A version that ends its worker while it runs is served no more, and what was good before takes its place."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from control.transition import Transition
from protos.errors import Code
from protos.messages import State
from tests.unit.control.paper_world import World, config, serving

Key = tuple[str, int]
TEXT = "Servable {name: m version: 2} ended the worker 3 times while it ran"


class Crashes(World):
    """A world in which workers crash while they run something; `ids` are those of the workers, by slot."""

    def __init__(self, *names: str, workers: int = 1, **more: object) -> None:
        super().__init__(quarantine_after_crashes=3, **more)  # type: ignore[arg-type]
        self.manager.apply(config(*names))
        self.ids: dict[str, int] = {}
        self.last = 0
        for index in range(workers):
            self.start(f"worker-{index}")

    def start(self, slot: str = "worker-0") -> int:
        self.last += 1
        self.ids[slot] = self.last
        self.join(self.last, slot)
        return self.last

    def serve(self, name: str, *versions: int, others: Collection[int] = ()) -> None:
        """These are on disk and wanted, and all workers have them."""
        self.disk(name, versions, others=others)
        for worker in self.ids.values():
            for version in versions:
                self.say(worker, version, State.AVAILABLE, name=name)
        self.manager.refresh()

    def switch(self, name: str = "m") -> None:
        """From version 1, which stays on disk, to version 2."""
        self.serve(name, 1)
        self.serve(name, 2, others=[1])
        for worker in self.ids.values():
            self.say(worker, 1, State.UNLOADING, name=name)
            self.say(worker, 1, State.END, name=name)

    def crash(self, *running: Key, slot: str = "worker-0", evidence: bool = True, at: float | None = None) -> None:
        self.manager.worker_left(self.ids.pop(slot), crashed=True)
        self.manager.refresh()
        self.now += 1.0
        self.manager.worker_ended(slot, running, now=self.now if at is None else at, evidence=evidence)

    def again(self, *running: Key, times: int, slot: str = "worker-0", **more: bool) -> None:
        """Crash, come back and load all that is wanted, so many times."""
        for _ in range(times):
            self.crash(*running, slot=slot, **more)
            self.load(self.start(slot))

    def load(self, worker: int) -> None:
        """A worker loads all it should."""
        for _ in range(4):
            for name, version in self.wants(worker):
                if self.said.get((worker, name, version)) != State.AVAILABLE:
                    self.say(worker, version, State.AVAILABLE, name=name)

    def end_of(self, name: str, version: int) -> tuple[int, int, str]:
        self.manager.refresh()
        entry = next(entry for entry in self.manager.versions(name) if entry.version == version)
        return entry.state, entry.code, entry.message


@pytest.fixture
def world() -> Crashes:
    """One worker, with two models, of which m has version 2 and had version 1."""
    made = Crashes("m", "other")
    made.switch()
    made.serve("other", 1)
    return made


@pytest.mark.parametrize("transition", list(Transition))
def test_the_last_good_version_comes_back(transition: Transition, caplog: pytest.LogCaptureFixture) -> None:
    world = Crashes("m", "other", transition=transition)
    world.switch()
    world.serve("other", 1)
    world.again(("m", 2), times=2)
    assert world.states() == {2: State.AVAILABLE, 1: State.END}
    world.crash(("m", 2))
    # Known before the worker is back.
    assert world.end_of("m", 2) == (State.END, Code.INTERNAL, TEXT)
    at = world.start()
    assert world.wants(at) == [("m", 1), ("other", 1)]
    world.load(at)
    assert world.wants(at) == [("m", 1), ("other", 1)]
    assert world.end_of("m", 2) == (State.END, Code.INTERNAL, TEXT)
    assert world.states() == {2: State.END, 1: State.AVAILABLE}
    assert world.states("other") == {1: State.AVAILABLE}
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"{TEXT}: it is served no more" in errors
    assert "worker-0 ended while it was running servable {name: m version: 2}" in errors
    # Whoever comes later is not told of it either.
    assert world.wants(world.start("worker-1")) == [("m", 1), ("other", 1)]


def test_it_leaves_all_workers_at_once_wherever_the_crashes_were() -> None:
    world = Crashes("m", "other", workers=3)
    world.switch()
    world.serve("other", 1)
    world.manager.careful = True
    for slot in ("worker-0", "worker-1"):
        world.again(("m", 2), ("other", 1), slot=slot, times=1)
    world.crash(("m", 2), slot="worker-0")
    third = world.ids["worker-2"]
    assert world.wants(third) == [("m", 1), ("other", 1)]
    # It still has it, and gets no more requests for it.
    assert world.states()[2] == State.UNLOADING
    assert world.manager.versions("m")[0].workers == []
    world.say(third, 2, State.UNLOADING)
    world.say(third, 1, State.AVAILABLE)
    assert world.states() == {2: State.UNLOADING, 1: State.AVAILABLE}
    for worker in (third, world.ids["worker-1"]):
        world.say(worker, 2, State.UNLOADING)
        world.say(worker, 2, State.END)
    assert world.end_of("m", 2) == (State.END, Code.INTERNAL, TEXT)
    assert world.wants(third) == [("m", 1), ("other", 1)]


def test_a_load_that_is_under_way_is_given_up() -> None:
    world = Crashes("m", "other", workers=2)
    world.switch()
    world.serve("other", 1)
    second = world.ids["worker-1"]
    world.again(("m", 2), times=2)
    world.crash(slot="worker-1", evidence=False)
    second = world.start("worker-1")
    world.say(second, 2, State.LOADING)
    world.crash(("m", 2))
    assert ("m", 2) not in world.wants(second)
    world.say(second, 2, State.AVAILABLE)
    assert world.manager.versions("m")[0].state != State.AVAILABLE
    assert ("m", 2) not in world.wants(second)


def test_kills_from_outside_prove_nothing(world: Crashes) -> None:
    world.again(("m", 2), times=10, evidence=False)
    assert world.states() == {2: State.AVAILABLE, 1: State.END}


def test_crashes_that_are_far_apart_prove_nothing(world: Crashes) -> None:
    for number in range(6):
        world.crash(("m", 2), at=400.0 * number)
        world.load(world.start())
    assert world.states()[2] == State.AVAILABLE


def test_who_always_runs_beside_it_is_not_blamed(world: Crashes) -> None:
    world.again(("m", 2), ("other", 1), times=5)
    assert (world.states()[2], world.states("other")[1]) == (State.AVAILABLE, State.AVAILABLE)
    world.crash(("m", 2))
    assert world.states()[2] == State.END
    world.load(world.start())
    world.again(("other", 1), times=2)
    assert world.states("other") == {1: State.AVAILABLE}


def test_other_files_are_another_matter(world: Crashes) -> None:
    world.again(("m", 2), times=3)
    at = world.ids["worker-0"]
    # Its files are looked at from now on.
    look = world.manager.look_for("m")
    assert look is not None and 2 in look.stamp
    for _ in range(2):
        world.disk("m", [2], others=[1])
    assert world.states() == {2: State.END, 1: State.AVAILABLE}
    for _ in range(2):
        world.disk("m", [2], others=[1], stamps={2: "mended"})
    assert world.wants(at) == [("m", 2), ("m", 1), ("other", 1)]
    world.say(at, 2, State.AVAILABLE)
    assert world.wants(at) == [("m", 2), ("other", 1)]
    assert world.states() == {2: State.AVAILABLE, 1: State.UNLOADING}
    # It begins anew.
    world.again(("m", 2), times=2)
    assert world.states()[2] == State.AVAILABLE


def test_taken_away_and_put_back(world: Crashes) -> None:
    world.again(("m", 2), times=3)
    at = world.ids["worker-0"]
    for _ in range(2):
        world.disk("m", [1], gone=[2])
    assert world.wants(at) == [("m", 1), ("other", 1)]
    assert world.end_of("m", 2)[:2] == (State.END, Code.OK)
    world.disk("m", [2], others=[1])
    assert world.wants(at) == [("m", 2), ("m", 1), ("other", 1)]


def test_a_reload_without_and_then_with_the_model_forgives(world: Crashes) -> None:
    world.again(("m", 2), times=3)
    at = world.ids["worker-0"]
    world.manager.apply(config("other"))
    assert world.wants(at) == [("other", 1)]
    world.say(at, 1, State.UNLOADING)
    world.say(at, 1, State.END)
    world.manager.apply(config("m", "other"))
    world.disk("m", [2], others=[1])
    assert world.wants(at) == [("m", 2), ("other", 1)]


def test_the_one_before_goes_too_if_it_deserves_it(world: Crashes) -> None:
    world.again(("m", 2), times=3)
    world.again(("m", 1), times=2)
    world.crash(("m", 1))
    at = world.start()
    assert world.wants(at) == [("other", 1)]
    assert world.end_of("m", 1)[:2] == (State.END, Code.INTERNAL)
    # Not wanted, so nobody looks at its files; but it was put there anew.
    world.disk("m", [2])
    world.disk("m", [2], others=[1])
    assert world.wants(at) == [("m", 1), ("other", 1)]


def test_what_was_good_long_ago_is_passed_over_when_it_is_not_on_disk() -> None:
    world = Crashes("m", "other")
    world.serve("other", 1)
    for version in (1, 2, 3):
        world.serve("m", version, others=range(1, version))
    world.disk("m", [3], others=[1])
    world.again(("m", 3), times=2)
    world.crash(("m", 3))
    assert world.wants(world.start()) == [("m", 1), ("other", 1)]


def test_with_several_versions_wanted_the_others_stay(world: Crashes) -> None:
    world.serve("m", 1, 2)
    world.again(("m", 2), times=3)
    at = world.ids["worker-0"]
    assert world.wants(at) == [("m", 1), ("other", 1)]
    world.disk("m", [3, 2, 1])
    assert world.wants(at) == [("m", 3), ("m", 1), ("other", 1)]


def test_the_only_version_of_a_model_goes_when_there_are_other_models(world: Crashes) -> None:
    world.again(("other", 1), times=3)
    assert world.end_of("other", 1)[:2] == (State.END, Code.INTERNAL)
    assert world.wants(world.ids["worker-0"]) == [("m", 2)]


def test_the_only_thing_to_serve_stays_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    world = Crashes("m")
    world.switch()
    world.disk("m", [2])  # version 1 is no longer on disk
    world.again(("m", 2), times=6)
    assert world.states()[2] == State.AVAILABLE
    said = [record.getMessage() for record in caplog.records if "nothing else to serve" in record.getMessage()]
    assert said == [f"{TEXT}: it stays, for there is nothing else to serve"]
    # Until there is something that it harms.
    world.manager.apply(config("m", "other"))
    world.serve("other", 1)
    world.again(("m", 2), times=1)
    assert world.states()[2] == State.END


def test_the_only_model_goes_back_if_it_can() -> None:
    world = Crashes("m")
    world.switch()
    world.again(("m", 2), times=3)
    assert world.states() == {2: State.END, 1: State.AVAILABLE}


def test_a_version_that_was_never_good_is_the_likelier_cause() -> None:
    world = Crashes("m", "other")
    world.serve("m", 1)
    world.serve("other", 1)
    for version in (2, 3):
        world.disk("m", [version], others=[1])
        for _ in range(2):
            at = world.ids["worker-0"]
            world.say(at, version, State.LOADING)
            # Other models are always busy.
            world.crash(("other", 1))
            at = world.start()
            world.say(at, 1, State.AVAILABLE, name="other")
            world.say(at, 1, State.AVAILABLE)
    assert world.states("other") == {1: State.AVAILABLE}
    assert world.end_of("m", 3)[:2] == (State.END, Code.INTERNAL)


def test_what_is_loaded_again_at_each_crash_is_cleared(world: Crashes) -> None:
    world.again(("m", 2), times=1)
    for _ in range(2):
        # m is back first, gets the request again, and ends the worker while the other is still being loaded.
        world.crash(("m", 2))
        at = world.start()
        world.say(at, 2, State.AVAILABLE)
        world.say(at, 1, State.LOADING, name="other")
    world.crash(("m", 2))
    at = world.start()
    assert world.states()[2] == State.END
    assert world.wants(at) == [("m", 1), ("other", 1)]


def test_nothing_is_barred_without_the_flag() -> None:
    world = World()
    world.manager.apply(config("m", "other"))
    world.join(1)
    serving(world, 1)
    for at in range(1, 10):
        world.manager.worker_left(at, crashed=True)
        world.manager.worker_ended("worker-0", [("m", 1)], now=float(at), evidence=True)
        world.join(at + 1)
        assert ("m", 1) in world.wants(at + 1)
        world.say(at + 1, 1, State.AVAILABLE)


def test_what_nobody_has_configured_is_not_barred(world: Crashes) -> None:
    world.again(("gone", 1), times=4)
    assert world.states("gone") == {}


def test_a_barred_version_is_nothing_to_go_back_to_when_a_newer_one_is_wanted(world: Crashes) -> None:
    world.again(("m", 2), times=3)
    world.disk("m", [3], others=[1, 2])
    assert ("m", 3) in world.wants(world.last)
    world.say(world.last, 3, State.LOADING)
    world.crash()
    assert ("m", 2) not in world.wants(world.start())
    world.load(world.last)
    assert world.states()[2] == State.END


def test_a_rollback_does_not_bring_a_barred_version_back(world: Crashes) -> None:
    world.again(("m", 2), times=3)
    world.disk("m", [3], others=[1, 2])
    world.load(world.last)
    assert world.states()[3] == State.AVAILABLE
    for _ in range(2):
        world.disk("m", [2], others=[1])
    world.load(world.last)
    assert ("m", 2) not in world.wants(world.last)
    assert world.states()[2] == State.END
    assert State.AVAILABLE in world.states().values()


def test_a_version_that_was_cleared_is_still_known_to_be_good() -> None:
    made = Crashes("m", "other", workers=2)
    made.serve("other", 1)
    made.serve("m", 1)
    for again in range(3):
        if again:
            made.say(made.ids["worker-0"], 1, State.LOADING, name="other")
        made.crash(("m", 1), slot="worker-0")
        made.start("worker-0")
    assert made.states()[1] == State.UNLOADING  # worker-1 has it yet
    # Somebody kills worker-0 twice while it loads what worker-1 serves.
    for _ in range(2):
        worker = made.ids["worker-0"]
        assert ("other", 1) in made.wants(worker)
        made.say(worker, 1, State.LOADING, name="other")
        made.crash(slot="worker-0", evidence=False)
        made.start("worker-0")
    assert made.wants(made.ids["worker-1"]) == [("other", 1)]
    assert made.states("other") == {1: State.AVAILABLE}


def test_the_only_model_that_is_left_is_tried_again() -> None:
    made = Crashes("m", "other")
    made.serve("other", 1)
    made.serve("m", 1)
    made.again(("m", 1), times=3)
    assert made.wants(made.last) == [("other", 1)]
    made.manager.apply(config("m"))
    made.manager.refresh()
    made.say(made.last, 1, State.UNLOADING, name="other")
    made.say(made.last, 1, State.END, name="other")
    assert made.wants(made.last) == [("m", 1)]
