"""Warm-up files: what is replayed and how often, what fails a load, what is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protos import metrics, public
from protos.configs import BatchingConfig, WorkerConfig
from protos.errors import Code
from protos.messages import DesiredServable, State
from protos.metrics import CellSnapshot
from tests.unit.workers.warmup_files import classify, copy, example, multi_inference, predict, regress, write
from workers import loading, warmup
from workers import metrics as worker_metrics
from workers.loading import Outcome
from workers.metrics import WorkerMetrics
from workers.run_mode import Lane
from workers.servable import Prepared
from workers.warmup import Warmth

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
GOOD = example(label=[b"a", b"b"], score=[0.25, 0.75])
MULTI = multi_inference(("serving_default", CLASSIFY), ("regress_second", REGRESS), examples=[GOOD, GOOD])
NO_TYPE = public.PredictionLog(log_metadata=public.LogMetadata())


def load(path: Path, **config: Any) -> Outcome:
    return loading.load(str(path), WorkerConfig(**config), lambda: True)


def loaded(path: Path, **config: Any) -> Outcome:
    outcome = load(path, **config)
    assert outcome.error is None, outcome.error
    assert outcome.servable is not None
    return outcome


def count(outcome: Outcome) -> float:
    """What the model `counter` counted, which is then closed."""
    assert outcome.servable is not None
    value = float(outcome.servable.prepared("get_counter", ()).run(Lane.CALLER, [])[0])
    outcome.discard()
    return value


@pytest.fixture
def version(model_path: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a sample model with these records."""
    return lambda model, *records: copy(model_path(model), tmp_path / "1", *records)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each run."""
    seen: list[int] = []
    run = Prepared.run

    def note(self: Prepared, lane: Lane, arrays: list[Any]) -> list[Any]:
        seen.append(arrays[0].shape[0])
        return run(self, lane, arrays)

    monkeypatch.setattr(Prepared, "run", note)
    return seen


# --- what is replayed ----------------------------------------------------------------------------------------------


def test_without_a_file(model_path: Callable[[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        outcome = loaded(model_path("counter"))
    assert outcome.warmth is None
    assert f"No warmup data file found at {model_path('counter')}/{warmup.FILE}" in caplog.text
    assert count(outcome) == 0


def test_a_file_without_records(version: Callable[..., Path]) -> None:
    outcome = loaded(version("counter"))
    assert outcome.warmth is not None
    assert (outcome.warmth.status, outcome.warmth.records) == ("OK", 0)
    assert count(outcome) == 0


@pytest.mark.parametrize("iterations", [1, 4])
def test_each_record_runs_as_often_as_configured(version: Callable[..., Path], iterations: int) -> None:
    path = version("counter", predict("incr_counter_by", delta=np.float32(10)), NO_TYPE, predict("incr_counter"))
    outcome = loaded(path, warmup_iterations=iterations)
    assert outcome.warmth is not None
    assert (outcome.warmth.status, outcome.warmth.records) == ("OK", 3)
    assert outcome.warmth.took_us > 0
    assert count(outcome) == 11 * iterations


def test_a_thousand_records(version: Callable[..., Path]) -> None:
    outcome = loaded(version("counter", *[predict("incr_counter")] * 1000))
    assert count(outcome) == 1000


def test_the_file_is_left_alone_when_told_so(version: Callable[..., Path]) -> None:
    outcome = loaded(version("counter", predict("incr_counter"), b"no record"), warmup=False)
    assert outcome.warmth is None
    assert count(outcome) == 0


@pytest.mark.parametrize(
    "record",
    [
        classify("", GOOD),
        classify("scores_only", GOOD, GOOD),
        regress("regress", GOOD),
        MULTI,
        multi_inference(("regress", REGRESS), examples=[GOOD]),
        predict("predict", x=[GOOD.SerializeToString()]),
    ],
)
@pytest.mark.parametrize(
    "batching", [None, BatchingConfig(num_batch_threads=1, max_batch_size=8, allowed_batch_sizes=(8,))]
)
def test_each_kind_of_request(
    version: Callable[..., Path], rows: list[int], record: Any, batching: BatchingConfig | None
) -> None:
    loaded(version("inferences", record), batching=batching).discard()
    assert len(rows) == 1
    assert rows[0] == 8 if batching is not None else rows[0] in (1, 2)


def test_defaults_and_filters_count_as_in_a_request(version: Callable[..., Path]) -> None:
    some = predict("some_defaults", a=1.0)
    some.predict_log.request.output_filter.append("sum")
    loaded(version("signatures", some, predict("all_defaults"))).discard()


def test_a_version_starts_in_the_lane_that_suits_it(version: Callable[..., Path]) -> None:
    path = version("half_plus_two", predict(x=[[1.0]]))

    def starts_inline() -> bool:
        outcome = loaded(path, warmup_iterations=20)
        assert outcome.servable is not None
        inline = outcome.servable.prepared("serving_default", ()).modes.is_inline(4)
        outcome.discard()
        return inline

    # Its first runs decide, and on a busy machine all of them may be slow.
    assert any(starts_inline() for _ in range(10))


@pytest.mark.parametrize("seconds", [0.002])
def test_the_pool_lane_is_prepared_for_graphs_that_are_not_cheap(version: Callable[..., Path], seconds: float) -> None:
    outcome = loaded(version("slow", predict(seconds=[seconds])))
    assert outcome.servable is not None
    prepared = outcome.servable.prepared("serving_default", ())
    assert all(prepared._run)
    outcome.discard()


# --- batching ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "sent", "run"),
    [
        ({}, 3, [3]),
        ({"max_batch_size": 8, "allowed_batch_sizes": (2, 4, 8)}, 3, [4]),
        ({"batch_timeout_micros": 60_000_000}, 3, [3]),  # nobody else is waited for
        ({"enable_large_batch_splitting": True, "max_execution_batch_size": 2}, 5, [2, 2, 1]),
    ],
)
def test_requests_run_as_batches_of_one(
    version: Callable[..., Path], rows: list[int], config: dict[str, Any], sent: int, run: list[int]
) -> None:
    path = version("half_plus_two", predict(x=np.ones((sent, 1), np.float32)))
    loaded(path, batching=BatchingConfig(num_batch_threads=1, **config)).discard()
    assert rows == run


def test_a_request_that_no_batch_can_take(version: Callable[..., Path]) -> None:
    path = version("half_plus_two", predict(x=np.ones((5, 1), np.float32)))
    outcome = load(path, batching=BatchingConfig(num_batch_threads=1, max_batch_size=4))
    assert outcome.error is not None
    assert outcome.error.code == Code.INVALID_ARGUMENT
    assert outcome.error.message == "Task size 5 is larger than maximum input batch size 4"


# --- what fails a load ---------------------------------------------------------------------------------------------

SESSION_RUN = public.PredictionLog(session_run_log=public.SessionRunLog())
STREAMED = public.PredictionLog(predict_streamed_log=public.PredictStreamedLog())


@pytest.mark.parametrize(
    ("model", "records", "code", "text"),
    [
        ("counter", [SESSION_RUN], Code.UNIMPLEMENTED, "Unsupported log_type for warmup: 5"),
        ("counter", [STREAMED], Code.UNIMPLEMENTED, "Unsupported log_type for warmup: 7"),
        ("counter", [b"\xff\xff"], Code.INVALID_ARGUMENT, "Failed to parse warmup record: "),
        ("counter", [NO_TYPE] * 1001, Code.INVALID_ARGUMENT, "Number of warmup records exceeds the maximum (1000) at "),
        ("counter", [predict("none")], Code.FAILED_PRECONDITION, 'Serving signature key "none" not found.'),
        ("inferences", [classify("none", GOOD)], Code.INVALID_ARGUMENT, "No signature was found with the name: none"),
        ("inferences", [classify("")], Code.INVALID_ARGUMENT, "Input is empty."),
        ("inferences", [classify("regress", GOOD)], Code.INVALID_ARGUMENT, "Expected classification signature outputs"),
        (
            "inferences",
            [classify("flat_scores", GOOD)],
            Code.INVALID_ARGUMENT,
            "Expected Tensor shape: [batch",
        ),
        ("inferences", [classify("fails", GOOD)], Code.INVALID_ARGUMENT, "Run totally failed"),
        ("inferences", [regress("regress_matrix", GOOD)], Code.INVALID_ARGUMENT, "Expected output Tensor shape"),
        (
            "inferences",
            [multi_inference(("regress", CLASSIFY), examples=[GOOD])],
            Code.INVALID_ARGUMENT,
            "Expected classification signature outputs",
        ),
        ("half_plus_two", [predict(y=[1.0])], Code.INVALID_ARGUMENT, "not found in request"),
        ("half_plus_two", [predict(x=[1])], Code.INVALID_ARGUMENT, "Expects arg[0] to be float but int32 is provided"),
        ("signatures", [predict("complains", x=[-1.0])], Code.INVALID_ARGUMENT, "too small"),
    ],
)
def test_what_fails_a_load(version: Callable[..., Path], model: str, records: list[Any], code: Code, text: str) -> None:
    outcome = load(version(model, *records))
    assert outcome.servable is None
    assert outcome.error is not None
    assert outcome.error.code == code
    assert text in outcome.error.message
    assert outcome.warmth is not None
    assert outcome.warmth.records == len(records)
    assert outcome.warmth.status.startswith(f"{code.name}: ")
    assert len(outcome.warmth.status) <= 256


def test_records_before_the_one_that_fails_have_run(version: Callable[..., Path]) -> None:
    outcome = load(version("counter", NO_TYPE, predict("incr_counter"), predict("none"), NO_TYPE))
    assert outcome.warmth is not None
    assert outcome.warmth.records == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"this is no TFRecord file, whatever its name",
        lambda data: data[:-3],
        lambda data: data[:5],
        lambda data: data + b"more",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"\xff" * 7 + b"\x0f" + data[8:],  # claims to be huge
    ],
)
def test_a_file_that_is_damaged(version: Callable[..., Path], spoil: Callable[[bytes], bytes]) -> None:
    path = version("counter", predict("incr_counter"))
    file = path / warmup.FILE
    file.write_bytes(spoil(file.read_bytes()))
    outcome = load(path)
    assert outcome.error is not None
    assert outcome.error.code == Code.DATA_LOSS
    assert outcome.error.message.endswith(". Please verify your warmup data is in TFRecord format.")


def test_replaying_ends_when_nobody_wants_the_version(version: Callable[..., Path], rows: list[int]) -> None:
    path = version("half_plus_two", *[predict(x=[1.0])] * 5)
    outcome = loading.load(str(path), WorkerConfig(), lambda: len(rows) < 2)
    assert outcome == Outcome()
    assert len(rows) == 2


# --- metrics -------------------------------------------------------------------------------------------------------


def cells(registry: metrics.Registry, name: str) -> list[CellSnapshot]:
    return [cell for cell in registry.snapshot() if cell.name == name]


@pytest.mark.parametrize(("signature", "status"), [("incr_counter", "OK"), ("none", "FAILED_PRECONDITION: Serving")])
def test_what_is_counted(version: Callable[..., Path], parts: Callable[..., Any], signature: str, status: str) -> None:
    path = version("counter", predict("incr_counter"), predict(signature))
    made = parts()
    made.residency.apply([DesiredServable(name="m", version=1, path=str(path))])
    made.until(lambda: made.states()["m", 1] in (State.AVAILABLE, State.END), "loaded, or not")
    registry = made.residency._metrics.registry
    (latency,) = cells(registry, metrics.WARMUP_LATENCY)
    (records,) = cells(registry, metrics.WARMUP_RECORDS)
    assert latency.labels == records.labels
    assert latency.labels[0] == str(path)
    assert latency.labels[1].startswith(status)
    assert (sum(latency.counts), records.sum) == (1, 2)


def test_a_version_without_a_file_is_not_counted(model_path: Callable[[str], Path], parts: Callable[..., Any]) -> None:
    made = parts()
    made.residency.apply([DesiredServable(name="m", version=1, path=str(model_path("counter")))])
    made.until(lambda: made.residency.available, "AVAILABLE")
    assert cells(made.residency._metrics.registry, metrics.WARMUP_LATENCY) == []


def test_only_so_many_versions_are_kept_in_the_metrics() -> None:
    counted = WorkerMetrics("cpu")
    warmth = Warmth()
    warmth.status = "OK"
    for number in range(worker_metrics.MAX_WARMED):
        counted.warmed(f"/m/{number}", warmth)
    counted.warmed("/m/0", warmth)  # now the most recent
    counted.warmed("/m/new", warmth)
    paths = {cell.labels[0]: sum(cell.counts) for cell in cells(counted.registry, metrics.WARMUP_LATENCY)}
    assert len(paths) == len(cells(counted.registry, metrics.WARMUP_RECORDS)) == worker_metrics.MAX_WARMED
    assert (paths["/m/0"], paths["/m/new"]) == (2, 1)
    assert "/m/1" not in paths


def test_a_new_file_is_seen_by_the_next_load(version: Callable[..., Path]) -> None:
    path = version("counter", predict("none"))
    assert load(path).error is not None
    write(path, [predict("incr_counter")])
    assert count(loaded(path)) == 1
