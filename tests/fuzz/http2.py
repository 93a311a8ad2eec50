"""Attacks on the gRPC port below gRPC: frames, header compression, flow control, floods."""

from __future__ import annotations

import gzip
import struct
from random import Random

from tests.e2e.broken_bytes import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HTTP2,
    OPEN,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.fuzz.attack import Conversation, Make, RawAttacker, cut, damaged, torn
from tests.fuzz.messages import Messages
from tests.wire_writer import varint

Frame = tuple[int, int, int, bytes]
_PADDED, _PRIORITY_FLAG = 0x8, 0x20
_METHODS = ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata", "Nothing")


def _number(value: int, bits: int, first: int) -> bytes:
    """HPACK's integer (RFC 7541 5.1) after the high bits of `first`."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    return bytes([first | most]) + varint(value - most)


def _text(value: bytes) -> bytes:
    return _number(len(value), 7, 0) + value


def _field(chance: Random, name: bytes, value: bytes) -> bytes:
    """A literal field: not indexed, never indexed, or put into the table."""
    return chance.choice((b"\x00", b"\x10", b"\x40")) + _text(name) + _text(value)


def _fields(chance: Random) -> bytes:
    path = f"/tensorflow.serving.PredictionService/{chance.choice(_METHODS)}".encode()
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
    fields += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    timeout = chance.choice((b"1S", b"5000m", b"1n", b"99999999H", b"100000000S", b"-1S", b"S", b"", b"1.5S", b"\xff"))
    encoding = chance.choice((b"gzip", b"identity", b"deflate", b"x", b"", b"gzip,gzip"))
    if chance.random() < 0.3:
        fields.append((b"grpc-timeout", timeout))
    if chance.random() < 0.3:
        fields.append((b"grpc-encoding", encoding))
    if chance.random() < 0.3:
        fields.append((b"grpc-accept-encoding", encoding))
    if chance.random() < 0.2:
        odd = [
            (b":path", b"/"),
            (b"Upper", b"a"),
            (b"connection", b"close"),
            (b"a", b"b\r\nc: d"),
            (b"", b"x"),
            (b":odd", b""),
        ]
        odd += [
            (b"content-type", b"text/html"),
            (b"te", b"gzip"),
            (b"x-bin", b"!!!"),
            (b"content-length", b"5"),
            (b"a", b"\0"),
        ]
        odd += [(b"transfer-encoding", b"chunked"), (b"big", b"b" * chance.randint(1, 70_000)), (b":method", b"GET")]
        fields.insert(chance.randrange(len(fields) + 1), chance.choice(odd))
    if chance.random() < 0.1:
        chance.shuffle(fields)
    if chance.random() < 0.1:
        del fields[chance.randrange(len(fields))]
    return b"".join(_field(chance, name, value) for name, value in fields)


def _body(chance: Random) -> bytes:
    writer = Messages(chance.getrandbits(64))
    message = chance.choice((writer.predict, writer.predict, writer.examples_request, writer.multi_inference))()
    if chance.random() < 0.1:
        message = chance.randbytes(chance.randint(0, 50_000))
    flag = chance.choice((0, 0, 0, 0, 0, 0, 1, 2, 255))
    if flag == 1 and chance.random() < 0.8:
        message = gzip.compress(b"\0" * chance.randint(1 << 16, 1 << 22) if chance.random() < 0.2 else message, mtime=0)
    length = (
        len(message) if chance.random() < 0.9 else chance.choice((0, len(message) + 1, len(message) - 1, 2**32 - 1))
    )
    return bytes([flag]) + struct.pack(">I", max(0, length)) + message


def _call(chance: Random, stream: int) -> list[Frame]:
    """The frames of one call."""
    frames: list[Frame] = []
    block = _fields(chance)
    while len(block) > 16_000 or (len(block) > 1 and chance.random() < 0.1):
        at = chance.randint(1, min(16_000, len(block) - 1))
        frames.append((CONTINUATION if frames else HEADERS, 0, stream, block[:at]))
        block = block[at:]
    frames.append((CONTINUATION if frames else HEADERS, END_HEADERS, stream, block))
    body = _body(chance) * chance.choice((1, 1, 1, 1, 1, 2))
    while body:
        at = min(16_384, chance.choice((len(body), len(body), 5, 1, chance.randint(1, len(body)))))
        frames.append((DATA, 0, stream, body[:at]))
        body = body[at:]
        if len(frames) > 60:
            break
    if chance.random() < 0.9:
        kind, flags, of, payload = frames[-1]
        frames[-1] = kind, flags | END_STREAM, of, payload
    return frames


def _odd_frame(chance: Random) -> Frame:
    stream = chance.choice((0, 0, 1, 1, 2, 3, 5, 7, 99, 0x7FFFFFFF, 0x80000001))
    word = struct.pack(">I", chance.choice((0, 1, 2, 65_535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)))
    choices: list[Frame] = [
        (WINDOW_UPDATE, 0, stream, word),
        (RST_STREAM, 0, stream, word),
        (PRIORITY, 0, stream, word + b"\xff"),
        (PING, chance.choice((0, ACK)), 0, b"12345678"),
        (SETTINGS, chance.choice((0, 0, ACK)), 0, _settings(chance, chance.randint(0, 5))),
        (GOAWAY, 0, 0, word + word + b"why not"),
        (PUSH_PROMISE, END_HEADERS, stream, word + b"\x82"),
        (DATA, chance.randrange(256), stream, chance.randbytes(chance.randint(0, 300))),
        (DATA, _PADDED, 1, bytes([chance.randrange(256)]) + b"x" * chance.randint(0, 100)),
        (HEADERS, END_HEADERS | _PADDED | _PRIORITY_FLAG, stream, b"\x05" + word + b"\x10" + _fields(chance)),
        (HEADERS, END_HEADERS | END_STREAM, 1, _field(chance, b"trailer", b"x")),
        (CONTINUATION, END_HEADERS, stream, b""),
        (chance.randrange(10, 256), chance.randrange(256), stream, chance.randbytes(chance.randint(0, 50))),
        (chance.randrange(10), chance.randrange(256), stream, chance.randbytes(chance.randint(0, 50))),
    ]
    return chance.choice(choices)


def _settings(chance: Random, count: int) -> bytes:
    values = (0, 1, 100, 4_096, 16_384, 65_535, 0xFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
    return b"".join(struct.pack(">HI", chance.randrange(1, 10), chance.choice(values)) for _ in range(count))


def _wire(frames: list[Frame]) -> bytes:
    return b"".join(frame(*item) for item in frames)


def _calls(chance: Random) -> bytes:
    """Several calls, interleaved, with frames lost, repeated, moved and odd ones between them."""
    streams = [_call(chance, 2 * i + 1) for i in range(chance.choice((1, 1, 1, 2, 5, 20)))]
    frames: list[Frame] = []
    while streams:
        chosen = chance.choice(streams)
        frames.append(chosen.pop(0))
        streams = [left for left in streams if left]
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        at = chance.randrange(len(frames) + 1)
        match chance.randrange(4):
            case 0:
                frames.insert(at, _odd_frame(chance))
            case 1 if at < len(frames):
                del frames[at]
            case 2 if at < len(frames):
                frames.append(frames[at])
            case _ if at < len(frames):
                kind, flags, stream, payload = frames[at]
                frames[at] = kind, flags ^ (1 << chance.randrange(8)), stream, payload
            case _:
                pass
    data = OPEN + _wire(frames)
    return damaged(chance, data) if chance.random() < 0.2 else data


def _compression(chance: Random) -> bytes:
    """Header blocks that are garbage to HPACK, or play with its table."""
    blocks = []
    for i in range(chance.randint(1, 8)):
        pieces = [
            chance.randbytes(chance.randint(1, 60)),
            _number(chance.choice((0, 1, 61, 62, 200, 1 << 31, 1 << 63)), 7, 0x80),
            _number(chance.choice((0, 1, 4_096, 4_097, 1 << 31, 1 << 62)), 5, 0x20),
            b"\xff" * chance.randint(1, 20),
            b"\x40\x01a" + _text(b"v" * chance.randint(1, 5_000)),
            b"\x00\x81\xff\x01b",
            b"\x00\x01a\x85" + chance.randbytes(5),
            b"\x00\x01a" + _number(1 << 40, 7, 0),
            b"\xbe" * chance.randint(1, 5_000),
        ]
        block = b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 6))) + _fields(chance)
        blocks.append((HEADERS, END_HEADERS | chance.choice((0, END_STREAM)), 2 * i + 1, block[:16_384]))
    return OPEN + _wire(blocks)


def _windows(chance: Random) -> bytes:
    """Tiny, changing and overflowing windows around good calls."""
    first = struct.pack(">HI", 4, chance.choice((0, 1, 5, 100, 0x7FFFFFFF)))
    frames: list[Frame] = [(SETTINGS, 0, 0, first)]
    for i in range(chance.randint(1, 20)):
        frames += _call(chance, 2 * i + 1)
        if chance.random() < 0.5:
            step = struct.pack(">I", chance.choice((0, 1, 7, 65_535, 0x7FFFFFFF)))
            frames += [(WINDOW_UPDATE, 0, chance.choice((0, 2 * i + 1)), step)] * chance.randint(1, 30)
        if chance.random() < 0.3:
            frames.append((SETTINGS, 0, 0, struct.pack(">HI", 4, chance.choice((0, 1, 65_535, 0x7FFFFFFF)))))
    return PREFACE + _wire(frames)


def _flood(chance: Random) -> bytes:
    """Many of one kind of frame, which cost the server more than the client."""
    count = chance.randint(10, 1_200)
    block = _fields(chance)[:16_384]
    kinds: list[bytes] = [
        _wire([(SETTINGS, 0, 0, _settings(chance, 3))]) * count,
        frame(SETTINGS, 0, 0) * count,
        frame(PING, 0, 0, b"12345678") * count,
        b"".join(
            frame(HEADERS, END_HEADERS, 2 * i + 1, block) + frame(RST_STREAM, 0, 2 * i + 1, b"\0\0\0\x08")
            for i in range(count)
        ),
        b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, block[:2_000]) for i in range(count)),
        frame(HEADERS, 0, 1, block) + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b") * count,
        frame(HEADERS, 0, 1, block) + frame(CONTINUATION, 0, 1, b"") * count,
        frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 0, 1, b"") * count,
        frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, _PADDED, 1, b"\xff" + b"\0" * 255) * count,
        frame(PRIORITY, 0, 1, b"\0\0\0\x01\xff") * count,
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * count,
        frame(99, 0, 0, b"x" * 100) * count,
    ]
    return OPEN + chance.choice(kinds)


class Http2(RawAttacker):
    """All of the above, and bytes that were good once."""

    name = "http2"

    def port(self) -> int:
        """The port of gRPC."""
        return self.target.grpc_port

    def conversation(self, chance: Random) -> Conversation:
        """One connection's worth of frames."""
        make: list[tuple[Make, int]] = [
            (_calls, 10),
            (_compression, 4),
            (_windows, 3),
            (_flood, 2),
            (lambda c: cut(c, _calls(c)), 2),
            (lambda c: OPEN + _wire([_odd_frame(c) for _ in range(c.randint(1, 30))]), 3),
            (lambda c: damaged(c, c.choice(HTTP2)[:4_000] or OPEN), 2),
            (lambda c: OPEN + c.randbytes(c.randint(1, 500)), 1),
        ]
        chosen = chance.choices([item for item, _ in make], [weight for _, weight in make])[0]
        said = torn(chance, chosen(chance))
        said.deaf = chance.random() < 0.05
        return said
