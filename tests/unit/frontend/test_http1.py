"""HTTP/1.1 connections on real loops and sockets, with bytes of our own as the client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from frontend import connections as connections_module
from frontend.connections import Connections
from frontend.exchange import Exchange
from frontend.http1 import HttpConnection
from protos.configs import FrontendConfig
from tests.doors import Doors, read_all
from tests.loops import wait_until

MAX_BODY = 1 << 20
MAX_HEAD = 4096


@pytest.fixture(autouse=True)
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_SWEEP_S", 0.02)


class Http(Doors):
    """Answers with what was asked; targets that start with /wait are answered from outside, /large?N with N bytes."""

    def __init__(self, loop: str = "uvloop", **config: object) -> None:
        self.waiting: list[Exchange] = []
        self.cancelled: list[str] = []

        def make(
            running: asyncio.AbstractEventLoop, settings_: FrontendConfig, connections: Connections
        ) -> asyncio.Protocol:
            return HttpConnection(running, settings_, connections, self.handle, error_body)

        limits = {"max_body_bytes": MAX_BODY, "max_header_bytes": MAX_HEAD}
        super().__init__(make, FrontendConfig(**{**limits, **config}), loop=loop)

    def handle(self, exchange: Exchange) -> None:
        if exchange.target.startswith("/wait"):
            exchange.on_cancel = lambda: self.cancelled.append(exchange.target)
            self.waiting.append(exchange)
        elif exchange.target.startswith("/large?"):
            exchange.respond(200, bytes(int(exchange.target[7:])))
        else:
            exchange.respond(200, b"%s %s %s" % (exchange.method.encode(), exchange.target.encode(), exchange.body))

    def answer(self, target: str) -> None:
        """Answer a waiting exchange with its target."""
        exchange = next(e for e in self.waiting if e.target == target)
        self.call(lambda: exchange.respond(200, target.encode()))

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.waiting) >= count)


def error_body(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


@pytest.fixture(params=["uvloop", "asyncio"])
def doors(request: pytest.FixtureRequest) -> Iterator[Http]:
    with Http(request.param) as opened:
        yield opened


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


class Reader:
    """Replies from a socket, one after another."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rb")

    def reply(self, *, head_only: bool = False) -> Reply:
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers: dict[str, str] = {}
        while (field := self._file.readline()) != b"\r\n":
            name, _, value = field.decode().partition(":")
            assert field.endswith(b"\r\n") and name not in headers
            headers[name] = value.strip()
        size = 0 if head_only or line.startswith(b"HTTP/1.1 1") else int(headers["Content-Length"])
        return Reply(int(line.split()[1]), headers, self._file.read(size))

    def at_end(self) -> bool:
        return self._file.read(1) == b""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def get(target: str, *fields: str, version: str = "1.1", method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


# --- requests and answers ------------------------------------------------------------------------------------------


def test_keep_alive(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        for i in range(5):
            sock.sendall(get(f"/{i}", method="POST", body=b"b" * i * 1000))
            reply = reader.reply()
            assert reply.status == 200 and reply.body == f"POST /{i} ".encode() + b"b" * i * 1000
            assert list(reply.headers) == ["Content-Type", "Date", "Content-Length"]
            assert reply.headers["Content-Type"] == "application/json"
        assert doors.open_count() == 1


@pytest.mark.parametrize(
    ("version", "fields", "keeps", "connection"),
    [
        ("1.1", [], True, None),
        ("1.1", ["Connection: keep-alive"], True, None),
        ("1.1", ["Connection: close"], False, "close"),
        ("1.0", [], False, "close"),
        ("1.0", ["Connection: keep-alive"], True, "keep-alive"),
    ],
)
def test_when_a_connection_stays(
    doors: Http, version: str, fields: list[str], keeps: bool, connection: str | None
) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/a", *fields, version=version))
        reply = reader.reply()
        assert reply.body == b"GET /a " and reply.headers.get("Connection") == connection
        if keeps:
            sock.sendall(get("/b", *fields, version=version))
            assert reader.reply().body == b"GET /b "
        else:
            assert reader.at_end()


def test_pipelined_requests_are_answered_in_order(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(b"".join(get(f"/wait{i}") for i in range(5)) + get("/now"))
        doors.wait_for(5)
        for i in (3, 1, 4, 0, 2):
            doors.answer(f"/wait{i}")
        assert [reader.reply().body for _ in range(6)] == [b"/wait%d" % i for i in range(5)] + [b"GET /now "]


def test_a_long_pipeline_is_read_in_parts(doors: Http) -> None:
    count = 1_000
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(b"".join(get(f"/wait{i}", f"X-Padding: {'p' * 900}") for i in range(count)))
        doors.wait_for(64)
        answered = 0
        while answered < count:
            wait_until(lambda seen=answered: len(doors.waiting) > seen)  # type: ignore[misc]
            batch = doors.waiting[answered:]
            assert len(batch) <= 64 + (256 << 10) // 900
            doors.call(lambda batch=batch: [e.respond(200, e.target.encode()) for e in batch])  # type: ignore[misc]
            answered += len(batch)
        assert [reader.reply().body for _ in range(count)] == [b"/wait%d" % i for i in range(count)]


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_chunked_bodies_in_pieces(doors: Http, piece: int) -> None:
    body = Random(piece).randbytes(3_000)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 999]), body[i : i + 999]) for i in range(0, 3_000, 999))
    data = get("/c", "Transfer-Encoding: chunked", method="POST") + chunks + b"0\r\nTrailer: x\r\n\r\n" + get("/next")
    with doors.connect() as sock, Reader(sock) as reader:
        for start in range(0, len(data), piece):
            sock.sendall(data[start : start + piece])
        assert reader.reply().body == b"POST /c " + body
        assert reader.reply().body == b"GET /next "
    assert doors.connections.buffered_bytes == 0


