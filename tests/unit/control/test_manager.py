"""The manager's decisions, with a disk and workers that exist on paper only."""

from __future__ import annotations

import pytest

from control.storage import Discovery
from control.watch import Sight
from protos.errors import Code, ServingError
from protos.messages import ServableReport, State
from tests.unit.control.paper_world import World, config, serving


@pytest.fixture
def world() -> World:
    made = World()
    made.manager.apply(config("m"))
    made.join(1)
    return made


def test_what_is_on_disk_is_loaded_from_there(world: World) -> None:
    world.disk("m", [3])
    assert world.wants() == [("m", 3)]
    assert world.manager.decided(1)[0].path == "/models/m/3"
    assert world.states() == {3: State.START}


def test_every_worker_gets_every_model() -> None:
    made = World()
    made.manager.apply(config("a", "b"))
    made.join(1)
    made.join(2, "worker-1")
    for name in ("a", "b"):
        made.disk(name, [1, 2])
    everything = [("a", 2), ("a", 1), ("b", 2), ("b", 1)]
    assert made.wants(1) == made.wants(2) == everything


def test_a_new_version_is_loaded_before_the_old_one_goes(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2])
    assert world.wants() == [("m", 2), ("m", 1)]
    world.say(1, 2, State.LOADING)
    assert world.wants() == [("m", 2), ("m", 1)]
    world.say(1, 2, State.AVAILABLE)
    assert world.wants() == [("m", 2)]
    # Told to front ends before the worker is told to unload.
    assert world.states() == {2: State.AVAILABLE, 1: State.UNLOADING}
    world.say(1, 1, State.END)
    assert world.states() == {2: State.AVAILABLE, 1: State.END}


def test_a_version_told_to_go_and_called_back_at_once_is_not_counted_on(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2])
    assert world.wants() == [("m", 2), ("m", 1)]
    world.say(1, 2, State.AVAILABLE)
    assert world.wants() == [("m", 2)]
    # Back to 1, while the worker has not yet said that it unloads 1: dropping 2 now would leave nothing.
    world.disk("m", [1])
    assert world.wants() == [("m", 2)]
    world.say(1, 1, State.UNLOADING)
    world.say(1, 1, State.END)
    assert world.wants() == [("m", 2), ("m", 1)]
    world.say(1, 1, State.AVAILABLE)
    assert world.wants() == [("m", 1)]


def test_workers_switch_on_their_own() -> None:
    made = World()
    made.manager.apply(config("m"))
    made.join(1)
    made.join(2, "worker-1")
    made.disk("m", [1])
    made.say(1, 1, State.AVAILABLE)
    made.say(2, 1, State.AVAILABLE)
    made.disk("m", [2])
    made.say(1, 2, State.AVAILABLE)
    assert made.wants(1) == [("m", 2)]
    assert made.wants(2) == [("m", 2), ("m", 1)]
    assert [(e.version, e.workers) for e in made.manager.versions("m")] == [(2, [1]), (1, [2])]


def test_a_failed_version_leaves_the_old_one_serving(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2])
    world.say(1, 2, State.END, code=Code.INTERNAL)
    assert ("m", 1) in world.wants()
    assert world.states() == {2: State.END, 1: State.AVAILABLE}


def test_a_failed_version_is_tried_again_when_its_files_have_changed_and_rest(world: World) -> None:
    world.disk("m", [1], stamps={1: "broken"})
    world.wants()
    world.say(1, 1, State.END, code=Code.INTERNAL)
    for stamp in ("broken", "broken", "half", "fixed"):
        world.disk("m", [1], stamps={1: stamp})
        assert world.states() == {1: State.END}
    world.disk("m", [1], stamps={1: "fixed"})
    assert world.states() == {1: State.START}
    # The worker remembers a failure until a list has left it out.
    assert world.wants() == []
    assert world.wants() == []
    world.ack()
    assert world.wants() == [("m", 1)]
    world.say(1, 1, State.AVAILABLE)
    assert world.states() == {1: State.AVAILABLE}


