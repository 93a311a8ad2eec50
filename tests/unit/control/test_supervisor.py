"""Child processes: seen at once when they end, started again with growing pauses."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from control.supervisor import Backoff, ChildSpec, Exit, Supervisor, describe

DEADLINE_SECONDS = 15.0
SLEEP = "import time; time.sleep(600)"


def in_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), DEADLINE_SECONDS)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limited())


class Watched:
    """A supervisor and what it said."""

    def __init__(self, backoff: Callable[[], Backoff] = lambda: Backoff(first=0.01, longest=0.04)) -> None:
        self.exits: list[Exit] = []
        self._ended = asyncio.Event()
        self.supervisor = Supervisor(asyncio.get_running_loop(), self._on_exit, make_backoff=backoff)

    def _on_exit(self, ended: Exit) -> None:
        self.exits.append(ended)
        self._ended.set()

    def start(self, code: str, *, name: str = "child", env: Mapping[str, str] | None = None) -> None:
        spec = ChildSpec(
            name=name,
            argv=(sys.executable, "-S", "-c", code),
            env=lambda generation: {**(env or {}), "GENERATION": str(generation)},
        )
        self.supervisor.start(spec)

    async def exit_number(self, count: int) -> Exit:
        while len(self.exits) < count:
            self._ended.clear()
            await self._ended.wait()
        return self.exits[count - 1]


def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_long_life() -> None:
    backoff = Backoff()
    assert [backoff.pause(1.0) for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert [backoff.pause(life) for life in (30.0, 0.0, 29.9, 31.0)] == [0.1, 0.2, 0.4, 0.1]


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by signal 9 (SIGKILL)"),
        (-11, "was killed by signal 11 (SIGSEGV)"),
        (-200, "was killed by signal 200"),
    ],
)
def test_ends_are_described(returncode: int, text: str) -> None:
    assert describe(returncode) == text


def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    async def test() -> None:
        watched = Watched()
        code = "import os; open(os.environ['OUT'], 'a').write(os.environ['GENERATION'] + ' '); os._exit(7)"
        watched.start(code, env={"OUT": str(tmp_path / "out")})
        first, third = await watched.exit_number(1), await watched.exit_number(3)
        await watched.supervisor.kill_all()
        assert (first.name, first.returncode, third.returncode) == ("child", 7, 7)
        assert first.pid != third.pid
        assert (tmp_path / "out").read_text().startswith("1 2 3 ")

    in_loop(test)


def test_a_killed_child_is_reported_with_its_signal() -> None:
    async def test() -> None:
        watched = Watched(lambda: Backoff(first=600.0))
        watched.start(SLEEP)
        pid = watched.supervisor.pid("child")
        assert pid is not None
        age = watched.supervisor.age("child")
        assert age is not None and 0 <= age < DEADLINE_SECONDS
        watched.supervisor.kill("child")
        ended = await watched.exit_number(1)
        assert (ended.pid, ended.returncode) == (pid, -signal.SIGKILL)
        # It waits for its next start now.
        assert watched.supervisor.pid("child") is None
        assert watched.supervisor.age("child") is None
        await watched.supervisor.kill_all()

    in_loop(test)


def test_a_retired_child_runs_on_and_is_not_started_again() -> None:
    async def test() -> None:
        watched = Watched()
        watched.start(SLEEP)
        watched.supervisor.retire(["child"])
        pid = watched.supervisor.pid("child")
        assert pid is not None
        assert await watched.supervisor.wait_ended(["child"], 0.05) == ["child"]
        os.kill(pid, signal.SIGTERM)
        assert await watched.supervisor.wait_ended(["child"], 10) == []
        await watched.supervisor.kill_all()
        assert len(watched.exits) == 1

    in_loop(test)


def test_retiring_cancels_a_start_that_was_due() -> None:
    async def test() -> None:
        watched = Watched(lambda: Backoff(first=0.05))
        watched.start("raise SystemExit(1)")
        await watched.exit_number(1)
        watched.supervisor.retire(["child"])
        # Another one with the same pauses lives twice after that, so the first would have, too.
        watched.start("raise SystemExit(2)", name="other")
        await watched.exit_number(3)
        await watched.supervisor.kill_all()
        assert [ended.name for ended in watched.exits].count("child") == 1

    in_loop(test)


def test_kill_all_leaves_nothing_and_starts_nothing() -> None:
    async def test() -> None:
        watched = Watched()
        for index in range(3):
            watched.start(SLEEP, name=f"child-{index}")
        pids = [watched.supervisor.pid(name) for name in watched.supervisor.names()]
        await watched.supervisor.kill_all()
        assert sorted(ended.pid for ended in watched.exits) == sorted(pid for pid in pids if pid)
        for ended in watched.exits:
            with pytest.raises(ProcessLookupError):
                os.kill(ended.pid, 0)

    in_loop(test)


def test_a_program_that_cannot_be_started_is_tried_again() -> None:
    async def test() -> None:
        watched = Watched()
        tries: list[int] = []

        def env(generation: int) -> Mapping[str, str]:
            tries.append(generation)
            return {}

        watched.supervisor.start(ChildSpec(name="child", argv=("/nonexistent/program",), env=env))
        while len(tries) < 3:
            await asyncio.sleep(0.01)
        await watched.supervisor.kill_all()
        assert watched.exits == []

    in_loop(test)


def test_names_are_unique_and_starts_are_for_the_main_thread() -> None:
    async def test() -> None:
        watched = Watched()
        watched.start(SLEEP)
        with pytest.raises(ValueError, match="there is a child named child"):
            watched.start(SLEEP)
        failures: list[BaseException] = []

        def elsewhere() -> None:
            try:
                watched.start(SLEEP, name="other")
            except RuntimeError as error:
                failures.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(failures) == 1
        await watched.supervisor.kill_all()

    in_loop(test)
