"""When the server may open its doors, when it gives up, and what a reload is told."""

from __future__ import annotations

import pytest

from control.manager import Manager
from control.readiness import InitialLoad, Progress, Reloads, outcome
from control.storage import Discovery, Version
from control.watch import Sight
from protos.errors import Code, ServingError
from protos.messages import ServableReport, State, WorkerEntry
from protos.public import ModelServerConfig

UNREADABLE = ServingError(Code.INVALID_ARGUMENT, "Could not find base path")


def configure(manager: Manager, *names: str) -> None:
    config = ModelServerConfig()
    config.model_config_list.SetInParent()
    for name in names:
        config.model_config_list.config.add(name=name, base_path=f"/models/{name}", model_platform="tensorflow")
    manager.apply(config)
    manager.refresh()


def disk(manager: Manager, name: str, *versions: int) -> None:
    look = manager.look_for(name)
    assert look is not None
    found = tuple(Version(v, f"/models/{name}/{v}") for v in sorted(versions, reverse=True))
    manager.saw(name, Sight(at=0.0, settings=look.settings, discovery=Discovery(found), gone=frozenset(), stamps={}))
    manager.refresh()


def say(manager: Manager, name: str, version: int, state: State, code: int = 0) -> None:
    report = ServableReport(name=name, version=version, state=state, code=code, message="broken" if code else "")
    first = ServableReport(name=name, version=version, state=State.LOADING)
    assert manager.worker_reported(1, [first, report] if state == State.AVAILABLE else [report], full=False)
    manager.refresh()


@pytest.fixture
def manager() -> Manager:
    made = Manager(periodic=True, allow_unavailable_labels=False)
    made.worker_joined(WorkerEntry(id=1, name="worker-0", incarnation="a", endpoint="ipc://x"))
    configure(made, "m")
    return made


def progress(manager: Manager, name: str = "m") -> Progress:
    return outcome(manager, name).progress


def test_the_progress_of_a_model(manager: Manager) -> None:
    assert progress(manager, "other") is Progress.REMOVED
    assert progress(manager) is Progress.UNKNOWN
    disk(manager, "m")
    assert progress(manager) is Progress.MISSING
    disk(manager, "m", 1)
    assert progress(manager) is Progress.LOADING
    say(manager, "m", 1, State.LOADING)
    assert progress(manager) is Progress.LOADING
    say(manager, "m", 1, State.END, Code.NOT_FOUND)
    assert progress(manager) is Progress.FAILED
    say(manager, "m", 1, State.AVAILABLE)
    assert progress(manager) is Progress.READY


def test_versions_that_were_just_seen_are_not_missing(manager: Manager) -> None:
    look = manager.look_for("m")
    assert look is not None
    found = (Version(1, "/models/m/1"),)
    manager.saw("m", Sight(at=0.0, settings=look.settings, discovery=Discovery(found), gone=frozenset(), stamps={}))
    # No refresh in between.
    assert progress(manager) is Progress.LOADING


def test_an_unreadable_base_path_counts_as_missing(manager: Manager) -> None:
    manager.look_failed("m", UNREADABLE)
    assert outcome(manager, "m").text == ("{{name: m} due to error: INVALID_ARGUMENT: Could not find base path}")


def test_any_available_version_is_enough(manager: Manager) -> None:
    disk(manager, "m", 1, 2)
    say(manager, "m", 2, State.END, Code.NOT_FOUND)
    assert progress(manager) is Progress.LOADING
    say(manager, "m", 1, State.AVAILABLE)
    assert progress(manager) is Progress.READY


def test_doors_open_when_all_models_are_ready_and_stay_open(manager: Manager) -> None:
    configure(manager, "m", "n")
    load = InitialLoad(None)
    disk(manager, "m", 1)
    say(manager, "m", 1, State.AVAILABLE)
    load.check(manager, 0.0)
    assert not load.serving
    disk(manager, "n", 1)
    say(manager, "n", 1, State.AVAILABLE)
    load.check(manager, 0.0)
    assert load.serving
    say(manager, "n", 1, State.END, Code.INTERNAL)
    load.check(manager, 0.0)
    assert load.serving


def test_a_server_without_models_opens_at_once() -> None:
    empty = Manager(periodic=True, allow_unavailable_labels=False)
    load = InitialLoad(None)
    load.check(empty, 0.0)
    assert load.serving


