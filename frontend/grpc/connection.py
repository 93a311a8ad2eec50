"""One gRPC connection: streams in, calls out, answers back.

Everything written during a loop turn leaves in one write at its end. A client that does not read its answers is not
read from either; one that does not finish a request in time is cut off; one that goes away has its requests cancelled.
Unary calls are dealt with here, streaming ones in `frontend.grpc.streaming`. It is long because it is one object: what
happens to a unary call costs no step into another.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from time import monotonic_ns
from typing import cast

from frontend.connections import BUFFER_BUDGET, Connections
from frontend.grpc import wire
from frontend.grpc.keepalive import Keepalive, Verdict
from frontend.grpc.stream import Handler, Stream
from frontend.grpc.streaming import StreamingCall, StreamingMethod
from frontend.http2 import NO_ERROR, ConnectionBroken, Headers, Http2
from protos.configs import FrontendConfig
from protos.errors import Code, ServingError

log = logging.getLogger("tensormux.frontend")

# Bytes queued on a transport above which its connection counts as slow.
_WRITE_HIGH_WATER = 4 << 20
# How much the age that a connection may reach varies, so that clients that came together don't leave together.
_AGE_JITTER = 0.1
_UNLIMITED = 1 << 62


Methods = Mapping[bytes, Handler | StreamingMethod]
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
        methods: Methods,
    ) -> None:
        # Per server.
        self._loop = loop
        self._config = config
        self._connections = connections
        self._methods = methods
        self.max_send_bytes = config.grpc.max_send_bytes if config.grpc.max_send_bytes >= 0 else _UNLIMITED
        self._max_body_bytes = self.max_send_bytes + wire.PREFIX_BYTES
        # Per connection.
        self._transport: asyncio.Transport
        self.http2: Http2
        self._streams: dict[int, Stream] = {}
        # Streaming calls until their streams are over, and those whose messages or status have not left completely.
        self._calls: dict[int, StreamingCall] = {}
        self._sending: dict[int, StreamingCall] = {}
        self._heard = True
        self._keepalive = Keepalive(config.grpc.keepalive_seconds, config.grpc.keepalive_timeout_seconds)
        self._flush_scheduled = False
        self._paused = False
        self._paused_at = 0.0
        self._last_active = loop.time()
        # Streams whose answers the client has not taken completely (its window decides), and when bytes left last.
        self._unsent: set[int] = set()
        self._progress = self._last_active
        self._draining = False
        self._retired_at = 0.0
        self._closed = False
        self._closed_at = 0.0
        self._age_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._connections.add(self):
            self._closed = True
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        config = self._config
        self.http2 = Http2(
            self,
            max_streams=config.max_streams,
            max_header_bytes=config.grpc.max_metadata_bytes or config.max_header_bytes,
            max_header_count=config.max_header_count,
            max_frame_bytes=config.grpc.max_frame_bytes,
        )
        if config.grpc.max_age_seconds > 0:
            age = config.grpc.max_age_seconds * random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)
            self._age_timer = self._loop.call_later(age, self._grow_old)
        self.schedule_flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: nobody waits for its answers."""
        self._closed = True
        self._connections.remove(self)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._abandon(stream)
        for call in list(self._calls.values()):
            call.on_closed()
        self._sending.clear()
        if self._age_timer is not None:
            self._age_timer.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to put the next bytes: one buffer for all connections, since they are worked off at once."""
        return self._connections.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the client are in the buffer."""
        if self._closed:
            return
        self._heard = True
        try:
            self.http2.receive(self._connections.read_buffer[:nbytes])
        except ConnectionBroken:
            self._flush()
            self._close()
            return
        if not self._flush_scheduled:
            self.schedule_flush()

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
            self.schedule_flush()

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
        for call in list(self._calls.values()):
            call.check_time(now, limit=limit, idle=idle)
        most = self._config.grpc.idle_seconds
        if 0 < most < idle or idle <= 0:
            idle = most
        if idle > 0 and not self._streams and not self._calls and now - self._last_active > idle:
            self._retire()
        if self._retired_at and now - max(self._retired_at, self._last_active) > limit and self._is_quiet:
            # What it still waits for is a head that has begun and does not end.
            self.abort()
            return
        heard, self._heard = self._heard, False
        verdict = self._keepalive.check(now, heard=heard)
        if verdict is Verdict.PING:
            self.http2.ping()
            self.schedule_flush()
        elif verdict is Verdict.DEAD:
            self.abort()

    @property
    def _is_quiet(self) -> bool:
        return not (self._streams or self._calls or self._sending or self._unsent)

    def drain(self) -> None:
        """Take no more calls; close when those that are open have been answered. Streaming ones are ended."""
        for call in list(self._calls.values()):
            call.drain()
        self._retire()

    def _grow_old(self) -> None:
        """Retire, and close when the grace is over, whatever is going on then."""
        self._retire()
        grace = self._config.grpc.age_grace_seconds
        if grace >= 0:
            self._age_timer = self._loop.call_later(grace, self.abort)

    def _retire(self) -> None:
        """Take no more streams; close when those that are open are over."""
        if not self._draining and not self._closed:
            self._draining = True
            self._retired_at = self._loop.time()
            self.http2.shutdown_notice()
            # Streams that were on their way when the notice left still get in before the final word.
            self._loop.call_later(0.05, self._goaway)
            self.schedule_flush()

    def _goaway(self) -> None:
        if not self._closed:
            self.http2.goaway()
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

    def schedule_flush(self) -> None:
        """Write what there is to write at the end of this turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._closed:
            return
        for data in self.http2.pending_bytes():
            self._transport.write(data)
            self._progress = self._loop.time()
            if self._paused:
                return
        if self._sending:
            self._look_at_sending()
        self.http2.dispatch()  # streams whose answers have left are over
        if self.http2.is_over:
            self._close()

    def _look_at_sending(self) -> None:
        """Forget calls that have nothing left to send; a client that has its status is asked for no more messages."""
        now = self._loop.time()
        for call in [call for call in self._sending.values() if not call.measure(now)]:
            del self._sending[call.id]
            if call.over and not call.half_closed:
                self.http2.reset(call.id, NO_ERROR)
                self.schedule_flush()

    def push(self) -> None:
        """Write now as much as the client takes."""
        if not self._paused:
            self._flush()

    def respond(self, stream_id: int, body: bytes) -> None:
        """Send an OK answer; `body` is a framed message."""
        if len(body) > self._max_body_bytes:
            self.respond_error(stream_id, wire.too_large_to_send(len(body) - wire.PREFIX_BYTES, self.max_send_bytes))
            return
        self._answered(stream_id)
        if not self._closed:
            self._unsent.add(stream_id)
            self.http2.respond(stream_id, _OK_HEADERS, body, _OK_TRAILERS)
            if not self._flush_scheduled:
                self.schedule_flush()

    def respond_error(self, stream_id: int, error: ServingError) -> None:
        """Send an error answer, which has headers only."""
        self._answered(stream_id)
        self._respond_headers(stream_id, wire.error_headers(error))

    def _answered(self, stream_id: int) -> None:
        """Only streams that wait for an answer are kept; HTTP/2 tells late of the end of the others."""
        self._streams.pop(stream_id, None)
        self._last_active = self._loop.time()

    def _respond_headers(self, stream_id: int, headers: Headers) -> None:
        if not self._closed:
            self.http2.respond_headers(stream_id, headers)
            self.schedule_flush()

    # --- for streaming calls ---

    def has_unsent(self, call: StreamingCall) -> None:
        """A message or a status of `call` is to leave."""
        self._sending[call.id] = call
        self.schedule_flush()

    def call_over(self) -> None:
        """A call has its status, or nobody to send it to."""
        self._last_active = self._loop.time()

    def hold(self, more_bytes: int) -> bool:
        """Account for so many more bytes of messages that are arriving; whether there is room for them."""
        self._connections.buffered_bytes += more_bytes
        return self._connections.has_room(0)

    # --- streams (called by Http2) ---

    def on_request(self, stream_id: int, headers: Headers, ended: bool) -> None:
        """Headers of a new call."""
        fields = dict(headers)
        if fields.get(b":method") != b"POST":
            self._refuse(stream_id, ((b":status", b"405"), (b"allow", b"POST")), ended)
            return
        if not fields.get(b"content-type", b"").startswith(wire.CONTENT_TYPE):
            self._refuse(stream_id, ((b":status", b"415"),), ended)
            return
        path = fields[b":path"]
        method = self._methods.get(path)
        if method is None:
            self._refuse(stream_id, wire.UNIMPLEMENTED, ended)
            return
        encoding = fields.get(b"grpc-encoding", b"")
        deadline_ns = 0
        timeout = fields.get(b"grpc-timeout")
        if timeout is not None:
            try:
                deadline_ns = monotonic_ns() + wire.timeout_ns(timeout)
            except ServingError as error:
                self._refuse(stream_id, wire.error_headers(error), ended)
                return
        if isinstance(method, StreamingMethod):
            self._open_call(stream_id, method, encoding, deadline_ns, ended)
            return
        stream = Stream(self, stream_id, path, method)
        stream.encoding = encoding
        stream.deadline_ns = deadline_ns
        self._streams[stream_id] = stream
        if ended:
            self._finish(stream, b"")
        else:
            stream.started = self._loop.time()

    def _open_call(
        self, stream_id: int, method: StreamingMethod, encoding: bytes, deadline_ns: int, ended: bool
    ) -> None:
        limit = self._config.max_message_bytes
        call = StreamingCall(
            self, self._loop, stream_id, method, encoding=encoding, limit=limit, deadline_ns=deadline_ns
        )
        self._calls[stream_id] = call
        if call.over:
            return
        if self._connections.draining:
            call.drain()
        elif ended:
            call.on_data(b"", True)

    def _refuse(self, stream_id: int, headers: Headers, ended: bool) -> None:
        """Answer a call of which nothing but its headers counts; no more of it is wanted (see `_cut_off`)."""
        self._respond_headers(stream_id, headers)
        if not ended:
            self._flush()
            self.http2.reset(stream_id, NO_ERROR)

    def on_data(self, stream_id: int, data: bytes, ended: bool) -> None:
        """A piece of a call's message."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.done:
            call = self._calls.get(stream_id)
            if call is not None and not call.over:
                call.on_data(data, ended)
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
        self.http2.reset(stream.id, NO_ERROR)
        self.schedule_flush()

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
        elif self._calls:
            self._sending.pop(stream_id, None)
            call = self._calls.pop(stream_id, None)
            if call is not None:
                call.on_closed()

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
        try:
            if 0 < stream.deadline_ns <= monotonic_ns():
                raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
            stream.method(stream, wire.unframe(body, stream.encoding, self._config.max_message_bytes))
        except ServingError as error:
            stream.fail(error)
        except Exception:  # one call's trouble is not the connection's
            log.exception("%s failed", stream.path)
            stream.fail(ServingError(Code.INTERNAL, "internal error"))
