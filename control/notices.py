"""The kernel's word that something has changed in a directory, so that nobody has to wait for the next look.

Only a hint: a file system that gives no notices (most network ones), too many directories, or a directory that was
replaced leave everything to polling. `watchfiles` is imported when it is needed, on the thread that listens, since
control must be up sooner.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection
from typing import NamedTuple

from control.log import LOGGER

# Changes are gathered until nothing more comes for a step.
_STEP_MS = 20
_DEBOUNCE_MS = 60
# So long after a listener has begun everything counts as changed once: nobody listened before.
_BEGIN_MS = 500
# What is asked to be watched is gathered for so long before the listener is replaced.
_GATHER_SECONDS = 0.05


class Folder(NamedTuple):
    """A directory; one that was replaced by another of the same path is another."""

    path: str
    device: int
    inode: int


class Notices:
    """Tells of changes of the entries right under some directories.

    Args:
        loop: where `on_change` is called, with the paths of the directories, as they were given.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_change: Callable[[frozenset[str]], None]) -> None:
        self._loop = loop
        self._on_change = on_change
        self._folders: frozenset[Folder] = frozenset()
        self._stop = threading.Event()
        self._due: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self, folders: Collection[Folder]) -> None:
        """Listen to these directories, and no others, from soon on."""
        if self._closed or frozenset(folders) == self._folders:
            return
        self._folders = frozenset(folders)
        if self._due is None:
            self._due = self._loop.call_later(_GATHER_SECONDS, self._restart)

    def _restart(self) -> None:
        self._due = None
        self._stop.set()
        self._stop = threading.Event()
        if self._folders:
            paths = frozenset(folder.path for folder in self._folders)
            threading.Thread(target=self._listen, args=(paths, self._stop), daemon=True, name="notices").start()

    def _listen(self, paths: frozenset[str], stop: threading.Event) -> None:
        try:
            import watchfiles

            # Events may name a directory by where links lead to.
            asked = {os.path.realpath(path): path for path in paths} | {path: path for path in paths}
            begun = False
            for changes in watchfiles.watch(
                *paths,
                watch_filter=None,
                recursive=False,
                stop_event=stop,
                step=_STEP_MS,
                debounce=_DEBOUNCE_MS,
                rust_timeout=_BEGIN_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                names = {name for _, path in changes for name in (path, os.path.dirname(path))}
                changed = frozenset(asked[name] for name in names if name in asked) if begun else paths
                begun = True
                if changed and not stop.is_set():
                    self._loop.call_soon_threadsafe(self._on_change, changed)
        except Exception as error:  # whatever it is, polling goes on
            if not stop.is_set():
                LOGGER.warning("Changes of files are noticed by polling only: %s", error)

    def close(self) -> None:
        """Listen no longer."""
        self._closed = True
        self._stop.set()
        if self._due is not None:
            self._due.cancel()
            self._due = None
