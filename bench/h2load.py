"""gRPC load with h2load.

h2load calls an answer a success when its HTTP status is 200, which gRPC errors have too. But an error carries no
message, and all good answers to one request are equally long: so the number of good answers is the number of DATA bytes
over the length of one. Latencies come from its log of requests, since its summary has no percentiles.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.generator import GeneratorFailed, Load, percentile, run

LARGE_BYTES = 256 << 10
METHOD = "/tensorflow.serving.PredictionService/Predict"
_REQUESTS = re.compile(r"^requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", re.M)
_TRAFFIC = re.compile(r"^traffic: .*\((\d+)\) data", re.M)


class Summary(NamedTuple):
    """Counts of requests and the DATA bytes received, all streams together."""

    done: int
    succeeded: int
    failed: int
    errored: int
    timeout: int
    data_bytes: int


def parse_summary(text: str) -> Summary:
    """Read what h2load prints at its end.

    Raises:
        GeneratorFailed: the two lines aren't there.
    """
    requests, traffic = _REQUESTS.search(text), _TRAFFIC.search(text)
    if requests is None or traffic is None:
        raise GeneratorFailed(f"h2load printed no summary: {text[-500:]}")
    done, succeeded, failed, errored, timeout = (int(number) for number in requests.groups())
    return Summary(done, succeeded, failed, errored, timeout, data_bytes=int(traffic[1]))


def count_ok(summary: Summary, reply_bytes: int, in_flight: int) -> tuple[int, str]:
    """How many answers were good, and what is wrong if not all were ("" if nothing).

    Args:
        summary: of the run.
        reply_bytes: DATA bytes of a good answer: message and its 5 bytes of gRPC prefix.
        in_flight: requests at a time; those that the end cut off may have received part of their answer.
    """
    ok = min(summary.done, summary.data_bytes // reply_bytes)
    if summary.done == 0:
        return 0, "no request was answered"
    if summary.succeeded != summary.done or summary.failed or summary.errored or summary.timeout:
        refused = summary.failed + summary.errored + summary.timeout
        return min(ok, summary.succeeded), f"{refused} requests failed in HTTP"
    if ok < summary.done:
        return ok, f"{summary.done - ok} of {summary.done} answers were gRPC errors or shorter than the right answer"
    excess = summary.data_bytes - summary.done * reply_bytes
    if excess > in_flight * reply_bytes:
        return ok, f"answers were {excess} bytes longer in all than the right answer"
    return ok, ""


def parse_latencies(log: str) -> npt.NDArray[np.int64]:
    """Latencies in microseconds, sorted, of the requests in a --log-file that were answered.

    Raises:
        GeneratorFailed: a line isn't start, status, latency.
    """
    try:
        rows = np.array(log.split(), dtype=np.int64).reshape(-1, 3)
    except ValueError:
        raise GeneratorFailed("the log of h2load isn't three columns of numbers") from None
    return np.sort(rows[rows[:, 1] >= 0, 2])


def load(
    address: str, message: bytes, *, reply_bytes: int, connections: int, streams: int, seconds: int, folder: Path
) -> Load:
    """Send `message` to PredictionService/Predict at `address` (host:port) for `seconds`, in a closed loop.

    Args:
        address: host:port.
        message: a serialized PredictRequest.
        reply_bytes: length of the serialized PredictResponse that is the right answer.
        connections: HTTP/2 connections.
        streams: calls at a time on each.
        seconds: how long.
        folder: where to put files.

    Raises:
        GeneratorFailed: there is no result to speak of.
    """
    # Sending a large message costs as much as receiving it: one thread of the generator would be what is measured.
    threads = 2 if len(message) >= LARGE_BYTES and connections > 1 else 1
    body, log = folder / "request.grpc", folder / "h2load.log"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    log.unlink(missing_ok=True)
    command = [
        *("h2load", "-t", str(threads), "-c", str(connections), "-m", str(streams), "-D", f"{seconds}s"),
        *("-H", "content-type: application/grpc", "-H", "te: trailers"),
        *("-d", str(body), f"--log-file={log}", f"http://{address}{METHOD}"),
    ]
    output, cpu_seconds = run(command, seconds)
    summary = parse_summary(output)
    ok, problem = count_ok(summary, reply_bytes + 5, connections * streams)
    latencies = parse_latencies(log.read_text() if log.exists() else "")
    if summary.done == 0 or not len(latencies):
        raise GeneratorFailed(f"no request was answered by {address}")
    return Load(
        completed=summary.done,
        failed=summary.done - ok,
        seconds=seconds,
        p50_ms=percentile(latencies, 50) / 1e3,
        p99_ms=percentile(latencies, 99) / 1e3,
        generator_cpu_seconds=cpu_seconds,
        problem=problem,
    )