def test_other_files_and_another_place_of_a_good_version_change_nothing(world: World) -> None:
    serving(world, 1)
    for _ in range(3):
        world.disk("m", [1], stamps={1: "others"})
        assert world.wants() == [("m", 1)]
    assert world.manager.apply(config("m", base="/elsewhere")) == ([], ["m"])
    world.disk("m", [1], stamps={1: "others still"})
    assert world.wants() == [("m", 1)]
    assert world.states() == {1: State.AVAILABLE}


def test_a_failed_version_that_went_and_came_back_is_tried_again(world: World) -> None:
    world.disk("m", [1])
    world.wants()
    world.say(1, 1, State.END, code=Code.INTERNAL)
    world.disk("m", [], gone=[1])
    world.disk("m", [], gone=[1])
    assert world.wants() == []
    world.ack()
    world.disk("m", [1])
    assert world.wants() == [("m", 1)]


def test_a_version_is_gone_only_when_two_looks_agree(world: World) -> None:
    serving(world, 1)
    world.disk("m", [], gone=[1])
    assert world.wants() == [("m", 1)]
    world.disk("m", [1])
    world.disk("m", [], gone=[1])
    assert world.wants() == [("m", 1)]
    world.disk("m", [], gone=[1])
    assert world.wants() == []
    assert world.states() == {1: State.UNLOADING}


def test_without_further_looks_the_first_one_counts() -> None:
    made = World(periodic=False)
    made.manager.apply(config("m"))
    made.join(1)
    serving(made, 1)
    made.disk("m", [], gone=[1])
    assert made.wants() == []


def test_a_look_that_fails_changes_nothing_and_no_other_model() -> None:
    made = World()
    made.manager.apply(config("m", "other"))
    made.join(1)
    serving(made, 1)
    made.manager.look_failed("m", ServingError(Code.INVALID_ARGUMENT, "Could not find base path"))
    made.disk("other", [5])
    assert made.wants() == [("m", 1), ("other", 5)]


def test_incomplete_versions_wait_while_something_serves(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2], incomplete=[2])
    assert world.wants() == [("m", 1)]
    world.disk("m", [2])
    assert world.wants() == [("m", 2), ("m", 1)]


def test_an_incomplete_version_is_better_than_waiting_for_nothing(world: World) -> None:
    world.disk("m", [1], incomplete=[1])
    assert world.wants() == [("m", 1)]


def test_a_removed_model_is_unloaded_and_stays_in_the_status(world: World) -> None:
    serving(world, 1)
    world.manager.apply(config())
    assert world.wants() == []
    world.say(1, 1, State.END)
    assert world.states() == {1: State.END}
    assert world.manager.configured == []


def test_a_model_that_was_removed_and_comes_back_at_once_is_not_counted_on(world: World) -> None:
    serving(world, 1)
    world.manager.apply(config("other"))
    assert world.wants() == []
    # The worker unloads it by now, though it has not said so yet.
    world.manager.apply(config("m"))
    assert world.wants() == []
    assert world.states() != {1: State.AVAILABLE}
    world.disk("m", [1])
    assert world.wants() == []
    assert world.states() != {1: State.AVAILABLE}
    world.say(1, 1, State.UNLOADING)
    world.say(1, 1, State.END)
    assert world.wants() == [("m", 1)]
    world.say(1, 1, State.AVAILABLE)
    assert world.states() == {1: State.AVAILABLE}


def test_a_bad_configuration_changes_nothing(world: World) -> None:
    serving(world, 1)
    with pytest.raises(ServingError, match="multiple times"):
        world.manager.apply(config("n", "n"))
    assert world.manager.configured == ["m"]
    assert world.wants() == [("m", 1)]


def test_an_equal_configuration_is_no_change(world: World) -> None:
    assert world.manager.apply(config("m")) == ([], [])


