"""What a worker counts: how long graphs run, how long requests wait, and what batches are made of.

Expired and cancelled requests are the front end's to count, which hears of each exactly once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from protos import metrics
from protos.messages import METHODS, SIGNATURE_SEPARATOR
from protos.metrics import Histogram, Registry
from protos.process_metrics import watch_process
from workers.task import Task

if TYPE_CHECKING:
    from workers.warmup import Warmth

# Clients choose which signatures run as one: too many to be label values.
_SEVERAL = "MultiInference"
# Versions, each with how it went, whose warm-up is in the metrics.
MAX_WARMED = 256


class SignatureCounts:
    """What waited and ran for one signature of a model, on this worker's device."""

    __slots__ = ("_queue_time", "_batch_requests", "_padded_rows", "_batching")

    def __init__(self, batching: BatchCounts, model: str, signature: str, device: str) -> None:
        registry = batching.registry
        self._batching = batching
        self._queue_time = registry.histogram(metrics.QUEUE_TIME, model, signature, device)
        self._batch_requests = registry.histogram(metrics.BATCH_REQUESTS, model, signature, device)
        self._padded_rows = registry.value(metrics.PADDED_ROWS, model, signature, device)

    def waited(self, duration_ns: int) -> None:
        """A request has waited so long for a thread, without batching."""
        self._queue_time.observe(duration_ns / 1000)

    def batched(self, tasks: Sequence[Task], inputs: int, padded_rows: int, now_ns: int) -> None:
        """A batch of `tasks`, each with so many inputs, begins to run with so many rows of padding."""
        self._batch_requests.observe(len(tasks))
        self._padded_rows.add(padded_rows)
        self._batching.count(self._queue_time, tasks, inputs, padded_rows, now_ns)


class BatchCounts:
    """Upstream's metrics of batching, over all models."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._queuing = registry.histogram(metrics.QUEUING_LATENCY, "")
        self._input_sizes = registry.histogram(metrics.INPUT_BATCH_SIZE)
        self._batch_sizes = registry.histogram(metrics.PROCESSED_BATCH_SIZE)
        self._paddings: dict[int, Histogram] = {}
        registry.on_snapshot(self._look)

    def count(self, queue_time: Histogram, tasks: Sequence[Task], inputs: int, padded_rows: int, now_ns: int) -> None:
        """A batch begins to run; `queue_time` is its signature's, with the buckets of upstream's."""
        queuing, sizes = self._queuing, self._input_sizes
        # By hand, because it is done for every request: one search gives the bucket in both histograms.
        ours, theirs, limits = queue_time.counts, queuing.counts, queuing.limits
        sizes_counts, sizes_limits = sizes.counts, sizes.limits
        waited_us, rows = 0.0, 0
        for task in tasks:
            task_us = (now_ns - task.enqueued_ns) / 1000
            bucket = bisect_right(limits, task_us)
            ours[bucket] += 1
            theirs[bucket] += 1
            waited_us += task_us
            task_rows = task.rows
            sizes_counts[bisect_right(sizes_limits, task_rows)] += inputs
            rows += task_rows
        queue_time.sum += waited_us
        queuing.sum += waited_us
        sizes.sum += rows * inputs
        rows += padded_rows
        padding = self._paddings.get(rows)
        if padding is None:
            padding = self._paddings[rows] = self.registry.histogram(metrics.PADDING_SIZE, str(rows))
        padding.observe(padded_rows)
        self._batch_sizes.observe(rows)

    def _look(self) -> None:
        runs = sum(self._batch_sizes.counts)
        if runs:
            self.registry.value(metrics.WRAPPED_RUN_COUNT).value = runs


class ModelCounts:
    """Counts of one model.

    Attributes:
        latencies: of successful runs, by position in `METHODS`; upstream has none for MultiInference, so that its
            histogram is one that nobody reads.
    """

    def __init__(self, batching: BatchCounts, model: str, device: str) -> None:
        self._batching = batching
        self._model = model
        self._device = device
        self._signatures: dict[str, SignatureCounts] = {}
        registry = batching.registry
        limits = metrics.DEFINITIONS[metrics.RUNTIME_LATENCY].limits
        self.latencies = tuple(
            Histogram(limits)
            if method == "MultiInference"
            else registry.histogram(metrics.RUNTIME_LATENCY, model, method, "TF1")
            for method in METHODS
        )

    def of(self, signature: str) -> SignatureCounts:
        """Counts of one of its signatures; what runs several as one counts under its method's name, not all theirs."""
        counts = self._signatures.get(signature)
        if counts is None:
            if SIGNATURE_SEPARATOR in signature:
                return self.of(_SEVERAL)
            counts = self._signatures[signature] = SignatureCounts(self._batching, self._model, signature, self._device)
        return counts


class WorkerMetrics:
    """All counts of one worker, whose requests run on `device`."""

    def __init__(self, device: str) -> None:
        self.registry = Registry()
        self._device = device
        self._batching = BatchCounts(self.registry)
        self._models: dict[str, ModelCounts] = {}
        # Paths and statuses, the least recent first.
        self._warmed: dict[tuple[str, str], None] = {}

    def model(self, name: str) -> ModelCounts:
        """Counts of one model, the same for all its versions."""
        counts = self._models.get(name)
        if counts is None:
            counts = self._models[name] = ModelCounts(self._batching, name, self._device)
        return counts

    @property
    def names(self) -> list[str]:
        """All models that were ever counted."""
        return list(self._models)

    def watch(self, process: str, outstanding: Callable[[], int]) -> None:
        """Have what the process uses in every snapshot, and how many requests it has."""

        def look() -> None:
            self.registry.value(metrics.OUTSTANDING, process).value = outstanding()

        self.registry.on_snapshot(look)
        watch_process(self.registry, process)

    def warmed(self, path: str, warmth: Warmth) -> None:
        """A version at `path` was warmed up, or failed to be."""
        labels = (path, warmth.status)
        # Every new version has a new path: the metrics of old ones make room.
        self._warmed.pop(labels, None)
        self._warmed[labels] = None
        if len(self._warmed) > MAX_WARMED:
            oldest = next(iter(self._warmed))
            del self._warmed[oldest]
            self.registry.forget(metrics.WARMUP_LATENCY, *oldest)
            self.registry.forget(metrics.WARMUP_RECORDS, *oldest)
        self.registry.histogram(metrics.WARMUP_LATENCY, *labels).observe(warmth.took_us)
        self.registry.value(metrics.WARMUP_RECORDS, *labels).add(warmth.records)

    def in_flight(self, model: str, requests: int) -> None:
        """So many requests for a model wait or run now."""
        self.registry.value(metrics.IN_FLIGHT, model, self._device).value = requests
