"""Requests under a head that is known mean what the parser says they mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontend import heads as heads_module
from frontend.connections import Connections
from frontend.exchange import Exchange
from frontend.heads import Heads
from frontend.http1 import HttpConnection
from protos.configs import FrontendConfig

PLAIN = b"POST /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nContent-Length: 3\r\n\r\n"


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def write_eof(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Blind(Heads):
    """Knows none."""

    def find(self, data: bytes) -> None:
        return None


class Side:
    """Connections of one front end, whose handler answers with what it sees."""

    def __init__(self, loop: asyncio.AbstractEventLoop, heads: Heads) -> None:
        self.connections = Connections(loop, max_connections=1000)
        self.connections.heads = heads
        self._loop = loop

    def connect(self) -> tuple[HttpConnection, Transport]:
        config = FrontendConfig(max_body_bytes=10_000)
        connection = HttpConnection(self._loop, config, self.connections, self.answer, str.encode)
        transport = Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        return connection, transport

    @staticmethod
    def answer(exchange: Exchange) -> None:
        seen = (exchange.method, exchange.target, exchange.body, sorted(exchange.fields.items()), exchange.http10)
        exchange.respond(200, repr(seen).encode())

    def converse(self, pieces: list[bytes]) -> tuple[bytes, bool]:
        """What is answered, but for the time, and whether the connection was closed."""
        connection, transport = self.connect()
        for piece in pieces:
            connection.data_received(piece)
        connection.connection_lost(None)
        return re.sub(rb"Date: [^\r]*\r\n", b"", transport.sent), transport.closed


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    opened = asyncio.new_event_loop()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sides(loop: asyncio.AbstractEventLoop) -> tuple[Side, Side]:
    return Side(loop, Heads()), Side(loop, Blind())


def known(side: Side) -> int:
    return len(side.connections.heads._known)


def request(rng: Random) -> bytes:
    method = rng.choice(["POST", "POST", "POST", "GET", "HEAD", "CONNECT"])
    lines = [f"{method} {rng.choice(['/a', '/b?c'])} HTTP/{rng.choice(['1.1', '1.1', '1.1', '1.0'])}", "Host: x"]
    for field in (
        "Accept: */*",
        "Accept: application/x-protobuf",
        "X-Other: y",
        "Connection: close",
        "Connection: keep-alive",
        "Expect: 100-continue",
        "Upgrade: h2c\r\nConnection: Upgrade",
    ):
        if rng.random() < 0.15:
            lines.append(field)
    body = rng.choice([b"", b"abc", b"xyz", b"\r\n\r\nabc", b"GET / HTTP/1.1\r\n\r\n"])
    if rng.random() < 0.1:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    elif body or rng.random() < 0.5:
        lines.append(f"Content-Length: {len(body) + rng.choice([0] * 20 + [1, -1])}")
    end = rng.choice(["\r\n"] * 20 + ["\n"])
    return end.join([*lines, "", ""]).encode() + body


def pieces(rng: Random) -> list[bytes]:
    """A conversation: a few requests, most of them each in one piece."""
    sent = [request(rng) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.3:
        data = b"".join(sent)
        cut = rng.randrange(len(data))
        return [piece for piece in (data[:cut], data[cut:]) if piece]
    return sent


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_all_conversations_go_as_without_them(sides: tuple[Side, Side], seed: int) -> None:
    knowing, blind = sides
    assert knowing.converse(pieces(Random(seed))) == blind.converse(pieces(Random(seed)))


def test_a_head_is_known_the_second_time(loop: asyncio.AbstractEventLoop) -> None:
    side = Side(loop, Heads())
    first, _ = side.converse([PLAIN + b"abc"])
    head = side.connections.heads.find(PLAIN + b"xyz")
    assert head is not None and (head.method, head.target, head.size) == ("POST", "/a", len(PLAIN))
    assert side.converse([PLAIN + b"xyz"])[0] == first.replace(b"abc", b"xyz")


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.replace(b"Accept: */*", b"Connection: close") + b"abc",
        PLAIN.replace(b"Accept: */*", b"Expect: 100-continue") + b"abc",
        PLAIN.replace(b"/1.1", b"/1.0") + b"abc",
        PLAIN.replace(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        PLAIN.replace(b"*/*", b"x" * 1024) + b"abc",
        2 * (PLAIN + b"abc"),
    ],
)
def test_only_plain_heads_are_known(loop: asyncio.AbstractEventLoop, data: bytes) -> None:
    side = Side(loop, Heads())
    side.converse([data])
    assert known(side) == 0


def test_a_body_in_a_later_piece_is_left_to_the_parser(loop: asyncio.AbstractEventLoop) -> None:
    side = Side(loop, Heads())
    whole, _ = side.converse([PLAIN + b"abc"])
    for cut in range(1, len(PLAIN) + 3):
        assert side.converse([(PLAIN + b"abc")[:cut], (PLAIN + b"abc")[cut:]]) == (whole, False)


def test_nothing_is_taken_after_the_last_request(loop: asyncio.AbstractEventLoop) -> None:
    side = Side(loop, Heads())
    side.converse([PLAIN + b"abc"])
    held: list[Exchange] = []
    side.answer = held.append  # type: ignore[method-assign]
    last = PLAIN.replace(b"Accept: */*", b"Connection: close") + b"abc"
    side.converse([PLAIN + b"abc", last, PLAIN + b"abc"])
    assert [exchange.keep_alive for exchange in held] == [True, False]


def test_they_stay_bounded(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_module, "_MAX_HEADS", 10)
    side = Side(loop, Heads())
    for i in range(25):
        side.converse([b"GET /%d HTTP/1.1\r\n\r\n" % i])
        assert known(side) <= 10
    assert known(side) == 5
