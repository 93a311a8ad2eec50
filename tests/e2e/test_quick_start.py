"""What a newcomer does first, with the clients of TensorFlow Serving: predict, status, metadata, by every address."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import get_model_metadata_pb2

from tests.e2e.clients import Grpc, Rest, grpc_client, predict_request
from tests.e2e.server import Server

AVAILABLE = {
    "model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
}
PATHS = ["half_plus_two", "half_plus_two/versions/1", "half_plus_two/labels/stable"]


def tensor_info(name: str, dtype: str = "DT_FLOAT") -> dict[str, Any]:
    column = {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False}
    shape = column if dtype == "DT_FLOAT" else {"dim": [], "unknown_rank": True}
    return {"name": name, "dtype": dtype, "tensor_shape": shape}


def signature(method: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs, "method_name": f"tensorflow/serving/{method}", "defaults": {}}


EXAMPLES = {"inputs": tensor_info("tf_example:0", "DT_STRING")}
SIGNATURES = {
    "serving_default": signature("predict", {"x": tensor_info("x:0")}, {"y": tensor_info("y:0")}),
    "regress_x_to_y": signature("regress", EXAMPLES, {"outputs": tensor_info("y:0")}),
    "regress_x_to_y2": signature("regress", EXAMPLES, {"outputs": tensor_info("y2:0")}),
    "regress_x2_to_y3": signature("regress", {"inputs": tensor_info("x2:0")}, {"outputs": tensor_info("y3:0")}),
    "classify_x_to_y": signature("classify", EXAMPLES, {"scores": tensor_info("y:0")}),
    "classify_x2_to_y3": signature("classify", {"inputs": tensor_info("x2:0")}, {"scores": tensor_info("y3:0")}),
}


# --- REST ---


def test_the_quick_start(server: Server) -> None:
    url = f"http://localhost:{server.rest_port}/v1/models/half_plus_two:predict"
    answer = requests.post(url, data='{"instances": [1.0, 2.0, 5.0]}', timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert answer.headers["Content-Type"] == "application/json"
    assert "Server" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [[1.0, 2.0], [3.0, 4.0]]}, {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
        ({"instances": [{"x": 1.0}, {"x": 4}]}, {"predictions": [2.5, 4.0]}),
        ({"inputs": [3.0, 4.0]}, {"outputs": [3.5, 4.0]}),
        ({"inputs": {"x": [[3.0], [4.0]]}}, {"outputs": [[3.5], [4.0]]}),
        ({"inputs": 6}, {"outputs": 5.0}),
        ({"signature_name": "serving_default", "instances": [3.0, 4.0]}, {"predictions": [3.5, 4.0]}),
        ({"signature_name": "", "instances": [3.0]}, {"predictions": [3.5]}),
        ({"signature_name": "regress_x2_to_y3", "instances": [2]}, {"predictions": [4.0]}),
    ],
)
def test_rest_predict(rest: Rest, path: str, body: dict[str, Any], answer: dict[str, Any]) -> None:
    got = rest.post(f"{path}:predict", body)
    assert (got.status_code, got.json()) == (200, answer)


@pytest.mark.parametrize("path", PATHS)
def test_rest_status(rest: Rest, path: str) -> None:
    got = rest.get(path)
    assert (got.status_code, got.json()) == (200, AVAILABLE)


@pytest.mark.parametrize("path", PATHS)
def test_rest_metadata(rest: Rest, path: str) -> None:
    got = rest.get(f"{path}/metadata")
    spec = {"name": "half_plus_two", "signature_name": "", "version": "1"}
    assert got.status_code == 200
    assert got.json() == {"model_spec": spec, "metadata": {"signature_def": {"signature_def": SIGNATURES}}}


def test_the_content_type_of_a_form_is_accepted(rest: Rest) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    got = rest.post("half_plus_two:predict", b'{"instances": [2.0, 3.0, 4.0]}', headers=headers)
    assert got.json() == {"predictions": [3.0, 3.5, 4.0]}


# --- gRPC ---


@pytest.mark.parametrize("spec", [{}, {"version": 1}, {"label": "stable"}])
@pytest.mark.parametrize("output_filter", [(), ("y",)])
def test_predict(rpc: Grpc, spec: dict[str, Any], output_filter: tuple[str, ...]) -> None:
    answer = rpc.predict("half_plus_two", {"x": [1.0, 2.0, 5.0]}, output_filter=output_filter, **spec)
    assert list(answer.outputs) == ["y"]
    assert answer.outputs["y"].dtype == tf.float32.as_datatype_enum
    assert list(answer.outputs["y"].float_val) == [2.5, 3.0, 4.5]
    assert [dim.size for dim in answer.outputs["y"].tensor_shape.dim] == [3]
    echo = answer.model_spec
    assert (echo.name, echo.version.value, echo.signature_name) == ("half_plus_two", 1, "serving_default")
    assert echo.WhichOneof("version_choice") == "version"


def test_predict_of_a_scalar(rpc: Grpc) -> None:
    scalar = TensorProto(dtype=tf.float32.as_datatype_enum, float_val=[2.0])
    y = rpc.predict("half_plus_two", {"x": scalar}).outputs["y"]
    assert list(y.float_val) == [3.0]
    assert y.HasField("tensor_shape") and not y.tensor_shape.dim


@pytest.mark.parametrize(
    ("name", "alias", "output"), [("regress_x2_to_y3", "inputs", "outputs"), ("classify_x2_to_y3", "inputs", "scores")]
)
def test_predict_by_signatures_of_other_methods(rpc: Grpc, name: str, alias: str, output: str) -> None:
    answer = rpc.predict("half_plus_two", {alias: [2.0]}, signature=name)
    assert list(answer.outputs[output].float_val) == [4.0]
    assert answer.model_spec.signature_name == name


def test_a_model_with_state(rpc: Grpc) -> None:
    """Predict without inputs, in the order of upstream's own test."""
    assert rpc.arrays("counter", {}, signature="reset_counter") == {"output": 0.0}
    calls = [("get_counter", {}), ("incr_counter", {}), ("reset_counter", {}), ("incr_counter", {})]
    outputs = [rpc.arrays("counter", inputs, signature=name)["output"] for name, inputs in calls]
    outputs.append(rpc.arrays("counter", {"delta": 3.0}, signature="incr_counter_by")["output"])
    assert outputs == [0.0, 1.0, 0.0, 1.0, 4.0]


