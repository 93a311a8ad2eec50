"""docker-compose.yml, profile `cpu`, not configured: serves a sample model, outlives its worker, stops in order.

The services run as plain processes with the commands and environments of the file; `tests.compose` says how.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests

from protos.public import PredictRequest, PredictResponse
from tests import dockerfile
from tests.compose import Stack

START_SECONDS = 150.0
RECOVER_SECONDS = 90.0
CALL_SECONDS = 5.0
INTERVAL_SECONDS = 0.1
FLOAT = 1


@pytest.fixture
def stack(tmp_path: Path):
    with Stack(tmp_path, profile="cpu", image=dockerfile.load(), env={}) as services:
        services.up(within=START_SECONDS)
        yield services


def predict_rest(stack: Stack) -> list[float]:
    url = f"http://127.0.0.1:{stack.port('frontend', 8501)}/v1/models/half_plus_two:predict"
    answer = requests.post(url, json={"instances": [1.0, 2.0, 5.0]}, timeout=CALL_SECONDS)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def predict_grpc(stack: Stack) -> list[float]:
    request = PredictRequest()
    request.model_spec.name = "half_plus_two"
    x = request.inputs["x"]
    x.dtype = FLOAT
    x.tensor_shape.dim.add().size = 3
    x.float_val.extend([1.0, 2.0, 5.0])
    with grpc.insecure_channel(f"127.0.0.1:{stack.port('frontend', 8500)}") as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )
        y = call(request, timeout=CALL_SECONDS, wait_for_ready=True).outputs["y"]
    return list(y.float_val) or np.frombuffer(y.tensor_content, np.float32).tolist()


def eventually(call: Callable[[], list[float]], *, within: float) -> list[float]:
    """What `call` returns once it fails no longer."""
    deadline = time.monotonic() + within
    while True:
        try:
            return call()
        except (AssertionError, requests.RequestException, grpc.RpcError):
            if time.monotonic() > deadline:
                raise
            time.sleep(INTERVAL_SECONDS)


def test_outlives_its_worker(stack: Stack):
    assert predict_rest(stack) == [2.5, 3.0, 4.5]
    assert predict_grpc(stack) == [2.5, 3.0, 4.5]

    worker = stack.running["worker-cpu"]
    worker.kill()
    worker.wait(10)
    assert stack.services["worker-cpu"]["restart"] == "unless-stopped"
    stack.start("worker-cpu", within=START_SECONDS)

    assert eventually(lambda: predict_rest(stack), within=RECOVER_SECONDS) == [2.5, 3.0, 4.5]
    assert eventually(lambda: predict_grpc(stack), within=RECOVER_SECONDS) == [2.5, 3.0, 4.5]
    for name in reversed(stack.services):
        if name in stack.running:
            stack.stop(name)


@pytest.mark.parametrize("order", [("control", "worker-cpu", "frontend"), ("worker-cpu", "frontend", "control")])
def test_stops_in_any_order(stack: Stack, order: tuple[str, ...]):
    assert set(order) == set(stack.running)
    assert predict_rest(stack) == [2.5, 3.0, 4.5]
    for name in order:
        # Nothing is in flight, so nobody needs the grace period.
        assert stack.stop(name) < 12.0
