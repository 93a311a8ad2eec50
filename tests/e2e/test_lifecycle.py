"""Versions on disk and how they come to be served: notices, slow copies, hiccups, policies, switches of workers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.switches import most_without
from tests.e2e.clients import Grpc, grpc_client, raises, rest_client
from tests.e2e.load import Load
from tests.e2e.server import START_SECONDS, Server, entry, eventually, started, write_config

SWITCHES = 10
SWITCH_SECONDS = 20.0
# Between two files of a copy; longer than a directory that was put in its place as a whole has to rest.
COPY_PAUSE_SECONDS = 0.15
NAMES = ("switching", "frugal", "copied", "shaky", "vanishing", "pinned")
PINNED = "model_version_policy { specific { versions: %d } }"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lifecycle")


@pytest.fixture(scope="module")
def put(model_path: Callable[[str], Path]) -> Callable[[Path, int], None]:
    """Let a version appear at once: even numbers add two, odd ones three."""

    def link(base: Path, number: int) -> None:
        base.mkdir(exist_ok=True)
        (base / str(number)).symlink_to(model_path("half_plus_two" if number % 2 == 0 else "half_plus_three"))

    return link


def write(root: Path, *, pinned: int) -> Path:
    entries = [entry(name, root / name) for name in NAMES[:-1]]
    return write_config(root / "models.config", *entries, entry("pinned", root / "pinned", PINNED % pinned))


@pytest.fixture(scope="module")
def pair(root: Path, put: Callable[[Path, int], None]) -> Iterator[Server]:
    """Two workers that switch one after another, but for `frugal`, where both make room first."""
    for name in NAMES:
        put(root / name, 1)
    put(root / "pinned", 2)
    flags = (
        f"--model_config_file={write(root, pinned=2)}",
        "--devices=cpu:2",
        "--aspired_version_policy=rolling",
        "--aspired_version_policy_by_model=frugal=resource_preserving",
        "--max_num_load_retries=0",
    )
    with started(root / "pair", *flags) as server:
        eventually(lambda: loads(server.log, "switching", 1) == 2, within=SWITCH_SECONDS)
        yield server


@pytest.fixture
def rpc(pair: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{pair.grpc_port}") as client:
        yield client


def loads(log: str, name: str, version: int) -> int:
    return log.count(f"Successfully loaded servable version {{name: {name} version: {version}}}")


def answer(client: Grpc, name: str) -> tuple[int, float]:
    made = client.predict(name, {"x": [2.0]})
    return made.model_spec.version.value, made.outputs["y"].float_val[0]


def right(version: int) -> tuple[int, float]:
    return version, 3.0 if version % 2 == 0 else 4.0


def test_rolling_switches_fail_no_request_and_leave_one_worker_at_most_without_the_model(
    pair: Server, root: Path, put: Callable[[Path, int], None], rpc: Grpc
) -> None:
    with (
        grpc_client(f"127.0.0.1:{pair.grpc_port}") as other,
        rest_client(pair.rest_port) as rest,
        Load(
            lambda: answer(rpc, "switching"),
            lambda: answer(other, "switching"),
            lambda: rest.predict("switching", [2.0])[0],
        ) as load,
    ):
        for version in range(2, SWITCHES + 2):
            put(root / "switching", version)
            eventually(lambda version=version: loads(pair.log, "switching", version) == 2, within=SWITCH_SECONDS)
            (root / "switching" / str(version - 1)).unlink()
        eventually(lambda: load.answers[-1] in (right(SWITCHES + 1), 4.0), within=5)
    assert load.failures == []
    assert set(load.answers) == {3.0, 4.0} | {right(version) for version in range(1, SWITCHES + 2)}
    assert most_without(pair.log, "switching") == 1


def test_resource_preserving_makes_room_on_each_worker_before_it_loads(
    pair: Server, root: Path, put: Callable[[Path, int], None], rpc: Grpc
) -> None:
    put(root / "frugal", 2)
    eventually(lambda: loads(pair.log, "frugal", 2) == 2, within=SWITCH_SECONDS)
    assert answer(rpc, "frugal") == right(2)
    event = re.compile(r"(worker-\d) \S+\] (Done unloading|Loading) servable version \{name: frugal version: (\d)\}")
    for worker in ("worker-0", "worker-1"):
        events = [match.group(2, 3) for match in event.finditer(pair.log) if match[1] == worker]
        assert events == [("Loading", "1"), ("Done unloading", "1"), ("Loading", "2")]


def test_a_version_that_is_copied_slowly_is_not_tried_before_it_is_there(
    pair: Server, root: Path, model_path: Callable[[str], Path], rpc: Grpc
) -> None:
    source, target = model_path("half_plus_two"), root / "copied" / "2"
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    assert files[0] == Path("saved_model.pb")
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        data = (source / file).read_bytes()
        with (target / file).open("wb") as copy:
            for part in (data[: len(data) // 2], data[len(data) // 2 :]):
                copy.write(part)
                copy.flush()
                # A copy that takes its time is what this is about.
                time.sleep(COPY_PAUSE_SECONDS)
                assert answer(rpc, "copied") == right(1)
    eventually(lambda: answer(rpc, "copied") == right(2), within=SWITCH_SECONDS)
    assert "Encountered an error for servable version {name: copied" not in pair.log
    assert "Loading servable: {name: copied version: 2} failed" not in pair.log


def test_storage_that_is_away_for_a_moment_unloads_nothing(pair: Server, root: Path, rpc: Grpc) -> None:
    shaky, complaint = root / "shaky", f"Could not find base path {root / 'shaky'} for servable shaky"
    with Load(lambda: answer(rpc, "shaky")) as load:
        shaky.rename(root / "away")
        eventually(lambda: complaint in pair.log, within=10)
        (root / "away").rename(shaky)
        # An empty mount point for one look is no proof either.
        (shaky / "1").rename(root / "gone")
        eventually(lambda: "No versions of servable shaky found" in pair.log, within=10)
        (root / "gone").rename(shaky / "1")
        answered = len(load.answers)
        eventually(lambda: len(load.answers) > answered + 20, within=10)
    assert load.failures == []
    assert set(load.answers) == {right(1)}
    assert "Quiescing servable version {name: shaky" not in pair.log
    assert rpc.status("shaky") == {1: ("AVAILABLE", 0)}


def test_a_model_whose_versions_are_all_deleted_is_unloaded_and_comes_back(
    root: Path, put: Callable[[Path, int], None], rpc: Grpc, pair: Server
) -> None:
    (root / "vanishing" / "1").unlink()
    eventually(lambda: rpc.status("vanishing") == {1: ("END", 0)}, within=SWITCH_SECONDS)
    with raises("NOT_FOUND", "Servable not found for request: Latest(vanishing)"):
        answer(rpc, "vanishing")
    put(root / "vanishing", 1)
    eventually(lambda: answer(rpc, "vanishing") == right(1), within=SWITCH_SECONDS)


def test_a_policy_rolls_back_to_a_lower_version_without_a_failed_request(pair: Server, root: Path, rpc: Grpc) -> None:
    with Load(lambda: answer(rpc, "pinned")) as load:
        eventually(lambda: load.answers, within=5)
        write(root, pinned=1)
        pair.signal(signal.SIGHUP)
        eventually(lambda: rpc.status("pinned") == {2: ("END", 0), 1: ("AVAILABLE", 0)}, within=SWITCH_SECONDS)
        eventually(lambda: load.answers[-1] == right(1), within=5)
    assert load.failures == []
    assert set(load.answers) == {right(2), right(1)}


def test_changes_are_noticed_long_before_the_next_look(
    tmp_path: Path, model_path: Callable[[str], Path], put: Callable[[Path, int], None]
) -> None:
    """The period is so long that only notices of the file system can explain it."""
    base = tmp_path / "model"
    base.mkdir()
    flags = ("--model_name=m", f"--model_base_path={base}", "--file_system_poll_wait_seconds=600")
    with (
        started(tmp_path / "server", *flags, ready=False) as server,
        grpc_client(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        # No port opens before there is a version.
        eventually(lambda: server.log.count("has registered") == 2, within=START_SECONDS)
        for port in (server.grpc_port, server.rest_port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
        put(base, 1)
        server.wait_until_ready()
        assert answer(client, "m") == right(1)
        shutil.copytree(model_path("half_plus_two"), tmp_path / "copy")
        os.rename(tmp_path / "copy", base / "2")
        eventually(lambda: answer(client, "m") == right(2), within=10)
