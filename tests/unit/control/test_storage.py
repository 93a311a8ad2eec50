import errno
import os
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.model_config import All, Latest, ModelSettings, Policy, Specific
from control.storage import MODEL_FILES, TFLITE_FILE, Discovery, Version, base_of, list_versions, parse_version, select
from protos.errors import Code, ServingError

NO_VERSIONS = (
    "No versions of servable m found under base path {}. "
    "Did you forget to name your leaf directory as a number (eg. '/1/')?"
)


def fill(base: Path, *names: str, file: str | None = MODEL_FILES[0]) -> None:
    for name in names:
        (base / name).mkdir(parents=True)
        if file:
            (base / name / file).touch()


def discover(
    settings: ModelSettings, *, known: tuple[int, ...] = (), model_files: Collection[str] = MODEL_FILES
) -> Discovery:
    return select(settings, list_versions(base_of(settings), model_files), known=known)


def names_of(base: Path, policy: Policy, *, known: tuple[int, ...] = ()) -> list[tuple[int, str]]:
    found = discover(ModelSettings("m", str(base), policy=policy), known=known)
    assert all(version.path == os.path.join(base, os.path.basename(version.path)) for version in found.versions)
    return [(version.number, os.path.basename(version.path)) for version in found.versions]


@pytest.mark.parametrize(
    ("children", "policy", "expected"),
    [
        ("", Latest(), []),
        ("non_numerical_child 42 17", Latest(), ["42"]),
        ("non_numerical_child 42 17", All(), ["17", "42"]),
        ("x 42 33 30 21 17", Latest(3), ["42", "33", "30"]),
        ("x 42 33 30 21 17", Latest(9), ["42", "33", "30", "21", "17"]),
        ("x 42 33 30 21 17", Specific((17, 30)), ["17", "30"]),
        ("x 42 33 30 21 00017", Specific((17, 30)), ["00017", "30"]),
        ("42 33 30", Specific(), []),
        ("42 33 30", Latest(1), ["42"]),
        ("1 02 3 5 8 13", Latest(2), ["13", "8"]),
        ("1 02 3 5 8 13", Specific((2, 5)), ["02", "5"]),
        ("20170111173521", All(), ["20170111173521"]),
        ("1 2.denied 3 5.denied", All(), ["1", "3"]),
        ("0", Latest(), ["0"]),
        ("-1 -5", All(), []),
        ("9223372036854775807 9223372036854775808", All(), ["9223372036854775807"]),
    ],
)
def test_versions_of_a_folder(tmp_path: Path, children: str, policy: Policy, expected: list[str]) -> None:
    fill(tmp_path, *children.split())
    assert names_of(tmp_path, policy) == [(int(name), name) for name in expected]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("00000123", 123),
        ("+5", 5),
        (" 7", 7),
        ("7 \t", 7),
        ("-0", 0),
        ("-1", None),
        ("", None),
        ("1a", None),
        ("1.5", None),
        ("1_0", None),
        ("+-1", None),
        ("\u0663", None),
        ("1\u00a0", None),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("9" * 5000, None),
    ],
)
def test_parse_version(name: str, number: int | None) -> None:
    assert parse_version(name) == number


@given(st.integers(min_value=0, max_value=2**63 - 1), st.integers(min_value=0, max_value=20))
def test_every_version_is_read_back(number: int, zeros: int) -> None:
    assert parse_version("0" * zeros + str(number)) == number


@pytest.mark.parametrize("policy", [Latest(), All(), Specific((1,))])
def test_of_two_folders_with_one_number_the_last_counts(tmp_path: Path, policy: Policy) -> None:
    fill(tmp_path, "0001", "001", "00001")
    found = discover(ModelSettings("m", str(tmp_path), policy=policy))
    assert found.versions == (Version(1, f"{tmp_path}/001"),)
    assert found.warnings == (
        f"Duplicate version directories detected. Version 1 will be loaded from {tmp_path}/0001, "
        f"{tmp_path}/00001 will be ignored.",
        f"Duplicate version directories detected. Version 1 will be loaded from {tmp_path}/001, "
        f"{tmp_path}/0001 will be ignored.",
    )


def test_only_folders_are_versions(tmp_path: Path) -> None:
    fill(tmp_path, "1", "elsewhere")
    (tmp_path / "2").touch()
    (tmp_path / "3").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "5").symlink_to(tmp_path / "5")
    assert names_of(tmp_path, All()) == [(1, "1"), (3, "3")]


@pytest.mark.parametrize(
    ("policy", "warnings"),
    [
        (Latest(), [NO_VERSIONS]),
        (All(), [NO_VERSIONS]),
        (Specific(), ["No specific versions requested for servable m."]),
        (
            Specific((7,)),
            [
                "Version 7 of servable m, which was requested to be served as a 'specific' version in the servable's "
                "version policy, was not found in the file system"
            ],
        ),
    ],
)
def test_what_people_hear_when_nothing_is_found(tmp_path: Path, policy: Policy, warnings: list[str]) -> None:
    found = discover(ModelSettings("m", str(tmp_path), policy=policy))
    assert found.versions == ()
    assert found.warnings == tuple(warning.format(tmp_path) for warning in warnings)


