"""gRPC's framing, timeouts and status trailers."""

from __future__ import annotations

import gzip
import tracemalloc
import urllib.parse
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.grpc import wire
from protos.errors import Code, ServingError

LIMIT = 1 << 20


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"1H", 3_600_000_000_000),
        (b"2M", 120_000_000_000),
        (b"3S", 3_000_000_000),
        (b"4m", 4_000_000),
        (b"5u", 5_000),
        (b"6n", 6),
        (b"0n", 0),
        (b"00000010S", 10_000_000_000),
        (b"99999999H", 99_999_999 * 3_600_000_000_000),
    ],
)
def test_timeouts(value: bytes, expected: int) -> None:
    assert wire.timeout_ns(value) == expected


@pytest.mark.parametrize(
    "value", [b"", b"S", b"10", b"10s", b"-1S", b"+1S", b"1.5S", b" 1S", b"100000000n", b"1 S", b"\xff"]
)
def test_malformed_timeouts(value: bytes) -> None:
    with pytest.raises(ServingError, match="malformed grpc-timeout") as raised:
        wire.timeout_ns(value)
    assert raised.value.code == Code.INVALID_ARGUMENT


def trailers(code: int, message: str) -> dict[bytes, bytes]:
    return dict(wire.status_trailers(ServingError(code, message)))


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        ("", b""),
        ("Servable not found for request: Latest(m)", b"Servable not found for request: Latest(m)"),
        ("100%", b"100%25"),
        ("a\nb\tc\0", b"a%0Ab%09c%00"),
        ("~\x7f", b"~%7F"),
        ("länge €", b"l%C3%A4nge %E2%82%AC"),
        ("\udcff", b"?"),
    ],
)
def test_messages_are_percent_encoded(message: str, encoded: bytes) -> None:
    assert trailers(5, message) == {b"grpc-status": b"5", b"grpc-message": encoded}


@given(st.text(max_size=300))
def test_percent_encoding_is_undone_by_decoding(message: str) -> None:
    encoded = trailers(3, message)[b"grpc-message"]
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert urllib.parse.unquote(encoded.decode()) == message.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("a" * 1024, "a" * 1024),
        ("a" * 1025, "a" * 1024 + "...TRUNCATED"),
        ("%" * 2000, "%25" * 1024 + "...TRUNCATED"),
    ],
)
def test_long_messages_are_cut_at_1024_bytes(message: str, expected: str) -> None:
    assert trailers(2, message)[b"grpc-message"] == expected.encode()


def test_a_character_cut_in_two_is_still_encoded() -> None:
    encoded = trailers(2, "a" * 1023 + "€")[b"grpc-message"]
    assert encoded == b"a" * 1023 + b"%E2" + b"...TRUNCATED"


def test_frames_go_round() -> None:
    for message in (b"", b"x", bytes(70_000)):
        assert bytes(wire.unframe(wire.frame(message), b"", LIMIT)) == message
        assert wire.declared_size(wire.frame(message)) == len(message)


def test_a_plain_message_is_not_copied() -> None:
    body = wire.frame(b"message")
    view = wire.unframe(body, b"identity", LIMIT)
    assert isinstance(view, memoryview) and view.obj is body


def compressed(data: bytes) -> bytes:
    return b"\1" + wire.frame(data)[1:]


GZIPPED = gzip.compress(b"message" * 100)


@pytest.mark.parametrize(
    ("body", "encoding", "code", "message"),
    [
        (b"", b"", Code.INTERNAL, "the request ended before its message did"),
        (b"\0\0\0\0", b"", Code.INTERNAL, "the request ended before its message did"),
        (b"\0\0\0\0\2a", b"", Code.INTERNAL, "exactly one message"),
        (b"\0\0\0\0\1ab", b"", Code.INTERNAL, "exactly one message"),
        (wire.frame(b"a") * 2, b"", Code.INTERNAL, "exactly one message"),
        (wire.frame(bytes(LIMIT + 1)), b"", Code.RESOURCE_EXHAUSTED, rf"larger than max \({LIMIT + 1} vs. {LIMIT}\)"),
        (b"\0\xff\xff\xff\xffa", b"", Code.RESOURCE_EXHAUSTED, rf"larger than max \(4294967295 vs. {LIMIT}\)"),
        (b"\2\0\0\0\1a", b"gzip", Code.INTERNAL, "compressed flag"),
        (compressed(GZIPPED), b"", Code.INTERNAL, "compressed flag set without a grpc-encoding"),
        (compressed(GZIPPED), b"identity", Code.INTERNAL, "compressed flag set without a grpc-encoding"),
        (compressed(GZIPPED), b"snappy", Code.UNIMPLEMENTED, "grpc-encoding snappy is not supported"),
        (compressed(b""), b"gzip", Code.INTERNAL, "ends too soon"),
        (compressed(b"not gzip"), b"gzip", Code.INTERNAL, "cannot decompress"),
        (compressed(GZIPPED[:-1]), b"gzip", Code.INTERNAL, "ends too soon"),
        (compressed(GZIPPED[:12]), b"gzip", Code.INTERNAL, "ends too soon"),
        (compressed(GZIPPED[:-8] + bytes(8)), b"gzip", Code.INTERNAL, "cannot decompress"),
        (compressed(zlib.compress(b"x")), b"gzip", Code.INTERNAL, "cannot decompress"),
    ],
)
def test_bodies_that_are_refused(body: bytes, encoding: bytes, code: int, message: str) -> None:
    with pytest.raises(ServingError, match=message) as raised:
        wire.unframe(body, encoding, LIMIT)
    assert raised.value.code == code


