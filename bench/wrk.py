"""REST load with wrk, through the Lua script beside this file.

wrk counts answers with a status above 399; it cannot see a wrong body, but an empty or short one shows in the bytes.
Its percentiles make up for waiting requests that a stalled server kept from being sent (coordinated omission).
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.generator import GeneratorFailed, Load, run

SCRIPT = Path(__file__).with_name("post.lua")
REQUEST_TIMEOUT_SECONDS = 30
_LINE = re.compile(r"^bench\.(\w+) (\d+)$", re.M)
_NAMES = frozenset(
    {
        *("requests", "duration_us", "bytes", "latency_p50_us", "latency_p99_us", "latency_mean_us", "latency_max_us"),
        *("errors_connect", "errors_read", "errors_write", "errors_status", "errors_timeout"),
    }
)


def parse(text: str) -> dict[str, int]:
    """The numbers that the script prints.

    Raises:
        GeneratorFailed: one is missing.
    """
    values = {name: int(value) for name, value in _LINE.findall(text)}
    missing = _NAMES - values.keys()
    if missing:
        raise GeneratorFailed(f"wrk printed no {min(missing)}: {text[-500:]}")
    return values


def count(values: dict[str, int], reply_bytes: int) -> tuple[int, int, str]:
    """How many requests came to an end, how many of those failed, and what is wrong ("" if nothing)."""
    answers, bad_status = values["requests"], values["errors_status"]
    broken = {kind: values[f"errors_{kind}"] for kind in ("connect", "read", "write", "timeout")}
    lost = sum(broken.values())
    problems = []
    if bad_status:
        problems.append(f"{bad_status} of {answers} answers had another status than 200")
    if lost:
        problems.append(f"socket errors: {', '.join(f'{n} {kind}' for kind, n in broken.items() if n)}")
    if not problems and values["bytes"] < answers * reply_bytes:
        return answers, answers, f"answers were shorter than the right answer's {reply_bytes} bytes"
    return answers + lost, bad_status + lost, "; ".join(problems)


def load(url: str, body: bytes, *, reply_bytes: int, connections: int, seconds: int, folder: Path) -> Load:
    """Post `body` to `url` for `seconds`, one request at a time on each connection.

    `reply_bytes` is the length of the right answer's body.

    Raises:
        GeneratorFailed: there is no result to speak of.
    """
    path = folder / "request.json"
    path.write_bytes(body)
    command = [
        *("wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", f"{REQUEST_TIMEOUT_SECONDS}s"),
        *("-s", str(SCRIPT), url, "--", str(path)),
    ]
    output, cpu_seconds = run(command, seconds)
    values = parse(output)
    completed, failed, problem = count(values, reply_bytes)
    if values["requests"] == 0:
        raise GeneratorFailed(f"no request was answered by {url}")
    return Load(
        completed=completed,
        failed=failed,
        seconds=values["duration_us"] / 1e6,
        p50_ms=values["latency_p50_us"] / 1e3,
        p99_ms=values["latency_p99_us"] / 1e3,
        generator_cpu_seconds=cpu_seconds,
        problem=problem,
    )
