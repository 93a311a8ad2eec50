"""Doors with TLS on real loops and sockets: handshakes that end well and badly, large messages, ends of connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import ngh2
import pytest

from frontend import connections as connections_module
from frontend.connections import Connections
from frontend.exchange import Exchange
from frontend.grpc.connection import GrpcConnection
from frontend.grpc.stream import Stream
from frontend.http1 import HttpConnection
from protos.configs import FrontendConfig
from tests import certificates
from tests.doors import Doors, read_all
from tests.loops import wait_until

MB = 1 << 20


@pytest.fixture(autouse=True)
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_SWEEP_S", 0.02)


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def echo(stream: Stream, message: bytes | memoryview) -> None:
    stream.reply(bytes(message))


def large(stream: Stream, message: bytes | memoryview) -> None:
    stream.reply(bytes(int(bytes(message))))


def grpc_doors(loop: str, *, verify_clients: bool = False, **config: Any) -> Doors:
    table = {b"/test/Echo": echo, b"/test/Large": large}

    def make(running: asyncio.AbstractEventLoop, told: FrontendConfig, all_: Connections) -> asyncio.BaseProtocol:
        return GrpcConnection(running, told, all_, table)

    tls = certificates.tls_config(verify_clients=verify_clients)
    return Doors(make, FrontendConfig(tls=tls, **config), loop=loop, alpn="h2")


def rest_doors(loop: str, *, verify_clients: bool = False, **config: Any) -> Doors:
    def handle(exchange: Exchange) -> None:
        size = exchange.target.partition("?")[2]
        exchange.respond(200, bytes(int(size)) if size else exchange.body)

    def make(running: asyncio.AbstractEventLoop, told: FrontendConfig, all_: Connections) -> asyncio.BaseProtocol:
        return HttpConnection(running, told, all_, handle, str.encode)

    tls = certificates.tls_config(verify_clients=verify_clients)
    return Doors(make, FrontendConfig(tls=tls, **config), loop=loop)


@contextmanager
def method(doors: Doors, name: str, credentials: grpc.ChannelCredentials | None = None) -> Iterator[Callable[..., Any]]:
    credentials = credentials or grpc.ssl_channel_credentials(certificates.trusted().pem.encode())
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"localhost:{doors.port}", credentials, options) as channel:
        yield channel.unary_unary(f"/test/{name}")


@contextmanager
def connected(doors: Doors, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
    context = context or certificates.trusted().client_context()
    with doors.connect() as sock, context.wrap_socket(sock, server_hostname="localhost") as secure:
        yield secure


def post(body: bytes, target: str = "/", *fields: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


# --- gRPC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 16_384, 600_000, 20 * MB])
def test_messages_both_ways(loop: str, size: int) -> None:
    data = Random(size).randbytes(size)
    with grpc_doors(loop) as doors, method(doors, "Echo") as call:
        assert call(data, timeout=20) == data


def test_many_large_calls_on_one_connection(loop: str) -> None:
    bodies = [Random(i).randbytes(600_000) for i in range(20)]
    with grpc_doors(loop) as doors, method(doors, "Echo") as call:
        calls = [call.future(body, timeout=20) for body in bodies]
        assert [one.result() for one in calls] == bodies
        assert doors.open_count() == 1


def test_clients_without_a_certificate_are_refused_where_one_is_wanted(loop: str) -> None:
    with grpc_doors(loop, verify_clients=True) as doors:
        with method(doors, "Echo") as call, pytest.raises(grpc.RpcError):
            call(b"x", timeout=5)
        pair, root = certificates.client_pair(), certificates.trusted().pem
        known = grpc.ssl_channel_credentials(root.encode(), pair.key.encode(), pair.certificates.encode())
        with method(doors, "Echo", known) as call:
            assert call(b"x", timeout=5) == b"x"


def test_a_drain_ends_connections(loop: str) -> None:
    with grpc_doors(loop) as doors, method(doors, "Echo") as call:
        call(b"x", timeout=5)
        doors.drain(5.0).result(6)
        assert doors.open_count() == 0


def test_a_client_that_does_not_read_is_closed(loop: str) -> None:
    """Its window is wide open, so that what it doesn't take waits in the transport."""
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection({ngh2.Setting.INITIAL_WINDOW_SIZE: 2**31 - 1})
    client.set_local_window_size(2**31 - 1)
    headers = {":method": "POST", ":scheme": "https", ":authority": "x", ":path": "/test/Large"}
    fields = [(k.encode(), v.encode()) for k, v in (headers | {"content-type": "application/grpc"}).items()]
    size = b"%d" % (60 * MB)
    with grpc_doors(loop, request_timeout_seconds=0.3) as doors, connected(doors) as sock:
        stream = client.send_request(fields)
        client.send_data(stream, struct.pack(">BI", 0, len(size)) + size, end_stream=True)
        sock.sendall(client.data_to_send())
        wait_until(lambda: doors.open_count() == 1)
        wait_until(lambda: doors.open_count() == 0)


