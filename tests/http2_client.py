"""nghttp2 in the client's role on a plain socket, for what grpcio would not send, or not show."""

from __future__ import annotations

import socket
from collections.abc import Callable

import ngh2


class Client:
    """nghttp2 in the client's role on a plain socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.http2 = ngh2.Connection(ngh2.Role.CLIENT)
        self.http2.initiate_connection()
        self.events: list[ngh2.Event] = []
        self.send()

    def send(self) -> None:
        while data := self.http2.data_to_send():
            self.sock.sendall(data)

    def read_until(self, done: Callable[[], object]) -> None:
        while not done():
            data = self.sock.recv(65536)
            assert data, "the server closed the connection"
            self.http2.receive_data(data)
            self.events.extend(self.http2.events())
            self.send()

    def request(self, path: bytes = b"/test/Echo", **headers: bytes) -> int:
        fields = {
            b":method": b"POST",
            b":scheme": b"http",
            b":authority": b"localhost",
            b":path": path,
            b"content-type": b"application/grpc",
            b"te": b"trailers",
        }
        fields |= {name.replace("__", ":").replace("_", "-").encode(): value for name, value in headers.items()}
        return self.http2.send_request(list(fields.items()))

    def outcome(self, stream: int) -> dict[bytes, bytes]:
        """Headers and trailers of the answer, once the stream has ended."""

        def ended() -> bool:
            return any(type(e) in (ngh2.StreamClosed, ngh2.StreamReset) and e.stream_id == stream for e in self.events)

        self.read_until(ended)
        fields: dict[bytes, bytes] = {}
        for event in self.events:
            if type(event) in (ngh2.ResponseReceived, ngh2.TrailersReceived) and event.stream_id == stream:
                fields |= dict(event.headers)
        return fields
