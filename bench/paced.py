"""One client that sends small requests at a steady rate, whatever becomes of them, and notes how long each took.

`python -m bench.paced PORT PATH RATE BODY` is that client: a process of its own, which nothing else holds up. It prints
a line for each answer, when the request was due (seconds of the monotonic clock) and how long it took, until its
standard input ends. `Paced` starts it.
"""

from __future__ import annotations

import gc
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from bench.server import ROOT, ServerFailed

_REPLY_SECONDS = 60.0
_READ_BYTES = 65_536
# Until what was due just before is answered and printed.
_PRINTING_SECONDS = 0.2


class Paced:
    """Sends the same request over one connection (HTTP/1.1 on the loopback) while the block runs.

    Latencies count from when a request was due: when one is slow, those that had to wait for it are, too. They are
    written to `file`.
    """

    def __init__(self, port: int, path: str, body: str, *, rate: float, file: Path) -> None:
        self._command = [sys.executable, "-m", "bench.paced", str(port), path, str(rate), body]
        self._file = file

    def between(self, begin: float, end: float) -> list[float]:
        """Milliseconds that each request took which was due in this time (of the monotonic clock), which is over.

        Raises:
            ServerFailed: requests have ended early.
        """
        pause = end + _PRINTING_SECONDS - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        if self._client.poll() is not None:
            raise ServerFailed(f"the client has ended with {self._client.returncode}")
        lines = self._file.read_text().splitlines(keepends=True)
        answers = [line.split() for line in lines if line.endswith("\n")]
        return [float(took) * 1e3 for due, took in answers if begin <= float(due) < end]

    def __enter__(self) -> Paced:
        with self._file.open("a") as output:
            self._client = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._client.stdin is not None
        self._client.stdin.close()
        try:
            self._client.wait(_REPLY_SECONDS)
        except subprocess.TimeoutExpired:
            self._client.kill()
            self._client.wait()


def main(port: int, path: str, rate: float, body: bytes) -> int:
    """The client; the exit status is 1 after an answer other than 200, or none."""
    gc.disable()
    request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", port), _REPLY_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due, size = time.monotonic(), 0
        while True:
            due += 1.0 / rate
            if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
                return 0
            connection.sendall(request)
            reply = connection.recv(_READ_BYTES)
            size = size or len(reply)
            while reply and len(reply) < size:
                reply += connection.recv(_READ_BYTES)
            if not reply.startswith(b"HTTP/1.1 200 "):
                print(reply[:200], file=sys.stderr)
                return 1
            print(due, time.monotonic() - due, flush=True)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4].encode()))