# --- REST ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 600_000, 20 * MB])
def test_bodies_both_ways(loop: str, size: int) -> None:
    body = Random(size).randbytes(size)
    with rest_doors(loop) as doors, connected(doors) as sock:
        assert sock.selected_alpn_protocol() is None
        sock.sendall(post(body, "/", "Connection: close"))
        head, _, answer = read_all(sock).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and answer == body


def test_slow_readers_get_all(loop: str) -> None:
    """An answer that outgrows every buffer pauses and goes on, also after the server has closed."""
    with rest_doors(loop) as doors, connected(doors) as sock:
        sock.sendall(post(b"", f"/?{20 * MB}") + post(b"", f"/?{20 * MB}", "Connection: close"))
        total = 0
        while piece := sock.recv(300_000):
            total += len(piece)
        assert 40 * MB < total < 40 * MB + 1000


def test_a_reader_who_stops_is_closed(loop: str) -> None:
    with rest_doors(loop, request_timeout_seconds=0.3) as doors, connected(doors) as sock:
        sock.sendall(post(b"", f"/?{60 * MB}"))
        wait_until(lambda: doors.open_count() == 1)
        wait_until(lambda: doors.open_count() == 0)


def test_a_refusal_arrives_before_the_end() -> None:
    """The client is still sending: what it sends is dropped, so that no reset overtakes the answer.

    That is uvloop's doing, on which front ends run: asyncio's TLS ends at once when more comes after its own end.
    """
    with rest_doors("uvloop", max_body_bytes=1000) as doors, connected(doors) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(200_000))
        assert read_all(sock).startswith(b"HTTP/1.1 413")
        sock.close()
        wait_until(lambda: doors.open_count() == 0)


def test_http_by_its_name(loop: str) -> None:
    context = certificates.trusted().client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with rest_doors(loop) as doors, connected(doors, context) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"


# --- handshakes ----------------------------------------------------------------------------------------------------


def handshakes(doors: Doors) -> int:
    return doors.call(lambda: doors.connections._handshakes)


def test_versions(loop: str) -> None:
    old = certificates.trusted().client_context()
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with rest_doors(loop) as doors:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = certificates.trusted().client_context()
            context.minimum_version = context.maximum_version = version
            with connected(doors, context) as sock:
                assert sock.version() == version.name.replace("_", ".")
        with pytest.raises(ssl.SSLError), connected(doors, old):
            pass


def test_a_server_that_the_client_does_not_trust(loop: str) -> None:
    with rest_doors(loop) as doors:
        context = certificates.stranger().client_context()
        with pytest.raises(ssl.SSLCertVerificationError), connected(doors, context):
            pass
        wait_until(lambda: handshakes(doors) == 0)


@pytest.mark.parametrize("who", ["nobody", "stranger", "trusted"])
def test_client_certificates(loop: str, who: str, tmp_path: Path) -> None:
    authority = certificates.trusted()
    pair = {
        "nobody": None,
        "stranger": certificates.stranger().issue("client.test"),
        "trusted": certificates.client_pair(),
    }[who]
    context = authority.client_context(pair, folder=tmp_path)
    # In TLS 1.3 the client learns with its first read that it is refused.
    with rest_doors(loop, verify_clients=True) as doors:
        if who == "trusted":
            with connected(doors, context) as sock:
                sock.sendall(post(b"x", "/", "Connection: close"))
                assert read_all(sock).endswith(b"x")
        else:
            answer = b""
            with contextlib.suppress(OSError), connected(doors, context) as sock:
                sock.sendall(post(b"x", "/", "Connection: close"))
                answer = read_all(sock)
            assert answer == b""
        wait_until(lambda: handshakes(doors) == doors.open_count() == 0)


