"""The ROUTER socket of the control plane, over a real ipc endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop
import zmq

from control.server import ControlServer
from protos.channel import Channel

DEADLINE_SECONDS = 10.0


async def received(messages: list[tuple[bytes, bytes]], count: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(messages) < count:
            await asyncio.sleep(0.001)


def test_messages_go_both_ways_and_lost_ones_do_no_harm(tmp_path: Path) -> None:
    async def test() -> None:
        channel = Channel()
        got: list[tuple[bytes, bytes]] = []
        server = ControlServer(
            asyncio.get_running_loop(),
            channel,
            f"ipc://{tmp_path}/c.sock",
            lambda identity, payload: got.append((identity, bytes(payload))),
        )
        peers = Channel()
        try:
            peer = peers.connect_dealer(server.endpoint, identity=b"peer")
            peer.send_multipart([b"two", b"frames"])
            peer.send(b"hello")
            await received(got, 1)
            assert got == [(b"peer", b"hello")]
            server.send(b"nobody", b"lost")
            server.send(b"peer", b"welcome")
            assert peer.poll(int(DEADLINE_SECONDS * 1000))
            assert peer.recv() == b"welcome"
            for number in range(200):
                peer.send(b"%d" % number)
            await received(got, 201)
            assert [payload for _, payload in got[1:]] == [b"%d" % number for number in range(200)]
        finally:
            peers.close()
            server.close()
            channel.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())


def test_an_address_that_cannot_be_bound_raises(tmp_path: Path) -> None:
    async def test() -> None:
        channel = Channel()
        try:
            with pytest.raises(zmq.ZMQError):
                ControlServer(asyncio.get_running_loop(), channel, f"ipc://{tmp_path}/no/such/folder", lambda *_: None)
            with pytest.raises(ValueError, match="TENSORMUX_CURVE"):
                ControlServer(asyncio.get_running_loop(), channel, "tcp://127.0.0.1:*", lambda *_: None)
        finally:
            channel.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())
