"""Requests that are wrong get the code and the words that TensorFlow Serving has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2, predict_pb2

from tests.e2e.clients import CALL_SECONDS, Grpc, Rest, raises

X = {"x": [1.0]}
UNRECOGNIZED = "Unrecognized servable version label: nobody"
UNKNOWN_KEYS = {"unknown_key1": [1.0], "unknown_key2": [1.0]}
TWO_FOR_ONE = "input size does not match signature: 2!=1 len({unknown_key1,unknown_key2}) != len({x})."

PREDICT = [
    ("intentionally_missing_model", {}, {}, "NOT_FOUND", "Servable not found for request: Latest("),
    ("", X, {}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    ("half_plus_two", X, {"version": 99}, "NOT_FOUND", "Servable not found for request: Specific(half_plus_two, 99)"),
    ("half_plus_two", X, {"label": "nobody"}, "INVALID_ARGUMENT", UNRECOGNIZED),
    ("nobody", X, {"label": "nobody"}, "INVALID_ARGUMENT", UNRECOGNIZED),
    ("half_plus_two", X, {"signature": "?"}, "FAILED_PRECONDITION", 'Serving signature key "?" not found.'),
    ("half_plus_two", {}, {}, "INVALID_ARGUMENT", "Missing but required: {x}."),
    ("half_plus_two", UNKNOWN_KEYS, {}, "INVALID_ARGUMENT", TWO_FOR_ONE),
    ("half_plus_two", UNKNOWN_KEYS, {}, "INVALID_ARGUMENT", "Sent extra: {unknown_key1,unknown_key2}."),
    ("half_plus_two", {"z": [1.0]}, {}, "INVALID_ARGUMENT", "Signature input alias: x(feed name: x:0) not found in"),
    ("half_plus_two", {"x": ["a"]}, {}, "INVALID_ARGUMENT", "to be float but string is provided"),
    ("half_plus_two", {"x": [True]}, {}, "INVALID_ARGUMENT", "to be float but bool is provided"),
    ("half_plus_two", X, {"output_filter": ["?"]}, "INVALID_ARGUMENT", "tensor alias not found in signature: ? "),
    ("half_plus_two", X, {"output_filter": ["y", "y"]}, "INVALID_ARGUMENT", "duplicate output tensor alias: y"),
]


@pytest.mark.parametrize(("model", "inputs", "spec", "code", "text"), PREDICT)
def test_predict(rpc: Grpc, model: str, inputs: dict[str, Any], spec: dict[str, Any], code: str, text: str) -> None:
    with raises(code, text):
        rpc.predict(model, inputs, **spec)


def test_a_tensor_that_cannot_be_read(rpc: Grpc) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add().size = -1
    with raises("INVALID_ARGUMENT", "tensor parsing error: x"):
        rpc.prediction.Predict(request, timeout=CALL_SECONDS)


def metadata(name: str, *fields: str) -> Callable[[Grpc], Any]:
    return lambda rpc: rpc.metadata(name, *fields)


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (lambda rpc: rpc.prediction.Predict(predict_pb2.PredictRequest()), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            lambda rpc: rpc.prediction.GetModelMetadata(get_model_metadata_pb2.GetModelMetadataRequest()),
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        ),
        (
            lambda rpc: rpc.models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest()),
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        ),
        (metadata("half_plus_two"), "INVALID_ARGUMENT", "must specify at least one metadata_field"),
        (metadata("half_plus_two", "some_stuff"), "INVALID_ARGUMENT", "Metadata field some_stuff is not supported"),
        (metadata("", "signature_def"), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (metadata("nobody", "signature_def"), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        (lambda rpc: rpc.status("nobody"), "NOT_FOUND", "Could not find any versions of model nobody"),
        (
            lambda rpc: rpc.status("half_plus_two", version=125),
            "NOT_FOUND",
            "Could not find version 125 of model half_plus_two",
        ),
        (
            lambda rpc: rpc.models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest()),
            "INVALID_ARGUMENT",
            "Only ModelConfigList is currently supported",
        ),
    ],
)
def test_other_methods(rpc: Grpc, call: Callable[[Grpc], Any], code: str, text: str) -> None:
    with raises(code, text):
        call(rpc)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("tensorflow.serving.PredictionService/Predict", grpc.StatusCode.INTERNAL),
        ("tensorflow.serving.ModelService/GetModelStatus", grpc.StatusCode.INTERNAL),
        ("tensorflow.serving.PredictionService/Divine", grpc.StatusCode.UNIMPLEMENTED),
        ("some.other.Service/Predict", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_bytes_that_are_no_message_and_methods_that_do_not_exist(rpc: Grpc, method: str, code: grpc.StatusCode) -> None:
    call = rpc.channel.unary_unary(f"/{method}")
    with pytest.raises(grpc.RpcError) as error:
        call(b"\xff\xff\xff\xff no message", timeout=CALL_SECONDS)
    assert error.value.code() is code


# --- REST ---

MALFORMED = [
    *("GET foo:predict", "GET foo/version/50:predict", "GET debug/model/name", "POST ", "POST foo/version/50:regress"),
    *("POST foo/versions/HELLO:regress", "POST foo/metadata", "POST foo/label/some_label:regress"),
    *("POST foo/versions/50/labels/some_label:regress", "POST foo/versions/some_label:regress"),
]
ONE = {"instances": [1]}


@pytest.mark.parametrize("request_line", MALFORMED)
def test_malformed_urls(rest: Rest, request_line: str) -> None:
    method, path = request_line.split(" ")
    answer = rest.session.request(method, f"{rest.root}/v1/models/{path}", data=b"{}", timeout=CALL_SECONDS)
    assert answer.status_code == 400
    assert answer.json() == {"error": f"Malformed request: {method} /v1/models/{path}"}


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("foo:predict", ONE, 404, "Servable not found for request: Latest(foo)"),
        ("foo/versions/50:predict", ONE, 404, "Servable not found for request: Specific(foo, 50)"),
        ("half_plus_two/versions/99:predict", ONE, 404, "Servable not found for request: Specific(half_plus_two, 99)"),
        ("half_plus_two/versions/18446744073709551615:predict", ONE, 400, "Failed to convert version"),
        ("half_plus_two:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("half_plus_two:predict", b"instances = [1, 2]", 400, "JSON Parse error: Invalid value. at offset: 0"),
        ("foo:predict", b"instances = [1, 2]", 400, "JSON Parse error: Invalid value. at offset: 0"),
        ("half_plus_two:predict", {"instances": ["x", "y"]}, 400, "not of expected type: float"),
        ("half_plus_two/labels/nobody:predict", {"instances": ["x", "y"]}, 400, UNRECOGNIZED),
        ("half_plus_two:predict", {"signature_name": 100}, 400, "'signature_name' key must be a string value."),
        (
            "half_plus_two:predict",
            {"signature_name": "?", **ONE},
            400,
            'Serving signature name: "?" not found in signature def',
        ),
        ("half_plus_two:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("half_plus_two:predict", {"instances": []}, 400, "No values in 'instances' array"),
        ("half_plus_two:predict", {"instances": [[1, 2], [3]]}, 400, "Expecting tensor size: 2 but got: 1"),
        ("half_plus_two:predict", {"instances": [{"z": 1}]}, 400, "JSON object: does not have named input: z"),
    ],
)
def test_rest_predict(rest: Rest, path: str, body: Any, status: int, text: str) -> None:
    answer = rest.post(path, body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert text in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("foo", 404, "Could not find any versions of model foo"),
        ("half_plus_two/versions/99", 404, "Could not find version 99 of model half_plus_two"),
        ("foo/metadata", 404, "Servable not found for request: Latest(foo)"),
        ("half_plus_two/labels/nobody/metadata", 400, UNRECOGNIZED),
    ],
)
def test_rest_gets(rest: Rest, path: str, status: int, text: str) -> None:
    answer = rest.get(path)
    assert (answer.status_code, answer.json()) == (status, {"error": text})


@pytest.mark.parametrize(("path", "status"), [("/v1/models", 400), ("/statuspage", 404), ("/", 404), ("/v1/foo", 400)])
def test_other_paths(rest: Rest, path: str, status: int) -> None:
    answer = rest.session.get(rest.root + path, timeout=CALL_SECONDS)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
