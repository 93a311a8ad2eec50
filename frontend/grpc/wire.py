"""gRPC over HTTP/2: message framing, timeouts, status trailers. Pure functions.

Source: gRPC's "PROTOCOL-HTTP2" description.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from protos.errors import Code, ServingError, invalid_argument

_UNIT_NS = {ord("H"): 3_600_000_000_000, ord("M"): 60_000_000_000, ord("S"): 1_000_000_000}
_UNIT_NS |= {ord("m"): 1_000_000, ord("u"): 1_000, ord("n"): 1}

# Before every message: whether it is compressed, and its length.
PREFIX_BYTES = 5

CONTENT_TYPE = b"application/grpc"
ACCEPT_ENCODING = (b"grpc-accept-encoding", b"identity,deflate,gzip")
OK_HEADERS = ((b":status", b"200"), (b"content-type", CONTENT_TYPE))
OK_TRAILERS = ((b"grpc-status", b"0"),)

# zlib's name for the wrapper of each compression; gRPC's "deflate" is RFC 1950.
_WBITS = {b"deflate": 15, b"gzip": 31}

# Longest grpc-message; upstream cuts there, too.
_MAX_MESSAGE_BYTES = 1024
_TRUNCATED = "...TRUNCATED"
# Printable ASCII but "%" stands for itself in grpc-message.
_PLAIN = bytes(c for c in range(0x20, 0x7F) if c != 0x25)


def timeout_ns(value: bytes) -> int:
    """`grpc-timeout` in nanoseconds: at most eight digits and a unit.

    Raises:
        ServingError: INVALID_ARGUMENT, malformed.
    """
    unit = _UNIT_NS.get(value[-1]) if value else None
    digits = value[:-1]
    if unit is None or not digits.isdigit() or len(digits) > 8:
        raise invalid_argument(f"malformed grpc-timeout: {value.decode('latin-1')}")
    return int(digits) * unit


def status_trailers(error: ServingError) -> tuple[tuple[bytes, bytes], ...]:
    """`grpc-status` and `grpc-message` of an error; long messages are cut as upstream cuts them."""
    message = error.message.encode("utf-8", "replace")
    if len(message) > _MAX_MESSAGE_BYTES:
        message = message[:_MAX_MESSAGE_BYTES] + _TRUNCATED.encode()
    return ((b"grpc-status", b"%d" % error.code), (b"grpc-message", _percent_encode(message)))


def error_headers(error: ServingError) -> tuple[tuple[bytes, bytes], ...]:
    """An answer that is nothing but a status."""
    return OK_HEADERS + status_trailers(error) + (ACCEPT_ENCODING,)


def _percent_encode(data: bytes) -> bytes:
    if not data.translate(None, _PLAIN):
        return data
    return b"".join([b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in data])


# As gRPC's servers answer what they don't know: without words.
UNIMPLEMENTED = error_headers(ServingError(Code.UNIMPLEMENTED, ""))


def frame(*message: bytes | memoryview) -> bytes:
    """A message, given in parts, with its five-byte prefix, not compressed."""
    return b"".join((b"\0", sum(map(len, message)).to_bytes(4, "big"), *message))


def declared_size(prefix: bytes) -> int:
    """Length of the message that a five-byte prefix announces."""
    return int.from_bytes(prefix[1:5], "big")


def too_large(size: int, limit: int) -> ServingError:
    """RESOURCE_EXHAUSTED, in gRPC's own words."""
    return ServingError(Code.RESOURCE_EXHAUSTED, f"SERVER: Received message larger than max ({size} vs. {limit})")


def too_large_to_send(size: int, limit: int) -> ServingError:
    """RESOURCE_EXHAUSTED, in gRPC's own words."""
    return ServingError(Code.RESOURCE_EXHAUSTED, f"SERVER: Sent message larger than max ({size} vs. {limit})")


def cut_short() -> ServingError:
    """INTERNAL: the client ended its side within a message."""
    return ServingError(Code.INTERNAL, "the request ended before its message did")


def not_one_message() -> ServingError:
    """INTERNAL: the body of a unary request goes on after its message, or ends before."""
    return ServingError(Code.INTERNAL, "a unary request must have exactly one message")


def unframe(body: bytes, encoding: bytes, max_bytes: int) -> bytes | memoryview:
    """The single message in the body of a unary request; a view of `body` unless it was compressed.

    Raises:
        ServingError: INTERNAL (not exactly one message), RESOURCE_EXHAUSTED (larger than `max_bytes`),
            UNIMPLEMENTED (unknown compression).
    """
    if len(body) < 5:
        raise cut_short()
    size = declared_size(body)
    if size > max_bytes:
        raise too_large(size, max_bytes)
    if len(body) != size + 5:
        raise not_one_message()
    payload = memoryview(body)[5:]
    return payload if body[0] == 0 else _unpack(body[0], payload, encoding, max_bytes)


class MessageReader:
    """The messages of a streaming call, one by one as they become complete.

    Attributes:
        held: bytes of the message that is not complete yet, its prefix included.
    """

    __slots__ = ("held", "_buffer", "_encoding", "_limit")

    def __init__(self, encoding: bytes, max_bytes: int) -> None:
        self.held = 0
        self._buffer = bytearray()
        self._encoding = encoding
        self._limit = max_bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes; each is unpacked when it is asked for, so only one is held at a time.

        Raises:
            ServingError: as `unframe`; the reader is of no use from then on.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 5:
                size = int.from_bytes(buffer[start + 1 : start + 5], "big")
                if size > self._limit:
                    raise too_large(size, self._limit)
                end = start + 5 + size
                if len(buffer) < end:
                    break
                flag, payload = buffer[start], bytes(memoryview(buffer)[start + 5 : end])
                start = end
                yield payload if flag == 0 else _unpack(flag, memoryview(payload), self._encoding, self._limit)
        finally:
            del buffer[:start]
            self.held = len(buffer)


def _unpack(flag: int, payload: memoryview, encoding: bytes, max_bytes: int) -> bytes:
    if flag != 1 or encoding in (b"", b"identity"):
        raise ServingError(Code.INTERNAL, "compressed flag set without a grpc-encoding")
    wbits = _WBITS.get(encoding)
    if wbits is None:
        raise ServingError(
            Code.UNIMPLEMENTED,
            f"grpc-encoding {encoding.decode('latin-1')} is not supported; identity, deflate and gzip are",
        )
    return _inflate(payload, wbits, max_bytes)


def _inflate(data: memoryview, wbits: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(wbits=wbits)
    try:
        message = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise ServingError(Code.INTERNAL, f"cannot decompress the request: {error}") from None
    if len(message) > max_bytes:
        raise too_large(len(message), max_bytes)
    if not inflater.eof:
        raise ServingError(Code.INTERNAL, "cannot decompress the request: the data ends too soon")
    return message
