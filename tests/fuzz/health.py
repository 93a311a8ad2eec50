"""Is the server all right? A good client, its processes, their memory and files, its log; looked at once a second."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc

from bench import processes
from protos import public
from tests.e2e.server import Server

# A good request that takes longer has failed. Nothing else on the machine may take that long, either.
GOOD_SECONDS = 10.0
_LOOK_SECONDS = 1.0
# The first part of a run fills caches and memory pools: growth is judged after it, and only over so long.
_WARM_UP = 0.3
_JUDGED_SECONDS = 600.0
_GROWTH_MB_PER_HOUR = 48.0
# Sockets that wait for a timeout, those of the good client, and what a worker opens for each front end it hears from.
_SPARE_FILES = 16


@dataclass
class Series:
    """What one process used over time: (seconds since the start, MB resident) and open files before and at the end."""

    role: str
    memory: list[tuple[float, float]] = field(default_factory=list)
    files_before: int = 0
    files_after: int = 0

    def growth(self, *, warm_up: float = _WARM_UP) -> tuple[float, float]:
        """MB an hour by a straight line through the samples after the warm-up, and how many seconds those span."""
        points = self.memory[int(len(self.memory) * warm_up) :]
        if len(points) < 3:
            return 0.0, 0.0
        mean_t = sum(t for t, _ in points) / len(points)
        mean_m = sum(m for _, m in points) / len(points)
        spread = sum((t - mean_t) ** 2 for t, _ in points)
        slope = sum((t - mean_t) * (m - mean_m) for t, m in points) / spread if spread else 0.0
        return slope * 3600.0, points[-1][0] - points[0][0]


class Health:
    """Watches one server; `complain` is told whatever is wrong."""

    def __init__(self, server: Server, complain: Callable[[str], None]) -> None:
        self._server = server
        self._complain = complain
        self._began = time.monotonic()
        self._log_read = 0
        self.slowest: dict[str, float] = {}
        self.good_answers = 0
        self.restarts = 0
        self.series: dict[int, Series] = {}
        self._known = server.tree()
        for pid, role in self._known.items():
            self.series[pid] = Series(role, files_before=_open_files(pid))
        self._kept = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=GOOD_SECONDS)
        self._channel = _channel(server.grpc_port)

    def watch(self, until: float, sometimes: Callable[[], None]) -> None:
        """Look once a second until the monotonic time `until`; `sometimes` is called after each look."""
        while time.monotonic() < until:
            started = time.monotonic()
            self.look()
            sometimes()
            time.sleep(max(0.0, _LOOK_SECONDS - (time.monotonic() - started)))

    def look(self) -> None:
        """One look at everything."""
        self._good("REST, new connection", self._new_rest)
        self._good("REST, kept connection", lambda: _rest(self._kept))
        self._good("gRPC, new connection", self._new_grpc)
        self._good("gRPC, kept connection", lambda: _grpc(self._channel))
        self._processes()
        self._read_log()

    def finish(self, settle_seconds: float) -> None:
        """Once the attacks have ended: close connections, let timeouts pass, see what is still open, judge memory."""
        self._kept.close()
        self._channel.close()
        deadline = time.monotonic() + settle_seconds
        while True:
            for pid, series in self.series.items():
                series.files_after = _open_files(pid)
            leaks = [s for s in self.series.values() if s.files_after > s.files_before + _SPARE_FILES]
            if not leaks or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_SECONDS)
        for series in leaks:
            self._complain(f"{series.role} has {series.files_after} open files; there were {series.files_before}")
        for series in self.series.values():
            slope, seconds = series.growth()
            if seconds >= _JUDGED_SECONDS and slope > _GROWTH_MB_PER_HOUR:
                self._complain(f"memory of {series.role} grows by {slope:.0f} MB an hour")
        self._read_log()

    def _good(self, name: str, ask: Callable[[], None]) -> None:
        started = time.monotonic()
        try:
            ask()
        except (OSError, http.client.HTTPException, grpc.RpcError, ValueError, AssertionError) as error:
            self._complain(f"a good request failed ({name}): {type(error).__name__}: {error}")
            self._kept.close()  # opens anew by itself
            return
        seconds = time.monotonic() - started
        self.good_answers += 1
        self.slowest[name] = max(seconds, self.slowest.get(name, 0.0))
        if seconds > GOOD_SECONDS:
            self._complain(f"a good request took {seconds:.1f} s ({name})")

    def _new_rest(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.rest_port, timeout=GOOD_SECONDS)
        with contextlib.closing(connection):
            _rest(connection)

    def _new_grpc(self) -> None:
        with _channel(self._server.grpc_port) as channel:
            _grpc(channel)

    def _processes(self) -> None:
        now = self._server.tree()
        if now != self._known:
            gone = [f"{role} {pid}" for pid, role in self._known.items() if pid not in now]
            self.restarts += len(gone)
            self._complain(f"processes have changed: gone {gone}, before {self._known}, now {now}")
            for pid in now.keys() - self.series.keys():
                self.series[pid] = Series(now[pid], files_before=_open_files(pid))
            self._known = now
        at = time.monotonic() - self._began
        for pid in now:
            with contextlib.suppress(processes.ProcessEnded):
                self.series[pid].memory.append((at, processes.memory_mb(pid)[0]))

    def _read_log(self) -> None:
        for line in _new_lines(self._server, self._log_read):
            self._log_read += len(line)
            if b"Traceback" in line or b"internal error" in line:
                self._complain(f"in the log: {line.decode(errors='replace').strip()}")


def _new_lines(server: Server, offset: int) -> Iterator[bytes]:
    with (server.folder / "stderr").open("rb") as log:
        log.seek(offset)
        for line in log:
            if line.endswith(b"\n"):
                yield line


def _open_files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _channel(port: int) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),))


def _rest(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", "/v1/models/half_plus_two:predict", b'{"instances": [1.0, 2.0, 5.0]}')
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200 and json.loads(body) == {"predictions": [2.5, 3.0, 4.5]}, (answer.status, body[:300])


def _grpc(channel: grpc.Channel) -> None:
    request = public.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=2)
    request.inputs["x"].float_val.extend([1.0, 2.0])
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    answer = public.PredictResponse.FromString(call(request.SerializeToString(), timeout=GOOD_SECONDS))
    assert list(answer.outputs["y"].float_val) == [2.5, 3.0], answer
