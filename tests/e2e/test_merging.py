"""--enable_batching: requests at the same time are run as one, and each client gets its own rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.clients import CALL_SECONDS, Grpc, Rest, grpc_client, predict_request, raises, rest_client
from tests.e2e.server import Server, started

MAX_BATCH = 8
ALLOWED = (4, 8)
# Long enough for all requests of a test to meet in a batch on a busy machine; a full batch does not wait.
TIMEOUT_MICROS = 500_000
PARAMETERS = f"""
    max_batch_size {{ value: {MAX_BATCH} }}
    batch_timeout_micros {{ value: {TIMEOUT_MICROS} }}
    max_enqueued_batches {{ value: 100 }}
    num_batch_threads {{ value: 2 }}
    {" ".join(f"allowed_batch_sizes: {size}" for size in ALLOWED)}
"""


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("merging")
    parameters = folder / "batching.pbtxt"
    parameters.write_text(PARAMETERS)
    flags = ("--model_name=batching", f"--model_base_path={model_path('batching').parent}", "--num_frontends=1")
    with started(folder, *flags, "--enable_batching", f"--batching_parameters_file={parameters}") as server:
        yield server


@pytest.fixture
def client(merging: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{merging.grpc_port}") as rpc:
        yield rpc


@pytest.fixture
def http(merging: Server) -> Iterator[Rest]:
    with rest_client(merging.rest_port) as rest:
        yield rest


def at_once(client: Grpc, inputs: Sequence[Any], **more: Any) -> list[Any]:
    """Futures of one Predict each, sent without waiting."""
    return [
        client.prediction.Predict.future(
            predict_request("batching", {"x": np.array(x, np.float32)}, **more), timeout=CALL_SECONDS
        )
        for x in inputs
    ]


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    """The outcome of `call`, which runs meanwhile."""
    future: Future[Any] = Future()
    threading.Thread(target=lambda: future.set_result(call()), daemon=True).start()
    return future


@pytest.mark.parametrize("count", [3, MAX_BATCH])
def test_requests_are_merged_and_padded_to_an_allowed_size(client: Grpc, count: int) -> None:
    inputs = [[[float(i), float(-i)]] for i in range(count)]
    size = min(size for size in ALLOWED if size >= count)
    for x, call in zip(inputs, at_once(client, inputs), strict=True):
        outputs = call.result().outputs
        assert list(outputs["y"].float_val) == [2 * value for value in x[0]]
        assert list(outputs["rows"].int_val) == [size]
        assert [dim.size for dim in outputs["y"].tensor_shape.dim] == [1, 2]


def test_more_than_a_batch_becomes_several(client: Grpc) -> None:
    inputs = [[[float(i)], [i + 0.5], [i + 0.25]] for i in range(5)]
    for x, call in zip(inputs, at_once(client, inputs), strict=True):
        outputs = call.result().outputs
        assert list(outputs["y"].float_val) == [2 * row[0] for row in x]
        assert len(outputs["rows"].int_val) == 3 and outputs["rows"].int_val[0] in ALLOWED


def test_requests_by_rest_and_by_grpc_meet(client: Grpc, http: Rest) -> None:
    by_rest = in_thread(lambda: http.predict("batching", [[7.0]] * 4))
    calls = at_once(client, [[[float(i)]] for i in range(4)])
    assert by_rest.result(CALL_SECONDS) == [{"y": [14.0], "rows": MAX_BATCH}] * 4
    assert [call.result().outputs["y"].float_val[0] for call in calls] == [0.0, 2.0, 4.0, 6.0]
    assert {call.result().outputs["rows"].int_val[0] for call in calls} == {MAX_BATCH}


def test_requests_of_different_shapes_do_not_spoil_each_other(client: Grpc) -> None:
    inputs = [[[1.0]], [[1.0, 2.0]], [[1.0, 2.0, 3.0]], [[4.0]]]
    for x, call in zip(inputs, at_once(client, inputs), strict=True):
        assert list(call.result().outputs["y"].float_val) == [2 * value for value in x[0]]


def test_a_request_larger_than_a_batch_is_refused(client: Grpc, http: Rest) -> None:
    text = f"Task size {MAX_BATCH + 1} is larger than maximum input batch size {MAX_BATCH}"
    with raises("INVALID_ARGUMENT", text):
        client.predict("batching", {"x": np.zeros((MAX_BATCH + 1, 1), np.float32)})
    answer = http.post("batching:predict", {"instances": [[1.0]] * (MAX_BATCH + 1)})
    assert (answer.status_code, answer.json()) == (400, {"error": text})


@pytest.mark.parametrize(
    ("inputs", "spec", "code", "text"),
    [
        ({"x": np.float32(1.0)}, {}, "INVALID_ARGUMENT", "input tensors must have at least one dimension"),
        (
            {"x": np.ones((2, 1), np.float32), "w": np.ones(3, np.float32)},
            {"signature": "pair"},
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            {"x": np.ones((1, 1), np.float32)},
            {"signature": "scalar_output"},
            "FAILED_PRECONDITION",
            "Batched output tensor has 0 dimensions",
        ),
        (
            {"x": np.ones((2, 1), np.float32)},
            {"signature": "short_output"},
            "FAILED_PRECONDITION",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes",
        ),
    ],
)
def test_what_cannot_be_batched(
    client: Grpc, inputs: dict[str, Any], spec: dict[str, Any], code: str, text: str
) -> None:
    with raises(code, text):
        client.predict("batching", inputs, **spec)


def test_no_rows_are_answered(client: Grpc) -> None:
    answer = client.arrays("batching", {"x": np.zeros((0, 3), np.float32)})
    assert (answer["y"].shape, answer["rows"].shape) == ((0, 3), (0,))
