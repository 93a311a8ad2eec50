"""Health, reflection and --grpc_channel_arguments of whole servers."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.e2e.clients import CALL_SECONDS, Grpc, grpc_client, raises
from tests.e2e.server import Server, eventually, started

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
AGE_MS = 300


def check(channel: grpc.Channel, service: str) -> Any:
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_SECONDS).status


def watch(channel: grpc.Channel, service: str) -> Iterator[Any]:
    request = health_pb2.HealthCheckRequest(service=service)
    return iter(health_pb2_grpc.HealthStub(channel).Watch(request, timeout=CALL_SECONDS))


def test_health(rpc: Grpc) -> None:
    for service in ("", "PredictionService", "tensorflow.serving.ModelService"):
        assert check(rpc.channel, service) == SERVING
    assert check(rpc.channel, "tensorflow.serving.PredictionService/half_plus_two") == SERVING
    with raises("NOT_FOUND"):
        check(rpc.channel, "half_plus_two")
    call = watch(rpc.channel, "half_plus_two")
    assert next(call).status == SERVICE_UNKNOWN
    call.cancel()  # type: ignore[attr-defined]


def test_a_predict_made_of_reflection_alone(rpc: Grpc) -> None:
    described = DescriptorPool(ProtoReflectionDescriptorDatabase(rpc.channel))
    predict = described.FindServiceByName("tensorflow.serving.PredictionService").FindMethodByName("Predict")
    request = GetMessageClass(predict.input_type)()
    request.model_spec.name = "half_plus_two"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=3)
    tensor.tensor_content = np.array([1, 2, 5], np.float32).tobytes()
    answer = rpc.channel.unary_unary(
        f"/{predict.containing_service.full_name}/{predict.name}",
        type(request).SerializeToString,
        GetMessageClass(predict.output_type).FromString,
    )(request, timeout=CALL_SECONDS)
    assert list(answer.outputs["y"].float_val) == [2.5, 3.0, 4.5]


@pytest.fixture
def short_lived(tmp_path: Path, model_path: Callable[[str], Path]) -> Iterator[Server]:
    """A server whose connections live for a moment."""
    arguments = f"grpc.max_connection_age_ms={AGE_MS},nonsense,grpc.lb_policy_name=grpclb,grpc.so_reuseport=1"
    flags = (
        "--model_name=half_plus_two",
        f"--model_base_path={model_path('half_plus_two').parent}",
        f"--grpc_channel_arguments={arguments}",
        "--enable_grpc_healthcheck_service",
    )
    with started(tmp_path / "server", *flags) as running:
        yield running


def test_channel_arguments_and_a_stop_while_clients_watch(short_lived: Server) -> None:
    server = short_lived
    for text in (
        "--grpc_channel_arguments: ignored 'nonsense', which is not name=value",
        "--grpc_channel_arguments: grpc.lb_policy_name has no effect in tensormux",
        "--grpc_channel_arguments: grpc.so_reuseport is always so",
    ):
        assert text in server.log
    assert "is not available in tensormux yet" not in server.log
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as rpc, contextlib.ExitStack() as calls:
        states: list[grpc.ChannelConnectivity] = []
        rpc.channel.subscribe(states.append)
        # The client is told to go, comes back, and no call fails over it.

        def has_come_back() -> bool:
            assert rpc.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]
            ready = grpc.ChannelConnectivity.READY
            return states.count(ready) >= 2 and states.index(ready) < len(states) - 1

        eventually(has_come_back, within=20)
        watches = [watch(rpc.channel, name) for name in ("", "tensorflow.serving.PredictionService/half_plus_two")]
        calls.callback(lambda: [call.cancel() for call in watches])  # type: ignore[attr-defined]
        assert [next(call).status for call in watches] == [SERVING, SERVING]
        server.signal(signal.SIGTERM)
        for call in watches:
            assert next(call).status == NOT_SERVING
            with raises("UNAVAILABLE", "shutting down"):
                next(call)
    # Calls that would last for ever do not use up the time that a drain may take.
    assert server.wait_ended(within=8) == 0
