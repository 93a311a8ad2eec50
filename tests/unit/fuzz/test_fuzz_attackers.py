"""The fuzzer's own parts: attacks can be drawn and drawn again, stuck servers and growth are noticed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from random import Random

import pytest

from tests.fuzz import http2, rest
from tests.fuzz.attack import Conversation, End, RawAttacker, Target, talk, unexpected
from tests.fuzz.health import Series
from tests.fuzz.messages import Messages

TARGET = Target(rest_port=1, grpc_port=2, patience_seconds=1.0)
RAW = (rest.Http1, rest.Urls, rest.Json, rest.Binary, rest.Mixed, http2.Http2)


@pytest.mark.parametrize("kind", RAW)
def test_a_seed_makes_the_same_attack_again(kind: type[RawAttacker]) -> None:
    attacker = kind(TARGET)
    said = [attacker.conversation(Random(seed)) for seed in range(150)]
    assert said == [attacker.conversation(Random(seed)) for seed in range(150)]
    assert len({conversation.sent for conversation in said}) > 100
    assert {conversation.end for conversation in said} >= {End.RESET, End.CLOSE, End.PEEK}
    assert max(len(conversation.sent) for conversation in said) < 8 << 20


@pytest.mark.parametrize(
    "make", ["predict", "examples_request", "multi_inference", "metadata_request", "status_request"]
)
def test_messages_can_be_drawn(make: str) -> None:
    drawn = [getattr(Messages(seed), make)() for seed in range(100)]
    assert drawn == [getattr(Messages(seed), make)() for seed in range(100)]
    assert len(set(drawn)) > 20


@contextlib.contextmanager
def a_server(*, answer: bytes, hang_up: bool) -> Iterator[int]:
    """Takes one connection, answers at once, and reads to the end of what comes."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionResetError):
                connection.sendall(answer)
                while connection.recv(1 << 16):
                    pass
                if not hang_up:
                    done.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join()


def test_a_server_that_hangs_up_is_fine() -> None:
    with a_server(answer=b"no", hang_up=True) as port:
        assert talk(port, Conversation([b"a", b"b" * 100_000], pause_seconds=0.001), 10.0) == (b"no", "")


def test_a_server_that_does_not_hang_up_is_noticed() -> None:
    with a_server(answer=b"", hang_up=False) as port:
        assert talk(port, Conversation([b"a"]), 0.05) == (b"", "the server did not hang up within 0.05 s")


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET, End.PEEK])
def test_a_client_that_leaves_does_not_wait(end: End) -> None:
    with a_server(answer=b"", hang_up=False) as port:
        assert talk(port, Conversation([b"a"], end=end), 30.0) == (b"", "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"error": "internal error"}', True),
        (b"INTERNAL: KeyError: 'x'", True),
        (b"struct.error: unpack requires a buffer of 4 bytes", True),
        (b'{"error": "JSON Parse error: Invalid value. at offset: 0"}', False),
        (b"INVALID_ARGUMENT: tensor parsing error: x", False),
    ],
)
def test_what_a_server_should_not_say(text: bytes, found: bool) -> None:
    assert bool(unexpected(text)) is found


@pytest.mark.parametrize(
    ("answer", "label", "fine"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"predictions": [1]}', "200 predictions", True),
        (b'HTTP/1.1 400 Bad Request\r\n\r\n{"error": "no"}', "400 error", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", "not JSON", False),
        (b"<html>", "not HTTP", False),
    ],
)
def test_answers_to_json(answer: bytes, label: str, fine: bool) -> None:
    found, complaint = rest.Json(TARGET).check(answer)
    assert (found, not complaint) == (label, fine)


def test_growth_is_that_after_the_warm_up() -> None:
    grows = Series("worker", [(float(t), 100.0 if t < 30 else 100.0 + t / 60) for t in range(100)])
    assert grows.growth() == (pytest.approx(60.0), 69.0)
    flat = Series("worker", [(float(t), 50.0 + min(t, 29)) for t in range(100)])
    assert flat.growth() == (pytest.approx(0.0), 69.0)
    assert Series("worker", [(0.0, 1.0)]).growth() == (0.0, 0.0)
