"""Bad versions harm nobody: whatever they do to a worker, the last good one and all other models are served."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests import bad_models
from tests.e2e.clients import Grpc, grpc_client, raises
from tests.e2e.load import Load
from tests.e2e.server import Server, entry, eventually, started, write_config

# A worker that starts again imports TensorFlow first; a bad version ends it twice.
BACK_SECONDS = 60.0
LOAD_SECONDS = 20.0
# Of the server; much longer than any sample model takes.
LOAD_TIMEOUT_SECONDS = 5
CANCELLED, DEADLINE_EXCEEDED, INTERNAL = 1, 4, 13
# Of the server with one worker; one less than usual, for each costs a restart.
CRASHES = 2
NAMES = ("m", "other")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Path:
    """Base paths: `m`, `other` and `fragile` for each of the servers."""
    root = tmp_path_factory.mktemp("bad")
    for place in ("single", "pair"):
        for name in NAMES:
            (root / place / name).mkdir(parents=True)
            (root / place / name / "1").symlink_to(model_path("half_plus_two"))
        bad_models.kills_running(root / place / "fragile" / "1")
    return root


def config(base: Path) -> str:
    """The flag for all models of a server."""
    names = (*NAMES, "fragile")
    path = write_config(base / "models.config", *(entry(name, base / name) for name in names))
    return f"--model_config_file={path}"


@pytest.fixture(scope="module")
def single(folder: Path) -> Iterator[Server]:
    base = folder / "single"
    flags = (
        "--max_num_load_retries=0",
        f"--load_timeout_seconds={LOAD_TIMEOUT_SECONDS}",
        f"--quarantine_after_crashes={CRASHES}",
    )
    with started(base / "server", config(base), *flags) as server:
        yield server


@pytest.fixture
def rpc(single: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{single.grpc_port}") as client:
        yield client


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[Server]:
    base = folder / "pair"
    with started(base / "server", config(base), "--devices=cpu:2") as server:
        eventually(lambda: all(loads(server, n, 1) == 2 for n in (*NAMES, "fragile")), within=BACK_SECONDS)
        yield server


def loads(server: Server, name: str, version: int) -> int:
    return server.log.count(f"Successfully loaded servable version {{name: {name} version: {version}}}")


def answer(client: Grpc, name: str = "m") -> tuple[int, float]:
    made = client.predict(name, {"x": [2.0]})
    return made.model_spec.version.value, made.outputs["y"].float_val[0]


def both_answer(client: Grpc) -> bool:
    return answer(client) == answer(client, "other") == (1, 3.0)


def place(base: Path, number: int, write: Callable[[Path], None]) -> Path:
    """A version appears at once."""
    write(base.parent / f"{base.name}-{number}")
    return (base.parent / f"{base.name}-{number}").rename(base / str(number))


def take_away(base: Path, number: int, client: Grpc) -> None:
    shutil.rmtree(base / str(number))
    eventually(lambda: answer(client) == (1, 3.0), within=BACK_SECONDS)


def truncated(path: Path, model: Path) -> None:
    shutil.copytree(model, path)
    (data,) = (path / "variables").glob("variables.data-*")
    os.truncate(data, data.stat().st_size // 2)


def garbage(path: Path, model: Path) -> None:
    shutil.copytree(model, path)
    (path / "saved_model.pb").write_bytes(b"\xff garbage \x00" * 100)


def unreadable(path: Path, model: Path) -> None:
    shutil.copytree(model, path)
    (path / "saved_model.pb").unlink()
    (path / "saved_model.pb").mkdir()


def without_the_tag(path: Path, model: Path) -> None:
    bad_models.another_tag(path)


@pytest.mark.parametrize(
    ("number", "spoil", "text"),
    [
        (2, truncated, ""),
        (3, garbage, ""),
        (4, unreadable, ""),
        (5, without_the_tag, "Could not find meta graph def matching supplied tags"),
    ],
)
def test_a_version_that_does_not_load_leaves_all_as_it_was(
    single: Server,
    folder: Path,
    model_path: Callable[[str], Path],
    rpc: Grpc,
    number: int,
    spoil: Callable[[Path, Path], None],
    text: str,
) -> None:
    workers = single.pids("worker")
    with Load(lambda: both_answer(rpc)) as load:
        place(folder / "single" / "m", number, lambda path: spoil(path, model_path("half_plus_three")))
        eventually(lambda: rpc.status("m").get(number, ("", 0))[0] == "END", within=LOAD_SECONDS)
        assert rpc.status("m")[number][1] != 0
        answered = len(load.answers)
        eventually(lambda: len(load.answers) > answered + 10, within=10)
    assert (load.failures, set(load.answers)) == ([], {True})
    assert f"Encountered an error for servable version {{name: m version: {number}}}: " in single.log
    assert text in single.log
    assert single.pids("worker") == workers
    take_away(folder / "single" / "m", number, rpc)


def test_a_version_that_ends_its_worker_is_given_up_and_the_last_good_one_is_served_again(
    single: Server, folder: Path, model_path: Callable[[str], Path], rpc: Grpc
) -> None:
    base = folder / "single" / "m"
    place(base, 6, bad_models.kills_loading)
    eventually(lambda: rpc.status("m").get(6) == ("END", INTERNAL), within=BACK_SECONDS)
    eventually(lambda: both_answer(rpc), within=BACK_SECONDS)
    (worker,) = single.pids("worker")
    assert "Loading servable {name: m version: 6} ended the worker 2 times" in single.log
    # With other files it is tried again.
    (base / "6").rename(base / "bad-6")
    (base / "6").symlink_to(model_path("half_plus_three"))
    eventually(lambda: answer(rpc) == (6, 4.0), within=LOAD_SECONDS)
    assert single.pids("worker") == [worker]
    (base / "6").unlink()
    eventually(lambda: both_answer(rpc), within=LOAD_SECONDS)


def test_a_version_that_hangs_while_it_is_loaded_holds_up_nothing(
    single: Server, folder: Path, model_path: Callable[[str], Path], rpc: Grpc
) -> None:
    base = folder / "single" / "m"
    workers = single.pids("worker")
    with Load(lambda: answer(rpc, "other")) as load:
        place(base, 7, bad_models.hangs_loading)
        eventually(lambda: rpc.status("m").get(7) == ("LOADING", 0), within=LOAD_SECONDS)
        assert both_answer(rpc)
        eventually(lambda: rpc.status("m").get(7) == ("END", DEADLINE_EXCEEDED), within=LOAD_SECONDS)
        assert both_answer(rpc)
        (base / "8").symlink_to(model_path("half_plus_three"))
        eventually(lambda: answer(rpc) == (8, 4.0), within=LOAD_SECONDS)
    assert load.failures == []
    assert single.pids("worker") == workers
    (base / "8").unlink()
    take_away(base, 7, rpc)


def test_a_version_that_is_deleted_while_it_is_loaded_ends_as_cancelled(
    single: Server, folder: Path, rpc: Grpc
) -> None:
    path = place(folder / "single" / "m", 9, bad_models.hangs_loading)
    eventually(lambda: rpc.status("m").get(9) == ("LOADING", 0), within=LOAD_SECONDS)
    shutil.rmtree(path)
    eventually(lambda: rpc.status("m")[9] == ("END", CANCELLED), within=LOAD_SECONDS)
    assert both_answer(rpc)


def test_a_version_that_failed_is_tried_again_when_its_files_are_mended(
    folder: Path, model_path: Callable[[str], Path], rpc: Grpc
) -> None:
    base, good = folder / "single" / "m", model_path("half_plus_three")
    place(base, 10, lambda path: garbage(path, good))
    eventually(lambda: rpc.status("m").get(10, ("", 0))[0] == "END", within=LOAD_SECONDS)
    shutil.copy(good / "saved_model.pb", base / "10" / "saved_model.pb")
    eventually(lambda: answer(rpc) == (10, 4.0), within=LOAD_SECONDS)
    take_away(base, 10, rpc)


def test_a_request_that_ends_its_worker_costs_a_restart_and_nothing_else(single: Server, rpc: Grpc) -> None:
    (worker,) = single.pids("worker")
    assert rpc.arrays("fragile", {"x": [2.0]})["y"].tolist() == [3.0]
    with raises("UNAVAILABLE"):
        rpc.predict("fragile", {"x": [-1.0]})
    eventually(lambda: both_answer(rpc), within=BACK_SECONDS)
    eventually(lambda: rpc.arrays("fragile", {"x": [2.0]})["y"].tolist() == [3.0], within=BACK_SECONDS)
    assert single.pids("worker") != [worker]


def kill(server: Server, client: Grpc) -> None:
    """Run the request that ends the worker, on whatever version of `m` there is."""
    (worker,) = server.pids("worker")
    with raises("UNAVAILABLE"):
        client.predict("m", {"x": [-1.0]})
    eventually(lambda: worker not in server.pids("worker"), within=10)


def back(client: Grpc, codes: set[str]) -> bool:
    """Whether `m` is served; notes what is said when it isn't."""
    try:
        return answer(client) == (1, 3.0)
    except grpc.RpcError as error:
        codes.add(error.code().name)
        return False


