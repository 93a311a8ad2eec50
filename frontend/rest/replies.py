"""What all REST answers have in common: headers and the JSON error object."""

from __future__ import annotations

from frontend.exchange import JSON_TYPE, Exchange
from frontend.rest.json_encode import encode_error
from protos.errors import HTTP_STATUS, ServingError

_CORS = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Methods: POST, GET\r\n"
    b"Access-Control-Allow-Headers: Content-Type\r\n"
)


class Replies:
    """Header lines of JSON answers (with CORS headers if enabled), and errors."""

    def __init__(self, *, cors: bool) -> None:
        self.cors = _CORS if cors else b""
        self.headers = JSON_TYPE + self.cors

    def error(self, exchange: Exchange, error: ServingError) -> None:
        """Answer with an error."""
        exchange.respond(HTTP_STATUS.get(error.code, 500), encode_error(error.message), self.headers)
