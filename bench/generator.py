"""Runs a load generator as a child process and says what it measured; `bench.h2load` and `bench.wrk` are the two."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# A generator stops by itself after its duration; what it may take on top before it is killed.
GRACE_SECONDS = 60.0
_PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk"}


class GeneratorFailed(RuntimeError):
    """The load generator is missing, failed, or printed something else than expected."""


class Load(NamedTuple):
    """What one run of a generator measured; `completed` includes `failed`, times in the units named."""

    completed: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    generator_cpu_seconds: float
    problem: str = ""


def run(command: Sequence[str], seconds: float) -> tuple[str, float]:
    """Run a generator to its end; its output, and the CPU seconds that it took.

    Raises:
        GeneratorFailed: it isn't installed, failed, or didn't end in time.
    """
    program = command[0]
    if shutil.which(program) is None:
        raise GeneratorFailed(
            f"{program} isn't installed; Debian and Ubuntu have it in the package {_PACKAGES[program]}"
        )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds + GRACE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise GeneratorFailed(f"{program} didn't end {GRACE_SECONDS:.0f} s after its duration") from None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise GeneratorFailed(f"{program} ended with {done.returncode}: {(done.stderr or done.stdout)[-1000:].strip()}")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def percentile(ordered: npt.NDArray[np.int64], percent: float) -> int:
    """The smallest of the values, sorted upwards and at least one, that `percent` % of them don't exceed."""
    rank = -(-len(ordered) * percent // 100)
    return int(ordered[max(int(rank), 1) - 1])
