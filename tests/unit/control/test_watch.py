"""Looking at real directories, and believing what was seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from control.model_config import ModelSettings
from control.watch import ModelWatch, look, stamp
from protos.errors import ServingError


def version(base: Path, number: int, text: str = "model") -> Path:
    path = base / str(number)
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text(text)
    return path


def watch(base: Path, *, periodic: bool = True) -> ModelWatch:
    return ModelWatch(ModelSettings("m", str(base)), periodic)


def see(made: ModelWatch, *, failed: set[int] | None = None) -> list[int]:
    return made.saw(look(made.request(known=set(made.versions), failed=failed or set())))


def test_versions_are_seen_with_their_paths(tmp_path: Path) -> None:
    version(tmp_path, 7)
    made = watch(tmp_path)
    assert not made.observed
    assert see(made) == []
    assert made.observed
    assert (list(made.versions), made.path(7)) == ([7], str(tmp_path / "7"))
    # What a version that was never seen would be called.
    assert made.path(8) == str(tmp_path / "8")


def test_a_superseded_version_goes_at_once_a_vanished_one_on_the_second_look(tmp_path: Path) -> None:
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
