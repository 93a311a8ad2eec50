"""Which version a worker goes back to, as a table."""

from __future__ import annotations

import pytest

from control.good import GoodVersions


@pytest.mark.parametrize(
    ("seen", "barred", "present", "last"),
    [
        ([], [], [], None),
        ([([1], [1])], [], [], 1),
        # Wanted and not available, available and not wanted.
        ([([1], [1]), ([2], [1])], [], [], 1),
        ([([2], [1])], [], [], 1),
        ([([1], [1]), ([2], [1, 2])], [], [], 2),
        ([([1, 2, 3], [1, 2])], [], [], 2),
        # Barred: the one before, if it is on disk.
        ([([1], [1]), ([2], [2])], [2], [1, 2], 1),
        ([([1], [1]), ([2], [2])], [2], [2], None),
        ([([1], [1]), ([2], [2]), ([3], [3])], [3], [1, 3], 1),
        ([([1], [1]), ([2], [2]), ([3], [3])], [3, 2], [1, 2, 3], 1),
        ([([1], [1]), ([2], [2])], [1, 2], [1, 2], None),
        # Back to an earlier one: that is the last good one then.
        ([([1], [1]), ([2], [2]), ([1], [1])], [], [], 1),
        ([([1], [1]), ([2], [2]), ([1], [1])], [1], [1, 2], 2),
        # A short history.
        ([([number], [number]) for number in range(9)], range(1, 9), range(9), None),
        ([([number], [number]) for number in range(9)], range(2, 9), range(9), 1),
    ],
)
def test_the_last_good_one(seen: list, barred: list[int], present: list[int], last: int | None) -> None:
    good = GoodVersions()
    for aspired, ready in seen:
        good.note("m", aspired, ready)
    assert good.last("m", barred=barred, present=present) == last
    assert good.last("other", barred=[], present=[1]) is None
    good.forget("m")
    assert good.last("m", barred=[], present=[1]) is None
