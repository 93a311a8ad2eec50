"""Connections with large JSON bodies are served by another front end, and nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from frontend.connections import Connections
from frontend.exchange import Exchange
from frontend.handover import BULK_BYTES, Handover, Taker
from frontend.http1 import HttpConnection
from protos.configs import FrontendConfig
from tests.doors import Doors, read_all
from tests.loops import wait_until

BODY = b"b" * BULK_BYTES


class Http(Doors):
    """Answers with its name and what it got; what goes to /wait is answered when something else comes."""

    def __init__(self, name: str, loop: str, others: list[Path] | None = None, **config: object) -> None:
        self.name = name
        self.waiting: list[Exchange] = []
        self.answered = 0
        self.pass_on = Handover([str(path) for path in others]) if others is not None else None
        self.taker: Taker | None = None

        super().__init__(self.make, FrontendConfig(**{"max_body_bytes": 4 * BULK_BYTES, **config}), loop=loop)

    def make(
        self,
        loop: asyncio.AbstractEventLoop,
        config: FrontendConfig,
        connections: Connections,
        read: bytes = b"",
    ) -> asyncio.Protocol:
        return HttpConnection(loop, config, connections, self.handle, error_body, pass_on=self.pass_on, read=read)

    def handle(self, exchange: Exchange) -> None:
        if exchange.target == "/wait":
            self.waiting.append(exchange)
            return
        for waiting in self.waiting:
            waiting.respond(200, self.name.encode())
        self.waiting.clear()
        self.answered += 1
        if exchange.target.startswith("/large?"):
            exchange.respond(200, bytes(int(exchange.target[7:])))
            return
        exchange.respond(200, f"{self.name} {exchange.method} {exchange.target} {len(exchange.body)}".encode())

    def take_at(self, path: Path) -> None:
        """Take connections over from now on."""

        def begin() -> None:
            make = partial(self.make, self._loop, self._config, self.connections)
            self.taker = Taker(self._loop, str(path), make)

        self.call(begin)

    def __exit__(self, *why: object) -> None:
        if self.pass_on is not None:
            self.call(self.pass_on.close)
        super().__exit__(*why)

    def stop_taking(self) -> None:
        if self.taker is not None:
            taker, self.taker = self.taker, None
            self.call(taker.close)


def error_body(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


@pytest.fixture(params=["uvloop", "asyncio"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Http, Http]]:
    path = tmp_path / "bulk.sock"
    with Http("door", request.param, [path]) as door, Http("bulk", request.param) as bulk:
        bulk.take_at(path)
        yield door, bulk
        bulk.stop_taking()


def post(*fields: str, body: bytes = BODY, target: str = "/a") -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: x", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def answers(sock: socket.socket, count: int) -> list[str]:
    """Bodies of so many answers; no more have come."""
    bodies = []
    with sock.makefile("rb") as file:
        for _ in range(count):
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            fields = http.client.parse_headers(file)
            bodies.append(file.read(int(fields["Content-Length"])).decode())
    return bodies


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_large_body_takes_its_connection_along(pair: tuple[Http, Http]) -> None:
    door, bulk = pair
    with door.connect() as sock:
        sock.sendall(post(body=b"bbbb"))
        assert answers(sock, 1) == ["door POST /a 4"]
        for _ in range(2):
            sock.sendall(post())
            assert answers(sock, 1) == [f"bulk POST /a {len(BODY)}"]
        sock.sendall(post(body=b"bbbb"))
        assert answers(sock, 1) == ["bulk POST /a 4"]
        assert (door.open_count(), bulk.open_count()) == (0, 1)
    wait_until(lambda: bulk.open_count() == 0)


@pytest.mark.parametrize("cut", [60, 70, 5_000])
def test_in_pieces(pair: tuple[Http, Http], cut: int) -> None:
    door, bulk = pair
    data = post()
    with door.connect() as sock:
        sock.sendall(data[:cut])
        wait_until(lambda: bulk.open_count() == 1 or cut < data.index(b"\r\n\r\n") + 4)
        sock.sendall(data[cut:])
        # A head in two pieces is left where it is: how it began is no longer known.
        name = "bulk" if cut >= data.index(b"\r\n\r\n") + 4 else "door"
        assert answers(sock, 1) == [f"{name} POST /a {len(BODY)}"]


@pytest.mark.parametrize(
    "data",
    [
        post(body=BODY[1:]),
        post("Content-Type: application/x-protobuf"),
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        post(body=b"bbbb") + post(),
    ],
    ids=["small", "protobuf", "chunked", "pipelined"],
)
def test_what_stays(pair: tuple[Http, Http], data: bytes) -> None:
    door, bulk = pair
    with door.connect() as sock:
        sock.sendall(data)
        for answer in answers(sock, data.count(b"POST")):
            assert answer.startswith("door POST /a ")
        assert bulk.open_count() == 0


def test_a_connection_that_waits_for_an_answer_stays(pair: tuple[Http, Http]) -> None:
    door, _ = pair
    with door.connect() as sock:
        sock.sendall(post(body=b"", target="/wait"))
        wait_until(lambda: len(door.waiting) == 1)
        sock.sendall(post())
        assert answers(sock, 2) == ["door", f"door POST /a {len(BODY)}"]


def test_the_limit_of_a_body_holds(pair: tuple[Http, Http]) -> None:
    door, _ = pair
    with door.connect() as sock:
        sock.sendall(f"POST /a HTTP/1.1\r\nContent-Length: {8 * BULK_BYTES}\r\n\r\n".encode())
        assert read_all(sock).startswith(b"HTTP/1.1 413 ")


def test_expect_100_continue(pair: tuple[Http, Http]) -> None:
    door, bulk = pair
    head, _, body = post("Expect: 100-continue").partition(b"\r\n\r\n")
    with door.connect() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert answers(sock, 1) == [f"bulk POST /a {len(BODY)}"]
    assert bulk.open_count() <= 1


def test_the_last_request_of_a_connection(pair: tuple[Http, Http]) -> None:
    door, bulk = pair
    with door.connect() as sock:
        sock.sendall(post("Connection: close"))
        assert read_all(sock).endswith(f"bulk POST /a {len(BODY)}".encode())
    wait_until(lambda: bulk.open_count() == 0)


def test_nobody_to_take_it(pair: tuple[Http, Http]) -> None:
    door, bulk = pair
    bulk.stop_taking()
    with door.connect() as sock:
        sock.sendall(post())
        assert answers(sock, 1) == [f"door POST /a {len(BODY)}"]


def test_the_next_one_takes_it(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("gone.sock", "full.sock", "bulk.sock")]
    with Http("door", "uvloop", paths) as door, Http("bulk", "uvloop") as bulk:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
        ):
            full.bind(str(paths[1]))
            filler.setblocking(False)
            with pytest.raises(BlockingIOError):
                for _ in range(100_000):
                    filler.sendto(b"x", str(paths[1]))
            bulk.take_at(paths[2])
            for _ in range(4):
                with door.connect() as sock:
                    sock.sendall(post())
                    assert answers(sock, 1) == [f"bulk POST /a {len(BODY)}"]
        bulk.stop_taking()


def test_connections_are_spread(tmp_path: Path) -> None:
    paths = [tmp_path / "0.sock", tmp_path / "1.sock"]
    with Http("door", "uvloop", paths) as door, Http("0", "uvloop") as first, Http("1", "uvloop") as second:
        first.take_at(paths[0])
        second.take_at(paths[1])
        socks = [door.connect() for _ in range(6)]
        for sock in socks:
            sock.sendall(post())
            answers(sock, 1)
        assert (first.open_count(), second.open_count()) == (3, 3)
        for sock in socks:
            sock.close()
        first.stop_taking()
        second.stop_taking()


def test_whoever_takes_over_may_have_no_room(tmp_path: Path) -> None:
    path = tmp_path / "bulk.sock"
    with Http("door", "uvloop", [path]) as door, Http("bulk", "uvloop", max_connections=1) as bulk:
        bulk.take_at(path)
        with door.connect() as first, door.connect() as second:
            first.sendall(post())
            answers(first, 1)
            with contextlib.suppress(ConnectionError):
                second.sendall(post())
                assert read_all(second) == b""
            assert bulk.open_count() == 1
        bulk.stop_taking()


def test_answers_that_have_not_left_keep_a_connection(pair: tuple[Http, Http]) -> None:
    door, bulk = pair
    large = 3_000_000
    with door.connect() as sock:
        sock.sendall(2 * f"GET /large?{large} HTTP/1.1\r\n\r\n".encode() + post(body=b"bbbb"))
        wait_until(lambda: door.answered == 3)
        sock.sendall(post())
        received = answers(sock, 4)
        assert [len(body) for body in received[:2]] == [large, large]
        assert received[2:] == ["door POST /a 4", f"door POST /a {len(BODY)}"]
        assert bulk.open_count() == 0


def test_what_was_passed_on_before_the_end_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "bulk.sock"
    with Http("door", "uvloop", [path]) as door, Http("bulk", "uvloop") as bulk:
        bulk.take_at(path)

        def hold_up() -> None:
            """Connections are passed on meanwhile, and the end comes at once."""
            wait_until(lambda: door.open_count() == 0)
            assert bulk.taker is not None
            bulk.taker.close()

        with door.connect() as sock:
            wait_until(lambda: door.open_count() == 1)
            sock.sendall(post())
            bulk.call(hold_up)
            assert answers(sock, 1) == [f"bulk POST /a {len(BODY)}"]
        taker, bulk.taker = bulk.taker, None
        assert taker is not None
        asyncio.run_coroutine_threadsafe(taker.settle(), bulk._loop).result(10)


def test_a_client_that_has_gone(pair: tuple[Http, Http]) -> None:
    door, bulk = pair
    before = open_files()
    for _ in range(20):
        with door.connect() as sock:
            sock.sendall(post()[:100_000])
    wait_until(lambda: door.open_count() == bulk.open_count() == 0)
    wait_until(lambda: open_files() <= before)


def test_a_datagram_that_is_none_of_ours(pair: tuple[Http, Http], tmp_path: Path) -> None:
    door, bulk = pair
    before = open_files()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.sendto(b"hello", str(tmp_path / "bulk.sock"))
    with door.connect() as sock:
        sock.sendall(post())
        assert answers(sock, 1) == [f"bulk POST /a {len(BODY)}"]
    wait_until(lambda: bulk.open_count() == 0 and open_files() <= before)
