"""Large JSON bodies are read by processes of their own; when these are lost, by whoever has the door."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.clients import Rest, rest_client
from tests.e2e.server import Server, eventually, started

NUMBERS = 100_000
BODY = json.dumps({"instances": [float(i) for i in range(NUMBERS)]}).encode()
BACK_SECONDS = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bulk")
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = (
        "--model_name=half_plus_two",
        f"--model_base_path={model_path('half_plus_two').parent}",
        f"--monitoring_config_file={monitoring}",
        "--num_frontends=1",
        "--num_bulk_frontends=2",
    )
    with started(folder, *flags) as running:
        yield running


@pytest.fixture
def rest(server: Server) -> Iterator[Rest]:
    with rest_client(server.rest_port) as client:
        yield client


def is_answered(rest: Rest) -> bool:
    answer = rest.post("half_plus_two:predict", BODY)
    assert answer.status_code == 200
    return answer.json()["predictions"] == [i / 2 + 2 for i in range(NUMBERS)]


def connections(server: Server) -> dict[str, int]:
    """How many each front end has open, one of them for this very question."""
    page = requests.get(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=10).text
    found = re.findall(r'tensormux_connections\{process="frontend-(\S+)"\} (\d+)', page)
    return {name: int(count) for name, count in found}


def bulk_pids(server: Server) -> list[int]:
    """Those front ends that take connections over."""
    environments = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in server.pids("frontend")}
    return [pid for pid, environment in environments.items() if b"TENSORMUX_BULK_BIND=" in environment]


def test_connections_move_with_their_first_large_body(server: Server, rest: Rest) -> None:
    with rest_client(server.rest_port) as other:
        for client in (rest, other):
            assert client.predict("half_plus_two", [2.0]) == [3.0]
        eventually(lambda: connections(server) == {"0": 3, "bulk-0": 0, "bulk-1": 0}, within=10)
        for client in (rest, other):
            assert is_answered(client)
            assert client.predict("half_plus_two", [2.0]) == [3.0]
        eventually(lambda: connections(server) == {"0": 1, "bulk-0": 1, "bulk-1": 1}, within=10)


def test_lost_ones_are_done_without_and_come_back(server: Server, rest: Rest) -> None:
    lost = bulk_pids(server)
    assert len(lost) == 2
    for pid in lost:
        os.kill(pid, signal.SIGKILL)
    # Only then are their sockets closed for certain.
    eventually(lambda: server.log.count("was killed by signal 9") == 2, within=BACK_SECONDS)
    with rest_client(server.rest_port) as other:
        assert is_answered(other)
    eventually(lambda: len(bulk_pids(server)) == 2, within=BACK_SECONDS)
    with rest_client(server.rest_port) as first, rest_client(server.rest_port) as second:

        def both_take() -> bool:
            assert is_answered(first) and is_answered(second)
            now = connections(server)
            return now["bulk-0"] + now["bulk-1"] == 2

        eventually(both_take, within=BACK_SECONDS)


def test_stopping_waits_for_what_they_have(server: Server) -> None:
    eventually(lambda: len(bulk_pids(server)) == 2, within=BACK_SECONDS)
    head = f"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=BACK_SECONDS) as sock:
        sock.sendall(head + BODY[:1000])
        eventually(lambda: sum(count for name, count in connections(server).items() if "bulk" in name) == 1, within=10)
        server.signal(signal.SIGTERM)
        eventually(lambda: "Stopping on SIGTERM" in server.log, within=10)
        sock.sendall(BODY[1000:])
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert (answer.status, len(json.load(answer)["predictions"])) == (200, NUMBERS)
    assert server.wait_ended(within=20) == 0
