"""How an error becomes an HTTP answer: the status of each canonical code, the JSON error object, headers."""

import json

import pytest

from frontend.exchange import Exchange
from frontend.rest.replies import Replies
from protos.errors import Code, ServingError

STATUSES = {
    **{Code.OK: 200, Code.CANCELLED: 499, Code.UNKNOWN: 500, Code.INVALID_ARGUMENT: 400, Code.DEADLINE_EXCEEDED: 504},
    **{Code.NOT_FOUND: 404, Code.ALREADY_EXISTS: 409, Code.PERMISSION_DENIED: 403, Code.RESOURCE_EXHAUSTED: 429},
    **{Code.FAILED_PRECONDITION: 400, Code.ABORTED: 409, Code.OUT_OF_RANGE: 400, Code.UNIMPLEMENTED: 501},
    **{Code.INTERNAL: 500, Code.UNAVAILABLE: 503, Code.DATA_LOSS: 500, Code.UNAUTHENTICATED: 401},
}
REASONS = {
    **{200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"},
    **{429: "Client Error", 499: "Client Error", 500: "Internal Server Error", 501: "Not Implemented"},
    **{503: "Service Unavailable", 504: "Gateway Time-out"},
}
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class Connection:
    """Keeps the answer."""

    def answered(self, exchange: Exchange) -> None:
        assert exchange.answer is not None
        head, _, self.body = exchange.answer.partition(b"\r\n\r\n")
        self.line, *fields = head.decode().split("\r\n")
        self.headers = dict(field.split(": ") for field in fields)


def answer_to(error: ServingError, *, cors: bool = False) -> Connection:
    connection = Connection()
    Replies(cors=cors).error(Exchange(connection, "GET", "/", {}), error)  # type: ignore[arg-type]
    return connection


def test_all_codes_have_a_row() -> None:
    assert set(STATUSES) == set(Code)


@pytest.mark.parametrize(("code", "status"), [*STATUSES.items(), (17, 500), (99, 500), (-1, 500)])
def test_status_of_a_code(code: int, status: int) -> None:
    answer = answer_to(ServingError(code, 'What "it" is: \\ \x01ä'))
    assert answer.line == f"HTTP/1.1 {status} {REASONS[status]}"
    assert json.loads(answer.body) == {"error": 'What "it" is: \\ \x01ä'}
    assert list(answer.headers) == ["Content-Type", "Date", "Content-Length"]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.body))


def test_cors_headers_are_on_errors_too() -> None:
    headers = answer_to(ServingError(Code.NOT_FOUND, "x"), cors=True).headers
    assert list(headers) == ["Content-Type", *CORS, "Date", "Content-Length"]
    assert CORS.items() <= headers.items()


def test_messages_are_never_cut() -> None:
    message = "m" * 100_000
    assert json.loads(answer_to(ServingError(Code.INVALID_ARGUMENT, message)).body) == {"error": message}
