"""Streaming calls: messages come and go one by one until a status ends it.

A method of this kind is a `StreamingMethod` in the table of methods. Each call gets a handler of its own, which is told
what the client does and answers through the `StreamingCall`. All of it is synchronous, on the loop's thread.

Bounds: a message (`StreamingMethod.max_message_bytes`), what waits for a client that doesn't read (`QUEUE_BYTES`), the
time that a client takes to send one message or to go on reading (`request_timeout_seconds`). A call that is silent is
in order: it ends with its deadline, with `idle_timeout_seconds` if the client was to talk, or when the server drains.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol

from frontend.grpc import wire
from frontend.http2 import ENHANCE_YOUR_CALM
from protos.errors import Code, ServingError

if TYPE_CHECKING:
    from frontend.grpc.connection import GrpcConnection

log = logging.getLogger("tensormux.frontend")

# Bytes of answers that may wait for a client to read them; a call that needs more is cut off.
QUEUE_BYTES = 4 << 20


class CallHandler(Protocol):
    """One call, from the method's side; ServingErrors that are raised here end the call with their status."""

    def on_message(self, message: bytes) -> None:
        """The client's next message."""

    def on_half_close(self) -> None:
        """The client sends no more; the call goes on until `StreamingCall.finish`."""

    def on_drain(self) -> None:
        """The server stops: last words may be sent. The call is ended with UNAVAILABLE afterwards."""

    def on_end(self) -> None:
        """The call is over, whoever ended it. Told once, and last; nothing can be sent any more."""


class StreamingMethod:
    """A method that streams.

    Args:
        start: makes the handler of a new call; called before any message is there.
        one_request: the client sends exactly one message; it is handed over when the client has ended its side.
        max_message_bytes: limit of a client's message, beside that of the configuration.
    """

    __slots__ = ("start", "one_request", "max_message_bytes")

    def __init__(
        self,
        start: Callable[[StreamingCall], CallHandler],
        *,
        one_request: bool = False,
        max_message_bytes: int = (1 << 31) - 1,
    ) -> None:
        self.start = start
        self.one_request = one_request
        self.max_message_bytes = max_message_bytes


