"""Asynchronous clients in numbers: many channels, random models and sizes, some calls cancelled, all answers right."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.e2e.clients import Grpc, predict_request
from tests.e2e.server import Server, eventually

CHANNELS = 16
CALLERS_A_CHANNEL = 8
SECONDS = 2.0
CALL_SECONDS = 30.0
# Rows of a request; the larger ones travel outside the message between the processes.
SIZES = (0, 1, 3, 17, 1_000, 20_000, 60_000)
CANCELLED_SHARE = 0.15


class Caller:
    """Calls again and again, and compares what comes back with what was sent."""

    def __init__(self, stub: Any, seed: int, outcomes: Counter[str]) -> None:
        self._stub = stub
        self._random = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._outcomes = outcomes

    async def call(self) -> None:
        size = self._random.choice(SIZES)
        x = self._numbers.random(size, np.float32)
        kind = self._random.choice(("half", "string", "sum", "missing"))
        if kind == "half":
            model, inputs, signature, expected = "half_plus_two", {"x": x}, "", {"y": x / 2 + 2}
        elif kind == "string":
            words = np.array([b"%d" % i * (i % 5) for i in range(min(size, 1_000))], object)
            tensor = tf.make_tensor_proto(words, tf.string, words.shape)
            model, inputs, signature, expected = "identity", {"x": tensor}, "string", {"y": words}
        elif kind == "sum":
            expected = {"sum": x + x, "total": x + x, "difference": x - x}
            model, inputs, signature = "signatures", {"a": x, "b": x}, ""
        else:
            model, inputs, signature, expected = f"missing-{size}", {"x": x}, "", {}
        call = self._stub.Predict(predict_request(model, inputs, signature=signature), timeout=CALL_SECONDS)
        if self._random.random() < CANCELLED_SHARE:
            await asyncio.sleep(self._random.choice((0.0, 0.001, 0.005)))
            call.cancel()
        try:
            answer = await call
        except asyncio.CancelledError:
            self._outcomes["cancelled"] += 1
            return
        except grpc.aio.AioRpcError as error:
            assert (error.code(), error.details()) == (
                grpc.StatusCode.NOT_FOUND,
                f"Servable not found for request: Latest({model})",
            )
            assert kind == "missing"
            self._outcomes[kind] += 1
            return
        assert answer.model_spec.name == model
        assert answer.outputs.keys() == expected.keys()
        for alias, value in expected.items():
            assert np.array_equal(tf.make_ndarray(answer.outputs[alias]), value), (kind, size)
        self._outcomes[kind] += 1


async def crowd(address: str) -> Counter[str]:
    """What became of the calls of all."""
    outcomes: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(CHANNELS)]

    async def repeat(seed: int, stub: Any) -> None:
        caller = Caller(stub, seed, outcomes)
        while loop.time() < end:
            await caller.call()

    try:
        async with asyncio.TaskGroup() as group:
            for number, channel in enumerate(channels):
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                for i in range(CALLERS_A_CHANNEL):
                    group.create_task(repeat(number * CALLERS_A_CHANNEL + i, stub))
    finally:
        for channel in channels:
            await channel.close()
    return outcomes


def test_every_answer_is_right(server: Server, rpc: Grpc) -> None:
    before = server.tree()
    outcomes = asyncio.run(crowd(f"127.0.0.1:{server.grpc_port}"))
    print(dict(outcomes))
    assert min(outcomes[kind] for kind in ("half", "string", "sum", "missing", "cancelled")) > 20
    # Nobody is left in a queue, and nothing was broken on the way.
    eventually(lambda: rpc.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0], within=10)
    assert server.tree() == before
    assert "Traceback" not in server.log
    assert "internal error" not in server.log
