"""Workers are killed under load, and no request fails: `python -m bench.crashes`.

Two workers serve; again and again one of them, in turn, gets SIGKILL, as soon as the other one and its own successor
serve. Exit status 1 if any request failed or was answered wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import grpc

from bench import processes, server
from bench.clients import RestClient, SteadyLoad, grpc_predict

_MODEL = "half_plus_two"
_BACK_SECONDS = 120.0
_LOADED = "Successfully loaded servable version"


def main() -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.crashes", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between both workers serving and the kill")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        return run(Path(name), arguments)


def run(folder: Path, arguments: argparse.Namespace) -> int:
    """Start a server, kill its workers, print the figures."""
    server.write_models(folder / "models", [_MODEL])
    config = server.write_config(folder / "models", [_MODEL], folder)
    log = folder / "server.log"
    kills: list[float] = []
    with (
        server.started([f"--model_config_file={config}", "--devices=cpu:2"], log) as target,
        grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel,
    ):
        rest = RestClient(target.rest_port)

        def by_grpc() -> str:
            answer = grpc_predict(channel, _MODEL, 2.0)
            return "" if answer.value == 3.0 else f"wrong: {answer}"

        def by_rest() -> str:
            answer = rest.predict(_MODEL, 2.0)
            return "" if answer.value == 3.0 else f"wrong: {answer}"

        wait_for_loads(log, 2)
        end = time.monotonic() + arguments.seconds
        with SteadyLoad(by_grpc, by_grpc, by_grpc, by_rest) as load:
            while time.monotonic() < end:
                time.sleep(arguments.pause)
                began = time.monotonic()
                os.kill(victim(target, len(kills)), signal.SIGKILL)
                wait_for_loads(log, 3 + len(kills))
                kills.append(time.monotonic() - began)
    print(f"{len(kills)} kills in {arguments.seconds} s, {load.calls} requests, {load.failed} failed or were wrong")
    print(f"seconds until the worker served again: most {max(kills):.1f}")
    for problem in load.problems[:10]:
        print(f"  {problem}")
    return int(load.failed > 0)


def victim(target: server.Target, turn: int) -> int:
    """The worker whose turn it is: always the older of the two, so that both get theirs."""
    pids = [pid for pid, usage in processes.snapshot(target.pids).items() if usage.role == "worker"]
    ages = {pid: stat.started for pid in pids if (stat := processes.read_stat(pid))}
    return sorted(ages, key=lambda pid: ages[pid])[0]


def wait_for_loads(log: Path, count: int) -> None:
    """Return when workers have loaded the model so many times in all.

    Raises:
        server.ServerFailed: they did not in time.
    """
    deadline = time.monotonic() + _BACK_SECONDS
    while log.read_text(errors="replace").count(_LOADED) < count:
        if time.monotonic() > deadline:
            raise server.ServerFailed(f"a worker did not come back in {_BACK_SECONDS:.0f} s")
        with contextlib.suppress(InterruptedError):
            time.sleep(0.05)


if __name__ == "__main__":
    server.exit_on_sigterm()
    sys.exit(main())