def test_gzip() -> None:
    assert wire.unframe(compressed(GZIPPED), b"gzip", LIMIT) == b"message" * 100
    assert wire.unframe(compressed(gzip.compress(b"")), b"gzip", LIMIT) == b""
    exact = bytes(LIMIT)
    assert wire.unframe(compressed(gzip.compress(exact)), b"gzip", LIMIT) == exact
    # An encoding that was announced need not be used by every message.
    assert wire.unframe(wire.frame(b"plain"), b"gzip", LIMIT) == b"plain"
    assert wire.unframe(wire.frame(b"plain"), b"snappy", LIMIT) == b"plain"


def test_a_gzip_bomb_is_refused_without_being_inflated() -> None:
    bomb = compressed(gzip.compress(bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(ServingError, match="larger than max") as raised:
            wire.unframe(bomb, b"gzip", LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert raised.value.code == Code.RESOURCE_EXHAUSTED
    assert peak < 8 * LIMIT


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from([b"", b"gzip", b"identity", b"x"]))
def test_random_bodies_end_in_a_message_or_a_refusal(body: bytes, encoding: bytes) -> None:
    try:
        message = wire.unframe(body, encoding, 100)
    except ServingError:
        return
    assert len(message) <= 100


def read_in(pieces: list[bytes], encoding: bytes = b"", limit: int = LIMIT) -> list[bytes]:
    reader = wire.MessageReader(encoding, limit)
    return [message for piece in pieces for message in reader.feed(piece)]


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 200), max_size=5), st.booleans())
def test_messages_come_out_however_they_are_cut(messages: list[bytes], cuts: list[int], packed: bool) -> None:
    body = b"".join(compressed(gzip.compress(m)) if packed else wire.frame(m) for m in messages)
    at = sorted(min(cut, len(body)) for cut in cuts)
    pieces = [body[a:b] for a, b in zip([0, *at], [*at, len(body)], strict=True)]
    reader = wire.MessageReader(b"gzip", LIMIT)
    assert [message for piece in pieces for message in reader.feed(piece)] == messages
    assert reader.held == 0


def test_a_reader_holds_what_is_not_complete() -> None:
    reader = wire.MessageReader(b"", 100)
    assert list(reader.feed(wire.frame(b"one") + wire.frame(b"two")[:6])) == [b"one"]
    assert reader.held == 6
    assert list(reader.feed(b"wo")) == [b"two"] and reader.held == 0


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (b"\0\0\0\0\x65", b"", Code.RESOURCE_EXHAUSTED),  # announced: too much
        (b"\1\0\0\0\1x", b"", Code.INTERNAL),
        (b"\2\0\0\0\1x", b"gzip", Code.INTERNAL),
        (b"\1\0\0\0\1x", b"snappy", Code.UNIMPLEMENTED),
        (b"\1\0\0\0\1x", b"gzip", Code.INTERNAL),
        (b"\1" + wire.frame(gzip.compress(bytes(101)))[1:], b"gzip", Code.RESOURCE_EXHAUSTED),
    ],
)
def test_a_reader_refuses(body: bytes, encoding: bytes, code: int) -> None:
    with pytest.raises(ServingError) as raised:
        read_in([wire.frame(b"fine"), body], encoding, 100)
    assert raised.value.code == code


def test_a_reader_unpacks_one_message_at_a_time() -> None:
    bomb = compressed(gzip.compress(bytes(LIMIT)))
    tracemalloc.start()
    try:
        count = sum(1 for _ in wire.MessageReader(b"gzip", LIMIT).feed(bomb * 50))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 50 and peak < 8 * LIMIT
