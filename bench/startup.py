"""How fast control and a front end start, and how much memory each role takes: `python -m bench.startup`.

Control is up when it has started its first child. A front end is up when its Hello reaches control, whose place is
taken by a socket of ours, so that nothing else is measured. The server is ready when both ports are open; then the
memory of each process is read. Exit status 1 if control or a front end misses `LIMIT_SECONDS` or `LIMIT_MB`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq

from bench import processes, server
from bench.__main__ import RESULTS
from protos import messages
from protos.channel import ENV_CONTROL, ENV_NAME, Channel

LIMIT_SECONDS = 0.5
LIMIT_MB = 80.0
DEADLINE_SECONDS = 30.0
_MODEL = "half_plus_two"


class Start(NamedTuple):
    """One start of the server: seconds until control had a child, until all was ready; (role, MB, peak MB) each."""

    control_seconds: float
    ready_seconds: float
    memory: list[tuple[str, float, float]]


def frontend_seconds() -> float:
    """Seconds from the start of a front end's process to its Hello at control.

    Raises:
        server.ServerFailed: it ended, or said nothing in time.
    """
    channel = Channel()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        router, endpoint = channel.bind_router(f"ipc://{folder}/control")
        env = {**os.environ, ENV_CONTROL: endpoint, ENV_NAME: "frontend-bench"}
        began = time.monotonic()
        frontend = subprocess.Popen([sys.executable, "-m", "frontend"], cwd=server.ROOT, env=env)
        try:
            return _await_hello(router, frontend) - began
        finally:
            frontend.kill()
            frontend.wait(DEADLINE_SECONDS)
            router.close()
            channel.close()


def _await_hello(router: zmq.Socket[bytes], frontend: subprocess.Popen[bytes]) -> float:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while frontend.poll() is None and time.monotonic() < deadline:
        if router.poll(100):
            frames = router.recv_multipart()
            if isinstance(msgspec.msgpack.decode(frames[-1], type=messages.ToControl), messages.Hello):
                return time.monotonic()
    raise server.ServerFailed(f"the front end said no Hello in {DEADLINE_SECONDS:.0f} s, or ended")


def server_start(config: Path, folder: Path) -> Start:
    """Start our server with a model, and look at its processes when it is ready.

    Raises:
        server.ServerFailed: see `server.started`.
    """
    began = time.monotonic()
    with server.started([f"--model_config_file={config}"], folder / "server.log") as target:
        ready = time.monotonic() - began
        stats = processes.live_tree(target.pids)
        root = stats.pop(target.pids[0])
        if not stats:
            raise server.ServerFailed("the server has no child processes")
        first_child = min(stat.started for stat in stats.values())
        usage = processes.snapshot(target.pids)
        return Start(
            control_seconds=(first_child - root.started) / processes.TICKS_PER_SECOND,
            ready_seconds=ready,
            memory=[(usage[pid].role, *processes.memory_mb(pid)) for pid in sorted(usage)],
        )


def misses(seconds: dict[str, float], memory: Sequence[tuple[str, float, float]]) -> list[str]:
    """What of control and front ends is slower or larger than it may be."""
    slow = [f"{role} took {value:.2f} s" for role, value in seconds.items() if value > LIMIT_SECONDS]
    large = [f"{role} takes {now:.0f} MB" for role, now, _ in memory if role in seconds and now > LIMIT_MB]
    return slow + large


def main(argv: list[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="starts; times are medians (default 3)")
    parser.add_argument("--models", type=Path, default=RESULTS / "models")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    try:
        arguments.models.mkdir(parents=True, exist_ok=True)
        server.write_models(arguments.models, [_MODEL])
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            config = server.write_config(arguments.models, [_MODEL], Path(folder))
            starts = [server_start(config, Path(folder)) for _ in range(arguments.repeats)]
        frontend = statistics.median(frontend_seconds() for _ in range(arguments.repeats))
    except server.ServerFailed as error:
        print(error, file=sys.stderr)
        return 2
    seconds = {"control": statistics.median(start.control_seconds for start in starts), "frontend": frontend}
    for role, value in seconds.items():
        print(f"{role:<10} up after {value:>6.2f} s   (limit {LIMIT_SECONDS} s)")
    print(f"server     ready after {statistics.median(start.ready_seconds for start in starts):>3.2f} s")
    for role, now, peak in starts[-1].memory:
        limit = f"   (limit {LIMIT_MB:.0f} MB)" if role in seconds else ""
        print(f"{role:<10} {now:>6.1f} MB, at most {peak:>6.1f} MB{limit}")
    missed = misses(seconds, starts[-1].memory)
    if missed:
        print(f"FAILED: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    server.exit_on_sigterm()
    sys.exit(main())
