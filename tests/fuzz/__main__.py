"""`python -m tests.fuzz --seconds 60 --seed 1`: start a server, attack it, watch it, report.

Each attack is drawn from a seed of its own. What the server got wrong is written to a folder: the seed, the bytes, the
answer, and what was sent shortly before; `--replay ATTACKER:SEED` does one attack again. The exit status is 1 when
anything was wrong.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from pathlib import Path
from random import Random

from bench.server import ROOT
from tests.e2e.server import Server, entry, started, write_config
from tests.fuzz import calls, http2, rest
from tests.fuzz.attack import Attacker, Outcome, Target
from tests.fuzz.health import Health

ATTACKERS: dict[str, tuple[type[Attacker], int]] = {
    kind.name: (kind, weight)
    for kind, weight in (
        (rest.Http1, 4),
        (rest.Urls, 2),
        (rest.Json, 5),
        (rest.Binary, 2),
        (rest.Mixed, 1),
        (http2.Http2, 6),
        (calls.Calls, 8),
    )
}
# What the server is told, so that it gives up on slow clients while somebody waits for it.
REQUEST_TIMEOUT_SECONDS = 4.0
FLAGS = (
    "--num_frontends=2",
    f"--request_timeout_seconds={REQUEST_TIMEOUT_SECONDS:g}",
    "--idle_timeout_seconds=2",
    "--rest_api_timeout_in_ms=5000",
    f"--max_body_bytes={4 << 20}",
    "--allow_version_labels_for_unavailable_models",
    "--prefer_tflite_model",
)
PATIENCE_SECONDS = 20.0
PROGRESS_SECONDS = 30.0
_REMEMBERED = 24


class Fuzz:
    """Threads that attack, as many CPU seconds as they may; what they found."""

    def __init__(self, target: Target, *, seed: int, load: float, out: Path, most_failures: int) -> None:
        self._target = target
        self._chance = Random(seed)
        self._load = load
        self._out = out
        self._most_failures = most_failures
        self._lock = threading.Lock()
        self._recent: deque[tuple[str, int, bytes]] = deque(maxlen=_REMEMBERED)
        self.stop = threading.Event()
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in ATTACKERS}
        self.failures: list[str] = []
        self._began = time.monotonic()
        self._cpu_began = time.process_time()

    def run(self, names: list[str]) -> None:
        """Attack until `stop`; for a thread."""
        attackers = {name: ATTACKERS[name][0](self._target) for name in names}
        try:
            while not self.stop.is_set():
                with self._lock:
                    name = self._chance.choices(names, [ATTACKERS[name][1] for name in names])[0]
                    seed = self._chance.getrandbits(48)
                self._one(attackers[name], seed)
                self._rest()
        finally:
            for attacker in attackers.values():
                attacker.close()

    def _one(self, attacker: Attacker, seed: int) -> None:
        try:
            outcome = attacker.attack(Random(seed))
        except ConnectionRefusedError as error:
            outcome = Outcome("refused", b"", b"", f"cannot connect: {error}")
        except OSError as error:
            outcome = Outcome(f"{type(error).__name__}", b"", str(error).encode())
        with self._lock:
            self.counts[attacker.name][outcome.label] += 1
            self._recent.append((attacker.name, seed, outcome.sent))
        if outcome.complaint:
            self.fail(f"{attacker.name}:{seed} {outcome.complaint}", attacker.name, outcome)

    def _rest(self) -> None:
        """Keep to the share of a core that this process may use."""
        used = time.process_time() - self._cpu_began
        too_soon = used / self._load - (time.monotonic() - self._began)
        self.stop.wait(min(2.0, max(0.0, too_soon)))

    def fail(self, text: str, name: str = "health", outcome: Outcome | None = None) -> None:
        """Note that something is wrong, and write down what may have led to it."""
        with self._lock:
            self.failures.append(text)
            folder = self._out / f"{len(self.failures):03}-{name.replace(' ', '_')}"
            recent = list(self._recent)
        print(f"FAILURE {text}", flush=True)
        folder.mkdir(parents=True)
        (folder / "what").write_text(text + "\n")
        if outcome is not None:
            (folder / "sent").write_bytes(outcome.sent)
            (folder / "answer").write_bytes(outcome.answer)
        for i, (earlier, seed, sent) in enumerate(reversed(recent)):
            (folder / f"before-{i:02}-{earlier.replace(' ', '_')}-{seed}").write_bytes(sent)
        if len(self.failures) >= self._most_failures:
            self.stop.set()

    def total(self) -> int:
        """Attacks so far."""
        return sum(sum(counter.values()) for counter in self.counts.values())


def write_models(folder: Path) -> None:
    """Sample models, by a process that may import TensorFlow."""
    command = [sys.executable, "-m", "tests.models", str(folder), *rest.MODELS]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def report(fuzz: Fuzz, health: Health, seconds: float) -> str:
    """What happened, for people."""
    lines = [f"{fuzz.total()} attacks in {seconds:.0f} s"]
    for name, counter in fuzz.counts.items():
        labels = ", ".join(f"{label}: {count}" for label, count in counter.most_common(40))
        lines.append(f"  {name}: {sum(counter.values())} ({labels})")
    slowest = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in health.slowest.items())
    lines.append(f"{health.good_answers} good answers, slowest: {slowest}")
    lines.append(f"processes that ended: {health.restarts}")
    for pid, series in health.series.items():
        if not series.memory:
            continue
        slope, judged = series.growth()
        most = max(megabytes for _, megabytes in series.memory)
        lines.append(
            f"  {series.role} {pid}: {series.memory[0][1]:.0f} MB at the start, {series.memory[-1][1]:.0f} at the end, "
            f"{most:.0f} at most, {slope:+.1f} MB/h over the last {judged:.0f} s; "
            f"files {series.files_before} -> {series.files_after}"
        )
    lines.append(f"failures: {len(fuzz.failures)}")
    lines += [f"  {text}" for text in fuzz.failures]
    return "\n".join(lines)


def replay(target: Target, what: str) -> None:
    """Do one attack again, and show it."""
    name, _, seed = what.rpartition(":")
    attacker = ATTACKERS[name][0](target)
    outcome = attacker.attack(Random(int(seed)))
    print(f"sent {outcome.sent[:4000]!r}\nanswer {outcome.answer[:4000]!r}\n{outcome.label} {outcome.complaint}")
    attacker.close()


def attack(server: Server, target: Target, arguments: argparse.Namespace) -> int:
    """Attack a server that is up, and report; the exit status."""
    out = Path(arguments.out)
    fuzz = Fuzz(target, seed=arguments.seed, load=arguments.load, out=out, most_failures=arguments.most_failures)
    health = Health(server, fuzz.fail)
    began = time.monotonic()
    names = arguments.attackers.split(",") if arguments.attackers else list(ATTACKERS)
    threads = [threading.Thread(target=fuzz.run, args=(names,), daemon=True) for _ in range(arguments.threads)]
    for thread in threads:
        thread.start()
    last_progress = began

    def sometimes() -> None:
        nonlocal last_progress
        if time.monotonic() - last_progress > PROGRESS_SECONDS:
            last_progress = time.monotonic()
            memory = ", ".join(f"{s.role} {s.memory[-1][1]:.0f} MB" for s in health.series.values() if s.memory)
            at = last_progress - began
            print(f"{at:6.0f} s  {fuzz.total()} attacks, {len(fuzz.failures)} failures; {memory}", flush=True)
        if fuzz.stop.is_set():
            raise KeyboardInterrupt

    try:
        health.watch(began + arguments.seconds, sometimes)
    except KeyboardInterrupt:
        print("stopped early", flush=True)
    fuzz.stop.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS * 2)
    health.finish(REQUEST_TIMEOUT_SECONDS + PATIENCE_SECONDS)
    print(report(fuzz, health, time.monotonic() - began), flush=True)
    if fuzz.failures:
        print(f"see {out}", flush=True)
    return 1 if fuzz.failures else 0


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to attack")
    parser.add_argument("--seed", type=int, default=1, help="of all chance; threads' order is not under it")
    parser.add_argument("--load", type=float, default=0.5, help="share of a core that the attackers may use")
    parser.add_argument("--threads", type=int, default=12, help="attacks at a time")
    parser.add_argument("--attackers", default="", help=f"some of: {','.join(ATTACKERS)}")
    parser.add_argument("--out", default="", help="folder for failures; default: a new temporary one")
    parser.add_argument("--most-failures", type=int, default=50, help="stop after so many")
    parser.add_argument("--replay", default="", metavar="ATTACKER:SEED", help="do this one attack only")
    parser.add_argument("flags", nargs="*", help="further flags of the server, after --")
    arguments = parser.parse_args(argv)
    arguments.out = arguments.out or tempfile.mkdtemp(prefix="tensormux-fuzz-")
    # The server is to be ended, and a report written, whoever ends this; jobs in the background ignore SIGINT.
    signal.signal(signal.SIGTERM, _stop)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_models(folder)
        labels = {"half_plus_two": 'version_labels { key: "stable" value: 1 }'}
        entries = (entry(name, folder / name, labels.get(name, "")) for name in rest.MODELS)
        config = write_config(folder / "models.config", *entries)
        with started(folder / "server", f"--model_config_file={config}", *FLAGS, *arguments.flags) as server:
            target = Target(server.rest_port, server.grpc_port, PATIENCE_SECONDS)
            if arguments.replay:
                replay(target, arguments.replay)
                print(server.log[-4000:])
                return 0
            status = attack(server, target, arguments)
            if status:
                (Path(arguments.out) / "server.log").write_text(server.log)
            return status


if __name__ == "__main__":
    sys.exit(main())
