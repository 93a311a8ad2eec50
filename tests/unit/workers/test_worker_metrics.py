"""What a worker counts of batches and models."""

from __future__ import annotations

import numpy as np

from protos import metrics
from protos.messages import METHODS
from protos.metrics import CellSnapshot
from workers.metrics import WorkerMetrics
from workers.task import Task

WHERE = ("m", "serving_default", "cpu:0")


def tasks(*rows: int, waited_us: int = 150) -> list[Task]:
    """Tasks that have waited so long at 1 ms."""
    made = [Task([np.zeros((count, 1), np.float32)], count, 0, None) for count in rows]
    for task in made:
        task.enqueued_ns = 1_000_000 - waited_us * 1000
    return made


def cells(counts: WorkerMetrics) -> dict[tuple[str, tuple[str, ...]], CellSnapshot]:
    return {(cell.name, cell.labels): cell for cell in counts.registry.snapshot()}


def filled(cell: CellSnapshot) -> dict[int, int]:
    return {index: count for index, count in enumerate(cell.counts) if count}


def test_a_batch() -> None:
    counts = WorkerMetrics("cpu:0")
    counts.model("m").of("serving_default").batched(tasks(1, 2, 2), inputs=2, padded_rows=3, now_ns=1_000_000)
    counts.model("m").of("other").batched(tasks(4, waited_us=50), inputs=1, padded_rows=0, now_ns=1_000_000)
    found = cells(counts)
    # 150 us is in the bucket from 144 to 172.8, 50 us in the first.
    assert filled(found[metrics.QUEUING_LATENCY, ("",)]) == {0: 1, 3: 3}
    assert found[metrics.QUEUING_LATENCY, ("",)].sum == 3 * 150 + 50
    assert filled(found[metrics.QUEUE_TIME, WHERE]) == {3: 3} and found[metrics.QUEUE_TIME, WHERE].sum == 450
    assert filled(found[metrics.QUEUE_TIME, ("m", "other", "cpu:0")]) == {0: 1}
    assert found[metrics.WRAPPED_RUN_COUNT, ()].sum == 2
    # Each input of each request; a size that equals a limit is in the next bucket.
    assert filled(found[metrics.INPUT_BATCH_SIZE, ()]) == {1: 2, 2: 4, 3: 1}
    assert found[metrics.INPUT_BATCH_SIZE, ()].sum == 2 * 5 + 4
    assert found[metrics.PROCESSED_BATCH_SIZE, ()].sum == 8 + 4
    assert filled(found[metrics.PADDING_SIZE, ("8",)]) == {2: 1} and found[metrics.PADDING_SIZE, ("8",)].sum == 3
    assert filled(found[metrics.PADDING_SIZE, ("4",)]) == {0: 1}
    assert found[metrics.BATCH_REQUESTS, WHERE].sum == 3
    assert found[metrics.PADDED_ROWS, WHERE].sum == 3


def test_without_batching_only_the_time_in_the_queue() -> None:
    counts = WorkerMetrics("cpu:0")
    counts.model("m").of("serving_default").waited(150_000)
    found = cells(counts)
    assert found[metrics.QUEUE_TIME, WHERE].sum == 150
    assert set(found) == {(metrics.QUEUE_TIME, WHERE), (metrics.PADDED_ROWS, WHERE)}


def test_runs_by_method() -> None:
    counts = WorkerMetrics("cpu:0")
    for method, latency in zip(METHODS, counts.model("m").latencies, strict=True):
        latency.observe(len(method))
    runs = {labels: cell.sum for (name, labels), cell in cells(counts).items() if name == metrics.RUNTIME_LATENCY}
    assert runs == {("m", method, "TF1"): len(method) for method in METHODS if method != "MultiInference"}


def test_versions_of_a_model_share_its_counts() -> None:
    counts = WorkerMetrics("cpu:0")
    assert counts.model("m") is counts.model("m")
    assert counts.model("m").of("s") is counts.model("m").of("s")
    counts.model("other")
    assert counts.names == ["m", "other"]


def test_what_the_process_tells() -> None:
    counts = WorkerMetrics("cpu:0")
    counts.watch("worker-0", lambda: 7)
    counts.in_flight("m", 3)
    found = cells(counts)
    assert found[metrics.OUTSTANDING, ("worker-0",)].sum == 7
    assert found[metrics.IN_FLIGHT, ("m", "cpu:0")].sum == 3
    assert (metrics.CPU_SECONDS, ("worker-0",)) in found
