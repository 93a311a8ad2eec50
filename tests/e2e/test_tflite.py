"""`--prefer_tflite_model`: TensorFlow Lite models over gRPC and REST, beside SavedModels, alone and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.clients import Grpc, Rest, grpc_client, raises, rest_client
from tests.e2e.server import Server, entry, started, write_config

MODELS = ("tflite_plain", "tflite_signatures", "tflite_mixed", "half_plus_two")


@pytest.fixture(scope="module", params=[(), ("--enable_batching",)], ids=["alone", "batches"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tflite")
    config = write_config(folder / "models.config", *(entry(name, model_path(name).parent) for name in MODELS))
    flags = (f"--model_config_file={config}", "--prefer_tflite_model", "--num_tflite_pools=2", *request.param)
    with started(folder, *flags) as running:
        yield running


@pytest.fixture
def rpc(server: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


@pytest.fixture
def rest(server: Server) -> Iterator[Rest]:
    with rest_client(server.rest_port) as client:
        yield client


def test_predict_status_and_metadata(rpc: Grpc, rest: Rest) -> None:
    assert rpc.status("tflite_signatures") == {1: ("AVAILABLE", 0)}
    assert rpc.arrays("tflite_signatures", {"x": [[2.0], [4.0]]})["y"].tolist() == [[3.0], [4.0]]
    assert rpc.arrays("tflite_signatures", {"x": [2.0]}, signature="halves")["y"].tolist() == [3.0]
    assert rest.predict("tflite_signatures", [[2.0], [3.0], [4.0]]) == [[3.0], [3.5], [4.0]]
    outputs = rpc.arrays("tflite_plain", {"serving_default_x": [[2.0]]})
    assert {alias: array.tolist() for alias, array in outputs.items()} == {"PartitionedCall": [[3.0]]}
    signature = rest.get("tflite_plain/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert signature["serving_default"]["inputs"]["serving_default_x"]["dtype"] == "DT_FLOAT"
    assert signature["serving_default"]["method_name"] == "tensorflow/serving/predict"
    assert rpc.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]


def test_strings_and_several_outputs(rpc: Grpc) -> None:
    inputs = {"serving_default_s": np.array([b"a\xff", b""], object), "serving_default_x": [[1.0, 2.0], [3.0, 4.0]]}
    outputs = rpc.arrays("tflite_mixed", inputs)
    assert outputs["serving_default_s"].tolist() == [b"a\xff", b""]
    assert outputs["PartitionedCall"].tolist() == [[5.0], [11.0]]
    assert outputs["PartitionedCall:2"].tolist() == [[2.0, 3.0], [4.0, 5.0]]


def test_errors(rpc: Grpc, rest: Rest) -> None:
    with raises("INVALID_ARGUMENT", "Expects arg[0] to be float but int32 is provided"):
        rpc.predict("tflite_signatures", {"x": np.array([1], np.int32)})
    with raises("FAILED_PRECONDITION", 'Serving signature key "other" not found.'):
        rpc.predict("tflite_signatures", {"x": [1.0]}, signature="other")
    with raises("INTERNAL", "Failed to allocate tensors"):
        rpc.predict("tflite_mixed", {"serving_default_s": [b"a"], "serving_default_x": [[1.0]]})
    assert rest.post("tflite_plain:predict", {"instances": ["text"]}).status_code == 400
    assert rest.predict("tflite_plain", [[2.0]]) == [[3.0]]


def test_many_at_a_time(server: Server) -> None:
    def ask(first: int) -> None:
        with rest_client(server.rest_port) as client:
            for i in range(first, first + 50):
                rows = [[float(i)]] * (i % 5 + 1)
                assert client.predict("tflite_signatures", rows) == [[0.5 * i + 2]] * len(rows)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(0, 800, 100)))