def test_a_version_that_ends_its_worker_while_it_runs_is_given_up_and_the_last_good_one_serves_again(
    single: Server, folder: Path, model_path: Callable[[str], Path], rpc: Grpc
) -> None:
    base = folder / "single" / "m"
    place(base, 9, bad_models.kills_running)
    eventually(lambda: answer(rpc) == (9, 3.0), within=LOAD_SECONDS)
    for _ in range(CRASHES):
        eventually(lambda: answer(rpc) == (9, 3.0) and answer(rpc, "other") == (1, 3.0), within=BACK_SECONDS)
        kill(single, rpc)
    eventually(lambda: rpc.status("m")[9] == ("END", INTERNAL), within=10)
    said_meanwhile: set[str] = set()
    eventually(lambda: back(rpc, said_meanwhile), within=BACK_SECONDS)
    assert said_meanwhile == {"UNAVAILABLE"}
    eventually(lambda: both_answer(rpc), within=BACK_SECONDS)
    said = f"Servable {{name: m version: 9}} ended the worker {CRASHES} times while it ran"
    assert single.log.count(f"{said}: it is served no more") == 1
    assert f"Encountered an error for servable version {{name: m version: 9}}: INTERNAL: {said}" in single.log
    # The request harms nobody any more.
    workers = single.pids("worker")
    with Load(lambda: rpc.arrays("m", {"x": [-2.0]})["y"].tolist(), lambda: answer(rpc, "other")) as load:
        eventually(lambda: len(load.answers) > 20, within=10)
    assert load.failures == []
    assert all(reply in ([1.0], (1, 3.0)) for reply in load.answers)
    assert (single.pids("worker"), rpc.status("m")[1]) == (workers, ("AVAILABLE", 0))
    # With other files it is tried again.
    (base / "9").rename(base / "bad-9")
    (base / "9").symlink_to(model_path("half_plus_three"))
    eventually(lambda: answer(rpc) == (9, 4.0), within=LOAD_SECONDS)
    (base / "9").unlink()
    eventually(lambda: both_answer(rpc), within=LOAD_SECONDS)
    assert single.pids("worker") == workers


