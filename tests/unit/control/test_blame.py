"""Which version is to blame for crashes, as tables."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.blame import WINDOW_SECONDS, Blame, is_evidence
from protos.flight_record import UNKNOWN

F, Q, P = ("fatal", 2), ("other", 1), ("popular", 1)
NAMES = {"f": F, "o": Q, "p": P, "?": UNKNOWN}


def keys(text: str) -> list[tuple[str, int]]:
    return [NAMES[letter] for letter in text]


@pytest.mark.parametrize(
    ("returncode", "hung", "evidence"),
    [
        *((-number, False, True) for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)),
        *((-number, False, True) for number in (signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS)),
        *((-number, False, False) for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)),
        (0, False, False),
        (1, False, False),
        # 128 + 6 is what a shell makes of a signal; no shell is between.
        (134, False, False),
        (signal.SIGABRT, False, False),
        (-signal.SIGKILL, True, True),
    ],
)
def test_what_is_evidence(returncode: int, hung: bool, evidence: bool) -> None:
    assert is_evidence(returncode, hung=hung) is evidence


@pytest.mark.parametrize(
    ("crashes", "blamed"),
    [
        ("f f", ""),
        ("f f f", "f"),
        ("f o f o f", "f"),
        # Somebody else was there each time, so it may have been either ...
        ("fo fo fo", ""),
        ("fo fo fo fo", ""),
        # ... until a crash tells them apart.
        ("fo fo fo f", "f"),
        ("fo fo f", "f"),
        ("f fo fo", "f"),
        ("fo fp f", "f"),
        ("fo op fp", ""),
        ("fo fp fo", "f"),
        # Those that ran nothing count for nothing.
        (". f . f .", ""),
        (". . .", ""),
        # Something that nobody knows is never blamed, and may have been it.
        ("? ? ?", ""),
        ("f? f? f?", ""),
        ("f? f? f", "f"),
    ],
)
def test_the_only_version_in_common_is_blamed(crashes: str, blamed: str) -> None:
    blame = Blame(3)
    last: dict[tuple[str, int], int] = {}
    for at, running in enumerate(crashes.split()):
        last = blame.crashed(float(at), keys(running.strip(".")))
    assert list(last) == keys(blamed)
    if blamed:
        assert last[F] == crashes.count("f")


@pytest.mark.parametrize(
    ("times", "blamed"),
    [
        ((0, 1, 2), True),
        ((0, WINDOW_SECONDS / 2, WINDOW_SECONDS), True),
        ((0, 1, WINDOW_SECONDS + 0.5), False),
        ((0, 1, WINDOW_SECONDS + 0.5, WINDOW_SECONDS + 0.6), True),
        ((0, 500, 1000, 1500, 2000), False),
    ],
)
def test_crashes_long_ago_are_forgotten(times: tuple[float, ...], blamed: bool) -> None:
    blame = Blame(3)
    assert [bool(blame.crashed(at, [F])) for at in times][-1] is blamed


@pytest.mark.parametrize(("limit", "crashes", "blamed"), [(1, 1, True), (2, 1, False), (2, 2, True), (0, 100, False)])
def test_how_many_it_takes_is_a_setting(limit: int, crashes: int, blamed: bool) -> None:
    blame = Blame(limit)
    assert bool([blame.crashed(float(at), [F]) for at in range(crashes)][-1]) is blamed


def test_what_was_being_loaded_may_have_been_it_but_is_not_blamed_here() -> None:
    blame = Blame(2)
    for at in (0.0, 1.0):
        assert blame.crashed(at, [F], [Q]) == {}
    assert blame.crashed(2.0, [], [Q]) == {}
    assert blame.crashed(3.0, [F]) == {F: 3}
    assert blame.explain(F) == {Q}


def test_who_is_to_blame_is_named_again_at_each_further_crash() -> None:
    blame = Blame(2)
    blame.crashed(0.0, [F])
    assert blame.crashed(1.0, [F]) == {F: 2}
    assert blame.crashed(2.0, [P]) == {}
    assert blame.crashed(3.0, [F, Q]) == {F: 3}


def test_what_is_explained_says_nothing_against_others() -> None:
    blame = Blame(3)
    for at in range(2):
        blame.crashed(float(at), [F, Q])
    blame.crashed(2.0, [Q])
    blame.crashed(3.0, [F])
    # Each was in three, and each was alone once.
    blame.explain(F)
    assert blame.crashed(4.0, [Q]) == {}
    assert blame.crashed(5.0, [Q]) == {Q: 3}


def test_who_begins_anew_has_no_past_and_makes_nobody_else_look_guilty() -> None:
    blame = Blame(3)
    for at in range(2):
        blame.crashed(float(at), [F, Q])
    blame.forget(F)
    assert blame.crashed(2.0, [F]) == {}
    assert blame.crashed(3.0, [Q, F]) == {Q: 3}
    blame.forget(Q)
    assert blame.crashed(4.0, [F]) == {F: 3}


@given(st.lists(st.sets(st.sampled_from([F, Q, P, UNKNOWN]), max_size=4), max_size=12), st.integers(1, 4))
def test_the_rule(crashes: list[set[tuple[str, int]]], limit: int) -> None:
    blame = Blame(limit)
    for number, running in enumerate(crashes):
        blamed = blame.crashed(float(number), running)
        for key in (F, Q, P, UNKNOWN):
            seen = [crash for crash in crashes[: number + 1] if key in crash]
            guilty = key in running and len(seen) >= limit and set.intersection(*seen) == {key} and key != UNKNOWN
            assert blamed.get(key, 0) == (len(seen) if guilty else 0)