def test_a_tensorflow_2_model(rpc: Grpc) -> None:
    assert rpc.arrays("tf2", {"x": [[2.0]]})["y"].tolist() == [[3.0]]
    assert rpc.arrays("tf2", {"x": 2.0}, signature="six_times")["y"] == np.float32(12.0)


def test_get_model_status(rpc: Grpc) -> None:
    assert rpc.status("half_plus_two") == rpc.status("half_plus_two", version=1) == {1: ("AVAILABLE", 0)}


@pytest.mark.parametrize("spec", [{}, {"version": 1}, {"label": "stable"}])
def test_get_model_metadata(rpc: Grpc, spec: dict[str, Any]) -> None:
    answer = rpc.metadata("half_plus_two", "signature_def", **spec)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("half_plus_two", 1)
    assert list(answer.metadata) == ["signature_def"]
    packed = answer.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures = get_model_metadata_pb2.SignatureDefMap.FromString(packed.value).signature_def
    # What the SavedModel's initialization needs is listed too, as upstream does.
    assert signatures.keys() >= SIGNATURES.keys()
    y = signatures["serving_default"].outputs["y"]
    assert (y.name, y.dtype, [dim.size for dim in y.tensor_shape.dim]) == ("y:0", 1, [-1, 1])


def test_predict_over_a_unix_socket(server: Server) -> None:
    with grpc_client(f"unix:{server.folder}/grpc.sock") as client:
        assert client.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]


def test_many_calls_at_once_on_one_channel(rpc: Grpc) -> None:
    calls = [rpc.prediction.Predict.future(predict_request("half_plus_two", {"x": [float(i)]})) for i in range(500)]
    assert [call.result(20).outputs["y"].float_val[0] for call in calls] == [i / 2 + 2 for i in range(500)]