def test_a_start_fails_when_nothing_else_is_on_its_way(manager: Manager) -> None:
    configure(manager, "m", "n", "absent")
    load = InitialLoad(None)
    disk(manager, "m", 3)
    disk(manager, "n", 1)
    disk(manager, "absent")
    say(manager, "m", 3, State.END, Code.NOT_FOUND)
    load.check(manager, 0.0)
    say(manager, "n", 1, State.END, Code.INTERNAL)
    with pytest.raises(ServingError) as caught:
        load.check(manager, 0.0)
    assert str(caught.value) == (
        "UNKNOWN: 2 servable(s) did not become available: "
        "{{{name: m version: 3} due to error: NOT_FOUND: broken}, "
        "{{name: n version: 1} due to error: INTERNAL: broken}, }"
    )


def test_a_start_has_a_deadline(manager: Manager) -> None:
    load = InitialLoad(100.0)
    load.check(manager, 99.9)
    with pytest.raises(ServingError, match="Not available within --start_timeout_seconds: m") as caught:
        load.check(manager, 100.0)
    assert caught.value.code == Code.DEADLINE_EXCEEDED


class Answers(list[tuple[str, int, str]]):
    def __call__(self, asker: str, request_id: int, error: ServingError | None) -> None:
        self.append((asker, request_id, str(error) if error else ""))


def test_a_reload_without_new_models_is_answered_at_once(manager: Manager) -> None:
    answers = Answers()
    reloads = Reloads[str](answers)
    reloads.add("f", 5, [], 0.0)
    reloads.check(manager, 0.0)
    reloads.check(manager, 0.0)
    assert answers == [("f", 5, "")]


def test_a_reload_waits_for_its_new_models(manager: Manager) -> None:
    answers = Answers()
    reloads = Reloads[str](answers)
    reloads.add("f", 1, ["m"], 0.0)
    reloads.check(manager, 0.0)
    disk(manager, "m", 1)
    reloads.check(manager, 0.0)
    assert answers == []
    say(manager, "m", 1, State.AVAILABLE)
    reloads.check(manager, 0.0)
    assert answers == [("f", 1, "")]


def test_a_reload_names_what_did_not_become_available(manager: Manager) -> None:
    configure(manager, "m", "n")
    answers = Answers()
    reloads = Reloads[str](answers)
    reloads.add("f", 1, ["m", "n"], 0.0)
    disk(manager, "n")
    reloads.check(manager, 0.0)
    assert answers == []
    disk(manager, "m", 2)
    say(manager, "m", 2, State.END, Code.NOT_FOUND)
    reloads.check(manager, 0.0)
    assert answers == [
        (
            "f",
            1,
            "UNKNOWN: 2 model(s) did not become available: {{{name: m version: 2} due to error: NOT_FOUND: broken}, "
            "{{name: n} due to error: NOT_FOUND: No versions of servable n found under base path /models/n}, }",
        )
    ]


def test_a_reload_has_a_deadline_and_a_limit(manager: Manager) -> None:
    answers = Answers()
    reloads = Reloads[str](answers, most=2)
    reloads.add("f", 1, ["m"], 0.0)
    reloads.add("f", 2, ["m"], 1.0)
    with pytest.raises(ServingError) as caught:
        reloads.add("f", 3, ["m"], 1.0)
    assert caught.value.code == Code.RESOURCE_EXHAUSTED
    reloads.check(manager, 599.9)
    assert answers == []
    reloads.check(manager, 600.0)
    assert [(asker, request) for asker, request, _ in answers] == [("f", 1)]
    assert "DEADLINE_EXCEEDED" in answers[0][2]


def test_a_later_reload_that_removes_the_model_ends_the_wait(manager: Manager) -> None:
    answers = Answers()
    reloads = Reloads[str](answers)
    reloads.add("f", 1, ["m"], 0.0)
    configure(manager)
    reloads.check(manager, 0.0)
    assert "a later reload removed the model" in answers[0][2]


def test_nobody_is_answered_who_is_gone(manager: Manager) -> None:
    answers = Answers()
    reloads = Reloads[str](answers)
    reloads.add("gone", 1, [], 0.0)
    reloads.add("f", 1, [], 0.0)
    reloads.forget("gone")
    reloads.check(manager, 0.0)
    assert answers == [("f", 1, "")]