def test_with_two_workers_a_version_that_ends_them_fails_no_request(
    pair: Server, folder: Path, model_path: Callable[[str], Path]
) -> None:
    with grpc_client(f"127.0.0.1:{pair.grpc_port}") as client, grpc_client(f"127.0.0.1:{pair.grpc_port}") as other:
        second = next(pid for pid in pair.pids("worker") if f"worker-1 (pid {pid})" in pair.log)
        with Load(lambda: both_answer(client), lambda: both_answer(other)) as load:
            place(folder / "pair" / "m", 2, bad_models.kills_loading)
            eventually(lambda: client.status("m").get(2) == ("END", INTERNAL), within=BACK_SECONDS)
            # The last end may have come before `other` was there again.
            eventually(lambda: loads(pair, "m", 1) >= 4 and loads(pair, "other", 1) >= 3, within=BACK_SECONDS)
        assert (load.failures, set(load.answers)) == ([], {True})
        assert pair.log.count("ended while it was loading servable {name: m version: 2}") == 2
        # The other worker never tried.
        assert second in pair.pids("worker")


def test_a_request_that_ends_its_worker_is_not_tried_on_the_other_one(pair: Server) -> None:
    before = set(pair.pids("worker"))
    assert len(before) == 2
    with grpc_client(f"127.0.0.1:{pair.grpc_port}") as client, grpc_client(f"127.0.0.1:{pair.grpc_port}") as other:
        eventually(lambda: client.arrays("fragile", {"x": [2.0]})["y"].tolist() == [3.0], within=BACK_SECONDS)
        names = (*NAMES, "fragile")
        loaded = {name: loads(pair, name, 1) for name in names}
        with Load(lambda: both_answer(other)) as load:
            with raises("UNAVAILABLE", "the request may be why, and is not tried again"):
                client.predict("fragile", {"x": [-1.0]})
            eventually(lambda: all(loads(pair, name, 1) > loaded[name] for name in names), within=BACK_SECONDS)
        assert set(load.answers) == {True}
        # Another model is under suspicion, too, if it was running at that very moment.
        (ended,) = (line for line in pair.log.splitlines() if "while it was running" in line and "fragile" in line)
        assert load.failures == [] or "name: m " in ended or "name: other" in ended
        assert len(before & set(pair.pids("worker"))) == 1


def test_a_worker_that_hangs_is_replaced_and_requests_go_elsewhere_or_end_in_time(pair: Server) -> None:
    frozen = next(pid for pid in pair.pids("worker") if f"worker-0 (pid {pid})" in pair.log)
    with grpc_client(f"127.0.0.1:{pair.grpc_port}") as client:
        os.kill(frozen, signal.SIGSTOP)
        late = 0
        for _ in range(20):
            try:
                client.predict("other", {"x": [2.0]}, timeout=1.0)
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE), error
                late += 1
        # Whoever waits for long enough is answered by the other worker.
        with Load(lambda: client.predict("other", {"x": [2.0]}, timeout=BACK_SECONDS)) as load:
            eventually(lambda: frozen not in pair.pids("worker"), within=BACK_SECONDS)
            eventually(lambda: len(pair.pids("worker")) == 2, within=BACK_SECONDS)
        assert load.failures == []
        assert late <= 2
        assert "has been silent for" in pair.log and f"Killing worker-0 (pid {frozen})" in pair.log
