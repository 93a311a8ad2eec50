"""What a worker counts: how long graphs run, how long requests wait, and what batches are made of."""

from __future__ import annotations

from collections.abc import Sequence

from protos import metrics
from protos.messages import METHODS
from protos.metrics import Histogram, Registry
from workers.task import Task


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
        for task in tasks:
            self._queue_time.observe((now_ns - task.enqueued_ns) / 1000)
        self._batch_requests.observe(len(tasks))
        self._padded_rows.add(padded_rows)
        self._batching.count(tasks, inputs, padded_rows, now_ns)


class BatchCounts:
    """Upstream's metrics of batching, over all models."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def count(self, tasks: Sequence[Task], inputs: int, padded_rows: int, now_ns: int) -> None:
        """A batch begins to run."""
        registry = self.registry
        rows = padded_rows
        queuing = registry.histogram(metrics.QUEUING_LATENCY, "")
        sizes = registry.histogram(metrics.INPUT_BATCH_SIZE)
        for task in tasks:
            rows += task.rows
            queuing.observe((now_ns - task.enqueued_ns) / 1000)
            for _ in range(inputs):
                sizes.observe(task.rows)
        registry.value(metrics.WRAPPED_RUN_COUNT).add(1)
        registry.histogram(metrics.PADDING_SIZE, str(rows)).observe(padded_rows)
        registry.histogram(metrics.PROCESSED_BATCH_SIZE).observe(rows)


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
        """Counts of one of its signatures."""
        counts = self._signatures.get(signature)
        if counts is None:
            counts = self._signatures[signature] = SignatureCounts(self._batching, self._model, signature, self._device)
        return counts


class WorkerMetrics:
    """All counts of one worker, whose requests run on `device`."""

    def __init__(self, device: str) -> None:
        self.registry = Registry()
        self._device = device
        self._batching = BatchCounts(self.registry)
        self._models: dict[str, ModelCounts] = {}

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

    def in_flight(self, model: str, requests: int) -> None:
        """So many requests for a model wait or run now."""
        self.registry.value(metrics.IN_FLIGHT, model, self._device).value = requests
