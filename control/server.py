"""The ZeroMQ side of the control plane: one ROUTER socket to which every peer connects.

Sending never blocks. A peer that has gone, or whose queue is full, loses the message; its heartbeats (or their
absence) tell, and `control.peers` mends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import zmq

from control.log import LOGGER
from protos.channel import Channel, Frames, LoopReader

Send = Callable[[bytes, bytes], None]
"""Sends `(identity, payload)`, or loses it."""


class ControlServer:
    """Receives `(identity, payload)` pairs for `on_message`, and sends such pairs."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: Channel,
        endpoint: str,
        on_message: Callable[[bytes, memoryview], None],
    ) -> None:
        """Bind `endpoint`.

        Raises:
            zmq.ZMQError: the address cannot be bound.
            ValueError: `tcp://` without a key pair.
        """
        self._on_message = on_message
        self._socket, self.endpoint = channel.bind_router(endpoint)
        self._reader = LoopReader(loop, self._socket, self._receive)

    def _receive(self, frames: Frames) -> None:
        if len(frames) != 2:
            LOGGER.error("A message of %d frames on the control plane; two are right", len(frames))
            return
        self._on_message(frames[0].bytes, frames[1].buffer)

    def send(self, identity: bytes, payload: bytes) -> None:
        """Send, or lose, one message."""
        try:
            self._socket.send_multipart((identity, payload), zmq.DONTWAIT)
        except zmq.Again:
            LOGGER.warning("The queue to %r is full; a message of %d bytes is lost", identity, len(payload))
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
        self._reader.poke()

    def close(self) -> None:
        """Close the socket at once; its channel stays open."""
        self._reader.close()
        self._socket.close(linger=0)
