"""Worker processes are replaced under load, and no client notices."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.clients import grpc_client, rest_client
from tests.e2e.load import Load
from tests.e2e.server import Server, eventually, started

REPLACED_SECONDS = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("recycling")
    base = folder / "model"
    base.mkdir()
    (base / "1").symlink_to(model_path("half_plus_two"))
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = (f"--model_base_path={base}", "--devices=cpu:2", f"--monitoring_config_file={monitoring}")
    with started(folder, "--model_name=m", *flags) as server:
        yield server


def runs(server: Server) -> float:
    """How many runs of the model there were, by the metrics."""
    text = requests.get(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=20).text
    found = re.search(r"^:tensorflow:serving:runtime_latency_count\{.*\} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def replaced(before: set[int], now: set[int]) -> bool:
    return len(now) == len(before) and not now & before


def test_all_workers_are_replaced_without_a_failed_request(server: Server) -> None:
    before = set(server.pids("worker"))
    assert len(before) == 2
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as rpc, rest_client(server.rest_port) as rest:

        def by_grpc() -> float:
            return rpc.predict("m", {"x": [2.0]}).outputs["y"].float_val[0]

        with Load(by_grpc, by_grpc, lambda: rest.predict("m", [2.0])[0]) as load:
            server.signal(signal.SIGUSR1)
            eventually(lambda: replaced(before, set(server.pids("worker"))), within=REPLACED_SECONDS)
            after = len(load.answers)
            eventually(lambda: len(load.answers) > after + 100, within=30)
    assert load.failures == []
    assert set(load.answers) == {3.0}
    # Nothing that the old workers had counted is lost.
    eventually(lambda: runs(server) == len(load.answers), within=30)
