"""One unary call, from its headers to its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from frontend.grpc import wire
from protos.errors import ServingError

if TYPE_CHECKING:
    from frontend.grpc.connection import GrpcConnection


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
        "method",
        "encoding",
        "deadline_ns",
        "started",
        "chunks",
        "size",
        "expected",
        "done",
        "on_cancel",
    )

    def __init__(self, connection: GrpcConnection, stream_id: int, path: bytes, method: Handler) -> None:
        self.connection = connection
        self.id = stream_id
        self.path = path
        self.method = method
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


Handler = Callable[[Stream, bytes | memoryview], None]
