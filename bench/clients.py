"""Steady load from threads, for benches that are about what happens and not about speed."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from typing import NamedTuple

import grpc

from protos import public
from tests.e2e.load import Load

CALL_SECONDS = 30.0
RELOAD_SECONDS = 300.0


class Answer(NamedTuple):
    """What a client got: version (0 over REST, which does not tell), value."""

    version: int
    value: float


def grpc_predict(channel: grpc.Channel, model: str, x: float, *, label: str = "") -> Answer:
    """`x` -> y by gRPC.

    Raises:
        grpc.RpcError: the call failed.
    """
    request = public.PredictRequest()
    request.model_spec.name = model
    if label:
        request.model_spec.version_label = label
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=1)
    tensor.float_val.append(x)
    call = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=public.PredictRequest.SerializeToString,
        response_deserializer=public.PredictResponse.FromString,
    )
    response = call(request, timeout=CALL_SECONDS)
    return Answer(response.model_spec.version.value, response.outputs["y"].float_val[0])


class RestClient:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_SECONDS)

    def predict(self, model: str, x: float, *, label: str = "", version: int = 0) -> Answer:
        """`x` -> y by REST, of a label, a version, or the latest version.

        Raises:
            RuntimeError: the answer is an error.
        """
        path = f"/v1/models/{model}"
        if label or version:
            path += f"/labels/{label}" if label else f"/versions/{version}"
        self._connection.request("POST", f"{path}:predict", json.dumps({"instances": [x]}))
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status} {body.decode(errors='replace')}")
        return Answer(0, json.loads(body)["predictions"][0])


def reload_config(channel: grpc.Channel, config: public.ModelServerConfig) -> None:
    """HandleReloadConfigRequest.

    Raises:
        grpc.RpcError: it was refused.
    """
    call = channel.unary_unary(
        "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
        request_serializer=public.ReloadConfigRequest.SerializeToString,
        response_deserializer=public.ReloadConfigResponse.FromString,
    )
    call(public.ReloadConfigRequest(config=config), timeout=RELOAD_SECONDS)


class SteadyLoad(Load):
    """A load that may go on for long: it counts, and keeps only some of what went wrong.

    A function returns why its answer is wrong, or an empty string.

    Attributes:
        calls: how many there were.
        problems: what went wrong, wrong answers and exceptions alike; at most 100 are kept.
        failed: how many went wrong.
    """

    def __init__(self, *functions: Callable[[], str], pause_seconds: float = 0.002) -> None:
        super().__init__(*functions, pause_seconds=pause_seconds)
        self.calls = 0
        self.failed = 0
        self.problems: list[str] = []
        self._lock = threading.Lock()

    def keep_answer(self, answer: str) -> None:
        """Count it."""
        with self._lock:
            self.calls += 1
            if answer:
                self.failed += 1
                if len(self.problems) < 100:
                    self.problems.append(answer)

    def keep_failure(self, error: Exception) -> None:
        """Count it as a wrong answer."""
        self.keep_answer(f"{type(error).__name__}: {error}")
