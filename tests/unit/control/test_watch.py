"""Looking at real directories, and believing what was seen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from control.model_config import ModelSettings
from control.watch import ModelWatch, look, stamp
from protos.errors import ServingError


@pytest.fixture(autouse=True)
def looks_follow_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.watch._APART_SECONDS", 1e-9)


def version(base: Path, number: int, text: str = "model") -> Path:
    path = base / str(number)
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text(text)
    return path


def watch(base: Path, *, periodic: bool = True) -> ModelWatch:
    return ModelWatch(ModelSettings("m", str(base)), periodic)


def see(made: ModelWatch, *, failed: set[int] | None = None) -> list[int]:
    """What a look changes, once new versions have settled."""
    changed = made.saw(look(made.request(known=set(made.versions), failed=failed or set())))
    return made.saw(look(made.request(known=set(made.versions), failed=failed or set()))) if made.settling else changed


def test_versions_are_seen_with_their_paths(tmp_path: Path) -> None:
    version(tmp_path, 7)
    made = watch(tmp_path)
    assert not made.observed
    assert see(made) == []
    assert made.observed
    assert (list(made.versions), made.path(7)) == ([7], str(tmp_path / "7"))
    # What a version that was never seen would be called.
    assert made.path(8) == str(tmp_path / "8")


def test_a_superseded_version_goes_at_once_a_vanished_one_on_the_second_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.watch._OLD_SECONDS", -1.0)
    first = version(tmp_path, 1)
    made = watch(tmp_path)
    see(made)
    second = version(tmp_path, 2)
    see(made)
    assert list(made.versions) == [2]
    second.rename(tmp_path / "away")
    see(made)
    assert list(made.versions) == [2]
    see(made)
    assert list(made.versions) == [1]
    first.rename(tmp_path / "away-too")
    see(made)
    (tmp_path / "away-too").rename(first)
    see(made)
    first.rename(tmp_path / "away-too")
    see(made)
    assert list(made.versions) == [1]
    see(made)
    assert made.versions == {}
    assert made.path(2) == str(tmp_path / "2")


def test_looks_at_the_same_time_prove_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.watch._APART_SECONDS", 60.0)
    version(tmp_path, 1).rename(tmp_path / "away")
    made = watch(tmp_path)
    (tmp_path / "away").rename(tmp_path / "1")
    see(made)
    (tmp_path / "1").rename(tmp_path / "away")
    for _ in range(3):
        look_once(made)
        assert list(made.versions) == [1]
    monkeypatch.setattr("control.watch._APART_SECONDS", 1e-9)
    look_once(made)
    assert made.versions == {}


def test_a_missing_base_path_raises_and_changes_nothing(tmp_path: Path) -> None:
    version(tmp_path / "m", 1)
    made = watch(tmp_path / "m")
    see(made)
    (tmp_path / "m").rename(tmp_path / "n")
    with pytest.raises(ServingError, match="Could not find base path") as caught:
        see(made)
    made.failed(caught.value)
    assert (list(made.versions), made.error) == ([1], caught.value)
    (tmp_path / "n").rename(tmp_path / "m")
    see(made)
    assert made.error is None


def test_changed_files_of_a_failed_version_are_noticed_once_they_rest(tmp_path: Path) -> None:
    path = version(tmp_path, 1, "broken")
    made = watch(tmp_path)
    see(made)
    assert see(made, failed={1}) == []
    (path / "saved_model.pb").write_text("half")
    assert see(made, failed={1}) == []
    (path / "variables").mkdir()
    (path / "variables" / "data").write_text("more")
    assert see(made, failed={1}) == []
    assert see(made, failed={1}) == [1]
    assert see(made, failed={1}) == []


def test_a_new_place_is_believed_at_once(tmp_path: Path) -> None:
    version(tmp_path / "a", 1)
    version(tmp_path / "b", 2)
    made = watch(tmp_path / "a")
    see(made)
    assert made.reconfigure(ModelSettings("m", str(tmp_path / "b")))
    (tmp_path / "a" / "1").rename(tmp_path / "away")
    see(made)
    assert list(made.versions) == [2]
    assert not made.reconfigure(ModelSettings("m", str(tmp_path / "b"), labels={"stable": 2}))


def test_stamps_change_with_names_sizes_times_and_files(tmp_path: Path) -> None:
    path = version(tmp_path, 1)
    file = path / "saved_model.pb"
    seen = {stamp(str(path))}
    assert stamp(str(path)) in seen
    file.write_text("longer than before")
    seen.add(stamp(str(path)))
    os.utime(file, ns=(1, 1))
    seen.add(stamp(str(path)))
    (path / "assets").mkdir()
    (path / "assets" / "vocabulary").write_text("a")
    seen.add(stamp(str(path)))
    (path / "assets" / "vocabulary").rename(path / "assets" / "words")
    seen.add(stamp(str(path)))
    assert len(seen) == 5
    assert stamp(str(tmp_path / "nowhere")) == stamp(str(tmp_path / "nowhere"))


def look_once(made: ModelWatch) -> None:
    made.saw(look(made.request(known=(), failed=())))


def usable(made: ModelWatch) -> list[int]:
    return [number for number, version in made.versions.items() if version.settled]


class Clock:
    """Stands for `time.time` in `control.watch`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        true_time = time.time
        monkeypatch.setattr("control.watch.time.time", lambda: true_time() + self.ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("control.watch._OLD_SECONDS", 1000.0)
    return Clock(monkeypatch)


def test_a_version_waits_until_its_files_rest(tmp_path: Path, clock: Clock) -> None:
    version(tmp_path, 1)
    made = watch(tmp_path)
    see(made)
    path = version(tmp_path, 2)
    for text in ("part", "larger part", "whole file"):
        (path / "saved_model.pb").write_text(text)
        look_once(made)
        assert (list(made.versions), made.settling) == ([1], True)
    for _ in range(3):
        look_once(made)
        assert (list(made.versions), made.settling) == ([1], True)
    clock.ahead = 1.1
    look_once(made)
    assert (usable(made), made.settling) == ([2], False)


def test_what_is_put_in_its_place_as_a_whole_has_settled_at_the_second_look(tmp_path: Path, clock: Clock) -> None:
    version(tmp_path, 1)
    made = watch(tmp_path)
    see(made)
    version(tmp_path / "elsewhere", 2)
    (tmp_path / "elsewhere" / "2").rename(tmp_path / "2")
    look_once(made)
    assert (list(made.versions), made.settling) == ([1], True)
    look_once(made)
    assert (usable(made), made.settling) == ([2], False)


def test_what_was_seen_without_a_file_rests_for_longer_too(tmp_path: Path, clock: Clock) -> None:
    version(tmp_path, 1)
    made = watch(tmp_path)
    see(made)
    clock.ahead = 2.0
    see(made)
    version(tmp_path / "elsewhere", 2)
    (tmp_path / "elsewhere" / "2" / "saved_model.pb").rename(tmp_path / "saved_model.pb")
    (tmp_path / "elsewhere" / "2").rename(tmp_path / "2")
    look_once(made)
    assert made.warnings == (
        "Version 2 of servable m lacks files: it is passed over as long as another can take its place",
    )
    look_once(made)
    assert (list(made.versions), made.warnings, made.settling) == ([1], (), False)
    (tmp_path / "saved_model.pb").rename(tmp_path / "2" / "saved_model.pb")
    for _ in range(3):
        look_once(made)
        assert (list(made.versions), made.settling) == ([1], True)
    clock.ahead = 3.1
    look_once(made)
    assert (usable(made), made.settling) == ([2], False)


def test_files_that_grow_beside_the_model_are_waited_for_too(tmp_path: Path, clock: Clock) -> None:
    path = version(tmp_path, 1)
    made = watch(tmp_path)
    for number in range(3):
        (path / "variables").mkdir(exist_ok=True)
        (path / "variables" / f"part-{number}").write_text("x")
        # With modification times of long ago, as copies that keep them have.
        os.utime(path / "variables" / f"part-{number}", (0, 0))
        look_once(made)
        assert (usable(made), made.settling, made.observed) == ([], True, True)
    clock.ahead = 1.1
    look_once(made)
    assert usable(made) == [1]


def test_without_further_looks_everything_is_taken_as_it_is(tmp_path: Path) -> None:
    version(tmp_path, 1)
    made = watch(tmp_path, periodic=False)
    look_once(made)
    assert (usable(made), made.settling) == ([1], False)


def test_old_files_have_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version(tmp_path, 1)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10.0)
    made = watch(tmp_path)
    look_once(made)
    assert usable(made) == [1]


def test_a_directory_that_never_rests_is_taken_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = version(tmp_path, 1)
    made = watch(tmp_path)
    look_once(made)
    now = time.time()
    # The files are as young as ever, only this has gone on for long.
    monkeypatch.setattr("control.watch._LONGEST_SETTLING_SECONDS", -1.0)
    (path / "log").write_text(str(now))
    look_once(made)
    assert usable(made) == [1]
