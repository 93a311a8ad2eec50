"""What TensorFlow Serving's own whole-server test does to its binary, done to this one: flags, readiness, calls."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.e2e.clients import Grpc, grpc_client
from tests.e2e.server import START_SECONDS, Server, entry, eventually, started, write_config

RPC_SECONDS = 5.0
CHANNEL_ARGUMENTS = "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb,grpc.so_reuseaddr=1"
AGED_SECONDS = 2.6
CONFIG_SECONDS = 10.0


def wait_until_ready(address: str) -> None:
    """As scripts do it: ask for a model that is missing on purpose until the error speaks of servables."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "intentionally_missing_model"

    def ready() -> bool:
        with grpc.insecure_channel(address) as channel:
            try:
                prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, RPC_SECONDS)
            except grpc.RpcError as error:
                return "Servable" in (error.details() or "")
        raise AssertionError("the missing model answers")

    eventually(ready, within=START_SECONDS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Path:
    """A base path whose only version is 00000123."""
    base = tmp_path_factory.mktemp("scenarios") / "half_plus_two"
    base.mkdir()
    (base / "00000123").symlink_to(model_path("half_plus_two"))
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Server]:
    flags = (
        "--rest_api_timeout_in_ms=5000",
        f"--grpc_socket_path={base.parent}/tf-serving.sock",
        "--model_name=default",
        f"--model_base_path={base}",
        f"--grpc_channel_arguments={CHANNEL_ARGUMENTS}",
    )
    with started(base.parent / "server", *flags, ready=False) as running:
        wait_until_ready(f"127.0.0.1:{running.grpc_port}")
        yield running


@pytest.fixture(scope="module")
def rpc(server: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


def x_is_2(*shape: int) -> dict[str, TensorProto]:
    tensor = TensorProto(dtype=1, float_val=[2.0])
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return {"x": tensor}


def assert_predicts(client: Grpc, model: str, value: float, *, version: int | None = None, **spec: Any) -> None:
    answer = client.predict(model, x_is_2(1), timeout=RPC_SECONDS, **spec)
    assert (answer.outputs["y"].dtype, list(answer.outputs["y"].float_val)) == (1, [value])
    assert (answer.model_spec.name, answer.model_spec.signature_name) == (
        model,
        spec.get("signature", "serving_default"),
    )
    if version is not None:
        assert answer.model_spec.version.value == version


@pytest.mark.parametrize("output_filter", [(), ("y",)])
def test_predict(rpc: Grpc, output_filter: tuple[str, ...]) -> None:
    assert_predicts(rpc, "default", 3.0, version=123, output_filter=output_filter)


def test_predict_over_the_socket(server: Server, base: Path) -> None:
    with grpc_client(f"unix:{base.parent}/tf-serving.sock") as client:
        assert_predicts(client, "default", 3.0, version=123)


def test_status_and_metadata(rpc: Grpc) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "default"
    (entry,) = rpc.models.GetModelStatus(request, RPC_SECONDS).model_version_status
    assert (entry.version, entry.status.error_code) == (123, 0)
    answer = rpc.metadata("default", "signature_def")
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("default", 123)
    assert list(answer.metadata) == ["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap.FromString(answer.metadata["signature_def"].value)
    assert set(signatures.signature_def) >= {"serving_default", "regress_x_to_y", "classify_x_to_y"}


def rest(server: Server, path: str, body: Any = None) -> Any:
    """With urllib, which says that what it posts is a form."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.rest_port}{path}", data=data)
    with urllib.request.urlopen(request, timeout=RPC_SECONDS) as answer:
        if data is not None:
            assert request.get_header("Content-type") == "application/x-www-form-urlencoded"
        assert answer.headers["Content-Type"] == "application/json"
        return json.load(answer)


def test_rest(server: Server) -> None:
    predictions = {"predictions": [3.0, 3.5, 4.0]}
    for path in ("default", "default/versions/123"):
        assert rest(server, f"/v1/models/{path}:predict", {"instances": [2.0, 3.0, 4.0]}) == predictions
    assert rest(server, "/v1/models/default:predict", {"inputs": [2.0, 3.0, 4.0]}) == {"outputs": [3.0, 3.5, 4.0]}
    status = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert rest(server, "/v1/models/default") == {"model_version_status": [status]}
    assert rest(server, "/v1/models/default/metadata")["model_spec"] == {
        "name": "default",
        "signature_name": "",
        "version": "123",
    }


def test_calls_go_on_while_connections_grow_old(rpc: Grpc) -> None:
    """--grpc_channel_arguments says 2 s; the channel connects anew without its user noticing."""
    end = time.monotonic() + AGED_SECONDS
    calls = 0
    while time.monotonic() < end:
        assert_predicts(rpc, "default", 3.0)
        calls += 1
    assert calls > 20


def test_a_configuration_file_with_batching(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    """Keras, tf.function and two signatures, as a configuration of several models that is rewritten at the end."""
    (tmp_path / "batching.config").write_text(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\n"
        "max_enqueued_batches { value: 1000000 }\nnum_batch_threads { value: 8 }\n"
    )
    names = ("keras", "tf_function", "two_signatures")
    others = [entry(name, model_path(name).parent) for name in names]
    config = write_config(tmp_path / "m.config", entry("default", model_path("half_plus_two").parent), *others)
    flags = (
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--enable_batching",
        f"--batching_parameters_file={tmp_path}/batching.config",
    )
    with started(tmp_path / "server", *flags, ready=False) as server:
        address = f"127.0.0.1:{server.grpc_port}"
        wait_until_ready(address)
        with grpc_client(address) as client:
            for _ in range(3):
                assert_predicts(client, "default", 3.0)
                assert_predicts(client, "tf_function", 12.0)
                assert_predicts(client, "two_signatures", 1.0)
                assert_predicts(client, "two_signatures", 2.0, signature="custom_signature_key")
                answer = client.predict("keras", x_is_2(1, 1), timeout=RPC_SECONDS)
                assert [list(tensor.float_val) for tensor in answer.outputs.values()] == [[2.0]]
            write_config(config, entry("half_plus_three", model_path("half_plus_three").parent), *others)

            def served() -> bool:
                assert_predicts(client, "half_plus_three", 4.0)
                return True

            eventually(served, within=CONFIG_SECONDS)
            eventually(lambda: client.status("default") == {1: ("END", 0)}, within=CONFIG_SECONDS)
            assert_predicts(client, "tf_function", 12.0)
