"""The HTTP/2 module against nghttp2 in the client's role, and against bytes at random."""

from __future__ import annotations

from random import Random

import ngh2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frontend.http2 import NO_ERROR, ConnectionBroken, Headers, Http2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"localhost"),
    (b":path", b"/service/Method"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]
OK = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"),)

CANCEL = int(ngh2.ErrorCode.CANCEL)


class Recorder:
    def __init__(self) -> None:
        self.requests: list[tuple[int, dict[bytes, bytes], bool]] = []
        self.bodies: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.closed: list[int] = []

    def on_request(self, stream_id: int, headers: Headers, ended: bool) -> None:
        self.requests.append((stream_id, dict(headers), ended))
        if ended:
            self.ended.append(stream_id)

    def on_data(self, stream_id: int, data: bytes, ended: bool) -> None:
        self.bodies[stream_id] = self.bodies.get(stream_id, b"") + data
        if ended:
            self.ended.append(stream_id)

    def on_closed(self, stream_id: int) -> None:
        self.closed.append(stream_id)


class Pair:
    """A server of ours and a client, joined by hand."""

    def __init__(self, *, max_streams: int = 100, max_header_bytes: int = 16_384) -> None:
        self.seen = Recorder()
        self.server = Http2(self.seen, max_streams=max_streams, max_header_bytes=max_header_bytes)
        self.client = ngh2.Connection(ngh2.Role.CLIENT)
        self.client.initiate_connection()
        self.events: list[ngh2.Event] = []
        self.pump()

    def pump(self) -> None:
        while True:
            to_server = self.client.data_to_send()
            if to_server:
                self.server.receive(to_server)
            to_client = b"".join(self.server.pending_bytes())
            if to_client:
                self.client.receive_data(to_client)
            self.events.extend(self.client.events())
            if not to_server and not to_client:
                if not self.server.is_over:
                    self.server.receive(b"")  # what ended by the server's own writing is told now
                return

    def of(self, kind: type[ngh2.Event], stream_id: int | None = None) -> list[ngh2.Event]:
        return [e for e in self.events if type(e) is kind and (stream_id is None or e.stream_id == stream_id)]

    def body(self, stream_id: int) -> bytes:
        return b"".join(e.data for e in self.of(ngh2.DataReceived, stream_id))


def test_a_unary_call() -> None:
    pair = Pair()
    stream = pair.client.send_request(REQUEST)
    pair.client.send_data(stream, b"question", end_stream=True)
    pair.pump()
    (request,) = pair.seen.requests
    assert request[0] == stream and request[1][b":path"] == b"/service/Method" and not request[2]
    assert pair.seen.bodies[stream] == b"question" and pair.seen.ended == [stream]
    pair.server.respond(stream, OK, b"answer", TRAILERS)
    pair.pump()
    assert dict(pair.of(ngh2.ResponseReceived, stream)[0].headers)[b":status"] == b"200"
    assert pair.body(stream) == b"answer"
    assert dict(pair.of(ngh2.TrailersReceived, stream)[0].headers) == dict(TRAILERS)
    assert pair.seen.closed == [stream]


def test_an_answer_of_headers_only() -> None:
    pair = Pair()
    stream = pair.client.send_request(REQUEST, end_stream=True)
    pair.pump()
    assert pair.seen.requests[0][2] and pair.seen.ended == [stream]
    pair.server.respond_headers(stream, OK + ((b"grpc-status", b"12"),))
    pair.pump()
    response = pair.of(ngh2.ResponseReceived, stream)[0]
    assert response.end_stream and dict(response.headers)[b"grpc-status"] == b"12"


def test_trailers_of_the_client_end_its_body() -> None:
    pair = Pair()
    stream = pair.client.send_request(REQUEST)
    pair.client.send_data(stream, b"abc")
    pair.client.send_trailers(stream, [(b"x-checksum", b"1")])
    pair.pump()
    assert pair.seen.bodies[stream] == b"abc" and pair.seen.ended == [stream]


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 5 << 20, 20 << 20])
def test_bodies_larger_than_the_windows_go_both_ways(size: int) -> None:
    pair = Pair()
    data = Random(size).randbytes(size)
    stream = pair.client.send_request(REQUEST)
    pair.client.send_data(stream, data, end_stream=True)
    pair.pump()
    assert pair.seen.bodies.get(stream, b"") == data and pair.seen.ended == [stream]
    pair.server.respond(stream, OK, data, TRAILERS)
    pair.pump()
    assert pair.body(stream) == data
    assert pair.of(ngh2.TrailersReceived, stream)


def test_answers_in_any_order() -> None:
    pair = Pair()
    streams = [pair.client.send_request(REQUEST, end_stream=True) for _ in range(20)]
    pair.pump()
    for stream in reversed(streams):
        pair.server.respond(stream, OK, b"%d" % stream, TRAILERS)
    pair.pump()
    assert [pair.body(stream) for stream in streams] == [b"%d" % stream for stream in streams]
    assert sorted(pair.seen.closed) == streams


