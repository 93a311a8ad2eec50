"""A whole server and versions that bring warm-up requests: when they serve, what their metrics say."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.server import Server, entry, eventually, started, write_config
from tests.unit.workers import warmup_files

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("warmup")


@pytest.fixture(scope="module")
def server(model_path: Callable[[str], Path], folder: Path) -> Iterator[Server]:
    """Serves `counter`, which each version of has counted to 3 by replaying its requests."""
    record = warmup_files.predict("incr_counter")
    warmup_files.copy(model_path("counter"), folder / "counter" / "1", record)
    config = write_config(folder / "models.config", entry("counter", folder / "counter"))
    monitoring = folder / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }\n')
    with started(
        folder / "server",
        f"--model_config_file={config}",
        f"--monitoring_config_file={monitoring}",
        "--num_request_iterations_for_warmup=3",
        "--file_system_poll_wait_seconds=1",
    ) as running:
        yield running


def get(server: Server, path: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}{path}", body, timeout=10) as reply:
        return reply.read()


def counted(server: Server) -> float:
    body = orjson.dumps({"signature_name": "incr_counter_by", "inputs": 0.0})
    return float(orjson.loads(get(server, "/v1/models/counter:predict", body))["outputs"])


def states(server: Server) -> dict[str, tuple[str, str]]:
    versions = orjson.loads(get(server, "/v1/models/counter"))["model_version_status"]
    return {entry["version"]: (entry["state"], entry["status"]["error_code"]) for entry in versions}


def test_requests_are_replayed_before_a_version_serves(server: Server, folder: Path) -> None:
    assert counted(server) == 3
    text = get(server, "/metrics").decode()
    labels = f'{{model_path="{folder}/counter/1",status="OK"}}'
    assert f":tensorflow:serving:model_warmup_latency_count{labels} 1\n" in text
    assert f":tensorflow:serving:model_warmup_records_read{labels} 1\n" in text


def test_a_version_whose_requests_fail_does_not_serve(
    server: Server, folder: Path, model_path: Callable[[str], Path]
) -> None:
    unfinished = warmup_files.copy(model_path("counter"), folder / "unfinished", warmup_files.predict("no_such"))
    unfinished.rename(folder / "counter" / "2")
    eventually(lambda: states(server).get("2") == ("END", "FAILED_PRECONDITION"), within=PATIENCE_S)
    assert states(server)["1"] == ("AVAILABLE", "OK")
    assert counted(server) == 3
    assert f'model_path="{folder}/counter/2",status="FAILED_PRECONDITION: ' in get(server, "/metrics").decode()
