"""Whether memory grows while versions come and go: `python -m bench.cycles`.

A server is started with half_plus_two, which gets small requests at a steady rate all the time, and with a larger
model, of which there is one version after another: each is a link that appears in the model's folder while the one
before disappears. What each process then occupies is compared with what it did after the first few.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import processes, server
from bench.paced import Paced

# Versions before what is compared with: by then pools and caches have been filled.
SETTLE = 10
VERSION_SECONDS = 60.0
_WRITE_SECONDS = 120.0
_LOOK_SECONDS = 0.1
# Until freed memory has been given back (see `workers.housekeeping`).
_REST_SECONDS = 5.0


class Growth(NamedTuple):
    """Resident memory of one process in MB."""

    role: str
    before_mb: float
    after_mb: float

    @property
    def percent(self) -> float:
        """How much larger it is than before."""
        return (self.after_mb / self.before_mb - 1) * 100


def _available(door: http.client.HTTPConnection) -> int | None:
    """The version of the larger model that is available, if that is exactly one."""
    door.request("GET", "/v1/models/larger")
    versions = json.loads(door.getresponse().read())["model_version_status"]
    available = [int(entry["version"]) for entry in versions if entry["state"] == "AVAILABLE"]
    others = [entry for entry in versions if entry["state"] not in ("AVAILABLE", "END")]
    return available[0] if len(available) == 1 and not others else None


def _switch(folder: Path, door: http.client.HTTPConnection, version: int) -> None:
    """Replace the version before by this one, and wait for it."""
    (folder / str(version)).symlink_to(folder.parent / "weights", target_is_directory=True)
    if version > 1:
        (folder / str(version - 1)).unlink()
    deadline = time.monotonic() + VERSION_SECONDS
    while _available(door) != version:
        if time.monotonic() > deadline:
            raise server.ServerFailed(f"version {version} did not take the place of the one before")
        time.sleep(_LOOK_SECONDS)


def _memory(roots: Sequence[int]) -> dict[int, tuple[str, float]]:
    time.sleep(_REST_SECONDS)
    return {pid: (usage.role, processes.memory_mb(pid)[0]) for pid, usage in processes.snapshot(roots).items()}


def measure(
    folder: Path, *, cycles: int, minutes: float, rate: float, flags: Sequence[str]
) -> tuple[int, list[Growth]]:
    """Switch versions `cycles` times, or for so many minutes: how often it was, and how each process has grown.

    Raises:
        ServerFailed: the server or a version didn't come up, or a process ended.
    """
    models = folder / "models"
    larger = models / "larger"
    larger.mkdir()
    config = server.write_config(models, ["half_plus_two", "larger"], folder)
    flags = [f"--model_config_file={config}", "--file_system_poll_wait_seconds=1", "--devices=cpu", *flags]
    (larger / "1").symlink_to(models / "weights", target_is_directory=True)
    url, body = "/v1/models/half_plus_two:predict", '{"instances": [1.0, 2.0, 5.0]}'
    with (
        server.started(flags, folder / "server.log") as target,
        Paced(target.rest_port, url, body, rate=rate, file=folder / "latencies") as paced,
    ):
        door = http.client.HTTPConnection("127.0.0.1", target.rest_port, timeout=10)
        begin = time.monotonic()
        done = 0
        before: dict[int, tuple[str, float]] = {}
        for version in range(2, cycles + SETTLE + 2):
            _switch(larger, door, version)
            if version == SETTLE + 1:
                before = _memory(target.pids)
            done = max(0, version - SETTLE - 1)
            if before and time.monotonic() - begin > minutes * 60:
                break
        after = _memory(target.pids)
        paced.between(begin, time.monotonic())  # all were answered
    if before.keys() != after.keys():
        raise server.ServerFailed(f"a process has ended: there were {sorted(before)}, and are {sorted(after)}")
    return done, [Growth(role, mb, after[pid][1]) for pid, (role, mb) in before.items()]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit status: 0 nothing has grown beyond the limit, 1 something has, 2 not measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.cycles", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200, help="versions (default 200)")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after so long (default 30)")
    parser.add_argument("--megabytes", type=int, default=20, help="of the larger model (default 20)")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second to the other model (default 50)")
    parser.add_argument("--limit", type=float, default=5.0, help="percent that a process may grow (default 5)")
    parser.add_argument("--server-flags", default="", help="more flags for the server")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tensormux-bench-") as name:
        folder = Path(name)
        models = folder / "models"
        command = [sys.executable, "-m", "bench.loading", f"--write={models / 'weights'}"]
        command.append(f"--megabytes={arguments.megabytes}")
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
        try:
            subprocess.run(command, cwd=server.ROOT, env=environment, timeout=_WRITE_SECONDS, check=True)
            server.write_models(models, ["half_plus_two"])
            done, grown = measure(
                folder,
                cycles=arguments.cycles,
                minutes=arguments.minutes,
                rate=arguments.rate,
                flags=arguments.server_flags.split(),
            )
        except (server.ServerFailed, processes.ProcessEnded, subprocess.SubprocessError, OSError) as error:
            print(f"not measured: {error}", file=sys.stderr)
            return 2
    print(f"{done} versions of {arguments.megabytes} MiB after the first {SETTLE}")
    for growth in grown:
        print(f"{growth.role:10} {growth.before_mb:8.1f} MB {growth.after_mb:8.1f} MB {growth.percent:+6.1f} %")
    return 1 if any(growth.percent > arguments.limit for growth in grown) else 0


if __name__ == "__main__":
    server.exit_on_sigterm()
    sys.exit(main())
