"""Requests that nobody waits for any more, by their deadline or because the client left, hold nobody up."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

import grpc

from tests.e2e.clients import Grpc, Rest, predict_request, raises
from tests.e2e.conftest import REST_TIMEOUT_MS
from tests.e2e.server import Server

# What the dead requests would take, if they ran; a few of them do, since they had begun.
BUSY_SECONDS = 3.0
# More than run at a time, so that most of them wait in the queue when they die.
CROWD = 6 * len(os.sched_getaffinity(0))
# The next request waits for those that run, but for none of those that died waiting.
FREE_SECONDS = BUSY_SECONDS + 2.0


def assert_free(rpc: Grpc) -> None:
    """The model answers as soon as what runs at most has ended."""
    start = time.monotonic()
    # Many rows, so that the cost of this request is no measure for that of the others.
    assert rpc.arrays("slow", {"seconds": [0.0] * 1000})["seconds"].tolist() == [0.0] * 1000
    assert time.monotonic() - start < FREE_SECONDS


def test_a_deadline_is_kept_and_the_queue_behind_it_is_free(rpc: Grpc) -> None:
    request = predict_request("slow", {"seconds": [BUSY_SECONDS]})
    start = time.monotonic()
    calls = [rpc.prediction.Predict.future(request, timeout=0.4) for _ in range(CROWD)]
    for call in calls:
        with raises("DEADLINE_EXCEEDED"):
            call.result()
    assert time.monotonic() - start < 2.0
    assert_free(rpc)


def test_cancelled_calls_free_their_place(rpc: Grpc) -> None:
    request = predict_request("slow", {"seconds": [BUSY_SECONDS]})
    calls = [rpc.prediction.Predict.future(request, timeout=60) for _ in range(CROWD)]
    # The front end answers this one itself: all calls before it on the channel have arrived.
    assert rpc.status("slow") == {1: ("AVAILABLE", 0)}
    for call in calls:
        assert call.cancel()
    assert_free(rpc)
    assert {call.code() for call in calls} == {grpc.StatusCode.CANCELLED}


def test_clients_of_rest_that_reset_their_connection_free_their_place(server: Server, rpc: Grpc, rest: Rest) -> None:
    body = b'{"instances": [%f]}' % BUSY_SECONDS
    head = b"POST /v1/models/slow:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.rest_port), timeout=10))
            # A close alone would only say that the client sends no more.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(head + body)
        assert rest.get("slow").status_code == 200
    assert_free(rpc)


def test_the_timeout_of_rest_is_a_504(rpc: Grpc, rest: Rest) -> None:
    start = time.monotonic()
    answer = rest.post("slow:predict", {"instances": [REST_TIMEOUT_MS / 1000 + 1.0]})
    assert REST_TIMEOUT_MS / 1000 <= time.monotonic() - start < REST_TIMEOUT_MS / 1000 + 1.0
    assert (answer.status_code, list(answer.json())) == (504, ["error"])
    assert_free(rpc)


def test_a_busy_model_does_not_hold_up_a_cheap_one(rpc: Grpc, rest: Rest) -> None:
    # What is cheap is known once it was measured.
    for _ in range(20):
        assert rest.predict("half_plus_two", [2.0]) == rpc.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]
    request = predict_request("slow", {"seconds": [BUSY_SECONDS]})
    calls = [rpc.prediction.Predict.future(request, timeout=60) for _ in range(CROWD)]
    start = time.monotonic()
    for _ in range(20):
        assert rest.predict("half_plus_two", [2.0]) == rpc.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]
    assert time.monotonic() - start < BUSY_SECONDS / 2
    for call in calls:
        assert call.cancel()
    assert_free(rpc)


def test_a_model_that_was_cheap_and_becomes_slow_blocks_nothing(rpc: Grpc) -> None:
    for _ in range(20):
        rpc.predict("slow", {"seconds": [0.0] * 100})
        rpc.predict("half_plus_two", {"x": [2.0]})
    request = predict_request("slow", {"seconds": [BUSY_SECONDS / 2] * 100})
    call = rpc.prediction.Predict.future(request, timeout=60)
    start = time.monotonic()
    assert rpc.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]
    seconds = time.monotonic() - start
    call.result()
    assert seconds < BUSY_SECONDS / 4
