"""A server on a unix socket alone that answers in `tensor_content` and checks the method names of signatures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tensorflow.core.framework.tensor_pb2 import TensorProto

from bench.server import ROOT
from tests.e2e.clients import CALL_SECONDS, Grpc, grpc_client, predict_request, raises
from tests.e2e.server import START_SECONDS, Server, entry, eventually, started, write_config
from tests.e2e.test_grpc_rows import ROWS, content, tensor
from tests.models import DTYPE_NAMES
from tests.signature_models import STRANGE_METHOD

MAX_MESSAGE_BYTES = 100_000
NAMES = ("half_plus_two", "identity", "signatures")


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path relative to where the server runs."""
    return os.path.relpath(tmp_path_factory.mktemp("content") / "grpc.sock", ROOT)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, socket_path: str, model_path: Callable[[str], Path]
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("content")
    config = write_config(folder / "models.config", *(entry(name, model_path(name).parent) for name in NAMES))
    flags = (
        "--port=0",
        "--rest_api_port=0",
        f"--grpc_socket_path={socket_path}",
        f"--model_config_file={config}",
        "--enable_serialization_as_tensor_content",
        "--enable_signature_method_name_check=true",
        "--grpc_max_threads=4",
        f"--grpc_channel_arguments=grpc.max_receive_message_length={MAX_MESSAGE_BYTES}",
    )
    with started(folder, *flags, ready=False) as running:
        ready = f"Running gRPC ModelServer at UNIX socket {socket_path} ..."
        eventually(lambda: ready in running.log, within=START_SECONDS)
        yield running


@pytest.fixture(scope="module")
def rpc(server: Server, socket_path: str) -> Iterator[Grpc]:
    with grpc_client(f"unix:{ROOT / socket_path}") as client:
        yield client


def test_no_other_port_is_open(server: Server, rpc: Grpc) -> None:
    assert rpc.predict("half_plus_two", {"x": 2.0}).outputs["y"].tensor_content == b"\0\0\x40\x40"
    assert "Running gRPC ModelServer at 0.0.0.0" not in server.log
    assert "Exporting HTTP/REST API" not in server.log


def test_messages_over_the_limit(rpc: Grpc) -> None:
    fits = predict_request("half_plus_two", {"x": [0.0] * 24_900})
    assert 99_600 < fits.ByteSize() < MAX_MESSAGE_BYTES
    assert rpc.prediction.Predict(fits, timeout=CALL_SECONDS).outputs["y"].tensor_content == b"\0\0\0\x40" * 24_900
    for compression in (None, grpc.Compression.Gzip):
        for count in (25_000, 1_000_000):
            request = predict_request("half_plus_two", {"x": [0.0] * count})
            with raises("RESOURCE_EXHAUSTED", "eceived message larger than max"):
                rpc.prediction.Predict(request, timeout=CALL_SECONDS, compression=compression)


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_answers_are_content(rpc: Grpc, name: str) -> None:
    a, b = ROWS[name][1]
    for shape, values in (((2, 1), (a, b)), ((3,), (b, b, a)), ((), (b,)), ((0, 2), ())):
        answer: TensorProto = rpc.predict("identity", {"x": tensor(name, shape, values)}, signature=name).outputs["y"]
        expected = tensor(name, shape, tensor_content=content(name, values))
        expected.tensor_shape.SetInParent()
        assert answer == expected


def test_signatures_that_are_not_for_inference_are_refused(rpc: Grpc) -> None:
    both = {"a": 1.0, "b": 2.0}
    assert rpc.arrays("signatures", both)["sum"] == 3.0
    for inputs in (both, {}):
        text = (
            "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
            f"tensorflow/serving/classify, tensorflow/serving/regress}}. Was: {STRANGE_METHOD}"
        )
        with raises("INTERNAL", text):
            rpc.predict("signatures", inputs, signature="strange_method")
    with raises("FAILED_PRECONDITION", 'Serving signature key "nobody" not found.'):
        rpc.predict("signatures", {}, signature="nobody")
    for signature, output in (("regress_x2_to_y3", "outputs"), ("classify_x2_to_y3", "scores")):
        assert rpc.arrays("half_plus_two", {"inputs": 2.0}, signature=signature)[output] == 4.0
