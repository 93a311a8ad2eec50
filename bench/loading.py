"""What loading a large model costs the clients of another: `python -m bench.loading`.

A server is started with half_plus_two, which gets small requests at a steady rate over one connection. Then a large
model is added to its configuration and taken away again, several times. The slowest percent of the requests that were
due while the model was loading is compared with that of the times before each load; of each the median over all loads
counts, because on a shared machine single ones say little. A request's latency counts from when it was due, so that one
that holds up others is not counted once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import server
from bench.paced import Paced
from bench.yardstick import yardstick_ms

LOAD_SECONDS = 600.0
KINDS = ("variables", "constants")
_BYTES_A_VALUE = 4
_LOOK_SECONDS = 0.2


class Result(NamedTuple):
    """Medians over all loads: latencies in milliseconds, the load's time in seconds; those called worst are of all."""

    usual_p99_ms: float
    loading_p99_ms: float
    loading_worst_ms: float
    load_seconds: float
    requests: int

    @property
    def ratio(self) -> float:
        """How much longer the slowest percent takes during a load."""
        return self.loading_p99_ms / self.usual_p99_ms


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise server.ServerFailed("there were no requests: the load was too short for this rate")
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return percentile(values, 0.5)


def write_large(path: Path, megabytes: int, kind: str, tensors: int) -> None:
    """Write a SavedModel with so many MiB of weights in so many tensors, in a file of variables or in the graph itself.

    TensorFlow reads several variables at the same time.
    """
    import numpy as np
    import tensorflow as tf

    from workers.sample_model import PREDICT, Signature, save

    columns = 1024
    rows = (megabytes << 20) // _BYTES_A_VALUE // columns // tensors

    def weights(number: int) -> Any:
        if kind == "constants":
            return tf.constant(np.random.default_rng(number).random((rows, columns), np.float32))
        start = tf.compat.v1.random_uniform_initializer(seed=number)
        return tf.compat.v1.get_variable(f"weights_{number}", [rows, columns], initializer=start, use_resource=True)

    def build() -> dict[str, Signature]:
        x = tf.compat.v1.placeholder(tf.int32, [None], name="x")
        sums = [tf.reduce_sum(tf.gather(weights(number), x), axis=1) for number in range(tensors)]
        return {"serving_default": Signature(PREDICT, {"x": x}, {"y": tf.add_n(sums)})}

    save(path, build)


def _state(rest_port: int, model: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{rest_port}/v1/models/{model}", timeout=10) as reply:
            status: list[dict[str, Any]] = json.load(reply)["model_version_status"]
            return str(status[0]["state"])
    except OSError:
        return "UNKNOWN"


def _wait(rest_port: int, model: str, is_there: Callable[[str], bool]) -> float:
    """Wait until the model is in such a state; the last time when it was seen in another, on the monotonic clock."""
    before = time.monotonic()
    deadline = before + LOAD_SECONDS
    while not is_there(state := _state(rest_port, model)):
        before = time.monotonic()
        if before > deadline:
            raise server.ServerFailed(f"{model} is still {state} after {LOAD_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)
    return before


def _configure(path: Path, folder: Path, names: Sequence[str]) -> None:
    unfinished = server.write_config(folder, names, path.parent / "unfinished")
    unfinished.rename(path)


def measure(folder: Path, *, repeat: int, rate: float, seconds: float, rest: float, flags: Sequence[str]) -> Result:
    """Measure with the models half_plus_two and large in `folder`.

    Raises:
        ServerFailed: the server, or the large model, didn't come up.
    """
    (folder / "unfinished").mkdir()
    config = folder / "models.config"
    _configure(config, folder, ["half_plus_two"])
    flags = [f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1", "--devices=cpu", *flags]
    with server.started(flags, folder / "server.log") as target:
        body = '{"instances": [1.0, 2.0, 5.0]}'
        url = "/v1/models/half_plus_two:predict"
        with Paced(target.rest_port, url, body, rate=rate, file=folder / "latencies") as paced:
            time.sleep(2.0)  # until the graph is known to be cheap
            usual: list[list[float]] = []
            during: list[list[float]] = []
            took: list[float] = []
            for _ in range(repeat):
                calm = time.monotonic()
                while time.monotonic() < calm + seconds:
                    _state(target.rest_port, "half_plus_two")  # as while a load is waited for
                    time.sleep(_LOOK_SECONDS)
                usual.append(paced.between(calm, time.monotonic()))
                _configure(config, folder, ["half_plus_two", "large"])
                # Rather a moment early than without the load's beginning.
                begin = _wait(target.rest_port, "large", lambda state: state in ("LOADING", "AVAILABLE"))
                _wait(target.rest_port, "large", lambda state: state in ("AVAILABLE", "END"))
                end = time.monotonic()
                if _state(target.rest_port, "large") != "AVAILABLE":
                    raise server.ServerFailed((folder / "server.log").read_text(errors="replace")[-2000:])
                during.append(paced.between(begin, end))
                took.append(end - begin)
                _configure(config, folder, ["half_plus_two"])
                _wait(target.rest_port, "large", lambda state: state == "END")
                time.sleep(rest)
    return Result(
        usual_p99_ms=median([percentile(window, 0.99) for window in usual]),
        loading_p99_ms=median([percentile(window, 0.99) for window in during]),
        loading_worst_ms=max(max(window) for window in during),
        load_seconds=median(took),
        requests=sum(len(window) for window in during),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit status is 1 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.loading", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of the large model (default 1000)")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="where its weights are (default variables)")
    parser.add_argument("--tensors", type=int, default=1, help="that they are in (default 1)")
    parser.add_argument("--repeat", type=int, default=5, help="loads (default 5)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default 200)")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured before each load (default 4)")
    parser.add_argument(
        "--rest",
        type=float,
        default=4.0,
        help="seconds after a version's end that nothing is measured (default 4)",
    )
    parser.add_argument("--server-flags", default="", help="more flags for the server")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.write is not None:
        write_large(arguments.write, arguments.megabytes, arguments.kind, arguments.tensors)
        return 0
    with tempfile.TemporaryDirectory(prefix="tensormux-bench-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "bench.loading", f"--write={folder / 'large' / '1'}"]
        command += [f"--megabytes={arguments.megabytes}", f"--kind={arguments.kind}", f"--tensors={arguments.tensors}"]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
        try:
            subprocess.run(command, cwd=server.ROOT, env=environment, timeout=LOAD_SECONDS, check=True)
            server.write_models(folder, ["half_plus_two"])
            os.sync()  # or the disk would be busy while it is measured
            result = measure(
                folder,
                repeat=arguments.repeat,
                rate=arguments.rate,
                seconds=arguments.seconds,
                rest=arguments.rest,
                flags=arguments.server_flags.split(),
            )
        except (server.ServerFailed, subprocess.SubprocessError) as error:
            print(f"nothing was measured: {error}", file=sys.stderr)
            return 1
    print(
        f"{arguments.megabytes} MiB in {arguments.tensors} {arguments.kind}, "
        f"{arguments.repeat} loads of {result.load_seconds:.1f} s, "
        f"{result.requests} requests meanwhile: p99 {result.loading_p99_ms:.2f} ms (worst {result.loading_worst_ms:.1f}"
        f" ms), usually {result.usual_p99_ms:.2f} ms; ratio {result.ratio:.2f}; yardstick {yardstick_ms():.1f} ms"
    )
    return 0


if __name__ == "__main__":
    server.exit_on_sigterm()
    sys.exit(main())
