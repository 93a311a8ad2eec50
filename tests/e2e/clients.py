"""What users have: TensorFlow Serving's own gRPC stubs, and `requests` for REST."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import requests
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

CALL_SECONDS = 20.0
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def predict_request(
    model: str,
    inputs: Mapping[str, Any],
    *,
    signature: str = "",
    version: int | None = None,
    label: str | None = None,
    output_filter: Sequence[str] = (),
) -> predict_pb2.PredictRequest:
    """A request as users write it; inputs are TensorProtos, or what tf.make_tensor_proto takes (floats as float32)."""
    request = predict_pb2.PredictRequest()
    set_spec(request.model_spec, model, version=version, label=label)
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        if not isinstance(value, TensorProto):
            value = tf.make_tensor_proto(value)
        request.inputs[alias].CopyFrom(value)
    request.output_filter.extend(output_filter)
    return request


def set_spec(spec: Any, model: str, *, version: int | None = None, label: str | None = None) -> None:
    """Fill a ModelSpec."""
    spec.name = model
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label


class Grpc:
    """One channel and its stubs; calls have a deadline unless told otherwise."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        # Channels of one process share connections unless told not to.
        options = [*_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        if credentials is not None and address.startswith("unix:"):
            options.append(("grpc.ssl_target_name_override", "localhost"))  # a path is no name of a certificate
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, model: str, inputs: Mapping[str, Any], *, timeout: float = CALL_SECONDS, **spec: Any) -> Any:
        """PredictionService.Predict; `spec` as in `predict_request`."""
        return self.prediction.Predict(predict_request(model, inputs, **spec), timeout=timeout)

    def arrays(self, model: str, inputs: Mapping[str, Any], **more: Any) -> dict[str, np.ndarray]:
        """The outputs of `predict`, decoded."""
        outputs = self.predict(model, inputs, **more).outputs
        return {alias: tf.make_ndarray(tensor) for alias, tensor in outputs.items()}

    def status(self, model: str, **spec: Any) -> dict[int, tuple[str, int]]:
        """Version -> state and error code, by GetModelStatus."""
        request = get_model_status_pb2.GetModelStatusRequest()
        set_spec(request.model_spec, model, **spec)
        answer = self.models.GetModelStatus(request, timeout=CALL_SECONDS)
        states = get_model_status_pb2.ModelVersionStatus.State
        return {v.version: (states.Name(v.state), v.status.error_code) for v in answer.model_version_status}

    def metadata(self, model: str, *fields: str, **spec: Any) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """PredictionService.GetModelMetadata."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        set_spec(request.model_spec, model, **spec)
        return self.prediction.GetModelMetadata(request, timeout=CALL_SECONDS)


@contextlib.contextmanager
def grpc_client(address: str) -> Iterator[Grpc]:
    """A client that is closed at the end."""
    client = Grpc(address)
    with client.channel:
        yield client


class Rest:
    """The REST API under /v1/models, on one kept-alive connection a thread at most."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.session = requests.Session()

    def get(self, path: str) -> requests.Response:
        """GET /v1/models/`path`."""
        return self.session.get(f"{self.root}/v1/models/{path}", timeout=CALL_SECONDS)

    def post(self, path: str, body: Any, **more: Any) -> requests.Response:
        """POST /v1/models/`path` with JSON of `body`, or with `body` itself if it is bytes."""
        content = {"data": body} if isinstance(body, bytes) else {"json": body}
        return self.session.post(f"{self.root}/v1/models/{path}", timeout=CALL_SECONDS, **content, **more)

    def predict(self, path: str, instances: Any) -> Any:
        """The predictions for `instances`; anything but 200 is an AssertionError."""
        answer = self.post(f"{path}:predict", {"instances": instances})
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()["predictions"]


@contextlib.contextmanager
def rest_client(port: int) -> Iterator[Rest]:
    """A client that is closed at the end."""
    client = Rest(port)
    with client.session:
        yield client


def rest_error(answer: requests.Response) -> tuple[int, str]:
    """Status and text of an answer that is the JSON error object, and nothing else."""
    assert list(answer.json()) == ["error"], answer.text
    return answer.status_code, answer.json()["error"]


def rest_outcome(answer: requests.Response) -> Any:
    """The JSON of a success, or status and text of an error."""
    return answer.json() if answer.status_code == 200 else rest_error(answer)


@contextlib.contextmanager
def raises(code: str, text: str = "") -> Iterator[None]:
    """The block fails with this gRPC status, whose details contain `text`."""
    try:
        yield
    except grpc.RpcError as error:
        assert error.code().name == code and text in error.details(), error
    else:
        raise AssertionError(f"no error, expected {code} {text}")