def test_new_and_moved_models_are_to_be_looked_at(world: World) -> None:
    serving(world, 1)
    assert world.manager.apply(config("m", "n")) == (["n"], ["n"])
    assert world.manager.apply(config("m", "n", base="/elsewhere")) == ([], ["m", "n"])
    # Nothing is known of the new place yet.
    assert world.wants() == [("m", 1)]
    world.disk("m", [4], gone=[1])
    assert world.wants() == [("m", 4), ("m", 1)]


def test_a_look_at_the_old_place_is_not_believed(world: World) -> None:
    serving(world, 1)
    old = world.manager.look_for("m")
    assert old is not None
    world.manager.apply(config("m", base="/elsewhere"))
    world.manager.saw("m", Sight(at=0.0, settings=old.settings, discovery=Discovery(()), gone=frozenset(), stamps={}))
    assert world.wants() == [("m", 1)]


def test_labels_need_an_available_version_and_move_as_a_whole(world: World) -> None:
    serving(world, 1)
    world.manager.refresh()
    with pytest.raises(ServingError, match="assign label to version 2 of model m"):
        world.manager.apply(config("m", "new", labels={"stable": 2}))
    assert world.manager.configured == ["m"]
    world.manager.apply(config("m", labels={"stable": 1, "canary": 1}))
    world.manager.refresh()
    assert world.manager.models()[0].labels == {"stable": 1, "canary": 1}
    world.manager.apply(config("m", labels={"canary": 1}))
    world.manager.refresh()
    assert world.manager.models()[0].labels == {"canary": 1}


def test_a_young_control_unloads_nothing_before_it_has_looked() -> None:
    made = World()
    made.manager.apply(config("m"))
    made.join(1)
    made.say(1, 7, State.AVAILABLE)
    assert made.wants() == [("m", 7)]
    made.manager.look_failed("m", ServingError(Code.UNAVAILABLE, "mount"))
    assert made.wants() == [("m", 7)]
    made.disk("m", [8])
    assert made.wants() == [("m", 8), ("m", 7)]


def test_a_restarted_worker_gets_everything_again(world: World) -> None:
    serving(world, 1)
    world.manager.worker_left(1, crashed=True)
    assert world.states() == {1: State.START}
    world.join(2)
    assert world.wants(2) == [("m", 1)]


def test_states_that_do_not_exist_are_dropped(world: World) -> None:
    world.disk("m", [1])
    report = ServableReport(name="m", version=1, state=99)
    world.manager.worker_reported(1, [report], full=False)
    assert world.states() == {1: State.START}


def test_the_version_below_comes_before_a_deleted_one_goes(world: World) -> None:
    serving(world, 2)
    world.disk("m", [1], gone=[2])
    assert world.wants() == [("m", 2)]
    world.disk("m", [1], gone=[2])
    assert world.wants() == [("m", 2), ("m", 1)]
    world.say(1, 1, State.AVAILABLE)
    assert world.wants() == [("m", 1)]


def test_a_version_that_is_deleted_while_it_is_loaded_ends_as_cancelled(world: World) -> None:
    serving(world, 1)
    world.disk("m", [2])
    world.wants()
    world.say(1, 2, State.LOADING)
    world.disk("m", [1])
    assert world.wants() == [("m", 1)]
    world.say(1, 2, State.UNLOADING)
    assert world.states() == {2: State.UNLOADING, 1: State.AVAILABLE}
    world.say(1, 2, State.END, code=Code.CANCELLED)
    world.manager.refresh()
    entry = world.manager.versions("m")[0]
    assert (entry.version, entry.state, entry.code) == (2, State.END, Code.CANCELLED)
    assert world.wants() == [("m", 1)]


def test_when_all_versions_are_deleted_all_are_unloaded(world: World) -> None:
    serving(world, 1, 2)
    for _ in range(2):
        world.disk("m", [], gone=[1, 2])
    assert world.wants() == []
