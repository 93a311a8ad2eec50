"""Results as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

from bench.measure import Result

_ROLES = ("frontend", "worker", "control")


def heading(roles: Sequence[str]) -> str:
    """The first line of the table; CPU times are microseconds a request, `yard ms` is how slow the machine was."""
    columns = "".join(f"{role[:14]:>15}" for role in roles)
    figures = f"{'OK req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}"
    return f"{'scenario':<26}{figures}{columns}{'generator':>11}{'yard ms':>9}"


def line(result: Result, roles: Sequence[str]) -> str:
    """One line of the table, and a second one if the scenario failed."""
    columns = "".join(f"{result.cpu_us[role]:>15.1f}" if role in result.cpu_us else f"{'-':>15}" for role in roles)
    total = f"{result.server_cpu_us:>9.1f}" if result.cpu_us else f"{'-':>9}"
    text = (
        f"{result.scenario:<26}{result.ok_per_second:>10,.0f}{result.p50_ms:>9.2f}{result.p99_ms:>9.2f}"
        f"{total}{columns}{result.generator_cpu_us:>11.1f}{result.yardstick_ms:>9.1f}"
    )
    return f"{text}\n  FAILED: {result.problem}" if result.problem else text


def roles_of(result: Result) -> list[str]:
    """The columns for the roles of a server: those of ours, or else those it has."""
    if not result.cpu_us or set(result.cpu_us) & set(_ROLES):
        return list(_ROLES)
    return sorted(result.cpu_us)


def as_json(results: Sequence[Result], *, server: str, seconds: int) -> dict[str, Any]:
    """Everything there is to know about the run."""
    return {
        "server": server,
        "seconds": seconds,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "results": [{**result._asdict(), "server_cpu_us": result.server_cpu_us} for result in results],
    }
