"""What an attacker is, and conversations in raw bytes: send pieces, read what comes, end in one of several ways."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import ClassVar

from tests.e2e.broken_bytes import broken

# What a server says only when something happened that its code did not expect.
_UNEXPECTED = re.compile(
    rb"Traceback|internal error|\b(?:Type|Value|Key|Index|Attribute|Assertion|Overflow|Recursion|UnicodeDecode"
    rb"|UnicodeEncode|Runtime|ZeroDivision|Memory|NotImplemented|Lookup|Buffer|Name)Error\b|struct\.error|msgspec\."
)
_MOST_READ = 64 << 20


def unexpected(text: bytes) -> str:
    """The name of a Python exception or the like in what the server said; empty when there is none."""
    found = _UNEXPECTED.search(text)
    return f"the answer says {found[0].decode()}" if found else ""


@dataclass(frozen=True)
class Target:
    """Where to attack. `patience_seconds`: a server that says nothing and doesn't hang up for so long is stuck."""

    rest_port: int
    grpc_port: int
    patience_seconds: float


@dataclass
class Outcome:
    """What came of one attack.

    Attributes:
        label: for counting.
        sent: the bytes.
        answer: the first of what came back.
        complaint: what is wrong with the server; empty when nothing is.
    """

    label: str
    sent: bytes
    answer: bytes = b""
    complaint: str = ""


class Attacker(ABC):
    """One angle of attack. `attack` draws all that it does from `chance`, so a seed makes it happen again."""

    name: ClassVar[str]

    def __init__(self, target: Target) -> None:
        self.target = target

    @abstractmethod
    def attack(self, chance: Random) -> Outcome:
        """Do one attack."""

    def close(self) -> None:  # noqa: B027, most have nothing to close
        """Let go of connections."""


class End(Enum):
    """How the client leaves once everything has been sent."""

    HALF = "says that it has no more to say, then reads until the server hangs up"
    READ = "reads until the server hangs up, by itself or at a timeout"
    CLOSE = "closes at once"
    RESET = "resets the connection"
    PEEK = "reads a little, then closes"


@dataclass
class Conversation:
    """Pieces to send with pauses between them."""

    pieces: list[bytes]
    pause_seconds: float = 0.0
    end: End = End.HALF
    # While this is true the client doesn't read.
    deaf: bool = False
    sent: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.sent = b"".join(self.pieces)


def torn(chance: Random, data: bytes, *, read: int = 1, half: int = 7) -> Conversation:
    """`data` in one piece, or cut at random and sent with pauses; weights of two of the ends."""
    end = chance.choices(list(End), (half, read, 1, 1, 1))[0]
    if chance.random() < 0.7 or len(data) < 2:
        return Conversation([data], end=end)
    cuts = sorted({chance.randrange(1, len(data)) for _ in range(chance.randint(1, 8))})
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return Conversation(pieces, pause_seconds=chance.choice((0.0, 0.001, 0.01, 0.05)), end=end)


def damaged(chance: Random, data: bytes) -> bytes:
    """`data` with bytes changed, cut out, repeated and put in."""
    return next(broken(data, chance.getrandbits(64), 1))


def cut(chance: Random, data: bytes) -> bytes:
    """The beginning of `data`."""
    return data[: chance.randrange(len(data) + 1)]


def talk(port: int, conversation: Conversation, patience_seconds: float) -> tuple[bytes, str]:
    """Have a conversation.

    Returns:
        What came back, and a complaint when the server did not hang up in time after the client had said all.
    """
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=patience_seconds) as sock:
        sock.setblocking(False)
        try:
            for piece in conversation.pieces:
                if not _send(sock, piece, answer, patience_seconds, deaf=conversation.deaf):
                    return bytes(answer), "the server neither reads nor hangs up"
                if conversation.pause_seconds:
                    time.sleep(conversation.pause_seconds)
            if conversation.end is End.CLOSE:
                return bytes(answer), ""
            if conversation.end is End.RESET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return bytes(answer), ""
            if conversation.end is End.PEEK:
                with contextlib.suppress(TimeoutError):
                    _receive(sock, answer, 0.05)
                return bytes(answer), ""
            if conversation.end is End.HALF:
                sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + patience_seconds
            while _receive(sock, answer, deadline - time.monotonic()):
                if time.monotonic() > deadline or len(answer) > _MOST_READ:
                    return bytes(answer), f"still talking after {patience_seconds:g} s and {len(answer)} bytes"
        except TimeoutError:
            return bytes(answer), f"the server did not hang up within {patience_seconds:g} s"
        except OSError:
            pass  # it hung up, which is its right
    return bytes(answer), ""


def _send(sock: socket.socket, data: bytes, answer: bytearray, patience_seconds: float, *, deaf: bool) -> bool:
    """Send and read at the same time, as else both sides could wait for each other; False when nothing moves."""
    view = memoryview(data)
    poll = select.poll()
    poll.register(sock, select.POLLOUT | (0 if deaf else select.POLLIN))
    while view:
        events = poll.poll(patience_seconds * 1000)
        if not events:
            return False
        if events[0][1] & select.POLLIN:
            received = sock.recv(1 << 16)
            answer += received
            if not received:
                poll.modify(sock, select.POLLOUT)  # it says no more, and may still read
        if events[0][1] & (select.POLLOUT | select.POLLERR | select.POLLHUP):
            with contextlib.suppress(BlockingIOError):
                view = view[sock.send(view) :]
    return True


def _receive(sock: socket.socket, answer: bytearray, seconds: float) -> bool:
    """Wait for more; False at the end.

    Raises:
        TimeoutError: nothing came.
    """
    if not select.select([sock], [], [], max(0.0, seconds))[0]:
        raise TimeoutError
    received = sock.recv(1 << 16)
    answer += received
    return bool(received)


class RawAttacker(Attacker):
    """Sends bytes; `check` looks at a whole answer of a client that read it."""

    def port(self) -> int:
        """Where to."""
        return self.target.rest_port

    @abstractmethod
    def conversation(self, chance: Random) -> Conversation:
        """What to say."""

    def check(self, answer: bytes) -> tuple[str, str]:
        """A label, and a complaint or nothing."""
        return ("answered" if answer else "hung up"), ""

    def attack(self, chance: Random) -> Outcome:
        """Have one conversation."""
        said = self.conversation(chance)
        answer, complaint = talk(self.port(), said, self.target.patience_seconds)
        label = said.end.name.lower()
        if not complaint:
            complaint = unexpected(answer)
        if not complaint and said.end in (End.READ, End.HALF):
            label, complaint = self.check(answer)
        return Outcome(label, said.sent, answer[:65_536], complaint)


Make = Callable[[Random], bytes]
