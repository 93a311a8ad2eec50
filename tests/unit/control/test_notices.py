"""Notices of real changes of real directories."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from control.notices import Folder, Notices

DEADLINE_SECONDS = 30.0
Story = Callable[[Notices, "asyncio.Queue[frozenset[str]]"], Awaitable[None]]


def run(story: Story) -> None:
    async def told() -> None:
        heard: asyncio.Queue[frozenset[str]] = asyncio.Queue()
        notices = Notices(asyncio.get_running_loop(), heard.put_nowait)
        try:
            await asyncio.wait_for(story(notices, heard), DEADLINE_SECONDS)
        finally:
            notices.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(told())


def folder(path: Path) -> Folder:
    return Folder(str(path), os.stat(path).st_dev, os.stat(path).st_ino)


async def until_heard(heard: asyncio.Queue[frozenset[str]], path: Path, touch: Callable[[int], None]) -> None:
    """The listener starts on a thread of its own: change something until it is there to hear of it."""
    times = 0
    while True:
        touch(times)
        times += 1
        try:
            if str(path) in await asyncio.wait_for(heard.get(), 0.2):
                return
        except TimeoutError:
            continue


def test_new_and_vanished_entries_are_told_with_their_directory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    async def story(notices: Notices, heard: asyncio.Queue[frozenset[str]]) -> None:
        notices.watch([folder(tmp_path / "a"), folder(tmp_path / "b")])
        await until_heard(heard, tmp_path / "a", lambda n: (tmp_path / "a" / str(n)).mkdir())
        await until_heard(heard, tmp_path / "b", lambda n: (tmp_path / "b" / str(n)).mkdir())
        (tmp_path / "b" / "0").rmdir()
        while await heard.get() != {str(tmp_path / "b")}:
            continue

    run(story)


def test_a_directory_behind_a_link_is_told_as_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")

    async def story(notices: Notices, heard: asyncio.Queue[frozenset[str]]) -> None:
        notices.watch([folder(link)])
        await until_heard(heard, link, lambda n: (tmp_path / "real" / str(n)).mkdir())

    run(story)


def test_a_directory_that_was_replaced_is_watched_again(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.mkdir()

    async def story(notices: Notices, heard: asyncio.Queue[frozenset[str]]) -> None:
        first = folder(path)
        notices.watch([first])
        await until_heard(heard, path, lambda n: (path / str(n)).mkdir())
        path.rename(tmp_path / "away")
        path.mkdir()
        assert folder(path) != first
        notices.watch([folder(path)])
        await until_heard(heard, path, lambda n: (path / f"new-{n}").mkdir())

    run(story)


def test_a_directory_that_is_gone_does_not_end_anything(tmp_path: Path) -> None:
    gone, path = tmp_path / "gone", tmp_path / "m"
    gone.mkdir()
    path.mkdir()

    async def story(notices: Notices, heard: asyncio.Queue[frozenset[str]]) -> None:
        both = [folder(gone), folder(path)]
        gone.rmdir()
        notices.watch(both)
        notices.watch([folder(path)])
        await until_heard(heard, path, lambda n: (path / str(n)).mkdir())

    run(story)


def test_what_happened_while_nobody_listened_is_not_missed(tmp_path: Path) -> None:
    async def story(notices: Notices, heard: asyncio.Queue[frozenset[str]]) -> None:
        notices.watch([folder(tmp_path)])
        assert await heard.get() == {str(tmp_path)}

    run(story)
