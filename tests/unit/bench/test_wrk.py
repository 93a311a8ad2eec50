import re

import pytest

from bench import wrk
from bench.generator import GeneratorFailed

VALUES = {
    **{"requests": 100, "duration_us": 2_007_416, "bytes": 15_000},
    **{"errors_connect": 0, "errors_read": 0, "errors_write": 0, "errors_status": 0, "errors_timeout": 0},
    **{"latency_p50_us": 43917, "latency_p99_us": 44127, "latency_mean_us": 42833, "latency_max_us": 44152},
}


def _output(values):
    lines = "".join(f"bench.{name} {value}\n" for name, value in values.items())
    return f"Running 2s test @ http://localhost\n  184 requests in 2.01s, 24.63KB read\n{lines}"


def test_output():
    assert wrk.parse(_output(VALUES)) == VALUES


@pytest.mark.parametrize("missing", VALUES)
def test_a_missing_number(missing):
    with pytest.raises(GeneratorFailed, match=missing):
        wrk.parse(_output({name: value for name, value in VALUES.items() if name != missing}))


@pytest.mark.parametrize(
    ("changes", "completed", "failed", "problem"),
    [
        ({}, 100, 0, ""),
        ({"errors_status": 3}, 100, 3, "3 of 100 answers had another status than 200"),
        ({"errors_read": 2, "errors_timeout": 1}, 103, 3, "socket errors: 2 read, 1 timeout"),
        ({"errors_status": 100, "errors_write": 1}, 101, 101, "100 of 100 answers.*; socket errors: 1 write"),
        ({"bytes": 9_999}, 100, 100, "shorter than the right answer's 100 bytes"),
    ],
)
def test_failures_are_counted(changes, completed, failed, problem):
    counted = wrk.count({**VALUES, **changes}, reply_bytes=100)
    assert counted[:2] == (completed, failed)
    assert bool(counted[2]) == bool(problem)
    assert re.search(problem, counted[2])
