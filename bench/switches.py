"""Versions switch and labels move under load, and no request fails: `python -m bench.switches`.

Model `m` gets a new version again and again; the one before goes. Model `l` has two versions, and its label `stable`
moves between them by reload. Clients ask over gRPC and REST all the time; an answer is right when it comes from a
version that was allowed at some time during the call. Exit status 1 if any request failed or was answered wrongly, or
if more than one worker at a time was without the model (`--policy rolling`).
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from bench import server
from bench.clients import Answer, RestClient, SteadyLoad, grpc_predict, reload_config
from protos import public

# Version n of `m` is half_plus_two when n is even, half_plus_three when it is odd.
_MODELS = ("half_plus_two", "half_plus_three")
_SWITCH_SECONDS = 60.0
_X = 2.0


class Allowed:
    """Which versions of the models may answer now."""

    def __init__(self) -> None:
        self.versions = {1}
        self.labelled = {1}

    def check(self, before: frozenset[int], answer: Answer, now: frozenset[int]) -> str:
        """Why an answer is wrong; `before` and `now` were allowed when the call began and ended."""
        allowed = before | now
        if answer.version and answer.version not in allowed:
            return f"version {answer.version} answered; allowed were {sorted(allowed)}"
        right = {expected(version) for version in ([answer.version] if answer.version else allowed)}
        return "" if answer.value in right else f"{answer} is wrong; allowed were {sorted(allowed)}"


def expected(version: int) -> float:
    """The answer of a version of `m` or `l`."""
    return 0.5 * _X + (2.0 if version % 2 == 0 else 3.0)


def config(base: Path, labelled: Path, *, stable: int) -> public.ModelServerConfig:
    """Both models; the label `stable` of `l` names the given version."""
    made = public.ModelServerConfig()
    made.model_config_list.config.add(name="m", base_path=str(base), model_platform="tensorflow")
    entry = made.model_config_list.config.add(name="l", base_path=str(labelled), model_platform="tensorflow")
    entry.model_version_policy.all.SetInParent()
    entry.version_labels["stable"] = stable
    return made


def put(base: Path, models: Path, version: int) -> None:
    """Version `version` appears, at once and whole."""
    base.mkdir(parents=True, exist_ok=True)
    (base / str(version)).symlink_to((models / _MODELS[version % 2] / "1").resolve())


def main() -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.switches", description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--label-moves", type=int, default=50)
    parser.add_argument("--devices", default="cpu", help="as the flag of the server")
    parser.add_argument("--policy", default="availability_preserving", help="--aspired_version_policy of the server")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        return run(Path(name), arguments)


def run(folder: Path, arguments: argparse.Namespace) -> int:
    """Start a server, drive it, print the figures."""
    models, base, labelled = folder / "models", folder / "m", folder / "l"
    server.write_models(models, _MODELS)
    put(base, models, 1)
    for version in (1, 2):
        put(labelled, models, version)
    (folder / "models.config").write_text(str(config(base, labelled, stable=1)))
    flags = [
        f"--model_config_file={folder / 'models.config'}",
        "--allow_version_labels_for_unavailable_models",
        f"--devices={arguments.devices}",
        f"--aspired_version_policy={arguments.policy}",
    ]
    log = folder / "server.log"
    with server.started(flags, log) as target, grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel:
        load, seconds = drive(target, channel, models, base, labelled, arguments)
    print(f"{arguments.switches} switches, {arguments.label_moves} label moves, {load.calls} requests")
    print(f"{load.failed} failed or were wrong")
    print(f"seconds until the new version answered: median {statistics.median(seconds):.2f}, most {max(seconds):.2f}")
    for problem in load.problems[:10]:
        print(f"  {problem}")
    bare = most_without(log.read_text(errors="replace"), "m")
    print(f"most workers without a version of m at one time: {bare}")
    return int(load.failed > 0 or (arguments.policy == "rolling" and bare > 1))


def drive(
    target: server.Target,
    channel: grpc.Channel,
    models: Path,
    base: Path,
    labelled: Path,
    arguments: argparse.Namespace,
) -> tuple[SteadyLoad, list[float]]:
    """Switch and move under load; the load, and the seconds that each switch took."""
    allowed = Allowed()

    def by_grpc() -> str:
        before = frozenset(allowed.versions)
        return allowed.check(before, grpc_predict(channel, "m", _X), frozenset(allowed.versions))

    def by_grpc_label() -> str:
        before = frozenset(allowed.labelled)
        answer = grpc_predict(channel, "l", _X, label="stable")
        return allowed.check(before, answer, frozenset(allowed.labelled))

    rest, rest_labelled = RestClient(target.rest_port), RestClient(target.rest_port)

    def by_rest() -> str:
        before = frozenset(allowed.versions)
        return allowed.check(before, rest.predict("m", _X), frozenset(allowed.versions))

    def by_rest_label() -> str:
        before = frozenset(allowed.labelled)
        answer = rest_labelled.predict("l", _X, label="stable")
        return allowed.check(before, answer, frozenset(allowed.labelled))

    seconds: list[float] = []
    moves = 0
    # The server is ready as soon as each model has some version.
    for version in (1, 2):
        wait_for(lambda version=version: rest.predict("l", _X, version=version).value == expected(version))
    with SteadyLoad(by_grpc, by_grpc_label, by_rest, by_rest_label) as load:
        for switch in range(arguments.switches):
            version = switch + 2
            allowed.versions = {version - 1, version}
            began = time.monotonic()
            put(base, models, version)
            wait_for(lambda version=version: grpc_predict(channel, "m", _X).version == version)
            seconds.append(time.monotonic() - began)
            while moves < (switch + 1) * arguments.label_moves // arguments.switches:
                moves += 1
                stable = 1 + moves % 2
                allowed.labelled = {1, 2}
                reload_config(channel, config(base, labelled, stable=stable))
                # Front ends hear of it with the next catalog.
                wait_for(lambda stable=stable: grpc_predict(channel, "l", _X, label="stable").version == stable)
                allowed.labelled = {stable}
            if version > 2:
                (base / str(version - 2)).unlink()
    return load, seconds


def wait_for(look: Callable[[], bool]) -> None:
    """Return when `look` is true.

    Raises:
        server.ServerFailed: it did not become true in time.
    """
    deadline = time.monotonic() + _SWITCH_SECONDS
    while True:
        with contextlib.suppress(RuntimeError):
            if look():
                return
        if time.monotonic() > deadline:
            raise server.ServerFailed(f"what a switch or move should lead to was not seen within {_SWITCH_SECONDS:g} s")
        time.sleep(0.005)


_STATE = re.compile(
    r"(worker-\w+) \S+\] (Successfully loaded|Quiescing) servable version \{name: (\S+) version: (\d+)\}"
)


def most_without(log: str, model: str) -> int:
    """How many workers at most were without any version of a model at one time, from all having one to the end."""
    log = log.partition("] Stopping on ")[0]
    has: dict[str, set[str]] = {}
    most, all_there = 0, 0
    workers = {match[1] for match in _STATE.finditer(log)}
    for match in _STATE.finditer(log):
        worker, event, name, version = match.groups()
        if name != model:
            continue
        versions = has.setdefault(worker, set())
        if event == "Quiescing":
            versions.discard(version)
        else:
            versions.add(version)
        with_one = sum(bool(versions) for versions in has.values())
        all_there = max(all_there, with_one)
        if all_there == len(workers):
            most = max(most, len(workers) - with_one)
    return most


if __name__ == "__main__":
    server.exit_on_sigterm()
    sys.exit(main())
