"""A whole server as a subprocess: `python -m control FLAGS` with real workers and front ends, seen from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bench import processes
from bench.server import READY_LINES, ROOT, free_ports

START_SECONDS = 90.0
STOP_SECONDS = 30.0
# Between two looks at something that changes by itself.
LOOK_SECONDS = 0.02


T = TypeVar("T")


def eventually(look: Callable[[], T], *, within: float) -> T:
    """What `look` returns once that is true; after `within` seconds its exception, or AssertionError."""
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() > deadline
        try:
            if result := look():
                return result
        except Exception:
            if late:
                raise
        assert not late, f"not within {within:g} s: {look}"
        time.sleep(LOOK_SECONDS)


class Server:
    """One running server; `started` makes it and ends it."""

    def __init__(self, flags: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.grpc_port, self.rest_port = free_ports(2)
        self.folder = folder
        # Processes that most tests have no use for take time to start: `flags` may ask for them.
        ports = (
            f"--port={self.grpc_port}",
            f"--rest_api_port={self.rest_port}",
            "--devices=cpu",
            "--num_bulk_frontends=0",
        )
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "control", *ports, *flags], cwd=ROOT, stdout=stdout, stderr=stderr
            )
        self._known: dict[int, processes.Stat] = {}

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return (self.folder / "stdout").read_text(errors="replace")

    @property
    def log(self) -> str:
        """What it has logged, its children's words included."""
        return (self.folder / "stderr").read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Return when both ports are open."""

        def ready() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stdout}\n{self.log}"
            return all(line in self.log for line in READY_LINES)

        try:
            eventually(ready, within=START_SECONDS)
        except AssertionError:
            print(self.log[-4000:], file=sys.stderr)
            raise

    def tree(self) -> dict[int, str]:
        """pid -> role (`control`, `frontend`, `worker`) of its live processes."""
        self._known.update(processes.live_tree([self.process.pid]))
        return {pid: usage.role for pid, usage in processes.snapshot([self.process.pid]).items()}

    def pids(self, role: str) -> list[int]:
        """Its live processes of one role."""
        return [pid for pid, is_role in self.tree().items() if is_role == role]

    def cpu_seconds(self, pid: int) -> float:
        """CPU time that a live process has used."""
        stat = processes.read_stat(pid)
        assert stat is not None, f"process {pid} has ended"
        return stat.ticks / processes.TICKS_PER_SECOND

    def left(self) -> list[int]:
        """Those of its processes seen so far that still live."""
        return [
            pid
            for pid, stat in self._known.items()
            if (now := processes.read_stat(pid)) and now.started == stat.started
        ]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to control."""
        self.tree()
        self.process.send_signal(number)

    def wait_ended(self, *, within: float) -> int:
        """The exit status, once no process is left."""
        status = self.process.wait(within)
        eventually(lambda: not self.left(), within=within)
        return status

    def kill(self) -> None:
        """End whatever is left of it at once."""
        self.tree()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.left(), within=STOP_SECONDS)


@contextlib.contextmanager
def started(folder: Path, *flags: str, ready: bool = True) -> Iterator[Server]:
    """A server with `flags` that logs to `folder`; without `ready`, one that may still be starting, or fail to."""
    server = Server(flags, folder)
    try:
        if ready:
            server.wait_until_ready()
        yield server
    finally:
        server.kill()


def write_config(path: Path, *entries: str) -> Path:
    """Write a --model_config_file of these entries as a whole; see `entry`."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text("model_config_list {\n" + "".join(entries) + "}\n")
    return unfinished.rename(path)


def entry(name: str, base_path: Path, more: str = "") -> str:
    """The text of one model's configuration; `more` are further fields."""
    return f'  config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" {more} }}\n'
