"""Metrics of one process: what there is to count, and how it is counted.

`DEFINITIONS` names every metric, its labels and buckets: those of TensorFlow Serving under their own names, ours
with `tensormux_` in front. A `Registry` holds one process' cells; its snapshots travel to control, which adds them up.

Counting is for hot paths: get a cell once, then `cell.add(1)` or `histogram.observe(value)`, each a fraction of a
microsecond. A registry belongs to one thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]


class Definition(NamedTuple):
    """One metric.

    Attributes:
        labels: their names, in the order of a cell's values.
        limits: upper limits of a histogram's buckets, the last one (infinity) left out. A value that equals a limit
            counts in the next bucket, as in TensorFlow's monitoring library.
        always: the TYPE line is there without any cell, too.
    """

    name: str
    kind: Kind
    labels: Labels
    limits: tuple[float, ...] = ()
    always: bool = True


def _exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    limits = [scale]
    for _ in range(count - 1):
        limits.append(limits[-1] * growth)
    return tuple(limits)


_LATENCY_US = _exponential(10, 1.8, 33)
_QUEUING_US = _exponential(100, 1.2, 52)
_SIZES_14 = _exponential(1, 2, 14)
_SIZES_15 = _exponential(1, 2, 15)

REQUEST_COUNT = "/tensorflow/serving/request_count"
REQUEST_LATENCY = "/tensorflow/serving/request_latency"
RUNTIME_LATENCY = "/tensorflow/serving/runtime_latency"
EXAMPLE_COUNTS = "/tensorflow/serving/request_example_counts"
EXAMPLE_COUNT_TOTAL = "/tensorflow/serving/request_example_count_total"
WARMUP_LATENCY = "/tensorflow/serving/model_warmup_latency"
WARMUP_RECORDS = "/tensorflow/serving/model_warmup_records_read"
QUEUING_LATENCY = "/tensorflow/serving/batching_session/queuing_latency"
WRAPPED_RUN_COUNT = "/tensorflow/serving/batching_session/wrapped_run_count"
PADDING_SIZE = "/tensorflow/serving/batching_session/padding_size"
INPUT_BATCH_SIZE = "/tensorflow/serving/batching_session/input_batch_size"
PROCESSED_BATCH_SIZE = "/tensorflow/serving/batching_session/processed_batch_size"

QUEUE_TIME = "tensormux_queue_time_microseconds"
BATCH_REQUESTS = "tensormux_batch_requests"
PADDED_ROWS = "tensormux_padded_rows_total"
EXPIRED = "tensormux_expired_requests_total"
CANCELLED = "tensormux_cancelled_requests_total"
IN_FLIGHT = "tensormux_in_flight_requests"
OUTSTANDING = "tensormux_outstanding_requests"
CONNECTIONS = "tensormux_connections"
CPU_SECONDS = "tensormux_process_cpu_seconds_total"
RESIDENT_BYTES = "tensormux_process_resident_memory_bytes"

DEFINITIONS: dict[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition(REQUEST_COUNT, "counter", ("model_name", "status")),
        Definition(REQUEST_LATENCY, "histogram", ("model_name", "API", "entrypoint"), _LATENCY_US),
        Definition(RUNTIME_LATENCY, "histogram", ("model_name", "API", "runtime"), _LATENCY_US),
        Definition(EXAMPLE_COUNTS, "histogram", ("model",), _SIZES_15),
        Definition(EXAMPLE_COUNT_TOTAL, "counter", ("model",)),
        Definition(WARMUP_LATENCY, "histogram", ("model_path", "status"), _LATENCY_US),
        Definition(WARMUP_RECORDS, "counter", ("model_path", "status")),
        Definition(QUEUING_LATENCY, "histogram", ("thread_pool_name",), _QUEUING_US),
        Definition(WRAPPED_RUN_COUNT, "counter", ()),
        Definition(PADDING_SIZE, "histogram", ("execution_batch_size",), _SIZES_14, always=False),
        Definition(INPUT_BATCH_SIZE, "histogram", (), _SIZES_14, always=False),
        Definition(PROCESSED_BATCH_SIZE, "histogram", (), _SIZES_14, always=False),
        # Ours. Times in microseconds, `device` is the worker's, `process` the name of a process' slot.
        Definition(QUEUE_TIME, "histogram", ("model_name", "signature", "device"), _QUEUING_US),
        Definition(BATCH_REQUESTS, "histogram", ("model_name", "signature", "device"), _SIZES_14),
        Definition(PADDED_ROWS, "counter", ("model_name", "signature", "device")),
        Definition(EXPIRED, "counter", ("model_name",)),
        Definition(CANCELLED, "counter", ("model_name",)),
        Definition(IN_FLIGHT, "gauge", ("model_name", "device")),
        Definition(OUTSTANDING, "gauge", ("process",)),
        Definition(CONNECTIONS, "gauge", ("process",)),
        Definition(CPU_SECONDS, "counter", ("process",)),
        Definition(RESIDENT_BYTES, "gauge", ("process",)),
    )
}


class Value:
    """The cell of a counter or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        """Count."""
        self.value += amount