def test_head_has_the_length_but_no_body(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/h", method="HEAD") + get("/next"))
        assert reader.reply(head_only=True).headers["Content-Length"] == str(len(b"HEAD /h "))
        assert reader.reply().body == b"GET /next "


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods(doors: Http, method: str) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/m?q=1", method=method, body=b"x"))
        assert reader.reply().body == f"{method} /m?q=1 x".encode()


def test_a_body_over_http_1_0(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        for keep in ("keep-alive", "close"):
            sock.sendall(get("/b", f"Connection: {keep}", method="POST", version="1.0", body=b"the body"))
            reply = reader.reply()
            assert (reply.body, reply.headers["Connection"]) == (b"POST /b the body", keep)
        assert reader.at_end()


def test_connect_is_501(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(b"CONNECT localhost:80 HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = reader.reply()
        assert (reply.status, reply.error) == (501, "CONNECT is not supported")
        assert reply.headers["Connection"] == "close" and reader.at_end()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, "OK"),
        (400, "Bad Request"),
        (405, "Method Not Allowed"),
        (417, "Expectation Failed"),
        (429, "Client Error"),
        (499, "Client Error"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (503, "Service Unavailable"),
        (504, "Gateway Time-out"),
    ],
)
def test_reason_phrases(doors: Http, status: int, reason: str) -> None:
    with doors.connect() as sock:
        sock.sendall(get("/wait", "Connection: close"))
        doors.wait_for(1)
        doors.call(lambda: doors.waiting[0].respond(status, b""))
        assert read_all(sock).startswith(f"HTTP/1.1 {status} {reason}\r\n".encode())


def test_headers_that_handlers_see(doors: Http) -> None:
    with doors.connect() as sock:
        sock.sendall(get("/wait", "CONTENT-ENCODING: my_gzip", "oRiGiN: http://x"))
        doors.wait_for(1)
        assert (
            doors.waiting[0].field(b"content-encoding") == b"my_gzip"
            and doors.waiting[0].field(b"origin") == b"http://x"
        )


def test_expect_100_continue(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/e", "Expect: 100-Continue", "Content-Length: 4", method="POST"))
        assert reader.reply().status == 100
        sock.sendall(b"body")
        reply = reader.reply()
        assert reply.status == 200 and reply.body == b"POST /e body"


@pytest.mark.parametrize("waits", ["1.0", "1.1"])
def test_no_100_continue(doors: Http, waits: str) -> None:
    """A client of HTTP/1.0 doesn't know it, and behind other requests it would not be in its place."""
    with doors.connect() as sock, Reader(sock) as reader:
        head = get("/e", "Expect: 100-continue", "Content-Length: 4", method="POST", version=waits)
        sock.sendall((get("/wait") if waits == "1.1" else b"") + head)
        if waits == "1.1":
            doors.wait_for(1)
        sock.sendall(b"body")
        if waits == "1.1":
            doors.answer("/wait")
            assert reader.reply().body == b"/wait"
        reply = reader.reply()
        assert (reply.status, reply.body) == (200, b"POST /e body")


def test_other_expectations(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/e", "Expect: magic", "Content-Length: 4", method="POST"))
        reply = reader.reply()
        assert reply.status == 417 and "magic" in reply.error and reply.headers["Connection"] == "close"
        assert reader.at_end()


def test_expect_100_continue_for_a_body_that_is_too_large(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/e", "Expect: 100-continue", f"Content-Length: {MAX_BODY + 1}", method="POST"))
        assert reader.reply().status == 413
        assert reader.at_end()


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_not_taken_up(doors: Http, upgrade: str) -> None:
    """Clients such as Java's offer h2c with every first request, and take an answer in HTTP/1.1."""
    fields = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/u", *fields, method="POST", body=b"the body") + get("/next"))
        assert reader.reply().body == b"POST /u the body"
        assert reader.reply().body == b"GET /next "


# --- limits --------------------------------------------------------------------------------------------------------


def test_bodies_up_to_the_limit(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/b", method="POST", body=bytes(MAX_BODY)))
        assert len(reader.reply().body) == MAX_BODY + len("POST /b ")


@pytest.mark.parametrize("sent", [0, 10, MAX_BODY + 1, 8 * MAX_BODY])
def test_too_large_by_content_length(doors: Http, sent: int) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/b", f"Content-Length: {max(sent, MAX_BODY + 1)}", method="POST"))
        sock.sendall(bytes(sent))
        reply = reader.reply()
        assert reply.status == 413 and str(MAX_BODY) in reply.error
        assert reader.at_end()
    assert doors.connections.buffered_bytes == 0


def test_too_large_in_chunks(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/b", "Transfer-Encoding: chunked", method="POST"))
        for _ in range(24):
            sock.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
        assert reader.reply().status == 413
        assert reader.at_end()
    assert doors.connections.buffered_bytes == 0


@pytest.mark.parametrize("size", [MAX_HEAD - 100, MAX_HEAD + 100, 20 * MAX_HEAD, 600_000])
@pytest.mark.parametrize("where", ["field", "fields", "target"])
@pytest.mark.parametrize("piece", [1_000, 1 << 20])
def test_heads_are_bounded(doors: Http, size: int, where: str, piece: int) -> None:
    if where == "field":
        data = get("/t", f"X: {'a' * size}")
    elif where == "fields":
        data = get("/t", *[f"X{i}: {'a' * 85}" for i in range(size // 93)])
    else:
        data = get("/" + "a" * size)
    with doors.connect() as sock, Reader(sock) as reader:
        for start in range(0, len(data), piece):
            sock.sendall(data[start : start + piece])
        reply = reader.reply()
        assert reply.status == (200 if size < MAX_HEAD else 431)
        if size >= MAX_HEAD:
            assert "head" in reply.error and reader.at_end()


def test_a_large_body_behind_a_head_in_two_pieces(doors: Http) -> None:
    data = get("/b", method="POST", body=bytes(200_000))
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/wait0") + data[:20])
        doors.wait_for(1)
        sock.sendall(data[20:])
        doors.answer("/wait0")
        assert reader.reply().body == b"/wait0"
        assert reader.reply().body == b"POST /b " + bytes(200_000)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 3_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_malformed_requests(doors: Http, data: bytes) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/wait0") + data)
        doors.wait_for(1)
        doors.answer("/wait0")
        assert reader.reply().body == b"/wait0"
        reply = reader.reply()
        assert reply.status == 400 and "malformed HTTP request" in reply.error
        assert reply.headers["Connection"] == "close" and reader.at_end()


# --- waiting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", get("/", "Content-Length: 9") + b"abc"])
def test_a_slow_sender_gets_408(part: bytes) -> None:
    with Http(request_timeout_seconds=0.05) as doors, doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(part)
        reply = reader.reply()
        assert reply.status == 408 and reader.at_end()
        assert doors.connections.buffered_bytes == 0


def test_a_slow_sender_gets_earlier_answers_first() -> None:
    with Http(request_timeout_seconds=0.05) as doors, doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/wait0") + b"GET")
        doors.wait_for(1)
        connection = doors.call(lambda: next(iter(doors.connections._open)))
        wait_until(lambda: connection._closing)  # type: ignore[attr-defined]
        doors.answer("/wait0")
        assert reader.reply().body == b"/wait0"
        assert reader.reply().status == 408 and reader.at_end()


def test_a_connection_without_a_request_may_stay() -> None:
    with Http(request_timeout_seconds=0.05) as doors, doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/a") + b"\r\n")  # an empty line behind a request is no request
        assert reader.reply().status == 200
        now = doors.call(lambda: doors._loop.time())
        wait_until(lambda: doors.call(lambda: doors._loop.time()) > now + 0.15)
        sock.sendall(get("/b"))
        assert reader.reply().body == b"GET /b "


def test_idle_connections_are_closed() -> None:
    with Http(idle_timeout_seconds=0.05) as doors, doors.connect() as never:
        with doors.connect() as sock, Reader(sock) as reader:
            sock.sendall(get("/a"))
            assert reader.reply().status == 200
            assert reader.at_end()
        assert read_all(never) == b""


def test_a_connection_that_waits_for_its_answer_is_not_idle() -> None:
    with Http(idle_timeout_seconds=0.1) as doors, doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/wait"))
        doors.wait_for(1)
        now = doors.call(lambda: doors._loop.time())
        wait_until(lambda: doors.call(lambda: doors._loop.time()) > now + 0.2)
        answered = doors.call(lambda: (doors.waiting[0].respond(200, b"done"), doors._loop.time())[1])
        assert reader.reply().body == b"done"
        assert reader.at_end()
        assert doors.call(lambda: doors._loop.time()) - answered > 0.08  # idle from its answer on


def test_a_client_that_does_not_read_is_cut_off() -> None:
    with Http(request_timeout_seconds=0.1) as doors, doors.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(get("/large?20000000") * 3)
        wait_until(lambda: sock.recv(1, socket.MSG_PEEK))
        wait_until(lambda: doors.open_count() == 0)


def test_a_closed_connection_whose_client_does_not_read_is_not_kept() -> None:
    with Http(request_timeout_seconds=0.1) as doors, doors.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(get("/large?3900000", "Connection: close"))
        wait_until(lambda: sock.recv(1, socket.MSG_PEEK))
        wait_until(lambda: doors.open_count() == 0)


def test_a_slow_reader_gets_everything(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/large?20000000") * 2 + get("/last"))
        wait_until(lambda: any(c._paused_writing_at for c in list(doors.connections._open)))  # type: ignore[attr-defined]
        assert [len(reader.reply().body) for _ in range(2)] == [20_000_000] * 2
        assert reader.reply().body == b"GET /last "


# --- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [b"", b"GET /half HTTP/1.1\r\n"])
def test_a_client_that_closes_cancels(doors: Http, rest: bytes) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/wait0") + get("/wait1") + rest)
        doors.wait_for(2)
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: doors.open_count() == 0)
        assert reader.at_end()
    assert doors.cancelled == ["/wait0", "/wait1"]


def test_trailers_are_not_header_fields(doors: Http) -> None:
    head = b"POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(head + b"3\r\nabc\r\n0\r\nContent-Encoding: gzip\r\nExpect: nothing\r\n\r\n")
        doors.wait_for(1)
        (exchange,) = doors.waiting
        assert (exchange.body, exchange.field(b"content-encoding")) == (b"abc", b"")
        doors.answer("/wait")
        assert reader.reply().body == b"/wait"


def test_a_client_that_goes_away_cancels(doors: Http) -> None:
    with doors.connect() as sock:
        sock.sendall(get("/wait0") + get("/wait1") + get("/half", "Content-Length: 9") + b"abc")
        doors.wait_for(2)
        doors.answer("/wait1")
        wait_until(lambda: doors.connections.buffered_bytes == 3)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(lambda: doors.open_count() == 0)
    assert doors.cancelled == ["/wait0"]
    assert doors.connections.buffered_bytes == 0
    doors.answer("/wait0")  # too late, and harmless


def test_drain_answers_everything_that_was_asked(doors: Http) -> None:
    with doors.connect() as sock, doors.connect() as idle, Reader(sock) as reader:
        sock.sendall(get("/wait0") + get("/wait1") + get("/wait2"))
        doors.wait_for(3)
        drained = doors.drain(10)
        assert read_all(idle) == b""
        for i in (1, 0, 2):
            doors.answer(f"/wait{i}")
        replies = [reader.reply() for _ in range(3)]
        assert [reply.body for reply in replies] == [b"/wait0", b"/wait1", b"/wait2"]
        assert replies[2].headers["Connection"] == "close" and reader.at_end()
        drained.result(5)
        assert not doors.cancelled


def test_drain_takes_a_request_that_has_begun(doors: Http) -> None:
    with doors.connect() as sock, Reader(sock) as reader:
        data = get("/b", method="POST", body=b"the body")
        sock.sendall(data[:-4])
        wait_until(lambda: doors.connections.buffered_bytes)
        drained = doors.drain(10)
        doors.call(lambda: None)
        sock.sendall(data[-4:])
        reply = reader.reply()
        assert reply.body == b"POST /b the body" and reply.headers["Connection"] == "close"
        assert reader.at_end()
        drained.result(5)


def test_drain_ends_in_time(doors: Http) -> None:
    with doors.connect() as sock:
        sock.sendall(get("/wait0"))
        doors.wait_for(1)
        doors.drain(0.05).result(5)
        assert doors.open_count() == 0 and doors.cancelled == ["/wait0"]
        assert read_all(sock) == b""


def test_no_connections_while_draining(doors: Http) -> None:
    doors.drain(5).result(5)
    with doors.connect() as sock, contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""


def test_too_many_connections() -> None:
    with Http(max_connections=1) as doors:
        with doors.connect() as sock, Reader(sock) as reader:
            sock.sendall(get("/a"))
            assert reader.reply().status == 200
            with doors.connect() as second, contextlib.suppress(ConnectionResetError):
                assert second.recv(1) == b""
            sock.sendall(get("/b"))
            assert reader.reply().status == 200
        wait_until(lambda: doors.open_count() == 0)
        with doors.connect() as sock, Reader(sock) as reader:
            sock.sendall(get("/c"))
            assert reader.reply().status == 200


def test_too_many_bytes_on_their_way(doors: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "BUFFER_BUDGET", 1_000)
    with doors.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/b", "Content-Length: 5000", method="POST") + bytes(2_000))
        assert reader.reply().status == 503
    wait_until(lambda: doors.connections.buffered_bytes == 0)


# --- chance --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lasting() -> Iterator[Http]:
    with Http() as opened:
        yield opened


def converse(doors: Http, pieces: list[bytes]) -> bytes:
    with doors.connect() as sock:
        try:
            for piece in pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)
        except OSError:  # reset while there was more to say
            return b""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=80), max_size=4))
@example(pieces=[b"\r\n\r\n"])
def test_random_bytes_never_harm_the_server(lasting: Http, pieces: list[bytes]) -> None:
    converse(lasting, pieces)
    assert not lasting.complaints


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_damaged_requests_never_harm_the_server(lasting: Http, seed: int) -> None:
    rng = Random(seed)
    data = bytearray(
        get("/a", method="POST", body=b"abc")
        + get("/b", "Transfer-Encoding: chunked", method="POST")
        + b"3\r\nabc\r\n0\r\n\r\n"
        + get("/c", "Expect: 100-continue", "Connection: keep-alive")
    )
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice(b"\r\n :\0/aG9\xff")
    cut = rng.randrange(len(data))
    converse(lasting, [bytes(data[:cut]), bytes(data[cut:])])
    assert not lasting.complaints


def test_the_server_lives_on(lasting: Http) -> None:
    with lasting.connect() as sock, Reader(sock) as reader:
        sock.sendall(get("/a"))
        assert reader.reply().status == 200
    wait_until(lambda: lasting.open_count() == 0)
    assert lasting.connections.buffered_bytes == 0
