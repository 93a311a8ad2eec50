"""More requests than a server will hold: each is answered at once, and the server is as good as before afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.clients import CALL_SECONDS, Grpc, Rest, grpc_client, predict_request, rest_client, rest_error
from tests.e2e.server import Server, entry, started, write_config

MODELS = ("one", "other")
# One batch of a row runs, so many more wait for each model.
ENQUEUED = 2
OUTSTANDING = 5
# Each request; all of a crowd come sooner than that.
BUSY_SECONDS = 0.5
CROWD = 16
FULL = (
    "The batch scheduling queue to which this task was submitted is full; "
    f"currently {ENQUEUED} batches enqueued and max_enqueued_batches is {ENQUEUED}"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("overload")
    parameters = folder / "batching.config"
    parameters.write_text(
        "max_batch_size { value: 1 } batch_timeout_micros { value: 0 } num_batch_threads { value: 1 } "
        f"max_enqueued_batches {{ value: {ENQUEUED} }}\n"
    )
    config = write_config(folder / "models.config", *(entry(name, model_path("slow").parent) for name in MODELS))
    flags = (
        f"--model_config_file={config}",
        "--enable_batching",
        f"--batching_parameters_file={parameters}",
        f"--max_outstanding_requests={OUTSTANDING}",
        "--num_frontends=1",
    )
    with started(folder, *flags) as running:
        yield running


@pytest.fixture
def rest(server: Server) -> Iterator[Rest]:
    with rest_client(server.rest_port) as client:
        yield client


@pytest.fixture
def rpc(server: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


def crowd(rest: Rest, models: tuple[str, ...], times: int) -> list[tuple[int, str]]:
    """Status and error of this many requests to each of `models` at the same time."""

    def post(model: str) -> tuple[int, str]:
        answer = rest.post(f"{model}:predict", {"instances": [BUSY_SECONDS]})
        return (200, "") if answer.status_code == 200 else rest_error(answer)

    with ThreadPoolExecutor(times * len(models)) as pool:
        return list(pool.map(post, models * times))


def assert_free(rest: Rest) -> None:
    for model in MODELS:
        assert rest.predict(model, [0.0])[0]["seconds"] == 0.0


def test_a_full_batching_queue_is_a_503(rest: Rest) -> None:
    # As many as the front end lets through: one runs, some wait, and there is one too many.
    outcomes = crowd(rest, ("one",), OUTSTANDING)
    assert (200, "") in outcomes
    assert (503, FULL) in outcomes
    assert set(outcomes) == {(200, ""), (503, FULL)}
    assert_free(rest)


def test_a_full_batching_queue_is_unavailable_over_grpc(rpc: Grpc) -> None:
    request = predict_request("one", {"seconds": [BUSY_SECONDS]})
    calls = [rpc.prediction.Predict.future(request, timeout=CALL_SECONDS) for _ in range(OUTSTANDING)]
    errors = [error for call in calls if (error := call.exception())]
    assert 0 < len(errors) < len(calls)
    assert {(error.code().name, error.details()) for error in errors} == {("UNAVAILABLE", FULL)}
    assert rpc.arrays("one", {"seconds": [0.0]})["seconds"].tolist() == [0.0]


def test_more_requests_than_a_front_end_holds_are_a_429(rest: Rest, rpc: Grpc) -> None:
    # Together the models hold as many as the front end lets through: whatever comes then is refused there.
    outcomes = crowd(rest, MODELS, CROWD)
    text = f"the front end has {OUTSTANDING} requests outstanding already"
    assert (200, "") in outcomes
    assert (429, text) in outcomes
    assert set(outcomes) <= {(200, ""), (429, text), (503, FULL)}
    calls = [
        rpc.prediction.Predict.future(predict_request(model, {"seconds": [BUSY_SECONDS]}), timeout=CALL_SECONDS)
        for model in MODELS * CROWD
    ]
    statuses = {(call.code().name, call.details()) for call in calls if call.exception()}
    assert ("RESOURCE_EXHAUSTED", text) in statuses
    assert statuses <= {("RESOURCE_EXHAUSTED", text), ("UNAVAILABLE", FULL)}
    assert_free(rest)
