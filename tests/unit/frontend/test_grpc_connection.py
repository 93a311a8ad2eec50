"""gRPC connections on real loops and sockets, with grpcio and with bytes of our own as clients."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import grpc
import ngh2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontend import connections as connections_module
from frontend.connections import Connections
from frontend.grpc import wire
from frontend.grpc.connection import GrpcConnection
from frontend.grpc.stream import Stream
from protos.configs import FrontendConfig
from protos.errors import Code, invalid_argument
from tests.doors import Doors
from tests.http2_client import Client
from tests.loops import wait_until

Body = bytes | memoryview
LIMIT = 1 << 20


@pytest.fixture(autouse=True)
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_SWEEP_S", 0.02)


class Service:
    """A few methods; `waiting` holds calls that are answered from outside."""

    def __init__(self) -> None:
        self.waiting: list[Stream] = []
        self.cancelled: list[int] = []
        self.deadlines: list[int] = []
        self.table = {
            b"/test/Echo": self.echo,
            b"/test/Fail": self.fail,
            b"/test/Bug": self.bug,
            b"/test/Wait": self.wait,
            b"/test/Large": self.large,
        }

    def echo(self, stream: Stream, message: Body) -> None:
        self.deadlines.append(stream.deadline_ns)
        stream.reply(bytes(message))

    def fail(self, stream: Stream, message: Body) -> None:
        raise invalid_argument(bytes(message).decode())

    def bug(self, stream: Stream, message: Body) -> None:
        raise KeyError("a bug")

    def wait(self, stream: Stream, message: Body) -> None:
        self.waiting.append(stream)
        stream.on_cancel = lambda: self.cancelled.append(stream.id)

    def large(self, stream: Stream, message: Body) -> None:
        stream.reply(bytes(int(bytes(message))))


class Grpc(Doors):
    def __init__(self, loop: str = "uvloop", **config: object) -> None:
        self.service = Service()

        def make(
            running: asyncio.AbstractEventLoop, settings_: FrontendConfig, connections: Connections
        ) -> asyncio.Protocol:
            return GrpcConnection(running, settings_, connections, self.service.table)

        super().__init__(make, FrontendConfig(**{"max_message_bytes": LIMIT, **config}), loop=loop)

    def wait_for_calls(self, count: int) -> None:
        wait_until(lambda: len(self.service.waiting) >= count)


@pytest.fixture(params=["uvloop", "asyncio"])
def doors(request: pytest.FixtureRequest) -> Iterator[Grpc]:
    with Grpc(request.param) as opened:
        yield opened


@contextmanager
def channel_to(doors: Grpc) -> Iterator[grpc.Channel]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{doors.port}", options=options) as channel:
        yield channel


def method(channel: grpc.Channel, name: str) -> grpc.UnaryUnaryMultiCallable:
    return channel.unary_unary(f"/test/{name}")


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> grpc.StatusCode:
    return error.value.code()


# --- with grpcio ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 16_384, 200_000, LIMIT])
def test_echo(doors: Grpc, size: int) -> None:
    data = Random(size).randbytes(size)
    with channel_to(doors) as channel:
        assert method(channel, "Echo")(data, timeout=10) == data


def test_many_calls_at_once(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        echo = method(channel, "Echo")
        calls = [echo.future(b"%d" % i, timeout=10) for i in range(300)]
        assert [call.result() for call in calls] == [b"%d" % i for i in range(300)]
        assert doors.open_count() == 1


def test_an_error_and_its_text(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        for text in ("plain", "ünï %\ncode", "x" * 3000):
            with pytest.raises(grpc.RpcError) as raised:
                method(channel, "Fail")(text.encode(), timeout=10)
            assert code_of(raised) is grpc.StatusCode.INVALID_ARGUMENT
            assert raised.value.details() == (text if len(text) < 1024 else "x" * 1024 + "...TRUNCATED")


@pytest.mark.parametrize("path", ["/test/Nope", "/nope/Echo", "/"])
def test_unknown_methods(doors: Grpc, path: str) -> None:
    with channel_to(doors) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(path)(b"", timeout=10)
        assert code_of(raised) is grpc.StatusCode.UNIMPLEMENTED
        assert raised.value.details() == ""


def test_a_bug_in_a_method_is_that_calls_alone(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        waiting = method(channel, "Wait").future(b"", timeout=10)
        doors.wait_for_calls(1)
        with pytest.raises(grpc.RpcError) as raised:
            method(channel, "Bug")(b"", timeout=10)
        assert code_of(raised) is grpc.StatusCode.INTERNAL
        assert "a bug" not in raised.value.details()
        doors.call(lambda: doors.service.waiting[0].reply(b"still here"))
        assert waiting.result() == b"still here"


def test_the_deadline_reaches_the_method(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        before = time.monotonic_ns()
        method(channel, "Echo")(b"", timeout=30)
        method(channel, "Echo")(b"")
    first, second = doors.service.deadlines
    # gRPC rounds a timeout up to what fits its header.
    assert before + 25e9 < first < time.monotonic_ns() + 31e9
    assert second == 0


def test_gzip(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        data = b"compress me" * 1000
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            assert method(channel, "Echo")(data, timeout=10, compression=compression) == data
        with pytest.raises(grpc.RpcError) as raised:
            method(channel, "Echo")(bytes(LIMIT + 1), timeout=10, compression=grpc.Compression.Gzip)
        assert code_of(raised) is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 200_000, 20 * LIMIT])
def test_too_large_messages(doors: Grpc, size: int) -> None:
    with channel_to(doors) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            method(channel, "Echo")(bytes(size), timeout=10)
        assert code_of(raised) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert raised.value.details() == f"SERVER: Received message larger than max ({size} vs. {LIMIT})"
        # The connection goes on.
        assert method(channel, "Echo")(b"next", timeout=10) == b"next"
    assert doors.connections.buffered_bytes == 0


def test_large_answers(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        assert method(channel, "Large")(b"50000000", timeout=20) == bytes(50_000_000)


def test_a_client_that_cancels(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        call = method(channel, "Wait").future(b"", timeout=10)
        doors.wait_for_calls(1)
        call.cancel()
        wait_until(lambda: doors.service.cancelled)
        doors.call(lambda: doors.service.waiting[0].reply(b"late"))
        assert method(channel, "Echo")(b"next", timeout=10) == b"next"
        assert len(doors.service.cancelled) == 1


def test_a_client_that_disconnects(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        calls = [method(channel, "Wait").future(b"", timeout=10) for _ in range(3)]
        doors.wait_for_calls(3)
        assert not doors.service.cancelled
    wait_until(lambda: len(doors.service.cancelled) == 3)
    for stream in doors.service.waiting:
        doors.call(lambda stream=stream: stream.reply(b"late"))  # type: ignore[misc]
    assert all(call.code() is grpc.StatusCode.CANCELLED for call in calls)


def test_a_deadline_of_the_client_cancels(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        method(channel, "Echo")(b"", timeout=10)  # connected: the deadline is not spent on that
        with pytest.raises(grpc.RpcError) as raised:
            method(channel, "Wait")(b"", timeout=0.3)
        assert code_of(raised) is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: doors.service.cancelled)


def test_an_answer_counts_once(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        call = method(channel, "Wait").future(b"", timeout=10)
        doors.wait_for_calls(1)
        stream = doors.service.waiting[0]

        def answer() -> None:
            stream.reply(b"first")
            stream.reply(b"second")
            stream.fail(invalid_argument("third"))

        doors.call(answer)
        assert call.result() == b"first"
    wait_until(lambda: doors.open_count() == 0)
    assert not doors.service.cancelled


def test_drain_lets_calls_in_flight_finish(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        call = method(channel, "Wait").future(b"", timeout=10)
        doors.wait_for_calls(1)
        drained = doors.drain(10)
        doors.call(lambda: None)
        assert not drained.done()
        doors.call(lambda: doors.service.waiting[0].reply(b"finished"))
        assert call.result() == b"finished"
        drained.result(5)
        assert doors.open_count() == 0


def test_drain_does_not_wait_for_ever(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        call = method(channel, "Wait").future(b"", timeout=10)
        doors.wait_for_calls(1)
        doors.drain(0.1).result(5)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        wait_until(lambda: doors.service.cancelled)


def test_drain_of_an_idle_connection(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        method(channel, "Echo")(b"", timeout=10)
        doors.drain(10).result(3)


def test_idle_connections_are_closed() -> None:
    with Grpc(idle_timeout_seconds=0.05) as doors, channel_to(doors) as channel:
        assert method(channel, "Echo")(b"x", timeout=10) == b"x"
        wait_until(lambda: doors.open_count() == 0)
        assert method(channel, "Echo")(b"again", timeout=10, wait_for_ready=True) == b"again"


@pytest.mark.parametrize("ended", [True, False])
def test_an_idle_connection_whose_client_never_ends_a_head_is_closed(ended: bool) -> None:
    head = b"\x00\x07:method\x04POST"
    frame = len(head).to_bytes(3, "big") + b"\x01\x00\0\0\0\x01" + head  # without END_HEADERS
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) + (frame if ended else frame[:-3])
    limits = {"idle_timeout_seconds": 0.05, "request_timeout_seconds": 0.1}
    with Grpc(**limits) as doors, socket.create_connection(("127.0.0.1", doors.port), timeout=10) as sock:
        sock.sendall(data)
        while sock.recv(1 << 16):
            pass
        wait_until(lambda: doors.open_count() == 0)


def test_a_connection_with_a_call_in_flight_is_not_idle() -> None:
    with Grpc(idle_timeout_seconds=0.05) as doors, channel_to(doors) as channel:
        call = method(channel, "Wait").future(b"", timeout=10)
        doors.wait_for_calls(1)
        swept = doors.call(lambda: doors.connections._timer)
        wait_until(lambda: doors.call(lambda: doors.connections._timer) is not swept)
        wait_until(lambda: doors.call(lambda: doors._loop.time()) > _last_active(doors) + 0.1)
        assert doors.open_count() == 1
        doors.call(lambda: doors.service.waiting[0].reply(b"done"))
        assert call.result() == b"done"


def _last_active(doors: Grpc) -> float:
    return doors.call(lambda: next(iter(doors.connections._open))._last_active)  # type: ignore[attr-defined,no-any-return]


# --- with bytes of our own -----------------------------------------------------------------------------------------


@contextmanager
def client_of(doors: Grpc) -> Iterator[Client]:
    with doors.connect() as sock:
        yield Client(sock)


def test_messages_in_small_pieces(doors: Grpc) -> None:
    with client_of(doors) as client:
        stream = client.request()
        for byte in wire.frame(b"piecemeal"):
            client.http2.send_data(stream, bytes([byte]))
            client.send()
        client.http2.end_stream(stream)
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"0"
        assert b"".join(e.data for e in client.events if type(e) is ngh2.DataReceived) == wire.frame(b"piecemeal")
    assert doors.connections.buffered_bytes == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", Code.INTERNAL),
        (b"\0\0\0", Code.INTERNAL),
        (b"\0\0\0\0\5abc", Code.INTERNAL),
        (wire.frame(b"a") + wire.frame(b"b"), Code.INTERNAL),
        (b"\1" + wire.frame(gzip.compress(b"x"))[1:], Code.INTERNAL),
        (b"\0\xff\xff\xff\xff" + b"x" * 100, Code.RESOURCE_EXHAUSTED),
    ],
)
def test_broken_framing(doors: Grpc, body: bytes, status: int) -> None:
    with client_of(doors) as client:
        stream = client.request()
        client.http2.send_data(stream, body, end_stream=True)
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"%d" % status


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"__method": b"GET"}, {b":status": b"405"}),
        ({"content_type": b"text/plain"}, {b":status": b"415"}),
        ({"grpc_timeout": b"soon"}, {b":status": b"200", b"grpc-status": b"3"}),
        ({"grpc_timeout": b"0n"}, {b":status": b"200", b"grpc-status": b"4"}),
        (
            {"content_type": b"application/grpc+proto", "grpc_timeout": b"5S"},
            {b":status": b"200", b"grpc-status": b"0"},
        ),
    ],
)
def test_headers(doors: Grpc, headers: dict[str, bytes], expected: dict[bytes, bytes]) -> None:
    with client_of(doors) as client:
        stream = client.request(**headers)
        client.http2.send_data(stream, wire.frame(b""), end_stream=True)
        client.send()
        assert expected.items() <= client.outcome(stream).items()


def test_a_slow_sender_is_cut_off() -> None:
    with Grpc(request_timeout_seconds=0.05) as doors, client_of(doors) as client:
        slow = client.request()
        client.http2.send_data(slow, b"\0\0\0")
        client.send()
        outcome = client.outcome(slow)
        assert outcome[b"grpc-status"] == b"%d" % Code.DEADLINE_EXCEEDED
        assert any(type(e) is ngh2.StreamReset and e.stream_id == slow for e in client.events)
        quick = client.request()
        client.http2.send_data(quick, wire.frame(b"x"), end_stream=True)
        client.send()
        assert client.outcome(quick)[b"grpc-status"] == b"0"
        assert doors.connections.buffered_bytes == 0


def test_a_client_that_does_not_read_is_cut_off_and_holds_little() -> None:
    with Grpc(request_timeout_seconds=0.2) as doors, doors.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = Client(sock)
        client.http2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.http2.set_local_window_size(2**31 - 1)
        client.send()
        for _ in range(20):
            stream = client.request(b"/test/Large")
            client.http2.send_data(stream, wire.frame(b"10000000"), end_stream=True)
        client.send()
        wait_until(lambda: doors.open_count() == 0)


def test_a_client_that_opens_no_window_is_cut_off() -> None:
    with Grpc(request_timeout_seconds=0.2) as doors, doors.connect() as sock:
        client = Client(sock)
        client.http2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 0})
        client.send()
        for _ in range(3):
            stream = client.request(b"/test/Large")
            client.http2.send_data(stream, wire.frame(b"100000"), end_stream=True)
        client.send()
        wait_until(lambda: doors.open_count() == 0)


def test_a_closed_connection_whose_client_does_not_read_is_not_kept() -> None:
    with Grpc(request_timeout_seconds=0.2) as doors, doors.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = Client(sock)
        client.http2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.http2.set_local_window_size(2**31 - 1)
        stream = client.request(b"/test/Large")
        client.http2.send_data(stream, wire.frame(b"8000000"), end_stream=True)
        client.send()
        wait_until(lambda: sock.recv(1, socket.MSG_PEEK))
        sock.sendall(b"\xff" * 100)  # breaks the protocol
        wait_until(lambda: doors.open_count() == 0)


def test_too_many_connections() -> None:
    with Grpc(max_connections=2) as doors:
        with client_of(doors) as first, client_of(doors) as second:
            for client in (first, second):
                stream = client.request()
                client.http2.send_data(stream, wire.frame(b""), end_stream=True)
                client.send()
                assert client.outcome(stream)[b"grpc-status"] == b"0"
            with doors.connect() as third:
                assert closed_by_server(third)
            assert doors.open_count() == 2
        wait_until(lambda: doors.open_count() == 0)
        with client_of(doors) as again:
            stream = again.request()
            again.http2.send_data(stream, wire.frame(b""), end_stream=True)
            again.send()
            assert again.outcome(stream)[b"grpc-status"] == b"0"


def closed_by_server(sock: socket.socket) -> bool:
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_streams_of_one_connection_are_bounded() -> None:
    with Grpc(max_streams=2) as doors, client_of(doors) as client:
        client.read_until(lambda: client.http2.remote_settings[ngh2.Setting.MAX_CONCURRENT_STREAMS] == 2)
        streams = [client.request(b"/test/Wait") for _ in range(3)]
        for stream in streams:
            client.http2.send_data(stream, wire.frame(b""), end_stream=True)
        client.send()
        doors.wait_for_calls(2)
        doors.call(lambda: doors.service.waiting[0].reply(b""))
        client.outcome(streams[0])
        doors.wait_for_calls(3)  # held back by the client until there was room


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_connection_that_ends_cancels_its_calls(doors: Grpc, how: str) -> None:
    with doors.connect() as sock:
        client = Client(sock)
        stream = client.request(b"/test/Wait")
        client.http2.send_data(stream, wire.frame(b""), end_stream=True)
        half = client.request(b"/test/Wait")
        client.http2.send_data(half, b"\0\0")
        client.send()
        doors.wait_for_calls(1)
        wait_until(lambda: doors.connections.buffered_bytes == 2)
        if how == "rst":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: doors.open_count() == 0)
    assert doors.service.cancelled == [stream]
    assert doors.connections.buffered_bytes == 0


def test_http1_is_turned_away(doors: Grpc) -> None:
    with doors.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert closed_by_server(sock)
    wait_until(lambda: doors.open_count() == 0)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Grpc]:
    with Grpc() as opened:
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), polite=st.booleans())
def test_random_bytes_never_harm_the_server(lasting: Grpc, data: bytes, polite: bool) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    with lasting.connect() as sock:
        sock.sendall((preface if polite else b"") + data)
        sock.shutdown(socket.SHUT_WR)
        assert closed_by_server(sock)
    assert not lasting.complaints


def test_the_server_lives_on(lasting: Grpc) -> None:
    with channel_to(lasting) as channel:
        assert method(channel, "Echo")(b"x", timeout=10) == b"x"
    wait_until(lambda: lasting.open_count() == 0)
    assert lasting.connections.buffered_bytes == 0
