"""The ZeroMQ channel: addresses, keys, and reading from a loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from protos.channel import (
    ENV_CURVE_PUBLIC,
    ENV_CURVE_SECRET,
    Channel,
    Curve,
    Frames,
    LoopReader,
    new_incarnation,
)
from tests import loops


def new_curve() -> Curve:
    return Curve(*zmq.curve_keypair())


class Ends:
    """Each socket from a channel of its own, as if in another process."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.sockets: list[zmq.Socket[bytes]] = []

    def channel(self, curve: Curve | None = None) -> Channel:
        self.channels.append(Channel(curve))
        return self.channels[-1]

    def router(self, endpoint: str, curve: Curve | None = None) -> tuple[zmq.Socket[bytes], str]:
        sock, bound = self.channel(curve).bind_router(endpoint)
        self.sockets.append(sock)
        return sock, bound

    def dealer(self, endpoint: str, identity: bytes = b"me", curve: Curve | None = None) -> zmq.Socket[bytes]:
        self.sockets.append(self.channel(curve).connect_dealer(endpoint, identity=identity))
        return self.sockets[-1]


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    for channel in reversed(made.channels):
        channel.close()


def receive(sock: zmq.Socket[bytes], seconds: float = 5.0) -> list[bytes]:
    assert sock.poll(int(seconds * 1000)), "nothing came in time"
    return sock.recv_multipart()


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_messages_go_both_ways(ends: Ends, tmp_path: Path, transport: str) -> None:
    curve = new_curve() if transport == "tcp" else None
    wanted = "tcp://127.0.0.1:*" if curve else f"ipc://{tmp_path}/peer"
    router, endpoint = ends.router(wanted, curve)
    assert endpoint.startswith(f"{transport}://") and not endpoint.endswith("*")
    dealer = ends.dealer(endpoint, curve=curve)
    large = bytes(range(256)) * 4096
    dealer.send_multipart([b"header", large, b""])
    assert receive(router) == [b"me", b"header", large, b""]
    router.send_multipart([b"me", b"answer", large])
    assert receive(dealer) == [b"answer", large]


def test_a_send_to_an_unknown_peer_says_so(ends: Ends, tmp_path: Path) -> None:
    router, _ = ends.router(f"ipc://{tmp_path}/peer")
    with pytest.raises(zmq.ZMQError) as raised:
        router.send_multipart([b"nobody", b"x"], zmq.DONTWAIT)
    assert raised.value.errno == zmq.EHOSTUNREACH


def test_a_new_connection_takes_over_the_identity(ends: Ends, tmp_path: Path) -> None:
    router, endpoint = ends.router(f"ipc://{tmp_path}/peer")
    first = ends.dealer(endpoint, b"same")
    first.send(b"1")
    assert receive(router) == [b"same", b"1"]
    second = ends.dealer(endpoint, b"same")
    second.send(b"2")
    assert receive(router) == [b"same", b"2"]
    router.send_multipart([b"same", b"for the second"])
    assert receive(second) == [b"for the second"]


def test_a_full_queue_raises_instead_of_waiting(ends: Ends, tmp_path: Path) -> None:
    dealer = ends.dealer(f"ipc://{tmp_path}/nobody")
    with pytest.raises(zmq.Again):
        for _ in range(1_000_000):
            dealer.send(b"x", zmq.DONTWAIT)


@pytest.mark.parametrize("kind", ["bind", "connect"])
def test_tcp_needs_keys(ends: Ends, kind: str) -> None:
    channel = ends.channel()
    with pytest.raises(ValueError, match=ENV_CURVE_PUBLIC):
        if kind == "bind":
            channel.bind_router("tcp://127.0.0.1:*")
        else:
            channel.connect_dealer("tcp://127.0.0.1:1", identity=b"me")


@pytest.mark.parametrize("stranger", ["no key", "another pair", "our public key, another secret"])
def test_strangers_get_nowhere(ends: Ends, stranger: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="zmq.auth")
    ours = new_curve()
    router, endpoint = ends.router("tcp://127.0.0.1:*", ours)
    context = zmq.Context()
    try:
        sock = context.socket(zmq.DEALER)
        sock.setsockopt(zmq.LINGER, 0)
        monitor = sock.get_monitor_socket()
        if stranger == "another pair":
            other = new_curve()
            sock.curve_publickey, sock.curve_secretkey, sock.curve_serverkey = other.public, other.secret, ours.public
        elif stranger == "our public key, another secret":
            other = new_curve()
            sock.curve_publickey, sock.curve_secretkey, sock.curve_serverkey = ours.public, other.secret, ours.public
        sock.connect(endpoint)
        sock.send(b"let me in")
        refusals = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        refusals |= zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED
        event = 0
        while not event & refusals:
            assert monitor.poll(5000), "the stranger was not turned away"
            event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
            assert event != zmq.EVENT_HANDSHAKE_SUCCEEDED
        friend = ends.dealer(endpoint, b"friend", ours)
        friend.send(b"hello")
        assert receive(router) == [b"friend", b"hello"]
        assert not router.poll(0)
        sock.disable_monitor()
        monitor.close()
    finally:
        context.destroy(linger=0)


