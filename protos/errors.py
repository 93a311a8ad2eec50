"""Canonical error codes and the one exception that carries them.

Every failure inside tensormux is a `ServingError` with a canonical code. It is mapped exactly once at each
edge: to a gRPC status (same numbers), to an HTTP status (`HTTP_STATUS`), or to the text of a log line.
Source: TensorFlow's `error_codes.proto` and the REST mapping of TensorFlow Serving's `http_rest_api_util`.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Canonical status codes; the numbers are gRPC's and `tensorflow.error.Code`'s."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS: dict[int, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class ServingError(Exception):
    """A failure with a canonical code; `str(error)` is `CODE: message`, as upstream prints a status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{code_name(self.code)}: {self.message}"


def code_name(code: int) -> str:
    """The canonical name of `code` (`NOT_FOUND`), or its number in text when it is not a known code."""
    try:
        return Code(code).name
    except ValueError:
        return str(code)


def invalid_argument(message: str) -> ServingError:
    """INVALID_ARGUMENT, the most common refusal, in short."""
    return ServingError(Code.INVALID_ARGUMENT, message)