def test_the_client_gives_up() -> None:
    pair = Pair()
    stream = pair.client.send_request(REQUEST)
    pair.pump()
    pair.client.reset_stream(stream, CANCEL)
    pair.pump()
    assert pair.seen.closed == [stream]
    # A late answer goes nowhere and harms nothing.
    pair.server.respond(stream, OK, b"late", TRAILERS)
    pair.server.respond_headers(stream, OK)
    pair.server.reset(stream, CANCEL)
    pair.pump()
    assert not pair.of(ngh2.ResponseReceived)
    again = pair.client.send_request(REQUEST, end_stream=True)
    pair.pump()
    assert pair.seen.ended == [again]


def test_the_server_resets() -> None:
    pair = Pair()
    stream = pair.client.send_request(REQUEST)
    pair.pump()
    pair.server.reset(stream, CANCEL)
    pair.pump()
    assert pair.of(ngh2.StreamReset, stream)[0].error_code == CANCEL
    assert pair.seen.closed == [stream]


def test_an_answer_to_a_stream_that_never_was() -> None:
    pair = Pair()
    pair.server.respond(99, OK, b"x", TRAILERS)
    pair.server.respond_headers(99, OK)
    pair.server.reset(99, CANCEL)
    pair.pump()
    assert not pair.of(ngh2.ResponseReceived)


def test_limits_are_announced() -> None:
    pair = Pair(max_streams=7, max_header_bytes=5_000)
    settings_ = pair.client.remote_settings
    assert settings_[ngh2.Setting.MAX_CONCURRENT_STREAMS] == 7
    assert settings_[ngh2.Setting.MAX_HEADER_LIST_SIZE] == 5_000


def test_too_large_headers_reach_nobody() -> None:
    pair = Pair(max_header_bytes=2_000)
    stream = pair.client.send_request([*REQUEST, (b"x-large", b"a" * 3_000)], end_stream=True)
    try:
        pair.pump()
    except ConnectionBroken:
        pass
    else:
        assert pair.of(ngh2.StreamReset, stream)
    assert not pair.seen.requests


def test_going_away_lets_open_streams_finish() -> None:
    pair = Pair()
    stream = pair.client.send_request(REQUEST, end_stream=True)
    pair.pump()
    pair.server.shutdown_notice()
    pair.pump()
    assert pair.of(ngh2.GoAwayReceived)[0].error_code == NO_ERROR
    pair.server.goaway()
    pair.pump()
    assert not pair.server.is_over
    pair.server.respond(stream, OK, b"last", TRAILERS)
    pair.pump()
    assert pair.body(stream) == b"last"
    assert pair.server.is_over


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        PREFACE + b"\x00\x00\x00\x01\x04\x00\x00\x00\x01",  # HEADERS before SETTINGS
        PREFACE + b"\x00\x00\x05\x04\x00\x00\x00\x00\x00" + bytes(5),  # SETTINGS of a length that cannot be
        PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",  # huge frame
    ],
)
def test_broken_protocol(data: bytes) -> None:
    seen = Recorder()
    server = Http2(seen, max_streams=10, max_header_bytes=1_000)
    try:
        server.receive(data)
    except ConnectionBroken:
        b"".join(server.pending_bytes())
    else:  # told to the peer by a GOAWAY, after which there is no more
        assert b"".join(server.pending_bytes())
        assert server.is_over
    assert not seen.requests


def feed(pieces: list[bytes]) -> None:
    server = Http2(Recorder(), max_streams=10, max_header_bytes=4_000)
    for piece in pieces:
        try:
            server.receive(piece)
        except ConnectionBroken:
            b"".join(server.pending_bytes())
            assert isinstance(server.is_over, bool)
            return
        b"".join(server.pending_bytes())
        assert isinstance(server.is_over, bool)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
@example([b""], True)
def test_random_bytes_raise_nothing_else(pieces: list[bytes], polite: bool) -> None:
    start = [PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"] if polite else []
    feed(start + pieces)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_conversations_raise_nothing_else(seed: int) -> None:
    rng = Random(seed)
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    for _ in range(rng.randint(1, 4)):
        stream = client.send_request(REQUEST)
        client.send_data(stream, rng.randbytes(rng.randint(0, 100)), end_stream=rng.random() < 0.7)
        if rng.random() < 0.2:
            client.reset_stream(stream, CANCEL)
    if rng.random() < 0.3:
        client.ping(b"12345678")
    data = bytearray(client.data_to_send())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if rng.random() < 0.3 else rng.randrange(24, len(data))
        data[at] ^= 1 << rng.randrange(8)
    cuts = sorted(rng.randrange(len(data)) for _ in range(rng.randint(0, 3)))
    feed([bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])