class StreamingCall:
    """One call on a connection. `send` and `finish` are for its handler, the rest is for the connection.

    Attributes:
        id: number of the HTTP/2 stream.
        over: it has a status; nothing more can be sent.
        half_closed: the client has ended its side.
    """

    __slots__ = (
        "id",
        "over",
        "half_closed",
        "_connection",
        "_loop",
        "_method",
        "_handler",
        "_reader",
        "_held",
        "_first",
        "_begun",
        "_timer",
        "_said",
        "_pending_since",
        "_unsent",
        "_unsent_since",
    )

    def __init__(
        self,
        connection: GrpcConnection,
        loop: asyncio.AbstractEventLoop,
        stream_id: int,
        method: StreamingMethod,
        *,
        encoding: bytes,
        limit: int,
        deadline_ns: int,
    ) -> None:
        self.id = stream_id
        self.over = False
        self.half_closed = False
        self._connection = connection
        self._loop = loop
        self._method = method
        self._reader = wire.MessageReader(encoding, min(limit, method.max_message_bytes))
        self._held = 0
        self._first: bytes | None = None
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None
        # When either side said something, when the message that is on its way began, when the client last took bytes.
        self._said = loop.time()
        self._pending_since = self._said if method.one_request else 0.0
        self._unsent = 0
        self._unsent_since = 0.0
        if deadline_ns:
            left_s = (deadline_ns - monotonic_ns()) / 1e9
            self._timer = loop.call_later(max(0.0, left_s), self._fail, Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        self._handler: CallHandler | None = None
        self._guarded(self._start)

    # --- for the handler ---

    def send(self, *message: bytes) -> None:
        """Send a serialized message, given in parts; ignored when the call is over.

        A client that has let more than `QUEUE_BYTES` pile up is cut off.
        """
        if self.over:
            return
        framed = wire.frame(*message)
        connection = self._connection
        if len(framed) - wire.PREFIX_BYTES > connection.max_send_bytes:
            self.finish(wire.too_large_to_send(len(framed) - wire.PREFIX_BYTES, connection.max_send_bytes))
            return
        self._said = self._loop.time()
        if not self._begun:
            self._begun = True
            connection.http2.start_response(self.id, wire.OK_HEADERS)
        if self._unsent + len(framed) > QUEUE_BYTES:
            connection.push()
            self.measure(self._said)
            if self.over:  # the client's end of it came up on the way
                return
        # One message more than a queue holds is fine when nothing else waits.
        if self._unsent and self._unsent + len(framed) > QUEUE_BYTES:
            log.warning("cutting off a call whose client does not read")
            self._end()
            connection.http2.reset(self.id, ENHANCE_YOUR_CALM)
            connection.schedule_flush()
            return
        connection.http2.send(self.id, framed)
        if not self._unsent:
            self._unsent_since = self._said
        self._unsent += len(framed)
        connection.has_unsent(self)

    def finish(self, error: ServingError | None = None) -> None:
        """End the call with a status, OK without an error; what was sent before arrives first."""
        if self.over:
            return
        self._end()
        connection = self._connection
        trailers = wire.status_trailers(error) if error is not None else wire.OK_TRAILERS
        if self._begun:
            connection.http2.finish(self.id, trailers)
        else:
            connection.http2.respond_headers(self.id, wire.OK_HEADERS + trailers + (wire.ACCEPT_ENCODING,))
        connection.has_unsent(self)

    # --- for the connection ---

    def on_data(self, data: bytes, ended: bool) -> None:
        """A piece of the client's messages; `ended` when its last."""
        self._guarded(lambda: self._take(data, ended))
        if self.over:
            return
        held = self._reader.held
        if not self._hold(held + len(self._first or b"")):
            self._fail(Code.RESOURCE_EXHAUSTED, "the server holds too many request bytes already")
        elif not self._method.one_request:
            if held == 0:
                self._pending_since = 0.0
            elif not self._pending_since:
                self._pending_since = self._loop.time()

    def on_closed(self) -> None:
        """The client has cancelled the call, or its connection is gone."""
        self._end()

    def drain(self) -> None:
        """The server stops."""
        if self.over:
            return
        if self._handler is not None:
            self._guarded(self._handler.on_drain)
        self._fail(Code.UNAVAILABLE, "the server is shutting down")

    def measure(self, now: float) -> int:
        """Bytes that the client has yet to take; asked for after each write while there are some."""
        unsent = self._connection.http2.unsent_bytes(self.id)
        if unsent < self._unsent:
            self._unsent_since = now
        self._unsent = unsent
        return unsent

    def check_time(self, now: float, *, limit: float, idle: float) -> None:
        """End the call if its client keeps us waiting for `limit` seconds, or, above 0, says nothing for `idle`."""
        if self._unsent and now - self._unsent_since > limit:
            self._end()
            self._connection.http2.reset(self.id, ENHANCE_YOUR_CALM)
            self._connection.schedule_flush()
        elif self._pending_since and now - self._pending_since > limit:
            self._fail(Code.DEADLINE_EXCEEDED, "the request was not sent in time")
        elif 0 < idle < now - self._said and not self._method.one_request:
            self._fail(Code.UNAVAILABLE, f"nothing was said for {idle:g} s")

    # --- within ---

    def _start(self) -> None:
        self._handler = self._method.start(self)

    def _take(self, data: bytes, ended: bool) -> None:
        for message in self._reader.feed(data):
            self._said = self._loop.time()
            if not self._method.one_request:
                self._told().on_message(message)
            elif self._first is None:
                self._first = message
            else:
                raise wire.not_one_message()
            if self.over:
                return
        if not ended:
            return
        self.half_closed = True
        if self._reader.held or (self._method.one_request and self._first is None):
            raise wire.cut_short()
        self._pending_since = 0.0
        if self._first is not None:
            first, self._first = self._first, b""
            self._told().on_message(first)
        self._told().on_half_close()

    def _hold(self, size: int) -> bool:
        """Account for the bytes of the client that are kept; whether there is room for them."""
        more, self._held = size - self._held, size
        return self._connection.hold(more)

    def _told(self) -> CallHandler:
        assert self._handler is not None, "a call without a handler is over"
        return self._handler

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ServingError as error:
            self.finish(error)
        except Exception:  # one call's trouble is not the connection's
            log.exception("a streaming call failed")
            self._fail(Code.INTERNAL, "internal error")

    def _fail(self, code: Code, message: str) -> None:
        self.finish(ServingError(code, message))

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hold(0)
        self._connection.call_over()
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.on_end()
            except Exception:
                log.exception("a streaming call failed as it ended")
