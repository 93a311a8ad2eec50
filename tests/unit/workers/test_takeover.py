"""A call that lasts too long costs the leadership, and nothing else."""

from __future__ import annotations

import threading

from tests.loops import wait_until
from workers.takeover import Takeover

LIMIT_NS = 30_000_000


class Loop:
    """A leader that makes one call, whose length the test decides."""

    def __init__(self, limit_ns: int = LIMIT_NS) -> None:
        self.led_by: list[threading.Thread] = []
        self.adopted = 0
        self.takeover = Takeover(self.lead, limit_ns=limit_ns)

    def lead(self) -> None:
        self.led_by.append(threading.current_thread())

    def adopt(self) -> None:
        self.adopted += 1


def test_a_short_call_changes_nothing() -> None:
    loop = Loop(limit_ns=60_000_000_000)
    for _ in range(1_000):
        loop.takeover.enter(loop.adopt)
        assert loop.takeover.leave()
    loop.takeover.stop()
    assert not loop.led_by and not loop.adopted


def test_a_long_call_is_adopted_and_another_thread_leads() -> None:
    loop = Loop()
    loop.takeover.enter(loop.adopt)
    wait_until(lambda: bool(loop.led_by))
    assert loop.adopted == 1
    assert loop.led_by[0] is not threading.current_thread()
    assert not loop.takeover.leave()  # whoever made the call hands its outcome in
    loop.takeover.stop()


def test_the_next_leader_can_be_deposed_as_well() -> None:
    release = threading.Event()
    left: list[bool] = []

    class Stuck(Loop):
        def lead(self) -> None:
            super().lead()
            if len(self.led_by) == 1:
                self.takeover.enter(self.adopt)
                release.wait(10)
                left.append(self.takeover.leave())

    loop = Stuck()
    loop.takeover.enter(loop.adopt)
    wait_until(lambda: len(loop.led_by) == 2)
    release.set()
    wait_until(lambda: bool(left))
    assert left == [False] and not loop.takeover.leave()
    assert loop.adopted == 2
    loop.takeover.stop()


def test_no_call_under_way_is_no_reason() -> None:
    loop = Loop()
    loop.takeover.enter(loop.adopt)
    assert loop.takeover.leave()
    looked = threading.Event()
    threading.Timer(4 * LIMIT_NS / 1e9, looked.set).start()
    assert looked.wait(10)
    loop.takeover.stop()
    assert not loop.led_by
