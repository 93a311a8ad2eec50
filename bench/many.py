"""Many models, some of them broken in different ways: `python -m bench.many`.

Starts a server with so many models, reloads its configuration, and checks that every good model answers while the
broken ones have ended with an error. Prints how long a start and a reload take. Exit status 1 if a good model does not
answer or a broken one does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from bench import processes, server
from bench.clients import RestClient, grpc_predict, reload_config
from protos import public

_MODEL = "half_plus_two"


def _garbage(version: Path, good: Path) -> None:
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"\xff" * 1000)


def _empty_file(version: Path, good: Path) -> None:
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()


def _cut(version: Path, good: Path) -> None:
    version.mkdir(parents=True)
    whole = (good / "saved_model.pb").read_bytes()
    (version / "saved_model.pb").write_bytes(whole[: len(whole) // 2])


def _no_model(version: Path, good: Path) -> None:
    version.mkdir(parents=True)
    (version / "README").write_text("nothing here")


def _no_versions(version: Path, good: Path) -> None:
    version.parent.mkdir(parents=True)


def _no_base(version: Path, good: Path) -> None:
    return


def _a_file(version: Path, good: Path) -> None:
    version.parent.mkdir(parents=True)
    version.write_text("a file is no version")


def _dangling(version: Path, good: Path) -> None:
    version.parent.mkdir(parents=True)
    version.symlink_to("nowhere")


def _unreadable(version: Path, good: Path) -> None:
    version.mkdir(parents=True)
    (version / "saved_model.pb").symlink_to("/proc/self/mem")


def _directory(version: Path, good: Path) -> None:
    (version / "saved_model.pb").mkdir(parents=True)


BROKEN: tuple[Callable[[Path, Path], None], ...] = (
    *(_garbage, _empty_file, _cut, _no_model, _no_versions),
    *(_no_base, _a_file, _dangling, _unreadable, _directory),
)


def main() -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.many", description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=200, help="of which 10 are broken")
    arguments = parser.parse_args()
    if arguments.models < len(BROKEN):
        parser.error(f"--models must be at least {len(BROKEN)}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        return run(Path(name), arguments.models)


def run(folder: Path, count: int) -> int:
    """Start, reload, check, print."""
    server.write_models(folder / "models", [_MODEL])
    good = folder / "models" / _MODEL / "1"
    names = [f"model-{number:03d}" for number in range(count - len(BROKEN))]
    broken = [f"broken-{number}" for number in range(len(BROKEN))]
    for name in names:
        (folder / name).mkdir()
        (folder / name / "1").symlink_to(good)
    for name, spoil in zip(broken, BROKEN, strict=True):
        spoil(folder / name / "1", good)
    config = folder / "models.config"
    # The server starts with the good ones, since broken ones keep the doors closed as they do upstream.
    config.write_text(str(config_of(folder, names)))
    began = time.monotonic()
    log = folder / "server.log"
    with (
        server.started([f"--model_config_file={config}", "--load_retry_interval_micros=0"], log) as target,
        grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel,
    ):
        print(f"start with {len(names)} models: {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        try:
            reload_config(channel, config_of(folder, names + broken))
        except grpc.RpcError as error:
            print(f"reload with {len(broken)} broken models: {time.monotonic() - began:.1f} s, {error.code().name}")
        else:
            print("a reload with broken models succeeded")
            return 1
        began = time.monotonic()
        reload_config(channel, config_of(folder, names[: len(names) // 2] + broken))
        print(f"reload that removes {len(names) - len(names) // 2} models: {time.monotonic() - began:.2f} s")
        began = time.monotonic()
        try:
            reload_config(channel, config_of(folder, names + broken))
        except grpc.RpcError as error:
            print(f"reload that adds them again: {time.monotonic() - began:.2f} s, {error.code().name}")
        else:
            print(f"reload that adds them again: {time.monotonic() - began:.2f} s")
        silent = [name for name in names if not answers(target, channel, name)]
        loud = [name for name in broken if answers(target, channel, name)]
        memory = sum(processes.memory_mb(pid)[0] for pid in processes.live_tree(target.pids))
    print(f"{len(names) - len(silent)} of {len(names)} good models answer, {len(loud)} of {len(broken)} broken ones")
    print(f"memory of all processes: {memory:.0f} MB")
    return int(bool(silent or loud))


def config_of(folder: Path, names: list[str]) -> public.ModelServerConfig:
    """A configuration of these models."""
    made = public.ModelServerConfig()
    for name in names:
        made.model_config_list.config.add(name=name, base_path=os.fspath(folder / name), model_platform="tensorflow")
    return made


def answers(target: server.Target, channel: grpc.Channel, model: str) -> bool:
    """Whether a model predicts rightly over gRPC and REST."""
    try:
        by_rest = RestClient(target.rest_port).predict(model, 2.0).value
        return grpc_predict(channel, model, 2.0).value == by_rest == 3.0
    except (grpc.RpcError, RuntimeError):
        return False


if __name__ == "__main__":
    server.exit_on_sigterm()
    sys.exit(main())
