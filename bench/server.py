"""The server under test: ours, started here with every model, or one that already runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import processes

ROOT = Path(__file__).resolve().parent.parent
READY_LINES = ("Running gRPC ModelServer at", "Exporting HTTP/REST API at")
START_DEADLINE_SECONDS = 120.0
STOP_DEADLINE_SECONDS = 30.0
WRITE_MODELS_DEADLINE_SECONDS = 300.0


class ServerFailed(RuntimeError):
    """The server didn't start, didn't stop, or the models couldn't be written."""


@dataclass(frozen=True)
class Target:
    """Where a server listens, and the processes whose trees it is; no pids: its CPU time is not known."""

    host: str
    grpc_port: int
    rest_port: int
    pids: tuple[int, ...] = ()

    @staticmethod
    def parse(text: str, pids: Sequence[int] = ()) -> Target:
        """From HOST:GRPC_PORT:REST_PORT.

        Raises:
            ValueError: it isn't of that form, or a process doesn't exist.
        """
        try:
            host, grpc_port, rest_port = text.rsplit(":", 2)
            target = Target(host.strip("[]"), int(grpc_port), int(rest_port), tuple(pids))
        except ValueError:
            raise ValueError(f"expected HOST:GRPC_PORT:REST_PORT, got {text!r}") from None
        gone = [pid for pid in pids if processes.read_stat(pid) is None]
        if gone:
            raise ValueError(f"no process {gone[0]}")
        return target

    @property
    def url_host(self) -> str:
        """The host as URLs and gRPC addresses spell it."""
        return f"[{self.host}]" if ":" in self.host else self.host


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind this program, so that a server started here ends with it."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def write_models(directory: Path, names: Sequence[str]) -> None:
    """Write the sample models that aren't there yet, in a process of their own (TensorFlow is slow to import).

    Raises:
        ServerFailed: the writer failed; its output is in the message.
    """
    if all((directory / name / "1").exists() for name in names):
        return
    command = [sys.executable, "-m", "tests.models", str(directory), *names]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=WRITE_MODELS_DEADLINE_SECONDS, check=False
    )
    if done.returncode != 0:
        raise ServerFailed(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")


def write_config(directory: Path, names: Sequence[str], folder: Path) -> Path:
    """Write folder/models.config, a --model_config_file of the models below `directory` under their own names."""
    entries = "".join(
        f'  config {{ name: "{name}" base_path: "{(directory / name).resolve()}" model_platform: "tensorflow" }}\n'
        for name in names
    )
    path = folder / "models.config"
    path.write_text(f"model_config_list {{\n{entries}}}\n")
    return path


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def started(flags: Sequence[str], log: Path) -> Iterator[Target]:
    """Our server with `flags`, listening; it is stopped at the end of the block, whatever happens in it.

    Raises:
        ServerFailed: it ended, or wasn't ready in time; the end of its log is in the message.
    """
    grpc_port, rest_port = free_ports(2)
    command = [sys.executable, "-m", "control", f"--port={grpc_port}", f"--rest_api_port={rest_port}", *flags]
    with log.open("wb") as output:
        # In the same session: where the kernel groups threads by sessions (autogroup of sched(7)), niceness counts only
        # inside of one, and the load generator would compete with what gives way to the server's other threads.
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, process_group=0)
    try:
        wait_until_ready(server, log)
        yield Target("127.0.0.1", grpc_port, rest_port, (server.pid,))
    finally:
        stop(server)


def wait_until_ready(server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the lines that the server logs once both ports are open.

    Raises:
        ServerFailed: see `started`.
    """
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while True:
        text = log.read_text(errors="replace")
        if all(line in text for line in READY_LINES):
            return
        if server.poll() is not None:
            raise ServerFailed(f"the server ended with {server.returncode}:\n{text[-4000:]}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"the server wasn't ready in {START_DEADLINE_SECONDS:.0f} s:\n{text[-4000:]}")
        time.sleep(0.02)


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ask the server to end and wait until all its processes have; after the deadline kill them.

    Raises:
        ServerFailed: one had to be killed.
    """
    tree = processes.live_tree([server.pid])
    if server.poll() is None:
        server.terminate()
    deadline = time.monotonic() + STOP_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        server.poll()
        if not _alive(tree):
            return
        time.sleep(0.02)
    left = _alive(tree)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.wait(STOP_DEADLINE_SECONDS)
    raise ServerFailed(
        f"{len(left)} processes of the server had to be killed {STOP_DEADLINE_SECONDS:.0f} s after SIGTERM"
    )


def _alive(tree: Mapping[int, processes.Stat]) -> list[int]:
    """The processes that still run; a pid that another process got since doesn't count."""
    return [pid for pid, stat in tree.items() if (now := processes.read_stat(pid)) and now.started == stat.started]