@pytest.mark.parametrize("file", MODEL_FILES)
def test_a_model_file_makes_a_version_complete(tmp_path: Path, file: str) -> None:
    fill(tmp_path, "1", file=file)
    fill(tmp_path, "2", file="variables")
    found = discover(ModelSettings("m", str(tmp_path), policy=All()))
    assert [version.complete for version in found.versions] == [True, False]


@pytest.mark.parametrize(
    ("parts", "complete"),
    [
        ([], True),
        (["variables.index", "variables.data-00000-of-00001"], True),
        (["variables.index", "variables.data-00000-of-00002", "variables.data-00001-of-00002"], True),
        (["variables.index"], False),
        (["variables.data-00000-of-00001"], False),
        (["variables.index", "variables.data-00001-of-00002"], False),
        (["variables.index", "variables.data-00000-of-00001.tmp"], False),
        (["notes.txt"], True),
    ],
)
def test_no_part_of_the_variables_may_be_missing(tmp_path: Path, parts: list[str], complete: bool) -> None:
    fill(tmp_path, "1")
    (tmp_path / "1" / "variables").mkdir()
    for part in parts:
        (tmp_path / "1" / "variables" / part).touch()
    assert [version.complete for version in list_versions(str(tmp_path))] == [complete]
    # What is loaded, or was tried, is not looked at again.
    assert [version.complete for version in list_versions(str(tmp_path), known={1})] == [True]


def test_a_tflite_model_counts_where_it_is_wanted(tmp_path: Path) -> None:
    fill(tmp_path, "1")
    fill(tmp_path, "2", file=TFLITE_FILE)
    settings = ModelSettings("m", str(tmp_path))
    assert [version.number for version in select(settings, list_versions(str(tmp_path))).versions] == [1]
    both = list_versions(str(tmp_path), (*MODEL_FILES, TFLITE_FILE))
    assert [(version.number, version.complete) for version in select(settings, both).versions] == [(2, True)]


@pytest.mark.parametrize(
    ("policy", "known", "expected"),
    [
        (Latest(1), (), [(2, True)]),
        (Latest(2), (), [(2, True), (1, True)]),
        (Latest(3), (), [(4, False), (2, True), (1, True)]),
        (Latest(1), (3,), [(3, True)]),
        (Latest(2), (4, 3), [(4, True), (3, True)]),
        (All(), (), [(1, True), (2, True), (3, False), (4, False)]),
        (Specific((3,)), (), [(3, False)]),
        (Specific((4, 1)), (4,), [(4, True), (1, True)]),
    ],
)
def test_an_incomplete_version_waits_for_its_model_file(
    policy: Policy, known: tuple[int, ...], expected: list[tuple[int, bool]]
) -> None:
    versions = [Version(number, f"/m/{number}", complete=number < 3) for number in (1, 2, 3, 4)]
    found = select(ModelSettings("m", "/m", policy=policy), versions, known=known)
    assert [(version.number, version.complete) for version in found.versions] == expected
    assert found.warnings == ()


def test_when_all_are_incomplete_the_highest_is_wanted(tmp_path: Path) -> None:
    fill(tmp_path, "1", "2", file=None)
    found = discover(ModelSettings("m", str(tmp_path)))
    assert found.versions == (Version(2, f"{tmp_path}/2", complete=False),)


def test_a_missing_base_path(tmp_path: Path) -> None:
    settings = ModelSettings("m", f"{tmp_path}/none")
    with pytest.raises(ServingError) as refused:
        discover(settings)
    assert refused.value.code == Code.INVALID_ARGUMENT
    assert refused.value.message == (
        f"Could not find base path {tmp_path}/none for servable m with error NOT_FOUND: {tmp_path}/none not found"
    )
    fill(tmp_path / "none", "3")
    assert discover(settings).versions == (Version(3, f"{tmp_path}/none/3"),)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EACCES, "PERMISSION_DENIED: {}; Permission denied"),
        (errno.ENOENT, "NOT_FOUND: {}; No such file or directory"),
        (errno.EIO, "UNKNOWN: {}; Input/output error"),
    ],
)
def test_a_base_path_that_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: str
) -> None:
    def fail(path: str) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr("control.storage.os.scandir", fail)
    with pytest.raises(ServingError) as refused:
        discover(ModelSettings("m", str(tmp_path)))
    assert str(refused.value) == error.format(tmp_path)


def test_a_base_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServingError) as refused:
        discover(ModelSettings("m", f"{tmp_path}/file"))
    assert str(refused.value) == f"FAILED_PRECONDITION: {tmp_path}/file; Not a directory"


def test_uris(tmp_path: Path) -> None:
    fill(tmp_path, "1")
    assert discover(ModelSettings("m", f"file://{tmp_path}")).versions == (Version(1, f"{tmp_path}/1"),)
    with pytest.raises(ServingError) as refused:
        discover(ModelSettings("m", "gs://bucket/m"))
    assert str(refused.value) == "UNIMPLEMENTED: File system scheme 'gs' not implemented (file: 'gs://bucket/m')"


def test_the_path_has_one_slash_before_the_version(tmp_path: Path) -> None:
    fill(tmp_path, "1")
    assert discover(ModelSettings("m", f"{tmp_path}/")).versions == (Version(1, f"{tmp_path}/1"),)
