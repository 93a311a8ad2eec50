"""Thousands of idle connections and hundreds of slow senders: a good client notices nothing, memory stays bounded."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.processes import memory_mb
from tests.e2e import broken_bytes
from tests.e2e.clients import grpc_client, rest_client
from tests.e2e.load import Load
from tests.e2e.server import Server, eventually, started

IDLE = 10_000
SLOW = 400
# Files that the test and the server need beside the connections.
SPARE_FILES = 500
CONNECTION_KB = 40.0
SLOWEST_SECONDS = 2.0
HEARTBEATS_SECONDS = 2.5

_POST = b"POST /v1/models/default:predict HTTP/1.1\r\nHost: x\r\n"
SLOW_REST = [b"POST /v1/mod", _POST + b"X-Half-A-Head: ", _POST + b'Content-Length: 1000000\r\n\r\n{"instances": [']
SLOW_GRPC = [
    broken_bytes.PREFACE[:7],
    broken_bytes.OPEN + broken_bytes.frame(broken_bytes.HEADERS, 0, 1, broken_bytes.CALL[:20]),
    broken_bytes.OPEN + broken_bytes.frame(broken_bytes.HEADERS, 4, 1, broken_bytes.CALL),
]


@pytest.fixture
def alone(tmp_path: Path, model_path: Callable[[str], Path]) -> Iterator[Server]:
    """One front end, of its own so that its memory can be measured."""
    with started(tmp_path, f"--model_base_path={model_path('half_plus_two').parent}", "--num_frontends=1") as server:
        yield server


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_crowd_of_idle_and_slow_clients_harms_nobody(alone: Server) -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    idle = min(IDLE, files - SLOW - SPARE_FILES)
    if idle < 2_000:
        pytest.skip(f"only {files} open files are allowed here")
    (frontend,) = alone.pids("frontend")
    seconds: list[float] = []

    def timed(request: Callable[[], list[float]]) -> list[float]:
        start = time.monotonic()
        try:
            return request()
        finally:
            seconds.append(time.monotonic() - start)

    with (
        contextlib.ExitStack() as stack,
        grpc_client(f"127.0.0.1:{alone.grpc_port}") as client,
        rest_client(alone.rest_port) as rest,
    ):

        def connect(port: int, first: bytes = b"") -> socket.socket:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            sock.sendall(first)
            return sock

        def by_grpc() -> list[float]:
            return timed(lambda: client.arrays("default", {"x": [2.0]})["y"].tolist())

        def by_rest() -> list[float]:
            return timed(lambda: rest.predict("default", [2.0]))

        assert by_grpc() == by_rest() == [3.0]
        before, _ = memory_mb(frontend)
        files_before = open_files(frontend)
        with Load(by_grpc, by_rest) as load:
            for number in range(idle):
                match number % 3:
                    case 0:
                        connect(alone.rest_port)
                    case 1:
                        connect(alone.grpc_port)
                    case _:
                        connect(alone.grpc_port, broken_bytes.OPEN)
            slow = [connect(alone.rest_port, SLOW_REST[i % 3]) for i in range(SLOW // 2)]
            slow += [connect(alone.grpc_port, SLOW_GRPC[i % 3]) for i in range(SLOW // 2)]
            eventually(lambda: open_files(frontend) >= files_before + idle + SLOW, within=30)
            for _ in range(3):
                answered = len(load.answers)
                for sock in slow[: SLOW // 2]:
                    with contextlib.suppress(ConnectionError):
                        sock.sendall(b"1")
                eventually(lambda answered=answered: len(load.answers) > answered + 50, within=30)
            after, most = memory_mb(frontend)
        assert load.failures == []
        assert all(answer == [3.0] for answer in load.answers)
        assert max(seconds) < SLOWEST_SECONDS
        each = (after - before) * 1000 / (idle + SLOW)
        print(f"{idle} idle and {SLOW} slow: {before:.0f} -> {after:.0f} MB (at most {most:.0f}), {each:.1f} kB each")
        assert each < CONNECTION_KB
    eventually(lambda: open_files(frontend) <= files_before + 10, within=30)
    assert alone.pids("frontend") == [frontend]


def test_more_connections_than_open_files_leave_the_front_end_alive(alone: Server) -> None:
    (frontend,) = alone.pids("frontend")
    _, most = resource.prlimit(frontend, resource.RLIMIT_NOFILE)
    with rest_client(alone.rest_port) as rest:
        assert rest.predict("default", [2.0]) == [3.0]
        files = open_files(frontend)
        resource.prlimit(frontend, resource.RLIMIT_NOFILE, (files + 50, most))
        start = time.monotonic()
        with contextlib.ExitStack() as stack, Load(lambda: rest.predict("default", [2.0])) as load:
            for _ in range(100):
                stack.enter_context(socket.create_connection(("127.0.0.1", alone.rest_port), timeout=10))
            # Long enough for heartbeats, which must go on.
            eventually(lambda: time.monotonic() > start + HEARTBEATS_SECONDS, within=10)
            assert open_files(frontend) <= files + 50
        assert load.failures == []
    eventually(lambda: open_files(frontend) <= files, within=10)
    with rest_client(alone.rest_port) as rest:
        assert rest.predict("default", [2.0]) == [3.0]
    assert "Traceback" not in alone.log
    assert alone.pids("frontend") == [frontend]
