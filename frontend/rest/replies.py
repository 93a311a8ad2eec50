"""What all REST answers have in common: headers, the JSON error object, compression."""

from __future__ import annotations

from frontend.exchange import JSON_TYPE, Exchange
from frontend.rest.compression import Compression
from frontend.rest.json_encode import encode_error
from frontend.rest.urls import MethodNotAllowed
from protos.errors import HTTP_STATUS, ServingError

_CORS = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Methods: POST, GET\r\n"
    b"Access-Control-Allow-Headers: Content-Type\r\n"
)


class Replies:
    """Header lines of JSON answers (with CORS headers if enabled), successes and errors.

    Args:
        cors: answer with CORS headers.
        compression_min_bytes: of a JSON body that is compressed for clients that accept gzip; 0 for none.
    """

    def __init__(self, *, cors: bool, compression_min_bytes: int = 0) -> None:
        self.cors = _CORS if cors else b""
        self.headers = JSON_TYPE + self.cors
        self._compression = Compression(compression_min_bytes)
        self._compressed_from = self._compression.min_bytes

    def success(self, exchange: Exchange, body: bytes) -> None:
        """Answer 200 with JSON: at once, or once it is compressed."""
        if len(body) < self._compressed_from:
            exchange.respond(200, body, self.headers)
        else:
            self._compression.respond(exchange, body, self.headers)

    def error(self, exchange: Exchange, error: ServingError) -> None:
        """Answer with an error."""
        body = encode_error(error.message)
        if isinstance(error, MethodNotAllowed):
            exchange.respond(405, body, self.headers + b"Allow: %b\r\n" % error.allow.encode())
        else:
            exchange.respond(HTTP_STATUS.get(error.code, 500), body, self.headers)
