"""What --grpc_channel_arguments does to connections: age, idle time, keepalive, sizes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import grpc
import ngh2
import pytest

from frontend import connections as connections_module
from frontend.connections import Connections
from frontend.grpc import connection as connection_module
from frontend.grpc import wire
from frontend.grpc.connection import GrpcConnection
from frontend.grpc.keepalive import Keepalive, Verdict
from frontend.grpc.stream import Stream
from protos.configs import FrontendConfig, GrpcConfig
from tests.doors import Doors
from tests.http2_client import Client
from tests.loops import wait_until


@pytest.fixture(autouse=True)
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_SWEEP_S", 0.02)


class Grpc(Doors):
    """Echo, and calls that wait."""

    def __init__(self, config: GrpcConfig, **more: object) -> None:
        self.waiting: list[Stream] = []
        self.cancelled = 0

        def echo(stream: Stream, message: bytes | memoryview) -> None:
            stream.reply(bytes(message))

        def wait(stream: Stream, message: bytes | memoryview) -> None:
            self.waiting.append(stream)
            stream.on_cancel = self._on_cancel

        table = {b"/test/Echo": echo, b"/test/Wait": wait}

        def make(
            loop: asyncio.AbstractEventLoop, settings: FrontendConfig, connections: Connections
        ) -> asyncio.BaseProtocol:
            return GrpcConnection(loop, settings, connections, table)

        super().__init__(make, FrontendConfig(grpc=config, **more))  # type: ignore[arg-type]

    def _on_cancel(self) -> None:
        self.cancelled += 1


@contextmanager
def client_of(config: GrpcConfig, **more: object) -> Iterator[tuple[Grpc, Client]]:
    with Grpc(config, **more) as doors, doors.connect() as sock:
        yield doors, Client(sock)


def call(client: Client, name: bytes, body: bytes = b"x", **headers: bytes) -> int:
    stream = client.request(b"/test/" + name, **headers)
    client.http2.send_data(stream, wire.frame(body), end_stream=True)
    client.send()
    return stream


def closed(client: Client) -> bool:
    """Whether the server closes; its last words are read."""
    with contextlib.suppress(ConnectionResetError):
        while data := client.sock.recv(65536):
            with contextlib.suppress(ngh2.NGH2Error):  # it has understood that this is the end
                client.http2.receive_data(data)
            client.events.extend(client.http2.events())
    return True


def of(client: Client, kind: type[ngh2.Event]) -> list[ngh2.Event]:
    return [event for event in client.events if type(event) is kind]


# --- age ------------------------------------------------------------------------------------------------------------


def test_an_old_connection_goes_when_its_calls_are_answered() -> None:
    with client_of(GrpcConfig(max_age_seconds=0.05)) as (doors, client):
        waiting = call(client, b"Wait")
        client.read_until(lambda: of(client, ngh2.GoAwayReceived))
        assert doors.open_count() == 1
        doors.call(lambda: doors.waiting[0].reply(b"in time"))
        assert client.outcome(waiting)[b"grpc-status"] == b"0"
        assert closed(client)
        assert {event.error_code for event in of(client, ngh2.GoAwayReceived)} == {0}


def test_the_grace_of_an_old_connection_ends() -> None:
    with client_of(GrpcConfig(max_age_seconds=0.02, age_grace_seconds=0.1)) as (doors, client):
        call(client, b"Wait")
        assert closed(client)
        wait_until(lambda: doors.cancelled == 1 and doors.open_count() == 0)


def test_clients_of_an_old_connection_come_back() -> None:
    with Grpc(GrpcConfig(max_age_seconds=0.03)) as doors:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{doors.port}", options=options) as channel:
            seen: set[int] = set()

            def connections() -> int:
                assert channel.unary_unary("/test/Echo")(b"x", timeout=10) == b"x"
                seen.update(doors.call(lambda: [id(c) for c in doors.connections._open]))
                return len(seen)

            wait_until(lambda: connections() >= 3)


def test_ages_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Random(1)
    drawn: list[float] = []

    def uniform(low: float, high: float) -> float:
        drawn.extend((low, high))
        return rng.uniform(low, high)

    monkeypatch.setattr(connection_module.random, "uniform", uniform)
    with client_of(GrpcConfig(max_age_seconds=0.02)) as (_, client):
        assert closed(client)
    assert drawn == [0.9, 1.1]


def test_a_connection_that_goes_early_leaves_no_timer() -> None:
    with Grpc(GrpcConfig(max_age_seconds=1000.0)) as doors:
        with doors.connect() as sock:
            client = Client(sock)
            client.outcome(call(client, b"Echo"))
            (one,) = doors.call(lambda: list(doors.connections._open))
        wait_until(lambda: doors.open_count() == 0)
        assert one._age_timer.cancelled()  # type: ignore[attr-defined]


# --- idle time ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("idle", "own"), [(0.05, 0.0), (0.05, 1000.0), (1000.0, 0.05)])
def test_the_shorter_idle_time_counts(idle: float, own: float) -> None:
    with client_of(GrpcConfig(idle_seconds=idle), idle_timeout_seconds=own) as (doors, client):
        assert client.outcome(call(client, b"Echo"))[b"grpc-status"] == b"0"
        assert closed(client)
        assert of(client, ngh2.GoAwayReceived)


def test_a_call_keeps_a_connection_from_being_idle() -> None:
    with client_of(GrpcConfig(idle_seconds=0.05)) as (doors, client):
        waiting = call(client, b"Wait")
        wait_until(lambda: doors.waiting)
        start = doors.call(lambda: doors._loop.time())
        wait_until(lambda: doors.call(lambda: doors._loop.time()) > start + 0.2)
        doors.call(lambda: doors.waiting[0].reply(b""))
        assert client.outcome(waiting)[b"grpc-status"] == b"0"
        assert closed(client)


# --- keepalive ------------------------------------------------------------------------------------------------------


def test_a_live_client_answers_pings() -> None:
    with client_of(GrpcConfig(keepalive_seconds=0.03, keepalive_timeout_seconds=5.0)) as (doors, client):
        client.read_until(lambda: len(of(client, ngh2.PingReceived)) >= 3)
        assert client.outcome(call(client, b"Echo"))[b"grpc-status"] == b"0"
        assert doors.open_count() == 1


def test_a_dead_client_is_given_up() -> None:
    with client_of(GrpcConfig(keepalive_seconds=0.05, keepalive_timeout_seconds=0.05)) as (doors, client):
        call(client, b"Wait")
        assert closed(client)  # reads, and says nothing any more
        assert len(of(client, ngh2.PingReceived)) == 1
        wait_until(lambda: doors.cancelled == 1)


@pytest.mark.parametrize(
    ("every", "timeout", "steps", "verdicts"),
    [
        (0.0, 5.0, [(0, True), (1000, False)], "WW"),
        (10.0, 5.0, [(100, True), (109, False), (110, False), (114, False), (115, False)], "WWPWD"),
        # Any byte is a sign of life.
        (10.0, 5.0, [(0, True), (10, False), (12, True), (21, False), (22, False), (27, False)], "WPWWPD"),
        (10.0, 0.0, [(0, True), (10, False), (10, False)], "WPD"),
    ],
)
def test_when_to_ping(every: float, timeout: float, steps: list[tuple[float, bool]], verdicts: str) -> None:
    letters = {Verdict.WAIT: "W", Verdict.PING: "P", Verdict.DEAD: "D"}
    keepalive = Keepalive(every, timeout)
    assert "".join(letters[keepalive.check(now, heard=heard)] for now, heard in steps) == verdicts


# --- sizes ----------------------------------------------------------------------------------------------------------


def test_answers_may_be_bounded() -> None:
    with client_of(GrpcConfig(max_send_bytes=100)) as (_, client):
        assert client.outcome(call(client, b"Echo", bytes(100)))[b"grpc-status"] == b"0"
        outcome = client.outcome(call(client, b"Echo", bytes(101)))
        assert outcome[b"grpc-status"] == b"8"
        assert outcome[b"grpc-message"] == b"SERVER: Sent message larger than max (101 vs. 100)"
        assert client.outcome(call(client, b"Echo", bytes(100)))[b"grpc-status"] == b"0"


def test_metadata_is_bounded_by_itself() -> None:
    with client_of(GrpcConfig(max_metadata_bytes=1_000), max_header_bytes=100_000) as (_, client):
        client.read_until(lambda: client.http2.remote_settings[ngh2.Setting.MAX_HEADER_LIST_SIZE] == 1_000)
        assert client.outcome(call(client, b"Echo", x_more=bytes(500).replace(b"\0", b"a")))[b"grpc-status"] == b"0"
        call(client, b"Echo", x_more=bytes(2_000).replace(b"\0", b"a"))
        assert closed(client)  # clients know the limit from the settings, and keep to it


@pytest.mark.parametrize("size", [1 << 14, 1 << 15, (1 << 24) - 1])
def test_frame_sizes_are_announced(size: int) -> None:
    with client_of(GrpcConfig(max_frame_bytes=size)) as (_, client):
        client.read_until(lambda: client.http2.remote_settings[ngh2.Setting.MAX_FRAME_SIZE] == size)
        assert client.outcome(call(client, b"Echo", bytes(100_000)))[b"grpc-status"] == b"0"
