"""HTTP/1.1 on the server's side: one connection, requests in, answers out in order.

Parsing is httptools' (llhttp), except for heads that were parsed before (`frontend/heads.py`). Keep-alive, pipelining,
chunked bodies, `Expect: 100-continue` and HTTP/1.0 work as RFC 9112 says; heads, bodies, connections and waits are
bounded, and every refusal of the transport is a JSON error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from frontend.connections import Connections
from frontend.exchange import KEPT_FIELDS, Exchange
from protos.configs import FrontendConfig

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# Requests of one connection that wait for their answers before it is read no further.
_MAX_PIPELINE = 64
_WRITE_HIGH_WATER = 4 << 20
_PIECE = 1 << 20
# How long a refused client's bytes are thrown away: closing at once would reset the connection under our answer.
_LINGER_S = 2.0


Handler = Callable[[Exchange], None]
ErrorBody = Callable[[str], bytes]
# Told of a request whose body follows, of its transport, and of all bytes since it began: whether another process takes
# the connection from there.
PassOn = Callable[[Exchange, asyncio.Transport, bytes], bool]


class HttpConnection(asyncio.Protocol):
    """Serves one transport.

    Args:
        handler: answers requests.
        error_body: makes the body of a refusal from its message.
        pass_on: may pass the connection on when a request begins that has no others before it.
        read: what was read of the connection already.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: FrontendConfig,
        connections: Connections,
        handler: Handler,
        error_body: ErrorBody,
        *,
        pass_on: PassOn | None = None,
        read: bytes = b"",
    ) -> None:
        # Per server.
        self._loop = loop
        self._config = config
        self._connections = connections
        self._handler = handler
        self._error_body = error_body
        self._pass_on = pass_on
        self._read = read
        # Per connection.
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._heads = connections.heads
        self._waiting: deque[Exchange] = deque()
        self._paused_reading = False
        self._paused_writing_at = 0.0
        self._write_in_pieces = False
        self._last_active = loop.time()
        self._draining = False
        self._closing = False
        self._closed = False
        self._refused = False
        # The client has said that it sends no further request.
        self._last_came = False
        self._give_up_at = 0.0
        # Per request.
        self._exchange: Exchange | None = None
        self._in_head = True
        self._head_bytes = 0
        self._head_bytes_seen = 0
        self._head_fields = 0
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._started = 0.0
        # What is being parsed, if a request begins with it.
        self._first_piece = b""

    # --- life ---

    @property
    def draining(self) -> bool:
        """The server is shutting down."""
        return self._draining

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._connections.add(self):
            self._closed = True
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        self._write_in_pieces = not self._transport.can_write_eof()  # TLS
        if self._read:
            read, self._read = self._read, b""
            self.data_received(read)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: nobody waits for its answers."""
        self._closed = True
        self._connections.remove(self)
        self._forget_body()
        for exchange in self._waiting:
            if exchange.answer is None and exchange.on_cancel is not None:
                on_cancel, exchange.on_cancel = exchange.on_cancel, None
                on_cancel()
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._closing or self._closed:
            return
        begun = self._exchange
        if begun is None and not self._last_came:
            head = self._heads.find(data)
            if head is not None:
                exchange = Exchange(self, head.method, head.target, head.fields)
                exchange.body = data[head.size :]
                self._take(exchange)
                return
            self._first_piece = data
            self._feed(data)
            self._first_piece = b""
            return
        self._feed(data)
        if begun is not None and self._in_head and self._exchange is begun:
            # All of it was head, though the parser tells of a field only when it is complete.
            self._head_bytes_seen += len(data)
            self._check_head(self._head_bytes_seen)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._closing:
                self._refuse(400, f"malformed HTTP request: {error}")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read a request that offers to change the protocol again, without the offer (RFC 9110 lets us ignore it).

        The parser stops behind the head of such a request; `rest` is what follows.
        """
        exchange = self._exchange
        if exchange is None or self._closing:
            return
        if exchange.method == "CONNECT":
            self._refuse(501, "CONNECT is not supported")
            return
        fields = exchange.fields
        if b"transfer-encoding" in fields:
            fields.pop(b"content-length", None)
        lines = [b"%b %b HTTP/1.1" % (exchange.method.encode(), exchange.target.encode("latin-1"))]
        lines += [b"%b: %b" % field for field in fields.items()]
        if not exchange.keep_alive:
            lines.append(b"Connection: close")
        self._parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join([*lines, b"", b""]) + rest)

    def eof_received(self) -> bool:
        """The client has gone: one that times out just closes, and nothing is wasted on its requests."""
        return False

    def pause_writing(self) -> None:
        """The client does not read: don't read from it either."""
        self._paused_writing_at = self._loop.time()
        self._pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._paused_writing_at = 0.0
        self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._paused_reading and not self._closed:
            self._paused_reading = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        blocked = self._closed or self._paused_writing_at or len(self._waiting) >= _MAX_PIPELINE
        if self._paused_reading and not blocked:
            self._paused_reading = False
            self._transport.resume_reading()

    def check_time(self, now: float) -> None:
        """Close the connection if its client keeps us waiting."""
        limit = self._config.request_timeout_seconds
        if self._give_up_at:
            if now > self._give_up_at:
                self.abort()
        elif self._paused_writing_at and now - self._paused_writing_at > limit:
            self.abort()
        elif self._started and not self._paused_reading and now - self._started > limit:
            self._refuse(408, "the request was not sent in time")
        else:
            idle = self._config.idle_timeout_seconds
            if idle > 0 and not self._waiting and not self._started and now - self._last_active > idle:
                self._close()

    def drain(self) -> None:
        """Take no more requests; close when those in flight have been answered."""
        self._draining = True
        if self._started:
            return  # the request that is arriving will be the last
        if self._waiting:
            self._waiting[-1].keep_alive = False
            self._closing = True
        else:
            self._close()

    def abort(self) -> None:
        """Close at once."""
        if not self._closed:
            self._closed = True
            self._transport.abort()

    def _close(self) -> None:
        """Close when everything is sent, or when the client has not taken it in time."""
        if not self._closed and not self._give_up_at:
            self._closing = True
            if self._refused:
                self._give_up_at = self._loop.time() + min(_LINGER_S, self._config.request_timeout_seconds)
                if self._transport.can_write_eof():
                    self._transport.write_eof()
                else:  # TLS has no half-closed connections: its end waits for the client's, and drops what comes
                    self._transport.close()
            else:
                self._give_up_at = self._loop.time() + self._config.request_timeout_seconds
                self._transport.close()

    # --- one request (called by the parser) ---

    def on_message_begin(self) -> None:
        """A request starts."""
        self._exchange = Exchange(self, "", "", {})
        self._in_head = True
        self._head_bytes = 0
        self._head_bytes_seen = 0
        self._head_fields = 0
        if not self._started:
            self._started = self._loop.time()

    def on_url(self, url: bytes) -> None:
        """The request target, or the next piece of it."""
        if self._closing:
            return
        assert self._exchange is not None
        self._exchange.target += url.decode("latin-1")
        self._head_bytes += len(url)
        self._check_head(self._head_bytes)

    def _check_head(self, size: int) -> None:
        if size > self._config.max_header_bytes:
            self._refuse(431, "the request's head is too large")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        if self._closing:
            return
        self._head_bytes += len(name) + len(value) + 4  # with colon, space and line end
        self._check_head(self._head_bytes)
        self._head_fields += 1
        if self._head_fields > self._config.max_header_count:
            self._refuse(431, "the request has too many header fields")
        if not self._in_head:
            return  # trailer fields of a chunked body are not header fields
        key = name.lower()
        if key in KEPT_FIELDS:
            assert self._exchange is not None
            self._exchange.fields[key] = value

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        exchange = self._exchange
        if exchange is None or self._closing:
            return
        parser = self._parser
        exchange.method = parser.get_method().decode()
        exchange.keep_alive = parser.should_keep_alive()
        if parser.should_upgrade():
            return
        exchange.http10 = parser.get_http_version() == "1.0"
        fields = exchange.fields
        length = fields.get(b"content-length", b"")
        expect = fields.get(b"expect")
        if length.isdigit() and int(length) > self._config.max_body_bytes:
            self._refuse(413, self._too_large())
        elif self._is_passed_on(exchange):
            self._closing = True
            self.abort()
        elif not expect:
            return
        elif expect.lower() == b"100-continue":
            if not self._waiting and not exchange.http10:  # RFC 9110, section 10.1.1
                self._transport.write(_CONTINUE)
        else:
            self._refuse(417, f"unknown expectation: {expect.decode('latin-1')}")

    def _is_passed_on(self, exchange: Exchange) -> bool:
        """Whether another process goes on with this connection, from the request on that has begun."""
        pass_on, read = self._pass_on, self._first_piece
        if pass_on is None or not read or self._waiting or self._draining or self._transport.get_write_buffer_size():
            return False
        return pass_on(exchange, self._transport, read)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._closing:
            return
        self._chunks.append(data)
        self._body_bytes += len(data)
        self._connections.buffered_bytes += len(data)
        if self._body_bytes > self._config.max_body_bytes:
            self._refuse(413, self._too_large())
        elif not self._connections.has_room(0):
            self._refuse(503, "the server holds too many request bytes already")

    def on_message_complete(self) -> None:
        """The request is complete."""
        exchange = self._exchange
        if exchange is None or self._closing or self._parser.should_upgrade():
            return
        chunks = self._chunks
        if chunks:
            exchange.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._forget_body()
        self._exchange = None
        self._in_head = True
        self._started = 0.0
        self._last_came = not exchange.keep_alive
        if self._first_piece:
            self._heads.learn(self._first_piece, exchange)
            self._first_piece = b""
        self._take(exchange)

    def _take(self, exchange: Exchange) -> None:
        """A request is here."""
        self._last_active = self._loop.time()
        if self._draining:
            exchange.keep_alive = False
            self._closing = True
        self._waiting.append(exchange)
        if len(self._waiting) >= _MAX_PIPELINE:
            self._pause_reading()
        self._handler(exchange)

    def _too_large(self) -> str:
        return f"the request body is larger than {self._config.max_body_bytes} bytes"

    def _forget_body(self) -> None:
        self._connections.buffered_bytes -= self._body_bytes
        self._chunks = []
        self._body_bytes = 0

    # --- answers ---

    def _refuse(self, status: int, message: str) -> None:
        """Answer the request that is arriving with an error, after those before it, and close the connection."""
        if self._closing or self._closed:
            return
        self._closing = self._refused = True
        self._forget_body()
        self._started = 0.0
        exchange = self._exchange or Exchange(self, "", "", {})
        self._exchange = None
        exchange.keep_alive = False
        self._waiting.append(exchange)
        exchange.respond(status, self._error_body(message))

    def _write_pieces(self, answer: bytes) -> None:
        """Write to a TLS transport, which pauses us only for what comes after it has filled the socket's."""
        view = memoryview(answer)
        for start in range(0, len(view), _PIECE):
            self._transport.write(view[start : start + _PIECE])

    def answered(self, exchange: Exchange) -> None:
        """An exchange has its answer: write what is complete, in order."""
        if self._closed:
            return
        waiting = self._waiting
        transport = self._transport
        while waiting and waiting[0].answer is not None:
            first = waiting.popleft()
            assert first.answer is not None
            if self._write_in_pieces and len(first.answer) > _PIECE:
                self._write_pieces(first.answer)
            else:
                transport.write(first.answer)
            self._last_active = self._loop.time()
            if not first.keep_alive:
                self._close()
                return
        if self._paused_reading:
            self._resume_reading()
        if self._draining and not waiting and not self._started:
            self._close()
