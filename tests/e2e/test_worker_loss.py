"""Processes are killed under load: nobody's request is lost that another process can answer, and all come back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.e2e.clients import grpc_client, predict_request, raises, rest_client
from tests.e2e.load import Load
from tests.e2e.server import Server, entry, eventually, started, write_config

# One crash would be enough; a kill from outside is none.
ALERT = "--quarantine_after_crashes=1"
# A worker that starts again imports TensorFlow first.
BACK_SECONDS = 30.0
PROMPT_SECONDS = 3.0


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Path:
    path = tmp_path_factory.mktemp("loss") / "models.config"
    return write_config(path, *(entry(name, model_path(name).parent) for name in ("half_plus_two", "slow")))


@pytest.fixture(scope="module")
def pair(config: Path) -> Iterator[Server]:
    """Two workers and two front ends."""
    flags = (f"--model_config_file={config}", "--devices=cpu:2", "--num_frontends=2", ALERT)
    with started(config.parent / "pair", *flags) as server:
        eventually(lambda: loaded(server) == 2, within=BACK_SECONDS)
        wait_until_both_are_known(server)
        yield server


@pytest.fixture(scope="module")
def single(config: Path) -> Iterator[Server]:
    """One worker and one front end."""
    flags = (f"--model_config_file={config}", "--num_frontends=1", ALERT)
    with started(config.parent / "single", *flags) as server:
        yield server


def loaded(server: Server) -> int:
    """How often workers have loaded all models so far."""
    names = ("half_plus_two", "slow")
    return min(server.log.count(f"Successfully loaded servable version {{name: {name} version: 1}}") for name in names)


def quick(server: Server) -> list[Callable[[], float]]:
    """Requests, by gRPC on a connection of their own, and by REST, that all answer 3."""

    def by_grpc() -> float:
        with grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
            return client.predict("half_plus_two", {"x": [2.0]}).outputs["y"].float_val[0]

    def by_rest() -> float:
        with rest_client(server.rest_port) as client:
            return client.predict("half_plus_two", [2.0])[0]

    return [by_grpc, by_rest]


def least_used(server: Server, seconds: float) -> float:
    """CPU seconds of the worker that does less for four requests at the same time, each of which is busy so long."""
    before = {pid: server.cpu_seconds(pid) for pid in server.pids("worker")}
    assert len(before) == 2
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        request = predict_request("slow", {"seconds": [seconds]})
        calls = [client.prediction.Predict.future(request, timeout=30) for _ in range(4)]
        assert all(call.result().outputs["rounds"].int64_val[0] > 0 for call in calls)
    return min(server.cpu_seconds(pid) - used for pid, used in before.items())


def wait_until_both_are_known(server: Server) -> None:
    """A worker says that it has loaded a model a moment before front ends know."""
    eventually(lambda: least_used(server, 0.1) > 0.02, within=BACK_SECONDS)


def both_take_load(server: Server) -> None:
    """Busy requests at the same time cost CPU time of both workers."""
    assert least_used(server, 0.5) > 0.1


def test_both_workers_take_load(pair: Server) -> None:
    both_take_load(pair)


def test_one_of_two_workers_is_killed_under_load_and_no_request_fails(pair: Server) -> None:
    times = loaded(pair)
    with grpc_client(f"127.0.0.1:{pair.grpc_port}") as client:

        def a_while() -> float:
            return client.predict("slow", {"seconds": [0.1]}).outputs["seconds"].float_val[0]

        def at_once() -> float:
            return client.predict("half_plus_two", {"x": [2.0]}).outputs["y"].float_val[0]

        with Load(a_while, a_while, a_while, a_while, at_once, *quick(pair)) as load:
            for number in (1, 2):
                victim = pair.pids("worker")[0]
                answered = len(load.answers)
                eventually(lambda answered=answered: len(load.answers) > answered + 50, within=10)
                os.kill(victim, signal.SIGKILL)
                eventually(lambda number=number: loaded(pair) == times + number, within=BACK_SECONDS)
                assert victim not in pair.pids("worker")
    assert load.failures == []
    assert {round(answer, 3) for answer in load.answers} == {3.0, 0.1}
    assert "ended while it was running" in pair.log and "it is served no more" not in pair.log
    wait_until_both_are_known(pair)
    both_take_load(pair)


def test_one_of_two_front_ends_is_killed_and_the_other_takes_new_connections(pair: Server) -> None:
    before = pair.pids("frontend")
    assert len(before) == 2
    workers = pair.pids("worker")
    os.kill(before[0], signal.SIGKILL)
    # Until its end is complete, the kernel goes on giving connections to its listening sockets.
    eventually(lambda: not os.path.exists(f"/proc/{before[0]}"), within=5)
    with Load(*quick(pair), *quick(pair)) as load:
        eventually(lambda: len(pair.pids("frontend")) == 2, within=BACK_SECONDS)
        new = next(pid for pid in pair.pids("frontend") if pid not in before)
        eventually(lambda: f"frontend-0 (pid {new}) has registered" in pair.log, within=BACK_SECONDS)
        answered = len(load.answers)
        eventually(lambda: len(load.answers) > answered + 50, within=10)
    assert load.failures == []
    assert pair.pids("worker") == workers


def test_the_only_worker_is_killed_and_comes_back(single: Server) -> None:
    times = loaded(single)
    with grpc_client(f"127.0.0.1:{single.grpc_port}") as client, rest_client(single.rest_port) as rest:
        request = predict_request("slow", {"seconds": [20.0]})
        calls = [client.prediction.Predict.future(request, timeout=60) for _ in range(4)]
        (victim,) = single.pids("worker")
        start = single.cpu_seconds(victim)
        eventually(lambda: single.cpu_seconds(victim) > start + 0.1, within=10)
        os.kill(victim, signal.SIGKILL)
        since = time.monotonic()
        for call in calls:
            with raises("UNAVAILABLE", "worker-0 was lost"):
                call.result(timeout=PROMPT_SECONDS)
        assert time.monotonic() - since < PROMPT_SECONDS
        with raises("UNAVAILABLE"):
            client.predict("half_plus_two", {"x": [2.0]})
        assert rest.post("half_plus_two:predict", {"instances": [2.0]}).status_code == 503
        eventually(lambda: client.predict("half_plus_two", {"x": [2.0]}), within=BACK_SECONDS)
        assert rest.predict("half_plus_two", [2.0]) == [3.0]
        eventually(lambda: loaded(single) == times + 1, within=BACK_SECONDS)
    assert "worker-0 ended while it was running servable {name: slow version: 1}" in single.log
    assert "it is served no more" not in single.log


def test_the_only_front_end_is_killed_and_comes_back(single: Server) -> None:
    (victim,) = single.pids("frontend")
    workers = single.pids("worker")
    with grpc_client(f"127.0.0.1:{single.grpc_port}") as client:
        call = client.prediction.Predict.future(predict_request("slow", {"seconds": [5.0]}), timeout=60)
        eventually(lambda: call.running(), within=5)
        assert client.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(grpc.RpcError):
            call.result(timeout=PROMPT_SECONDS)
        for request in quick(single):
            assert eventually(request, within=BACK_SECONDS) == 3.0
    assert single.pids("worker") == workers
    assert len(single.pids("frontend")) == 1


def test_control_is_killed_and_no_child_outlives_it(config: Path, tmp_path: Path) -> None:
    with started(tmp_path, f"--model_config_file={config}", "--devices=cpu:2") as server:
        assert len(server.tree()) >= 4
        os.kill(server.process.pid, signal.SIGKILL)
        assert server.wait_ended(within=5) == -signal.SIGKILL
