"""Bytes that no client should send, for both ports: broken by hand, and at random from a seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4

_POST = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\n"
HTTP1 = [
    b"",
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\0\0\0\0\0\0\0\0",
    b"GET /v1/models/half_plus_two HTTP/1.1\r\nno colon here\r\n\r\n",
    b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /v1/models/%zz%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/models/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nHost: x\r\n\r\n",
    _POST + b"Content-Length: -1\r\n\r\n{}",
    _POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    _POST + b"Content-Length: 100\r\n\r\n{}",
    _POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    _POST + b"Transfer-Encoding: gzip, chunked, identity\r\n\r\n",
    _POST + b"Expect: the worst\r\nContent-Length: 2\r\n\r\n{}",
    _POST + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    b"GET /v1/models/half_plus_two HTTP/1.1\r\n\r\n" * 1_000,
    PREFACE,
]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """One header field in HPACK's simplest form."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


_PATH = b"/tensorflow.serving.PredictionService/Predict"
CALL = b"".join(
    _literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", _PATH),
        (b":authority", b"x"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
)
OPEN = PREFACE + frame(SETTINGS, 0, 0)
_HEADERS = frame(HEADERS, END_HEADERS, 1, CALL)
HTTP2 = [
    b"",
    PREFACE[:10],
    PREFACE[:-1] + b"!",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    PREFACE + frame(PING, 0, 0, b"12345678"),
    OPEN + frame(SETTINGS, 0, 0, b"12345"),
    OPEN + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0xFFFFFFFF)),
    OPEN + frame(SETTINGS, 0, 1),
    OPEN + frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 4096) * 2_000),
    OPEN + frame(PING, 0, 0, b"12345678") * 5_000,
    OPEN + frame(PING, 0, 0, b"1"),
    OPEN + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
    OPEN + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2,
    OPEN + frame(DATA, END_STREAM, 1, b"data of no stream"),
    OPEN + frame(DATA, 0, 0, b"data of the connection"),
    OPEN + frame(HEADERS, END_HEADERS, 2, CALL),
    OPEN + frame(HEADERS, END_HEADERS, 0, CALL),
    OPEN + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    OPEN + frame(HEADERS, END_HEADERS | END_STREAM, 1, _literal(b":method", b"POST")),
    OPEN + frame(HEADERS, END_HEADERS | END_STREAM, 1, _literal(b"no", b"method")),
    OPEN + frame(HEADERS, 0, 1, CALL) + frame(CONTINUATION, 0, 1, _literal(b"a", b"b" * 100)) * 5_000,
    OPEN + frame(CONTINUATION, END_HEADERS, 1, CALL),
    OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + CALL),
    OPEN + frame(RST_STREAM, 0, 1, b"1234"),
    OPEN + frame(GOAWAY, 0, 0, b""),
    OPEN + frame(99, 0xFF, 7, b"no such type"),
    OPEN + frame(DATA, 0, 1, b"x" * 20_000),
    OPEN + b"\xff\xff\xff" + b"\0" * 6,
    OPEN + _HEADERS + frame(DATA, END_STREAM, 1, b"\0\0"),
    OPEN + _HEADERS + frame(DATA, END_STREAM, 1, b"\0\0\0\0\xffshort"),
    OPEN + _HEADERS + frame(DATA, END_STREAM, 1, b"\0\0\0\0\1long"),
    OPEN + _HEADERS + frame(DATA, END_STREAM, 1, b"\1\0\0\0\4gzip"),
    OPEN + _HEADERS + frame(DATA, END_STREAM, 1, b"\7\0\0\0\4what"),
    OPEN + _HEADERS + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff"),
    OPEN + _HEADERS + frame(DATA, 0, 1, b""),
    OPEN
    + b"".join(
        frame(HEADERS, END_HEADERS, 2 * i + 1, CALL) + frame(RST_STREAM, 0, 2 * i + 1, b"\0\0\0\x08")
        for i in range(2_000)
    ),
    OPEN + b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, CALL) for i in range(3_000)),
]


def broken(good: bytes, seed: int, count: int) -> Iterator[bytes]:
    """`count` variants of `good`: bytes changed, cut out, repeated and put in at random."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(4):
                case 0:
                    data[at : at + 1] = chance.randbytes(1)
                case 1:
                    del data[at : at + chance.randint(1, 8)]
                case 2:
                    data[at:at] = data[at : at + chance.randint(1, 32)]
                case _:
                    data[at:at] = chance.randbytes(chance.randint(1, 8))
        yield bytes(data)


def noise(seed: int, count: int) -> Iterator[bytes]:
    """Random bytes, `count` times."""
    chance = random.Random(seed)
    for _ in range(count):
        yield chance.randbytes(chance.randint(1, 2_000))


def random_frames(seed: int, count: int) -> Iterator[bytes]:
    """Connections that open well and go on with frames at random."""
    chance = random.Random(seed)
    for _ in range(count):
        frames = [
            frame(
                chance.randrange(11), chance.randrange(256), chance.randrange(8), chance.randbytes(chance.randrange(40))
            )
            for _ in range(chance.randint(1, 20))
        ]
        yield OPEN + chance.choice((b"", _HEADERS)) + b"".join(frames)
