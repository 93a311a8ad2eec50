"""The connection of a front end to one life of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

from protos.arena import Block
from protos.channel import Frames, LoopReader
from protos.messages import Infer, WorkerEntry

if TYPE_CHECKING:
    from frontend.call import Call

_WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Link:
    """What is under way to and from one worker.

    Attributes:
        up: the worker can be reached.
        requests, frames, blocks, cancelled: of the next message, which leaves at the end of the loop's turn.
        pending: requests sent, or about to be, and not answered, by id.
        unanswered: how many were given up since the worker last answered one; a worker that hangs has some.
        abandoned: shared memory of requests that nobody waits for but the worker may still read, by request id.
        shares_memory: the worker may reach the front end's arena.
    """

    __slots__ = (
        "entry",
        "name",
        "socket",
        "up",
        "requests",
        "frames",
        "blocks",
        "cancelled",
        "pending",
        "unanswered",
        "abandoned",
        "shares_memory",
        "closed",
        "_replies",
        "_monitor",
        "_events",
    )

    def __init__(self, entry: WorkerEntry, socket: zmq.Socket[bytes]) -> None:
        self.entry = entry
        self.name = entry.name
        self.socket = socket
        self.up = False
        self.requests: list[Infer] = []
        self.frames: list[Any] = []
        self.blocks: list[tuple[int, int]] = []
        self.cancelled: list[int] = []
        self.pending: dict[int, Call] = {}
        self.unanswered = 0
        self.abandoned: dict[int, list[Block]] = {}
        self.shares_memory = entry.endpoint.startswith("ipc://")
        self.closed = False

    def connect(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_replies: Callable[[Frames], None],
        on_connection: Callable[[bool], None],
    ) -> None:
        """Connect; hand over what arrives, and whether the worker can be reached whenever that changes."""
        self._monitor = self.socket.get_monitor_socket(_WATCHED)

        def on_event(frames: Frames) -> None:
            event = int.from_bytes(frames[0].bytes[:2], "little")
            on_connection(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)

        # Replies that came before the connection broke are read before the news that it did.
        self._replies = LoopReader(loop, self.socket, on_replies)
        self._events = LoopReader(loop, self._monitor, on_event)
        self.socket.connect(self.entry.endpoint)
        self.poke()

    def poke(self) -> None:
        """To be called after every send."""
        self._replies.poke()

    def drain(self) -> None:
        """Read the replies that have arrived."""
        self._replies.drain()

    def close(self) -> None:
        """Drop the connection and everything that has not left."""
        if not self.closed:
            self.closed = True
            self._replies.close()
            self._events.close()
            self.socket.disable_monitor()
            self._monitor.close(0)
            self.socket.close(0)