def test_who_speaks_no_tls_is_closed_and_told_in_the_log_once(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    with rest_doors(loop) as doors, caplog.at_level(logging.WARNING, "tensormux.frontend"):
        for _ in range(5):
            with doors.connect() as sock:
                sock.sendall(post(b"x"))
                sock.shutdown(socket.SHUT_WR)
                # An alert of TLS, or nothing.
                assert not read_all(sock).startswith(b"HTTP")
        wait_until(lambda: handshakes(doors) == 0)
        with connected(doors) as sock:
            sock.sendall(post(b"x", "/", "Connection: close"))
            assert read_all(sock).endswith(b"x")
    (line,) = [record.getMessage() for record in caplog.records if "handshake" in record.getMessage()]
    assert line.startswith("1 TLS handshakes have failed so far; the last one: ")


def hello() -> bytes:
    """The first flight of a client."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificates.trusted().client_context().wrap_bio(into, out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


@pytest.mark.parametrize("sent", [0, 1, 100, None])
def test_unfinished_handshakes_are_cut_off_and_hold_up_nobody(loop: str, sent: int | None) -> None:
    data, context = hello()[:sent], certificates.trusted().client_context()
    with rest_doors(loop, request_timeout_seconds=1.0) as doors, contextlib.ExitStack() as stack:
        halves = [stack.enter_context(doors.connect()) for _ in range(20)]
        for half in halves:
            half.sendall(data)
        wait_until(lambda: handshakes(doors) == 20)
        with connected(doors, context) as sock:
            sock.sendall(post(b"x", "/", "Connection: close"))
            assert read_all(sock).endswith(b"x")
        for half in halves:
            read_all(half)  # until the server closes
        wait_until(lambda: handshakes(doors) == doors.open_count() == 0)


def test_handshakes_count_as_connections(loop: str) -> None:
    with rest_doors(loop, max_connections=3) as doors, contextlib.ExitStack() as stack:
        halves = [stack.enter_context(doors.connect()) for _ in range(3)]
        wait_until(lambda: handshakes(doors) == 3)
        with doors.connect() as refused:
            assert refused.recv(1) == b""
        halves.pop().close()
        wait_until(lambda: handshakes(doors) == 2)
        with connected(doors) as sock:
            sock.sendall(post(b"x"))
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            wait_until(lambda: (handshakes(doors), doors.open_count()) == (2, 1))
            with doors.connect() as refused:
                assert refused.recv(1) == b""
        for half in halves:
            half.close()
        wait_until(lambda: handshakes(doors) == doors.open_count() == 0)


def test_closing_the_door_breaks_off_handshakes(loop: str) -> None:
    with contextlib.ExitStack() as stack:
        with rest_doors(loop) as doors:
            half = stack.enter_context(doors.connect())
            half.sendall(hello()[:50])
            wait_until(lambda: handshakes(doors) == 1)
        assert half.recv(1) == b""


def test_out_of_files_is_a_pause(loop: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import resource

    from frontend import tls

    monkeypatch.setattr(tls, "_PAUSE_S", 0.05)
    context = certificates.trusted().client_context()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with rest_doors(loop) as doors, socket.socket() as sock:
        sock.settimeout(5)
        # Descriptors below the limit are free or not, but no new one can be had above it.
        taken = [socket.socket()]
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0].fileno() + 1, hard))
        try:
            while True:
                try:
                    taken.append(socket.socket())
                except OSError:
                    break
            sock.connect(("127.0.0.1", doors.port))
            wait_until(lambda: any("cannot accept" in record.getMessage() for record in caplog.records))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for one in taken:
                one.close()
        with context.wrap_socket(sock, server_hostname="localhost") as secure:
            secure.sendall(post(b"x", "/", "Connection: close"))
            assert read_all(secure).endswith(b"x")
