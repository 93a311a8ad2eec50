"""Child processes: start them, see at once when one ends, start it again after a pause.

Guarantees
- A child that ends is noticed through its pidfd in the same loop turn, reported to `on_exit` with what is left to
  clean up, and started again unless it was retired or the supervisor is stopping.
- Pauses double from 0.1 s to 10 s while a child keeps ending young, and begin anew once it lived 30 s.
- No child outlives this process: each gets the pid of its parent and asks the kernel to be killed with it
  (`protos.orphan`). For that, children are started from the main thread, where the loop must run.
- Children stay in this process's group, so a terminal can stop the whole tree; they leave Ctrl-C to this process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from control.log import LOGGER
from protos.orphan import ENV_PARENT_PID

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
STABLE_AFTER_SECONDS = 30.0

_STDERR = 2


@dataclass
class Backoff:
    """How long to wait before the next start of one child."""

    first: float = FIRST_PAUSE_SECONDS
    longest: float = LONGEST_PAUSE_SECONDS
    stable_after: float = STABLE_AFTER_SECONDS
    _next: float = field(init=False, default=0.0)

    def pause(self, lived_seconds: float) -> float:
        """Seconds to wait after a life of `lived_seconds`."""
        if lived_seconds >= self.stable_after or self._next == 0.0:
            self._next = self.first
        pause = self._next
        self._next = min(self._next * 2, self.longest)
        return pause


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """How to start one child.

    Attributes:
        name: stable name of the slot, such as `worker-0`.
        argv: program and arguments.
        env: its environment for a generation (1, 2, ...), so that nothing is shared between two lives by mistake.
        pass_fds: file descriptors that it inherits under the same numbers.
    """

    name: str
    argv: tuple[str, ...]
    env: Callable[[int], Mapping[str, str]]
    pass_fds: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exit:
    """The end of one life of a child; `returncode` is negative for a signal, as in `subprocess`."""

    name: str
    generation: int
    pid: int
    returncode: int
    lived_seconds: float


@dataclass
class _Child:
    spec: ChildSpec
    backoff: Backoff
    generation: int = 0
    retired: bool = False
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    started_at: float = 0.0
    restart: asyncio.TimerHandle | None = None


def describe(returncode: int) -> str:
    """`exited with code 3`, or `was killed by signal 9 (SIGKILL)`."""
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        return f"was killed by signal {-returncode} ({signal.Signals(-returncode).name})"
    except ValueError:
        return f"was killed by signal {-returncode}"


class Supervisor:
    """Owns the child processes of this process; all methods are for the loop's thread, which is the main one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_exit: Callable[[Exit], None],
        *,
        make_backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._loop = loop
        self._on_exit = on_exit
        self._make_backoff = make_backoff
        self._children: dict[str, _Child] = {}
        # Of names that were forgotten, so that no generation comes twice.
        self._generations: dict[str, int] = {}
        self._stopping = False
        self._changed = asyncio.Event()

    def start(self, spec: ChildSpec) -> None:
        """Start a child and keep it running.

        Raises:
            ValueError: the name is taken.
            RuntimeError: not called on the main thread.
        """
        if spec.name in self._children:
            raise ValueError(f"there is a child named {spec.name} already")
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("children must be started from the main thread: their life is tied to it")
        child = _Child(spec, self._make_backoff(), self._generations.pop(spec.name, 0))
        self._children[spec.name] = child
        self._spawn(child)

    def _spawn(self, child: _Child) -> None:
        spec = child.spec
        child.restart = None
        child.generation += 1
        child.started_at = self._loop.time()
        env = {**os.environ, **spec.env(child.generation), ENV_PARENT_PID: str(os.getpid())}
        try:
            # stdout of the server carries a few documented lines only; whatever a child prints goes to the log.
            child.process = subprocess.Popen(
                spec.argv, env=env, stdin=subprocess.DEVNULL, stdout=_STDERR, pass_fds=spec.pass_fds
            )
        except OSError as error:
            pause = child.backoff.pause(0.0)
            LOGGER.error("Cannot start %s: %s; next try in %.1f s", spec.name, error, pause)
            self._restart_in(child, pause)
            return
        child.pidfd = os.pidfd_open(child.process.pid)
        self._loop.add_reader(child.pidfd, self._reap, child)

    def _reap(self, child: _Child) -> None:
        process = child.process
        if process is None or process.poll() is None:
            return
        self._loop.remove_reader(child.pidfd)
        os.close(child.pidfd)
        child.process, child.pidfd = None, -1
        ended = Exit(
            name=child.spec.name,
            generation=child.generation,
            pid=process.pid,
            returncode=process.returncode,
            lived_seconds=self._loop.time() - child.started_at,
        )
        if child.retired or self._stopping:
            LOGGER.info("%s (pid %d) %s", ended.name, ended.pid, describe(ended.returncode))
        else:
            pause = child.backoff.pause(ended.lived_seconds)
            text = "%s (pid %d) %s after %.1f s; starting it again in %.1f s"
            LOGGER.error(text, ended.name, ended.pid, describe(ended.returncode), ended.lived_seconds, pause)
            self._restart_in(child, pause)
        self._changed.set()
        self._on_exit(ended)

    def _restart_in(self, child: _Child, seconds: float) -> None:
        if not (child.retired or self._stopping):
            child.restart = self._loop.call_later(seconds, self._spawn, child)

    def pid(self, name: str) -> int | None:
        """Process id of a child, None while it is not running."""
        child = self._children.get(name)
        return child.process.pid if child is not None and child.process is not None else None

    def age(self, name: str) -> float | None:
        """Seconds since a running child was started, None while it is not running."""
        child = self._children.get(name)
        return self._loop.time() - child.started_at if child is not None and child.process is not None else None

    def names(self) -> list[str]:
        """Names of all children, running or not."""
        return list(self._children)

    def kill(self, name: str) -> None:
        """SIGKILL a child if it runs; it is started again as after any other end."""
        child = self._children.get(name)
        if child is not None and child.process is not None:
            child.process.kill()

    def forget(self, name: str) -> None:
        """There will be no such child any more, unless it is started anew; it must not be running."""
        child = self._children.pop(name)
        assert child.process is None
        if child.restart is not None:
            child.restart.cancel()
        self._generations[name] = child.generation

    def retire(self, names: Iterable[str]) -> None:
        """Let these children run on, but don't start them again."""
        for name in names:
            child = self._children[name]
            child.retired = True
            if child.restart is not None:
                child.restart.cancel()
                child.restart = None

    async def wait_ended(self, names: Iterable[str], timeout_seconds: float) -> list[str]:
        """Wait until none of `names` runs; returns those that still run after `timeout_seconds`."""
        wanted = list(names)
        deadline = self._loop.time() + timeout_seconds
        while running := [name for name in wanted if self.pid(name) is not None]:
            self._changed.clear()
            left = deadline - self._loop.time()
            if left <= 0:
                return running
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue
        return []

    async def kill_all(self) -> None:
        """SIGKILL whatever runs, wait for the ends, start nothing any more."""
        self._stopping = True
        self.retire(self._children)
        for name in self._children:
            self.kill(name)
        # SIGKILL can be late only while a process is stuck in the kernel; the parent-death signal covers the rest.
        left = await self.wait_ended(self._children, 5.0)
        if left:
            LOGGER.error("Still running after SIGKILL: %s", ", ".join(left))
