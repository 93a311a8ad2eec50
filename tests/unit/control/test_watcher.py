"""Looking at many models at once, some of which hang."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop

from control.log import LOGGER
from control.manager import Manager
from control.storage import Discovery, Version
from control.threads import ThreadPool
from control.watch import Look, Sight
from control.watcher import Watcher
from protos.errors import Code, ServingError
from protos.public import ModelServerConfig

DEADLINE_SECONDS = 10.0


def in_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), DEADLINE_SECONDS)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limited())


@pytest.fixture
def caplog_text(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    # The logger may have been set up by another test not to hand on its lines.
    propagate, LOGGER.propagate = LOGGER.propagate, True
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        yield lambda: caplog.text
    LOGGER.propagate = propagate


class Disk:
    """A file system on paper: versions by base path; paths in `hanging` block until released."""

    def __init__(self) -> None:
        self.versions: dict[str, list[int]] = {}
        self.errors: dict[str, Exception] = {}
        self.hanging: dict[str, threading.Event] = {}
        self.looks: list[str] = []

    def __call__(self, request: Look) -> Sight:
        base = request.settings.base_path
        self.looks.append(base)
        if base in self.hanging:
            assert self.hanging[base].wait(DEADLINE_SECONDS)
        if base in self.errors:
            raise self.errors[base]
        found = tuple(Version(v, f"{base}/{v}") for v in self.versions.get(base, []))
        warnings = () if found else (f"No versions under {base}",)
        return Sight(
            at=0.0, settings=request.settings, discovery=Discovery(found, warnings), gone=frozenset(), stamps={}
        )


class Setting:
    """A watcher over `Disk` with a manager that serves some models."""

    def __init__(self, *, period: float = 0.01, look_seconds: float = 0.1) -> None:
        self.disk = Disk()
        self.manager = Manager(periodic=True, allow_unavailable_labels=False)
        self.changes = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.watcher = Watcher(
            loop,
            ThreadPool(loop, size=1, slow_seconds=0.02),
            self.manager,
            period_seconds=period,
            on_change=self.changes.set,
            look_seconds=look_seconds,
            look_at=self.disk,
        )

    def serve(self, *names: str, base: str = "/models") -> None:
        config = ModelServerConfig()
        config.model_config_list.SetInParent()
        for name in names:
            config.model_config_list.config.add(name=name, base_path=f"{base}/{name}", model_platform="tensorflow")
        self.watcher.update(self.manager.apply(config)[1])

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changes.clear()
            await self.changes.wait()

    def versions(self, name: str) -> list[int]:
        watch = self.manager.watch(name)
        return list(watch.versions) if watch is not None else []

    def error(self, name: str) -> ServingError | None:
        watch = self.manager.watch(name)
        return watch.error if watch is not None else None


def test_models_are_looked_at_again_and_again() -> None:
    async def test() -> None:
        setting = Setting()
        setting.serve("m")
        await setting.until(lambda: setting.disk.looks.count("/models/m") >= 3)
        setting.disk.versions["/models/m"] = [4]
        await setting.until(lambda: setting.versions("m") == [4])
        setting.watcher.close()

    in_loop(test)


def test_a_hanging_model_fails_alone_and_recovers() -> None:
    async def test() -> None:
        setting = Setting()
        release = setting.disk.hanging["/models/dead"] = threading.Event()
        setting.disk.versions = {"/models/dead": [1], "/models/m": [2]}
        setting.serve("dead", "m")
        await setting.until(lambda: setting.versions("m") == [2])
        await setting.until(lambda: setting.error("dead") is not None)
        error = setting.error("dead")
        assert error is not None and error.code == Code.DEADLINE_EXCEEDED
        # It still hangs in its first look while the other goes on.
        seen = setting.disk.looks.count("/models/m")
        await setting.until(lambda: setting.disk.looks.count("/models/m") > seen + 3)
        assert setting.disk.looks.count("/models/dead") == 1
        del setting.disk.hanging["/models/dead"]
        release.set()
        await setting.until(lambda: setting.versions("dead") == [1])
        assert setting.error("dead") is None
        setting.watcher.close()

    in_loop(test)


def test_a_hanging_model_that_is_moved_is_looked_for_in_its_new_place() -> None:
    async def test() -> None:
        setting = Setting()
        release = setting.disk.hanging["/models/m"] = threading.Event()
        setting.disk.versions["/new/m"] = [9]
        setting.serve("m")
        await setting.until(lambda: setting.error("m") is not None)
        setting.serve("m", base="/new")
        await setting.until(lambda: setting.versions("m") == [9])
        release.set()
        setting.watcher.close()

    in_loop(test)


def test_errors_stay_with_their_model(caplog_text: Callable[[], str]) -> None:
    async def test() -> None:
        setting = Setting()
        setting.disk.errors["/models/bad"] = ServingError(Code.PERMISSION_DENIED, "no entry")
        setting.disk.errors["/models/worse"] = ZeroDivisionError("a bug")
        setting.disk.versions["/models/m"] = [1]
        setting.serve("bad", "worse", "m")
        await setting.until(lambda: setting.versions("m") == [1])
        await setting.until(lambda: setting.disk.looks.count("/models/worse") > 2)
        worse = setting.error("worse")
        assert worse is not None and worse.code == Code.INTERNAL
        # Said once, not with every look.
        said = "FileSystemStoragePathSource encountered a filesystem access error: PERMISSION_DENIED: no entry"
        assert setting.disk.looks.count("/models/bad") > 1
        assert caplog_text().count(said) == 1
        setting.watcher.close()

    in_loop(test)


def test_period_zero_looks_once_and_when_due() -> None:
    async def test() -> None:
        setting = Setting(period=0)
        setting.disk.versions["/models/m"] = [1]
        setting.serve("m")
        await setting.until(lambda: setting.versions("m") == [1])
        setting.serve("m", "n")
        await setting.until(lambda: "/models/n" in setting.disk.looks)
        assert setting.disk.looks == ["/models/m", "/models/n"]
        setting.watcher.update(["m"])
        await setting.until(lambda: setting.disk.looks.count("/models/m") == 2)
        setting.watcher.close()

    in_loop(test)


def test_a_negative_period_never_looks() -> None:
    async def test() -> None:
        setting = Setting(period=-1)
        tasks = asyncio.all_tasks()
        setting.serve("m")
        assert asyncio.all_tasks() == tasks
        assert setting.disk.looks == []

    in_loop(test)


def test_a_removed_model_is_no_longer_looked_at() -> None:
    async def test() -> None:
        setting = Setting()
        setting.serve("m", "n")
        await setting.until(lambda: {"/models/m", "/models/n"} <= set(setting.disk.looks))
        setting.serve("n")
        await asyncio.sleep(0)
        seen = setting.disk.looks.count("/models/m")
        before = setting.disk.looks.count("/models/n")
        await setting.until(lambda: setting.disk.looks.count("/models/n") > before + 3)
        # One look may have been on its way to a thread.
        assert setting.disk.looks.count("/models/m") <= seen + 1
        setting.watcher.close()

    in_loop(test)


def test_slow_jobs_do_not_hold_up_the_pool_and_it_shrinks_again() -> None:
    async def test() -> None:
        before = threading.enumerate()
        pool = ThreadPool(asyncio.get_running_loop(), size=2, slow_seconds=0.01)
        release = threading.Event()
        stuck = [pool.submit(lambda: release.wait(DEADLINE_SECONDS)) for _ in range(5)]
        assert await pool.submit(lambda: 42) == 42
        assert not any(future.done() for future in stuck)
        release.set()
        assert await asyncio.gather(*stuck) == [True] * 5
        mine = [thread for thread in threading.enumerate() if thread.name == "poll" and thread not in before]
        while sum(thread.is_alive() for thread in mine) > 2:
            await asyncio.sleep(0.001)

    in_loop(test)


def test_a_failing_job_hands_on_its_error() -> None:
    async def test() -> None:
        pool = ThreadPool(asyncio.get_running_loop())

        def fail() -> None:
            raise ValueError("in a thread")

        with pytest.raises(ValueError, match="in a thread"):
            await pool.submit(fail)
        cancelled = pool.submit(lambda: time.monotonic())
        cancelled.cancel()
        assert await pool.submit(lambda: 1) == 1

    in_loop(test)
