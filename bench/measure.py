"""Measures one scenario: check, warm up, check, load, check again, and the arithmetic of the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench import h2load, payloads, processes, wrk
from bench.generator import GeneratorFailed, Load
from bench.scenarios import Scenario
from bench.server import Target
from bench.yardstick import yardstick_ms

WARM_UP_SECONDS = 2


class Result(NamedTuple):
    """What a scenario came to. Times of the CPU are microseconds a request, of the server by role.

    Attributes:
        scenario: its name.
        ok_per_second: right answers a second.
        completed: all answers.
        failed: the others.
        p50_ms: latency of all answers.
        p99_ms: likewise.
        cpu_us: by role; empty when the processes aren't known.
        generator_cpu_us: of the load generator, which shares the machine.
        problem: why the numbers don't count; empty if they do.
        yardstick_ms: how slow the machine was (see `bench.yardstick`).
    """

    scenario: str
    ok_per_second: float
    completed: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]
    generator_cpu_us: float
    problem: str
    yardstick_ms: float = 0.0

    @property
    def server_cpu_us(self) -> float:
        """CPU time of the whole server for one request."""
        return sum(self.cpu_us.values())


def result_of(scenario: Scenario, load: Load, cpu_seconds: Mapping[str, float]) -> Result:
    """The result of a run in which the server took `cpu_seconds` by role."""
    return Result(
        scenario=scenario.name,
        ok_per_second=(load.completed - load.failed) / load.seconds,
        completed=load.completed,
        failed=load.failed,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        cpu_us={role: seconds * 1e6 / load.completed for role, seconds in cpu_seconds.items()},
        generator_cpu_us=load.generator_cpu_seconds * 1e6 / load.completed,
        problem=load.problem,
    )


def failed(scenario: Scenario, problem: str) -> Result:
    """The result of a scenario that gave no numbers."""
    return Result(scenario.name, 0.0, 0, 0, 0.0, 0.0, {}, 0.0, problem)


def measure(scenario: Scenario, target: Target, *, seconds: int, folder: Path) -> Result:
    """Run one scenario against a server that serves its model; files go to `folder`.

    What goes wrong with the server or the generator doesn't raise: it is the result's `problem`.
    """
    payload = payloads.make(scenario.model, scenario.rows)
    request = payloads.grpc_message(payload) if scenario.protocol == "grpc" else payloads.rest_body(payload)

    def load(duration: int, reply_bytes: int) -> Load:
        if scenario.protocol == "grpc":
            return h2load.load(
                f"{target.url_host}:{target.grpc_port}",
                request,
                reply_bytes=reply_bytes,
                connections=scenario.connections,
                streams=scenario.streams,
                seconds=duration,
                folder=folder,
            )
        return wrk.load(
            f"http://{target.url_host}:{target.rest_port}{payloads.rest_path(payload)}",
            request,
            reply_bytes=reply_bytes,
            connections=scenario.connections,
            seconds=duration,
            folder=folder,
        )

    try:
        reply_bytes = payloads.call(target, payload, scenario)
        load(min(seconds, WARM_UP_SECONDS), reply_bytes)
        yardstick = yardstick_ms()
        before = processes.snapshot(target.pids)
        loaded = load(seconds, reply_bytes)
        cpu_seconds = processes.cpu_between(before, processes.snapshot(target.pids))
        yardstick = (yardstick + yardstick_ms()) / 2
        result = result_of(scenario, loaded, cpu_seconds)._replace(yardstick_ms=yardstick)
        if payloads.call(target, payload, scenario) != reply_bytes:
            return result._replace(problem="the answer after the run has another length than the one before")
    except (payloads.WrongAnswer, GeneratorFailed, processes.ProcessEnded) as error:
        return failed(scenario, str(error))
    return result
