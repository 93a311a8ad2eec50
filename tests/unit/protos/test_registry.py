"""Cells of one process, and what a snapshot says of them."""

from __future__ import annotations

import os

import msgspec

from protos.metrics import (
    CPU_SECONDS,
    DEFINITIONS,
    IN_FLIGHT,
    QUEUING_LATENCY,
    REQUEST_COUNT,
    REQUEST_LATENCY,
    RESIDENT_BYTES,
    CellSnapshot,
    Registry,
)
from protos.process_metrics import watch_process


def cells(registry: Registry) -> dict[tuple[str, tuple[str, ...]], CellSnapshot]:
    snapshot = registry.snapshot()
    found = {(cell.name, cell.labels): cell for cell in snapshot}
    assert len(found) == len(snapshot)
    return found


def test_a_cell_is_made_once() -> None:
    registry = Registry()
    registry.value(REQUEST_COUNT, "m", "NOT_FOUND").add(1)
    registry.value(REQUEST_COUNT, "m", "NOT_FOUND").add(2)
    assert cells(registry)[REQUEST_COUNT, ("m", "NOT_FOUND")].sum == 3


def test_requests_with_a_latency_are_those_that_were_answered_well() -> None:
    registry = Registry()
    registry.value(REQUEST_COUNT, "m", "NOT_FOUND").add(1)
    for api, entrypoint, count in (("Predict", "GRPC", 3), ("predict", "REST", 2), ("", "REST", 1)):
        for _ in range(count):
            registry.table(REQUEST_LATENCY, api, entrypoint)["m"].observe(20.0)
    registry.table(REQUEST_LATENCY, "Predict", "GRPC")["other"]
    found = cells(registry)
    assert {key[1]: cell.sum for key, cell in found.items() if key[0] == REQUEST_COUNT} == {
        ("m", "NOT_FOUND"): 1,
        ("m", "OK"): 6,
    }
    assert (REQUEST_LATENCY, ("other", "Predict", "GRPC")) not in found


def test_a_value_on_a_limit_is_in_the_next_bucket() -> None:
    registry = Registry()
    histogram = registry.histogram(QUEUING_LATENCY, "")
    limits = DEFINITIONS[QUEUING_LATENCY].limits
    for value in (0.0, limits[0], limits[-1], limits[-1] * 2):
        histogram.observe(value)
    counts = cells(registry)[QUEUING_LATENCY, ("",)].counts
    assert len(counts) == len(limits) + 1
    assert {index: count for index, count in enumerate(counts) if count} == {0: 1, 1: 1, len(limits): 2}


def test_what_is_looked_at_is_looked_at_for_every_snapshot() -> None:
    registry = Registry()
    levels = iter((5, 2))
    registry.on_snapshot(lambda: setattr(registry.value(IN_FLIGHT, "m", "cpu"), "value", next(levels)))
    assert [cells(registry)[IN_FLIGHT, ("m", "cpu")].sum for _ in range(2)] == [5, 2]


def test_a_snapshot_is_not_changed_by_later_counts() -> None:
    registry = Registry()
    histogram = registry.histogram(REQUEST_LATENCY, "m", "Predict", "GRPC")
    histogram.observe(1.0)
    before = cells(registry)
    histogram.observe(1.0)
    assert sum(before[REQUEST_LATENCY, ("m", "Predict", "GRPC")].counts) == 1


def test_a_snapshot_survives_the_wire() -> None:
    registry = Registry()
    registry.histogram(QUEUING_LATENCY, "").observe(150.0)
    registry.value(REQUEST_COUNT, "é\n", "OK").add(1)
    snapshot = registry.snapshot()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=list[CellSnapshot]) == snapshot


def test_a_process_tells_its_cpu_time_and_memory() -> None:
    registry = Registry()
    watch_process(registry, "worker-0")
    found = cells(registry)
    spent = found[CPU_SECONDS, ("worker-0",)].sum
    assert 0 < spent <= sum(os.times()[:2]) + 1
    assert found[RESIDENT_BYTES, ("worker-0",)].sum > 1 << 20
    while sum(os.times()[:2]) < spent + 0.02:
        pass
    assert cells(registry)[CPU_SECONDS, ("worker-0",)].sum > spent


def test_limits() -> None:
    """Ends and lengths of the bucket lists as TensorFlow Serving has them."""
    ends = {name: (d.limits[0], f"{d.limits[-1]:g}", len(d.limits)) for name, d in DEFINITIONS.items() if d.limits}
    assert ends["/tensorflow/serving/request_latency"] == (10, "1.47476e+09", 33)
    assert ends["/tensorflow/serving/batching_session/queuing_latency"] == (100, "1.09205e+06", 52)
    assert ends["/tensorflow/serving/batching_session/padding_size"] == (1, "8192", 14)
    assert ends["/tensorflow/serving/request_example_counts"] == (1, "16384", 15)
