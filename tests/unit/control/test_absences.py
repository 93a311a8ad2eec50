import pytest

from control.absences import LIMIT_SECONDS, STAY_SECONDS, Absences


@pytest.fixture
def absences() -> Absences:
    return Absences()


def test_a_worker_is_waited_for_until_it_is_back(absences: Absences) -> None:
    absences.lost("a")
    assert absences.awaited() == {"a"}
    absences.back("a")
    assert absences.awaited() == set()


def test_after_so_long_it_is_given_up(absences: Absences) -> None:
    absences.lost("a")
    assert not absences.tick(100.0)
    assert not absences.tick(100.0 + LIMIT_SECONDS - 1)
    assert absences.awaited() == {"a"}
    assert absences.tick(100.0 + LIMIT_SECONDS)
    assert (absences.given_up, absences.awaited()) == ({"a"}, set())
    assert not absences.tick(100.0 + LIMIT_SECONDS + 1)


def test_whoever_crashes_again_and_again_has_not_come_back(absences: Absences) -> None:
    now, life = 0.0, STAY_SECONDS - 1
    absences.lost("a")
    absences.tick(now)
    while now < LIMIT_SECONDS:
        assert absences.given_up == set()
        absences.back("a")
        absences.tick(now)
        now += life
        absences.tick(now)
        absences.lost("a")
    absences.tick(now)
    assert absences.given_up == {"a"}
    # Also while it is there for a moment.
    absences.back("a")
    absences.tick(now + 1)
    assert absences.given_up == {"a"}


def test_whoever_stays_for_a_while_is_counted_on_again(absences: Absences) -> None:
    absences.lost("a")
    absences.tick(0.0)
    assert absences.tick(LIMIT_SECONDS)
    absences.back("a")
    assert not absences.tick(LIMIT_SECONDS)
    assert absences.tick(LIMIT_SECONDS + STAY_SECONDS)
    assert absences.given_up == set()
    # Its next absence is a new one.
    absences.lost("a")
    absences.tick(LIMIT_SECONDS + STAY_SECONDS)
    assert absences.awaited() == {"a"}


def test_a_place_that_is_closed_is_forgotten(absences: Absences) -> None:
    for name in ("a", "b"):
        absences.lost(name)
    absences.closed("a")
    assert absences.awaited() == {"b"}
    absences.tick(0.0)
    absences.tick(LIMIT_SECONDS)
    absences.closed("b")
    absences.closed("c")
    assert (absences.given_up, absences.awaited()) == (set(), set())


def test_a_worker_that_never_crashed_is_not_absent(absences: Absences) -> None:
    absences.back("a")
    assert not absences.tick(0.0)
    assert absences.awaited() == set()
