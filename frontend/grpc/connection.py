"""One gRPC connection: streams in, unary calls out, answers back.

Everything written during a loop turn leaves in one write at its end. A client that does not read its answers is not
read from either; one that does not finish a request in time is cut off; one that goes away has its requests cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import monotonic_ns
from typing import cast

from frontend.connections import BUFFER_BUDGET, Connections
from frontend.grpc import wire
from frontend.http2 import NO_ERROR, ConnectionBroken, Headers, Http2
from protos.errors import Code, ServingError
from protos.messages import FrontendConfig

log = logging.getLogger("tensormux.frontend")

# Bytes queued on a transport above which its connection counts as slow.
_WRITE_HIGH_WATER = 4 << 20


class Stream:
    """One unary call on a connection; the methods' handlers answer it once.

    Attributes:
        deadline_ns: monotonic; 0 for none.
        on_cancel: called when the client gives up first.
    """

    __slots__ = (
        "connection",
        "id",
        "path",
        "encoding",
        "deadline_ns",
        "started",
        "chunks",
        "size",
        "expected",
        "done",
        "on_cancel",
    )

    def __init__(self, connection: GrpcConnection, stream_id: int) -> None:
        self.connection = connection
        self.id = stream_id
        self.path = b""
        self.encoding = b""
        self.deadline_ns = 0
        self.started = 0.0
        self.chunks: list[bytes] | None = None
        self.size = 0
        # Bytes that may come before the prefix must be looked at: at first those before it is complete.
        self.expected = 4
        self.done = False
        self.on_cancel: Callable[[], None] | None = None

    def reply(self, *message: bytes | memoryview) -> None:
        """Answer with a serialized message, given in parts."""
        if not self.done:
            self.done = True
            self.on_cancel = None  # it leads back here: without the cycle, all is freed at once
            self.connection.respond(self.id, wire.frame(*message))

    def fail(self, error: ServingError) -> None:
        """Answer with a status."""
        if not self.done:
            self.done = True
            self.on_cancel = None
            self.connection.respond_error(self.id, error)


Handler = Callable[[Stream, "bytes | memoryview"], None]
_OK_HEADERS = wire.OK_HEADERS
_OK_TRAILERS = wire.OK_TRAILERS


class GrpcConnection(asyncio.BufferedProtocol):
    """Serves `methods` (by path, such as `/package.Service/Method`) on one transport."""

    # --- life ---

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: FrontendConfig,
        connections: Connections,
        methods: Mapping[bytes, Handler],
    ) -> None:
        # Per server.
        self._loop = loop
        self._config = config
        self._connections = connections
        self._methods = methods
        # Per connection.
        self._transport: asyncio.Transport
        self._http2: Http2
        self._streams: dict[int, Stream] = {}
        self._flush_scheduled = False
        self._paused = False
        self._paused_at = 0.0
        self._last_active = loop.time()
        # Streams whose answers the client has not taken completely (its window decides), and when bytes left last.
        self._unsent: set[int] = set()
        self._progress = self._last_active
        self._draining = False
        self._closed = False
        self._closed_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._connections.add(self):
            self._closed = True
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        self._http2 = Http2(self, max_streams=self._config.max_streams, max_header_bytes=self._config.max_header_bytes)
        self._schedule_flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: nobody waits for its answers."""
        self._closed = True
        self._connections.remove(self)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._abandon(stream)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to put the next bytes: one buffer for all connections, since they are worked off at once."""
        return self._connections.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the client are in the buffer."""
        if self._closed:
            return
        try:
            self._http2.receive(self._connections.read_buffer[:nbytes])
        except ConnectionBroken:
            self._flush()
            self._close()
            return
        if not self._flush_scheduled:
            self._schedule_flush()

    def eof_received(self) -> bool:
        """The client sends no more; there is no half-open HTTP/2."""
        return False

    def pause_writing(self) -> None:
        """The client does not read: don't read from it either."""
        self._paused = True
        self._paused_at = self._loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._paused = False
        if not self._closed:
            self._transport.resume_reading()
            self._schedule_flush()

    def check_time(self, now: float) -> None:
        """Close the connection if its client keeps us waiting."""
        limit = self._config.request_timeout_seconds
        if self._closed:  # by us, and the client does not take what was left to send
            if now - self._closed_at > limit:
                self.abort()
            return
        stalled = bool(self._unsent) and now - max(self._progress, self._last_active) > limit
        if stalled or (self._paused and now - self._paused_at > limit):
            self.abort()
            return
        for stream in list(self._streams.values()):
            if stream.started and now - stream.started > limit:
                self._cut_off(stream, ServingError(Code.DEADLINE_EXCEEDED, "the request was not sent in time"))
        idle = self._config.idle_timeout_seconds
        if idle > 0 and not self._streams and now - self._last_active > idle:
            self.drain()

    def drain(self) -> None:
        """Take no more streams; close when those that are open have been answered."""
        if not self._draining and not self._closed:
            self._draining = True
            self._http2.shutdown_notice()
            # Streams that were on their way when the notice left still get in before the final word.
            self._loop.call_later(0.05, self._goaway)
            self._schedule_flush()

    def _goaway(self) -> None:
        if not self._closed:
            self._http2.goaway()
            self._flush()

    def abort(self) -> None:
        """Close at once."""
        self._closed = True
        self._transport.abort()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._closed_at = self._loop.time()
            self._transport.close()

    # --- writing ---

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._closed:
            return
        for data in self._http2.pending_bytes():
            self._transport.write(data)
            self._progress = self._loop.time()
            if self._paused:
                return
        self._http2.dispatch()  # streams whose answers have left are over
        if self._http2.is_over:
            self._close()

    def respond(self, stream_id: int, body: bytes) -> None:
        """Send an OK answer; `body` is a framed message."""
        self._answered(stream_id)
        if not self._closed:
            self._unsent.add(stream_id)
            self._http2.respond(stream_id, _OK_HEADERS, body, _OK_TRAILERS)
            if not self._flush_scheduled:
                self._schedule_flush()

    def respond_error(self, stream_id: int, error: ServingError) -> None:
        """Send an error answer, which has headers only."""
        self._answered(stream_id)
        self._respond_headers(stream_id, _OK_HEADERS + wire.status_trailers(error) + (wire.ACCEPT_ENCODING,))

    def _answered(self, stream_id: int) -> None:
        """Only streams that wait for an answer are kept; HTTP/2 tells late of the end of the others."""
        self._streams.pop(stream_id, None)
        self._last_active = self._loop.time()

    def _respond_headers(self, stream_id: int, headers: Headers) -> None:
        if not self._closed:
            self._http2.respond_headers(stream_id, headers)
            self._schedule_flush()

    # --- streams (called by Http2) ---

    def on_request(self, stream_id: int, headers: Headers, ended: bool) -> None:
        """Headers of a new call."""
        fields = dict(headers)
        if fields.get(b":method") != b"POST":
            self._respond_headers(stream_id, ((b":status", b"405"), (b"allow", b"POST")))
            return
        if not fields.get(b"content-type", b"").startswith(wire.CONTENT_TYPE):
            self._respond_headers(stream_id, ((b":status", b"415"),))
            return
        stream = Stream(self, stream_id)
        stream.path = fields[b":path"]
        stream.encoding = fields.get(b"grpc-encoding", b"")
        timeout = fields.get(b"grpc-timeout")
        if timeout is not None:
            try:
                stream.deadline_ns = monotonic_ns() + wire.timeout_ns(timeout)
            except ServingError as error:
                stream.fail(error)
                return
        self._streams[stream_id] = stream
        if ended:
            self._finish(stream, b"")
        else:
            stream.started = self._loop.time()

    def on_data(self, stream_id: int, data: bytes, ended: bool) -> None:
        """A piece of a call's message."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.done:
            return
        chunks = stream.chunks
        if chunks is None:
            if ended:
                self._finish(stream, data)
                return
            chunks = stream.chunks = []
        size = len(data)
        chunks.append(data)
        stream.size += size
        connections = self._connections
        connections.buffered_bytes += size
        if ended:
            body = b"".join(chunks)
            self._forget_body(stream)
            self._finish(stream, body)
        elif stream.size > stream.expected or connections.buffered_bytes > BUFFER_BUDGET:
            self._check_size(stream, chunks)

    def _check_size(self, stream: Stream, chunks: list[bytes]) -> None:
        """More has come than was expected: look at what the message's prefix announces, and refuse what is too much."""
        limit = self._config.max_message_bytes
        announced = stream.expected
        if announced < 5:
            announced = stream.expected = wire.declared_size(b"".join(chunks)) + 5
        if announced - 5 > limit:
            self._cut_off(stream, wire.too_large(announced - 5, limit))
        elif stream.size > announced:
            self._cut_off(stream, wire.not_one_message())
        elif not self._connections.has_room(announced - stream.size):
            message = "the server holds too many request bytes already"
            self._cut_off(stream, ServingError(Code.RESOURCE_EXHAUSTED, message))

    def _cut_off(self, stream: Stream, error: ServingError) -> None:
        """Answer a request that has not arrived completely, and ask for no more of it.

        NO_ERROR is what RFC 9113 wants here; with any other code clients report the reset instead of the answer.
        """
        if stream.chunks is not None:
            self._forget_body(stream)
        stream.fail(error)
        self._flush()
        self._http2.reset(stream.id, NO_ERROR)
        self._schedule_flush()

    def _forget_body(self, stream: Stream) -> None:
        self._connections.buffered_bytes -= stream.size
        stream.chunks = None
        stream.size = 0

    def on_closed(self, stream_id: int) -> None:
        """A stream is over."""
        self._unsent.discard(stream_id)
        stream = self._streams.pop(stream_id, None)
        if stream is not None and not stream.done:
            self._abandon(stream)

    def _abandon(self, stream: Stream) -> None:
        if stream.chunks is not None:
            self._forget_body(stream)
        if not stream.done and stream.on_cancel is not None:
            on_cancel, stream.on_cancel = stream.on_cancel, None
            on_cancel()

    def _finish(self, stream: Stream, body: bytes) -> None:
        """The request is complete: hand it to its method."""
        stream.started = 0.0
        self._last_active = self._loop.time()
        method = self._methods.get(stream.path)
        try:
            if method is None:
                raise ServingError(Code.UNIMPLEMENTED, "")
            if 0 < stream.deadline_ns <= monotonic_ns():
                raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
            method(stream, wire.unframe(body, stream.encoding, self._config.max_message_bytes))
        except ServingError as error:
            stream.fail(error)
        except Exception:  # one call's trouble is not the connection's
            log.exception("%s failed", stream.path)
            stream.fail(ServingError(Code.INTERNAL, "internal error"))
