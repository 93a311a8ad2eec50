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
        self.adopted: list[object] = []
        self.takeover = Takeover(self.lead, self.adopted.append, limit_ns=limit_ns)

    def lead(self) -> None:
        self.led_by.append(threading.current_thread())


def test_a_short_call_changes_nothing() -> None:
    loop = Loop(limit_ns=60_000_000_000)
    for _ in range(1_000):
        assert loop.takeover.leave(loop.takeover.enter("call"))
    loop.takeover.stop()
    assert not loop.led_by and not loop.adopted


def test_a_long_call_is_adopted_and_another_thread_leads() -> None:
    loop = Loop()
    token = loop.takeover.enter("call")
    wait_until(lambda: bool(loop.led_by))
    assert loop.adopted == ["call"]
    assert loop.led_by[0] is not threading.current_thread()
    assert not loop.takeover.leave(token)  # whoever made the call hands its outcome in
    loop.takeover.stop()


def test_the_next_leader_can_be_deposed_as_well() -> None:
    release = threading.Event()
    left: list[bool] = []

    class Stuck(Loop):
        def lead(self) -> None:
            super().lead()
            if len(self.led_by) == 1:
                token = self.takeover.enter("second")
                release.wait(10)
                left.append(self.takeover.leave(token))

    loop = Stuck()
    token = loop.takeover.enter("first")
    wait_until(lambda: len(loop.led_by) == 2)
    release.set()
    wait_until(lambda: bool(left))
    assert left == [False] and not loop.takeover.leave(token)
    assert loop.adopted == ["first", "second"]
    loop.takeover.stop()


def test_no_call_under_way_is_no_reason() -> None:
    loop = Loop()
    assert loop.takeover.leave(loop.takeover.enter("call"))
    looked = threading.Event()
    threading.Timer(4 * LIMIT_NS / 1e9, looked.set).start()
    assert looked.wait(10)
    loop.takeover.stop()
    assert not loop.led_by