class Histogram:
    """Counts of observed values by bucket, and their sum."""

    __slots__ = ("limits", "counts", "sum")

    def __init__(self, limits: tuple[float, ...]) -> None:
        self.limits = limits
        self.counts = [0] * (len(limits) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_right(self.limits, value)] += 1
        self.sum += value


class CellSnapshot(msgspec.Struct, array_like=True, gc=False):
    """One cell: `sum` is the value of a counter or gauge; `counts`, by bucket, is empty for these."""

    name: str
    labels: Labels
    sum: float
    counts: list[int] = []


class HistogramTable(dict[str, Histogram]):
    """The histograms of one metric by the value of its first label, made when first asked for; the others are fixed."""

    def __init__(self, registry: Registry, name: str, *others: str) -> None:
        super().__init__()
        self._make = registry.histogram
        self._name = name
        self._others = others

    def __missing__(self, first: str) -> Histogram:
        histogram = self[first] = self._make(self._name, first, *self._others)
        return histogram


class Registry:
    """The cells of one process."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], Value] = {}
        self._histograms: dict[tuple[str, Labels], Histogram] = {}
        self._collectors: list[Callable[[], None]] = []

    def value(self, name: str, *labels: str) -> Value:
        """The cell of a counter or gauge, made when first asked for."""
        cell = self._values.get((name, labels))
        if cell is None:
            cell = self._values[name, labels] = Value()
        return cell

    def histogram(self, name: str, *labels: str) -> Histogram:
        """The cell of a histogram, made when first asked for."""
        cell = self._histograms.get((name, labels))
        if cell is None:
            cell = self._histograms[name, labels] = Histogram(DEFINITIONS[name].limits)
        return cell

    def forget(self, name: str, *labels: str) -> None:
        """Drop a cell; nobody may hold it any more."""
        self._values.pop((name, labels), None)
        self._histograms.pop((name, labels), None)

    def table(self, name: str, *others: str) -> HistogramTable:
        """The histograms of a metric by the value of its first label; `others` are those of its other labels."""
        return HistogramTable(self, name, *others)

    def on_snapshot(self, collect: Callable[[], None]) -> None:
        """Have `collect` called before every snapshot, to set what is looked at rather than counted."""
        self._collectors.append(collect)

    def snapshot(self) -> list[CellSnapshot]:
        """All cells as they are now, without histograms that have seen nothing.

        Calls that succeeded are requests with status OK, and counted as such here.
        """
        for collect in self._collectors:
            collect()
        cells = [CellSnapshot(name, labels, cell.value) for (name, labels), cell in self._values.items()]
        succeeded: dict[str, int] = {}
        for (name, labels), histogram in self._histograms.items():
            count = sum(histogram.counts)
            if not count:
                continue
            cells.append(CellSnapshot(name, labels, histogram.sum, list(histogram.counts)))
            if name == REQUEST_LATENCY:
                succeeded[labels[0]] = succeeded.get(labels[0], 0) + count
        # Upstream observes the latency of exactly the requests that it counts as OK: hot paths count only once.
        cells += [CellSnapshot(REQUEST_COUNT, (model, "OK"), count) for model, count in succeeded.items()]
        return cells