def test_keys_from_the_environment() -> None:
    curve = new_curve()
    env = {ENV_CURVE_PUBLIC: curve.public.decode(), ENV_CURVE_SECRET: curve.secret.decode()}
    assert Curve.from_env(env) == curve
    assert Curve.from_env({}) is None
    other = new_curve().public.decode()
    for broken in (
        {ENV_CURVE_PUBLIC: env[ENV_CURVE_PUBLIC]},
        {ENV_CURVE_SECRET: env[ENV_CURVE_SECRET]},
        env | {ENV_CURVE_PUBLIC: other},
        env | {ENV_CURVE_SECRET: "short"},
        env | {ENV_CURVE_SECRET: "ä" * 40},
    ):
        with pytest.raises(ValueError, match=ENV_CURVE_SECRET):
            Curve.from_env(broken)


def test_incarnations_differ() -> None:
    assert len({new_incarnation() for _ in range(100)}) == 100


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_burst_is_read_without_a_stall(ends: Ends, tmp_path: Path, loop: str) -> None:
    """Thousands of messages that were there before and come in while reading, with sends on the same socket."""
    router, endpoint = ends.router(f"ipc://{tmp_path}/peer")
    dealer = ends.dealer(endpoint)
    count = 5_000

    async def main() -> None:
        running = asyncio.get_running_loop()
        at_router: list[bytes] = []
        at_dealer: list[bytes] = []

        def echo(frames: Frames) -> None:
            at_router.append(frames[1].bytes)
            router.send_multipart([frames[0], frames[1]], zmq.DONTWAIT)
            readers[0].poke()

        for i in range(count):
            dealer.send(b"%d" % i, zmq.DONTWAIT)
        readers = [
            LoopReader(running, router, echo),
            LoopReader(running, dealer, lambda frames: at_dealer.append(frames[0].bytes)),
        ]
        await loops.until(lambda: len(at_dealer) == count)
        for i in range(count, count + 500):  # one at a time, with a turn of the loop between
            dealer.send(b"%d" % i, zmq.DONTWAIT)
            readers[1].poke()
            await asyncio.sleep(0)
        await loops.until(lambda: len(at_dealer) == count + 500)
        assert at_router == at_dealer == [b"%d" % i for i in range(count + 500)]
        for reader in readers:
            reader.close()

    loops.run(main(), loop=loop)


def test_a_burst_lets_others_have_their_turn(ends: Ends, tmp_path: Path) -> None:
    router, endpoint = ends.router(f"ipc://{tmp_path}/peer")
    dealer = ends.dealer(endpoint)
    for _ in range(1_000):
        dealer.send(b"x")
    assert router.poll(5_000)

    async def main() -> None:
        read: list[int] = []
        reader = LoopReader(asyncio.get_running_loop(), router, lambda frames: read.append(1))
        seen = set()
        while len(read) < 1_000:
            seen.add(len(read))
            await asyncio.sleep(0)
        assert len(seen) >= 10
        reader.close()

    loops.run(main())


def test_a_message_that_raises_does_not_hold_up_the_next(ends: Ends, tmp_path: Path) -> None:
    router, endpoint = ends.router(f"ipc://{tmp_path}/peer")
    dealer = ends.dealer(endpoint)

    async def main() -> list[object]:
        running = asyncio.get_running_loop()
        read: list[bytes] = []
        troubles: list[object] = []
        running.set_exception_handler(lambda _, context: troubles.append(context["exception"]))

        def on_message(frames: Frames) -> None:
            read.append(frames[1].bytes)
            if len(read) % 2:
                raise KeyError("odd")

        for i in range(200):
            dealer.send(b"%d" % i)
        reader = LoopReader(running, router, on_message)
        await loops.until(lambda: len(read) == 200)
        reader.close()
        return troubles

    assert len(loops.run(main())) == 100


def test_a_closed_reader_reads_no_more(ends: Ends, tmp_path: Path) -> None:
    router, endpoint = ends.router(f"ipc://{tmp_path}/peer")
    dealer = ends.dealer(endpoint)

    async def main() -> None:
        read: list[bytes] = []
        for i in range(3):
            dealer.send(b"%d" % i)

        def on_message(frames: Frames) -> None:
            read.append(frames[1].bytes)
            reader.close()

        reader = LoopReader(asyncio.get_running_loop(), router, on_message)
        await loops.until(lambda: read)
        reader.poke()
        await asyncio.sleep(0)
        reader.close()
        assert read == [b"0"]

    loops.run(main())
    assert receive(router) == [b"me", b"1"]
