"""Looks at the file system for every model, each at its own pace, and tells the manager.

A look comes every period, and at once when the kernel says that something has changed in a model's base path.
One task and at most one call in a thread for each model: a file system that hangs stalls its own model and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from control.log import LOGGER
from control.manager import Manager
from control.notices import Folder, Notices
from control.threads import ThreadPool
from control.watch import SETTLE_SECONDS, Look, Sight, look
from protos.errors import Code, ServingError

LOOK_SECONDS = 10.0
# What has been said about a model is said again after so long.
REPEAT_SECONDS = 10.0


class Watcher:
    """Keeps one task a model; `on_change` is called on the loop after each look."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: ThreadPool,
        manager: Manager,
        *,
        period_seconds: float,
        on_change: Callable[[], None],
        look_seconds: float = LOOK_SECONDS,
        look_at: Callable[[Look], Sight] = look,
    ) -> None:
        """Watch nothing yet.

        Args:
            loop: where tasks run.
            pool: where calls that may hang run.
            manager: asked what to look for, and told what there is.
            period_seconds: between looks at one model; 0 looks only when it is due, < 0 never.
            on_change: see above.
            look_seconds: a look that takes longer counts as failed, and is waited for further.
            look_at: the look itself.
        """
        self._loop = loop
        self._pool = pool
        self._manager = manager
        self._period = period_seconds
        self._on_change = on_change
        self._look_seconds = look_seconds
        self._look_at = look_at
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._due: dict[str, asyncio.Event] = {}
        self._said: dict[tuple[str, str], float] = {}
        self._folders: dict[str, Folder] = {}
        self._notices = Notices(loop, self._noticed)

    def update(self, due: Collection[str]) -> None:
        """Watch what the manager has configured now; look at those in `due` at once."""
        if self._period < 0:
            return
        configured = set(self._manager.configured)
        for name in self._tasks.keys() - configured:
            self._tasks.pop(name).cancel()
            del self._due[name]
            self._folders.pop(name, None)
            self._notices.watch(self._folders.values())
        for name in due:
            if name in self._tasks:
                self._due[name].set()
            else:
                self._due[name] = asyncio.Event()
                self._tasks[name] = self._loop.create_task(self._watch(name, self._due[name]))

    def close(self) -> None:
        """Stop watching."""
        self._notices.close()
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def _noticed(self, paths: frozenset[str]) -> None:
        for name, folder in self._folders.items():
            if folder.path in paths and name in self._due:
                self._due[name].set()

    async def _watch(self, name: str, due: asyncio.Event) -> None:
        while True:
            due.clear()
            request = self._manager.look_for(name)
            if request is None:
                return
            try:
                await self._look(name, request, due)
            except ServingError as error:
                self._failed(name, error)
            except Exception as error:
                # Whatever else goes wrong in a look is this model's trouble, not the end of watching it.
                LOGGER.exception("Looking for versions of %s went wrong", name)
                self._failed(name, ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}"))
            self._on_change()
            pause = self._period if self._period > 0 else None
            if pause is not None and self._manager.settling(name):
                pause = min(pause, SETTLE_SECONDS)
            try:
                await asyncio.wait_for(due.wait(), pause)
            except TimeoutError:
                continue

    async def _look(self, name: str, request: Look, due: asyncio.Event) -> None:
        future = self._pool.submit(partial(self._look_at, request))
        done, _ = await asyncio.wait((future,), timeout=self._look_seconds)
        if not done:
            text = f"Looking for versions of {name} in {request.settings.base_path} takes longer than"
            self._failed(name, ServingError(Code.DEADLINE_EXCEEDED, f"{text} {self._look_seconds:g} s"))
            self._on_change()
            # One call at a time for a model: the next look waits for this one, unless there is another place to look.
            another = self._loop.create_task(due.wait())
            try:
                either: set[asyncio.Future[Any]] = {future, another}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                another.cancel()
            if not future.done():
                future.cancel()
                due.set()
                return
        sight = future.result()
        for warning in self._manager.saw(name, sight):
            self._say(name, warning)
        if self._period > 0 and sight.folder is not None and self._folders.get(name) != sight.folder:
            self._folders[name] = sight.folder
            self._notices.watch(self._folders.values())

    def _failed(self, name: str, error: ServingError) -> None:
        self._manager.look_failed(name, error)
        if self._folders.pop(name, None) is not None:
            self._notices.watch(self._folders.values())
        self._say(name, f"FileSystemStoragePathSource encountered a filesystem access error: {error}", error=True)

    def _say(self, name: str, text: str, *, error: bool = False) -> None:
        now = self._loop.time()
        if now - self._said.get((name, text), float("-inf")) < REPEAT_SECONDS:
            return
        self._said = {key: at for key, at in self._said.items() if now - at < REPEAT_SECONDS}
        self._said[name, text] = now
        (LOGGER.error if error else LOGGER.warning)("%s", text)
