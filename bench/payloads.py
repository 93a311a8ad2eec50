"""The request of a scenario, as its client would send it, and the check that an answer to it is right.

Inputs come from a fixed seed; right answers from `tests.reference`, not from the server.
"""

from __future__ import annotations

import http.client
from typing import Any, NamedTuple

import grpc
import numpy as np
import numpy.typing as npt
import orjson

from bench.h2load import METHOD
from bench.scenarios import Scenario
from bench.server import Target
from protos import dtypes, public
from tests import reference

CALL_DEADLINE_SECONDS = 30.0
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class WrongAnswer(RuntimeError):
    """The server refused the request of a scenario, or answered with other numbers than the model's."""


class Payload(NamedTuple):
    """A request of one input tensor, and the one output tensor that must come back."""

    model: str
    alias: str
    value: npt.NDArray[Any]
    expected_alias: str
    expected: npt.NDArray[np.float32]


def make(model: str, rows: int) -> Payload:
    """The request to `model` with a batch of `rows`."""
    rng = np.random.default_rng(rows)
    if model == "half_plus_two":
        x = np.full(rows, 2.0, np.float32)
        return Payload(model, "x", x, "y", x * np.float32(0.5) + 2)
    if model == "ctr":
        numbers = rng.integers(0, reference.CTR_VOCABULARY, (rows, reference.CTR_IDS_PER_ROW))
        ids = [[reference.ctr_id(int(number)) for number in row] for row in numbers]
        return Payload(model, "ids", np.array(ids, object), "score", reference.ctr(ids))
    if model == "mlp":
        x = rng.standard_normal((rows, reference.MLP_SIZES[0])).astype(np.float32)
        return Payload(model, "x", x, "y", reference.mlp(x))
    if model == "image":
        x = rng.random((rows, *reference.IMAGE_SHAPE), dtype=np.float32)
        return Payload(model, "image", x, "scores", reference.image(x))
    if model == "wide":
        x = rng.standard_normal((rows, 1)).astype(np.float32)
        return Payload(model, "x", x, "y", reference.wide(x))
    raise ValueError(f"no payload for model {model}")


def grpc_message(payload: Payload) -> bytes:
    """The serialized PredictRequest, encoded as TensorFlow's make_tensor_proto does.

    Numbers go into tensor_content, but a single one into float_val; strings into string_val.
    """
    request = public.PredictRequest()
    request.model_spec.name = payload.model
    tensor = request.inputs[payload.alias]
    for size in payload.value.shape:
        tensor.tensor_shape.dim.add(size=size)
    if payload.value.dtype == object:
        tensor.dtype = dtypes.DT_STRING
        tensor.string_val.extend(payload.value.ravel().tolist())
        return request.SerializeToString()
    tensor.dtype = dtypes.DT_FLOAT
    if payload.value.size == 1:
        tensor.float_val.extend(payload.value.ravel().tolist())
    else:
        tensor.tensor_content = payload.value.astype("<f4").tobytes()
    return request.SerializeToString()


def rest_body(payload: Payload) -> bytes:
    """The JSON body in row format."""

    def text(value: Any) -> Any:
        if isinstance(value, list):
            return [text(item) for item in value]
        return value.decode() if isinstance(value, bytes) else value

    return orjson.dumps({"instances": text(payload.value.tolist())})


def rest_path(payload: Payload) -> str:
    """The path of the URL that takes the body."""
    return f"/v1/models/{payload.model}:predict"


def check(payload: Payload, answer: npt.NDArray[np.float32]) -> None:
    """Compare an answer with the reference.

    Raises:
        WrongAnswer: shape or numbers differ by more than rounding in another order of summing explains.
    """
    if answer.shape != payload.expected.shape:
        raise WrongAnswer(f"{payload.model} answered with shape {answer.shape}, not {payload.expected.shape}")
    if not np.allclose(answer, payload.expected, rtol=2e-3, atol=1e-4):
        raise WrongAnswer(f"{payload.model} answered {answer.ravel()[:4]}..., not {payload.expected.ravel()[:4]}...")


def call_grpc(target: Target, payload: Payload) -> int:
    """Send the request once over gRPC, check the answer; the length of its message in bytes.

    Raises:
        WrongAnswer: it was an error, or isn't right.
    """
    with grpc.insecure_channel(f"{target.url_host}:{target.grpc_port}", options=_UNLIMITED) as channel:
        try:
            reply = channel.unary_unary(METHOD)(grpc_message(payload), timeout=CALL_DEADLINE_SECONDS)
        except grpc.RpcError as error:
            raise WrongAnswer(f"{payload.model}: {error.code().name}: {error.details()}") from None
    outputs = public.PredictResponse.FromString(reply).outputs
    if set(outputs) != {payload.expected_alias}:
        raise WrongAnswer(f"{payload.model} answered with the outputs {sorted(outputs)}")
    tensor = outputs[payload.expected_alias]
    content = (
        np.frombuffer(tensor.tensor_content, "<f4") if tensor.tensor_content else np.array(tensor.float_val, np.float32)
    )
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if int(np.prod(shape)) != content.size:
        raise WrongAnswer(f"{payload.model} answered {content.size} values for shape {shape}")
    check(payload, content.reshape(shape))
    return len(reply)


def call_rest(target: Target, payload: Payload) -> int:
    """Post the request once, check the answer; the length of its body in bytes.

    Raises:
        WrongAnswer: it was an error, or isn't right.
    """
    connection = http.client.HTTPConnection(target.host, target.rest_port, timeout=CALL_DEADLINE_SECONDS)
    try:
        connection.request("POST", rest_path(payload), rest_body(payload), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{payload.model}: {error!r}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise WrongAnswer(f"{payload.model}: {response.status} {body[:300]!r}")
    try:
        check(payload, np.array(orjson.loads(body)["predictions"], np.float32))
    except (ValueError, KeyError, TypeError):
        raise WrongAnswer(f"{payload.model} answered {body[:300]!r}") from None
    return len(body)


def call(target: Target, payload: Payload, scenario: Scenario) -> int:
    """`call_grpc` or `call_rest`, as the scenario's protocol says."""
    return call_grpc(target, payload) if scenario.protocol == "grpc" else call_rest(target, payload)
