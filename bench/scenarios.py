"""What is measured: a table of work, each row one request sent over and over by so many clients.

`connections` x `streams` requests are under way at any time (REST: one a connection). Large requests go with few
clients, so that what is measured is work and not the length of a queue.
"""

from __future__ import annotations

from typing import NamedTuple


class Scenario(NamedTuple):
    """One row: `protocol` is "grpc" or "rest", `rows` the batch size of its request."""

    name: str
    protocol: str
    model: str
    rows: int
    connections: int
    streams: int = 1


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("grpc-half_plus_two", "grpc", "half_plus_two", rows=1, connections=8, streams=8),
        Scenario("grpc-half_plus_two-alone", "grpc", "half_plus_two", rows=1, connections=1),
        Scenario("rest-half_plus_two", "rest", "half_plus_two", rows=1, connections=64),
        Scenario("rest-half_plus_two-alone", "rest", "half_plus_two", rows=1, connections=1),
        Scenario("grpc-ctr-1", "grpc", "ctr", rows=1, connections=8, streams=8),
        Scenario("grpc-ctr-100", "grpc", "ctr", rows=100, connections=8, streams=8),
        Scenario("rest-ctr-1", "rest", "ctr", rows=1, connections=64),
        Scenario("rest-ctr-100", "rest", "ctr", rows=100, connections=64),
        Scenario("grpc-mlp-1", "grpc", "mlp", rows=1, connections=8, streams=8),
        Scenario("grpc-mlp-32", "grpc", "mlp", rows=32, connections=8, streams=8),
        Scenario("rest-mlp-1", "rest", "mlp", rows=1, connections=64),
        Scenario("rest-mlp-32", "rest", "mlp", rows=32, connections=64),
        Scenario("grpc-image", "grpc", "image", rows=1, connections=4),
        Scenario("rest-image", "rest", "image", rows=1, connections=4),
        Scenario("grpc-wide", "grpc", "wide", rows=8, connections=4, streams=4),
        Scenario("rest-wide", "rest", "wide", rows=8, connections=16),
    )
}

MODELS: tuple[str, ...] = tuple(dict.fromkeys(scenario.model for scenario in SCENARIOS.values()))
