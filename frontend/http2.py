"""HTTP/2 on the server's side, for one connection: the only module that knows `ngh2` (nghttp2).

Sans-IO: bytes in through `receive`, calls out to a `Handler`, bytes to send from `pending_bytes`. Nothing is sent by
itself; the owner flushes once per loop turn, so that many answers leave in one write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import ngh2

Headers = Sequence[tuple[bytes, bytes]]

NO_ERROR = int(ngh2.ErrorCode.NO_ERROR)
INTERNAL_ERROR = int(ngh2.ErrorCode.INTERNAL_ERROR)
ENHANCE_YOUR_CALM = int(ngh2.ErrorCode.ENHANCE_YOUR_CALM)

# Window of a stream, and of the connection: enough that a large upload on loopback is not held up by round trips.
_STREAM_WINDOW = 4 << 20
_CONNECTION_WINDOW = 16 << 20
# Larger frames mean fewer events for large messages.
MAX_FRAME_BYTES = 1 << 20
# Most that is taken from the engine at once, so that a slow reader's answers stay in the engine.
_WRITE_CHUNK = 1 << 20


class ConnectionBroken(Exception):
    """The peer broke the protocol; what is pending (a GOAWAY) may be sent, then the connection is over."""


class Handler(Protocol):
    """Told of what a peer does."""

    def on_request(self, stream_id: int, headers: Headers, ended: bool) -> None:
        """Request headers; `ended` when no body follows."""

    def on_data(self, stream_id: int, data: bytes, ended: bool) -> None:
        """A piece of a body."""

    def on_closed(self, stream_id: int) -> None:
        """The stream is over: answered completely, or reset by either side.

        What ended by our own writing is told with the next bytes from the peer.
        """


class Http2:
    """One connection.

    Args:
        handler: told of requests, bodies and ends of streams.
        max_streams: that the peer may have open at once.
        max_header_bytes: of one request.
        max_header_count: fields of one request.
        max_frame_bytes: the largest frame that the peer may send, 16 KiB to 16 MiB - 1.
    """

    __slots__ = ("_connection", "_handler")

    def __init__(
        self,
        handler: Handler,
        *,
        max_streams: int,
        max_header_bytes: int,
        max_header_count: int = 256,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._handler = handler
        self._connection = ngh2.Connection(
            ngh2.Role.SERVER,
            ngh2.Configuration(
                max_inbound_header_list_size=max_header_bytes, max_inbound_header_count=max_header_count
            ),
        )
        self._connection.initiate_connection(
            {
                ngh2.Setting.MAX_CONCURRENT_STREAMS: max_streams,
                ngh2.Setting.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                ngh2.Setting.MAX_FRAME_SIZE: max_frame_bytes,
                ngh2.Setting.MAX_HEADER_LIST_SIZE: max_header_bytes,
            }
        )
        self._connection.set_local_window_size(_CONNECTION_WINDOW)

    def receive(self, data: bytes | memoryview) -> None:
        """Take bytes from the peer and tell the handler.

        Raises:
            ConnectionBroken: the connection cannot go on.
        """
        connection = self._connection
        broken: ngh2.NGH2Error | None = None
        try:
            connection.receive_data(data)
        except ngh2.NGH2Error as error:
            broken = error
        broken = self.dispatch() or broken
        if broken is not None:
            raise ConnectionBroken(str(broken)) from broken

    def dispatch(self) -> ngh2.NGH2Error | None:
        """Tell the handler what has happened, ends of streams after a write included; an error that ends it all."""
        handler = self._handler
        broken: ngh2.NGH2Error | None = None
        for event in self._connection.events():
            if isinstance(event, ngh2.DataReceived):
                handler.on_data(event.stream_id, event.data, event.end_stream)
            elif isinstance(event, ngh2.RequestReceived):
                handler.on_request(event.stream_id, event.headers, event.end_stream)
            elif isinstance(event, ngh2.StreamClosed):
                handler.on_closed(event.stream_id)
            elif isinstance(event, ngh2.TrailersReceived):
                handler.on_data(event.stream_id, b"", True)
            elif isinstance(event, ngh2.ConnectionClosed):
                broken = broken or ngh2.NGH2Error("connection closed by the protocol")
        return broken

    def respond(self, stream_id: int, headers: Headers, body: bytes, trailers: Headers) -> None:
        """Send a whole answer. A stream that is over already is ignored."""
        connection = self._connection
        try:
            connection.send_response(stream_id, headers)
            connection.send_data(stream_id, body)
            connection.send_trailers(stream_id, trailers)
        except ngh2.NGH2Error:
            self.reset(stream_id, INTERNAL_ERROR)

    def start_response(self, stream_id: int, headers: Headers) -> None:
        """Send the headers of an answer that `send` and `finish` go on with. A stream that is over is ignored."""
        self._try(lambda: self._connection.send_response(stream_id, headers))

    def send(self, stream_id: int, data: bytes) -> None:
        """Queue a piece of an answer's body. A stream that is over is ignored."""
        self._try(lambda: self._connection.send_data(stream_id, data))

    def finish(self, stream_id: int, trailers: Headers) -> None:
        """End an answer; trailers leave after all that is queued. A stream that is over is ignored."""
        self._try(lambda: self._connection.send_trailers(stream_id, trailers))

    def unsent_bytes(self, stream_id: int) -> int:
        """Bytes of an answer's body that wait for the peer's window, or to be written; 0 for a stream that is over."""
        try:
            return self._connection.queued_body_size(stream_id)
        except ngh2.NGH2Error:
            return 0

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self._try(self._connection.ping)

    def _try(self, submit: Callable[[], None]) -> None:
        # What is refused is a frame on a stream, or a connection, that is over.
        with contextlib.suppress(ngh2.NGH2Error):
            submit()

    def respond_headers(self, stream_id: int, headers: Headers) -> None:
        """Send an answer that has headers only. A stream that is over already is ignored."""
        try:
            self._connection.send_response(stream_id, headers, end_stream=True)
        except ngh2.NGH2Error:
            return

    def reset(self, stream_id: int, error_code: int) -> None:
        """End a stream at once."""
        try:
            self._connection.reset_stream(stream_id, error_code)
        except ngh2.NGH2Error:
            return

    def shutdown_notice(self) -> None:
        """Tell the peer to open no more streams here soon (GOAWAY with the highest stream number)."""
        try:
            self._connection.send_shutdown_notice()
        except ngh2.NGH2Error:
            return

    def goaway(self) -> None:
        """Take no more streams; those that are open go on."""
        try:
            self._connection.send_goaway(NO_ERROR)
        except ngh2.NGH2Error:
            return

    def pending_bytes(self) -> Iterable[bytes]:
        """What is to be sent now, in pieces; as much as flow control allows."""
        take = self._connection.data_to_send
        while True:
            try:
                data = take(_WRITE_CHUNK)
            except ngh2.NGH2Error:
                return
            if not data:
                return
            yield data

    @property
    def is_over(self) -> bool:
        """Nothing more will be read or written."""
        try:
            return not self._connection.want_read and not self._connection.want_write
        except ngh2.NGH2Error:  # broken for good
            return True
