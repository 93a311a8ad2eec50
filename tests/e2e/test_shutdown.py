"""SIGTERM and SIGINT: what is in flight is answered, nothing new is taken, and the server ends with 0."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.clients import grpc_client, predict_request, rest_client
from tests.e2e.load import Load
from tests.e2e.server import entry, eventually, started, write_config

# In flight when the signal comes; the server would wait longer than that.
SECONDS = 1.5
END_SECONDS = 15.0


def refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_finish(tmp_path: Path, model_path: Callable[[str], Path], number: signal.Signals) -> None:
    config = write_config(
        tmp_path / "models.config", *(entry(name, model_path(name).parent) for name in ("half_plus_two", "slow"))
    )
    flags = (f"--model_config_file={config}", f"--grpc_socket_path={tmp_path}/grpc.sock")
    by_rest: list[float] = []
    with (
        started(tmp_path / "server", *flags) as server,
        grpc_client(f"127.0.0.1:{server.grpc_port}") as client,
        rest_client(server.rest_port) as rest,
        grpc_client(f"127.0.0.1:{server.grpc_port}") as other,
    ):
        thread = threading.Thread(
            target=lambda: by_rest.append(rest.predict("slow", [SECONDS])[0]["seconds"]), daemon=True
        )
        with Load(lambda: other.arrays("half_plus_two", {"x": [2.0]})) as load:
            call = client.prediction.Predict.future(predict_request("slow", {"seconds": [SECONDS]}), timeout=30)
            thread.start()
            (worker,) = server.pids("worker")
            start = server.cpu_seconds(worker)
            eventually(lambda: server.cpu_seconds(worker) > start + 0.2 and len(load.answers) > 10, within=10)
            server.signal(number)
            eventually(lambda: refused(server.rest_port) and refused(server.grpc_port), within=END_SECONDS)
            assert call.result(END_SECONDS).outputs["seconds"].float_val[0] == SECONDS
            thread.join(END_SECONDS)
            assert by_rest == [SECONDS]
        assert server.wait_ended(within=END_SECONDS) == 0
        assert server.stdout == ""
    assert not (tmp_path / "grpc.sock").exists()


def test_a_second_signal_ends_it_at_once(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    flags = (f"--model_base_path={model_path('slow').parent}", "--drain_seconds=60")
    with started(tmp_path, *flags) as server, grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        call = client.prediction.Predict.future(predict_request("default", {"seconds": [30.0]}), timeout=60)
        (worker,) = server.pids("worker")
        start = server.cpu_seconds(worker)
        eventually(lambda: server.cpu_seconds(worker) > start + 0.2, within=10)
        server.signal(signal.SIGTERM)
        eventually(lambda: "Stopping on SIGTERM" in server.log, within=5)
        server.signal(signal.SIGTERM)
        assert server.wait_ended(within=5) == 0
        call.cancel()


def test_a_signal_while_it_starts(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    with started(tmp_path, f"--model_base_path={model_path('slow').parent}", ready=False) as server:
        eventually(lambda: len(server.pids("worker")) == 1, within=20)
        server.signal(signal.SIGTERM)
        assert server.wait_ended(within=END_SECONDS) == 0
