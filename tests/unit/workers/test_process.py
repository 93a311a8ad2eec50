"""A worker process, with the test in the places of control and of the front ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from protos.channel import ENV_BIND, ENV_CONTROL, ENV_NAME, Channel
from protos.configs import BatchingConfig, WorkerConfig
from protos.dtypes import DT_FLOAT
from protos.errors import Code
from protos.messages import (
    CODE_GONE,
    PROTOCOL_VERSION,
    Desired,
    DesiredServable,
    Heartbeat,
    Hello,
    Infer,
    InferBatch,
    Rejected,
    Reply,
    ReplyBatch,
    Resync,
    State,
    Stop,
    Tensor,
    ToControl,
    Welcome,
    WorkerReport,
)
from protos.orphan import ENV_PARENT_PID
from tests.reference import image

PATIENCE_S = 30.0
ROOT = Path(__file__).parents[3]

encode = msgspec.msgpack.Encoder().encode
decode_control = msgspec.msgpack.Decoder(ToControl).decode
decode_replies = msgspec.msgpack.Decoder(ReplyBatch).decode


class FrontEnd:
    """A front end's connection to the worker."""

    def __init__(self, channel: Channel, endpoint: str, identity: bytes) -> None:
        self.socket = channel.connect_dealer(endpoint, identity=identity)
        self._next_id = 0
        self._replies: dict[int, tuple[Reply, list[bytes]]] = {}

    def send(
        self, *inputs: Sequence[np.ndarray], model: str = "half", version: int = 1, cancelled: Sequence[int] = ()
    ) -> list[int]:
        """One message with a float32 request for each of `inputs`; large arrays go as frames. Their ids."""
        requests, frames, ids = [], [], []
        for arrays in inputs:
            self._next_id += 1
            ids.append(self._next_id)
            tensors = []
            for array in arrays:
                data: Any = np.asarray(array, np.float32).tobytes()
                if len(data) >= 64 * 1024:
                    frames.append(data)
                    data = len(frames) - 1
                tensors.append(Tensor(DT_FLOAT, np.shape(array), data))
            requests.append(Infer(ids[-1], model, version, "serving_default", 0, tensors, ()))
        self.socket.send_multipart([encode(InferBatch(requests, list(cancelled))), *frames])
        return ids

    def reply(self, request_id: int) -> Reply:
        """The reply to a request, whenever it comes."""
        end = time.monotonic() + PATIENCE_S
        while request_id not in self._replies:
            assert self.socket.poll(max(0, int((end - time.monotonic()) * 1000))), f"no reply to {request_id}"
            header, *frames = self.socket.recv_multipart()
            for reply in decode_replies(header).replies:
                assert reply.id not in self._replies, "answered twice"
                self._replies[reply.id] = (reply, frames)
        return self._replies[request_id][0]

    def floats(self, request_id: int) -> np.ndarray:
        """The first output of a request that went well."""
        reply = self.reply(request_id)
        assert (reply.code, reply.message) == (0, "")
        tensor = reply.outputs[0]
        data = self._replies[request_id][1][tensor.data] if isinstance(tensor.data, int) else tensor.data
        return np.frombuffer(data, np.float32).reshape(tensor.shape)


class Worker:
    """The process, seen from control."""

    def __init__(self, directory: Path) -> None:
        self.channel = Channel()
        self.control, endpoint = self.channel.bind_router(f"ipc://{directory}/control")
        self.log_path = directory / "log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers"],
                cwd=ROOT,
                env={
                    **os.environ,
                    "CUDA_VISIBLE_DEVICES": "-1",
                    ENV_CONTROL: endpoint,
                    ENV_BIND: f"ipc://{directory}/worker",
                    ENV_NAME: "worker-0",
                    ENV_PARENT_PID: str(os.getpid()),
                },
                stdout=log,
                stderr=log,
            )
        self.identity = b""
        self.hello: Hello
        self.epoch = 0
        self.seq = 0
        self.states: dict[tuple[str, int], int] = {}
        self._front_ends: list[FrontEnd] = []

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def receive(self) -> Any:
        """The next message of the worker."""
        assert self.control.poll(int(PATIENCE_S * 1000)), f"the worker is silent\n{self.log}"
        self.identity, payload = self.control.recv_multipart()
        message = decode_control(payload)
        if isinstance(message, WorkerReport):
            assert message.seq == self.seq + 1
            self.seq = message.seq
            if message.full:
                self.states.clear()
            self.states.update({(item.name, item.version): item.state for item in message.servables})
        return message

    def until(self, condition: Callable[[Any], Any], what: str) -> Any:
        """The next message of which `condition` holds."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if condition(message := self.receive()):
                return message
        pytest.fail(f"never heard: {what}\n{self.log}")

    def tell(self, message: Any) -> None:
        self.control.send_multipart([self.identity, encode(message)])

    def register(self, config: WorkerConfig | None = None) -> Worker:
        """Take the worker in."""
        self.hello = self.until(lambda message: isinstance(message, Hello), "Hello")
        self.tell(Welcome(protocol=PROTOCOL_VERSION, worker=config or WorkerConfig(heartbeat_seconds=0.2)))
        report = self.until(lambda message: isinstance(message, WorkerReport), "the first report")
        assert (report.full, report.servables) == (True, [])
        return self

    def desire(self, **paths: Path) -> None:
        """Let it have version 1 of these models, and wait until it has heard of them."""
        self.epoch += 1
        servables = [DesiredServable(name=name, version=1, path=str(path)) for name, path in paths.items()]
        self.tell(Desired(epoch=self.epoch, servables=servables))
        self.until(lambda message: getattr(message, "epoch", -1) == self.epoch, "the epoch")

    def serve(self, **paths: Path) -> None:
        """As `desire`, and wait until all are AVAILABLE."""
        self.desire(**paths)
        keys = {(name, 1) for name in paths}
        while not keys <= {key for key, state in self.states.items() if state == State.AVAILABLE}:
            self.receive()

    def front_end(self, identity: bytes = b"frontend-0/1") -> FrontEnd:
        self._front_ends.append(FrontEnd(self.channel, self.hello.endpoint, identity))
        return self._front_ends[-1]

    def wait(self) -> int:
        """The exit status."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the worker does not end\n{self.log}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.channel.close()


@pytest.fixture
def start() -> Iterator[Callable[[], Worker]]:
    """Starts worker processes; none outlives the test."""
    directories: list[Path] = []
    workers: list[Worker] = []

    def make() -> Worker:
        directories.append(Path(tempfile.mkdtemp(prefix="tmx")))  # short: a socket's path has 107 bytes at most
        workers.append(Worker(directories[-1]))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def test_a_day_in_the_life(start: Callable[[], Worker], model_path: Callable[[str], Path]) -> None:
    """Most of what can be seen of one worker that lives on, in one process: starting one takes seconds."""
    worker = start()
    _registers_and_loads(worker, model_path)
    _answers(worker.front_end())
    _resyncs(worker)
    _survives_garbage(worker)
    _survives_a_front_end_that_vanishes(worker)
    _unloads(worker)
    worker.tell(Stop(grace_seconds=20))
    assert worker.wait() == 0, worker.log
    assert "Traceback" not in worker.log


def _registers_and_loads(worker: Worker, model_path: Callable[[str], Path]) -> None:
    hello = worker.until(lambda message: isinstance(message, Hello), "Hello")
    assert (hello.protocol, hello.role, hello.name, hello.pid) == (
        PROTOCOL_VERSION,
        "worker",
        "worker-0",
        worker.process.pid,
    )
    again = worker.until(lambda message: isinstance(message, Hello), "Hello, as long as nobody answers")
    assert again.incarnation == hello.incarnation
    worker.register()
    worker.serve(
        half=model_path("half_plus_two"), image=model_path("image"), wide=model_path("wide"), slow=model_path("slow")
    )
    worker.desire(half=model_path("half_plus_two"), bad=model_path("unloadable"), none=Path("/does/not/exist"))
    report = worker.until(
        lambda m: isinstance(m, WorkerReport) and any(s.name == "none" and s.state == State.END for s in m.servables),
        "END of the one that is not there",
    )
    (servable,) = [item for item in report.servables if item.name == "none"]
    assert servable.code == Code.NOT_FOUND
    worker.serve(
        half=model_path("half_plus_two"), image=model_path("image"), wide=model_path("wide"), slow=model_path("slow")
    )


def _answers(front_end: FrontEnd) -> None:
    for _ in range(10):
        (request,) = front_end.send([[1.0, 2.0, 5.0]])
        assert front_end.floats(request).tolist() == [2.5, 3.0, 4.5]
    many = front_end.send(*[[[float(i)]] for i in range(100)])
    assert [front_end.floats(i).tolist() for i in many] == [[i / 2 + 2] for i in range(100)]
    (gone,) = front_end.send([[1.0]], version=2)
    assert front_end.reply(gone).code == CODE_GONE

    pictures = np.random.default_rng(2).random((2, 1, 224, 224, 3), np.float32)
    large = front_end.send(*[[picture] for picture in pictures], model="image")
    for request, picture in zip(large, pictures, strict=True):
        assert np.allclose(front_end.floats(request), image(picture), atol=1e-3)
    (wide,) = front_end.send([np.ones((40, 1))], model="wide")
    assert front_end.floats(wide).shape == (40, 4096)

    (first,) = front_end.send([[0.05]], model="slow")
    (second,) = front_end.send([[0.05]], model="slow")
    front_end.send(cancelled=[first, second, 999_999])
    (after,) = front_end.send([[2.0]])
    assert front_end.floats(after).tolist() == [3.0]
    assert {front_end.reply(request).code for request in (first, second)} <= {0, int(Code.CANCELLED)}


def _resyncs(worker: Worker) -> None:
    before = worker.hello.incarnation
    worker.tell(Resync())
    hello = worker.until(lambda message: isinstance(message, Hello), "Hello after Resync")
    assert hello.incarnation == before
    report = worker.until(lambda message: isinstance(message, WorkerReport) and message.full, "a full report")
    assert {item.name for item in report.servables} == {"half", "image", "wide", "slow"}
    assert all(item.state == State.AVAILABLE and item.signatures for item in report.servables)
    worker.tell(Welcome(protocol=PROTOCOL_VERSION, worker=WorkerConfig()))  # nothing new: no effect
    worker.tell(Desired(epoch=0, servables=[]))  # an old one: no effect
    beat = worker.until(lambda message: isinstance(message, Heartbeat), "a heartbeat")
    assert beat.epoch == worker.epoch


def _survives_garbage(worker: Worker) -> None:
    front_end = worker.front_end(b"garbage")
    good = encode(InferBatch([Infer(1, "half", 1, "serving_default", 0, [], ())], []))
    for frames in (
        [b""],
        [b"\xff" * 100],
        [good[:-3]],
        [b"\x92\x91\x97\x01\xa2\xff\xfe\x01\xa1a\x00\x90\x90\x90"],  # a model's name that is no UTF-8
        [encode([[1], [2]])],
        [encode({"requests": []})],
        [b"\x91" * 100_000],
        [b"", b"", b""],
        [encode(InferBatch([], [1, 2, 3])), b"unused"],
        [encode(InferBatch([], [], "/does/not/exist", [(0, 4)]))],
        [encode(InferBatch([], [], "\0", [(1 << 62, 1 << 62)]))],
    ):
        front_end.socket.send_multipart(frames)
    front_end.socket.send_multipart([good])
    assert front_end.reply(1).code == Code.INTERNAL
    # Requests that are messages, but no good.
    front_end._next_id = 1
    for tensor in (Tensor(DT_FLOAT, (3,), 5), Tensor(DT_FLOAT, (1 << 63,), b""), Tensor(99, (), b"")):
        front_end._next_id += 1
        request = Infer(front_end._next_id, "half", 1, "serving_default", 0, [tensor], ())
        front_end.socket.send(encode(InferBatch([request], [])))
        assert front_end.reply(front_end._next_id).code in (Code.INTERNAL, Code.INVALID_ARGUMENT)
    (request,) = front_end.send([[2.0]])
    assert front_end.floats(request).tolist() == [3.0]
    worker.control.send_multipart([worker.identity, b"\xc1 no message"])
    worker.until(lambda message: isinstance(message, Heartbeat), "a heartbeat after garbage from control")
    assert worker.process.poll() is None, worker.log


def _survives_a_front_end_that_vanishes(worker: Worker) -> None:
    for i in range(5):
        # More than are answered in one message, and some that are still running when nobody is there any more.
        front_end = worker.front_end(b"vanishing-%d" % i)
        front_end.send([[0.02]], [[0.02]], model="slow")
        front_end.send(*[[[1.0]]] * 200)
        front_end.socket.close(linger=1000)
    other = worker.front_end(b"other")
    for _ in range(3):
        (request,) = other.send([[2.0]])
        assert other.floats(request).tolist() == [3.0]
    worker.until(lambda m: isinstance(m, Heartbeat) and m.outstanding == 0, "nothing outstanding")
    assert worker.process.poll() is None, worker.log


def _unloads(worker: Worker) -> None:
    front_end = worker.front_end(b"unloads")
    (running,) = front_end.send([[0.3]], model="slow")
    worker.until(lambda m: isinstance(m, Heartbeat) and m.outstanding == 1, "the request")
    worker.desire()
    assert front_end.reply(running).code == 0
    (request,) = front_end.send([[2.0]])
    assert front_end.reply(request).code == CODE_GONE
    while set(worker.states.values()) != {State.END}:
        worker.receive()
    worker.until(lambda m: isinstance(m, Heartbeat) and m.outstanding == 0, "nothing outstanding")


def test_batches_and_stop_finishes_what_there_is(
    start: Callable[[], Worker], model_path: Callable[[str], Path]
) -> None:
    batching = BatchingConfig(num_batch_threads=1, max_batch_size=4, batch_timeout_micros=60_000_000)
    worker = start().register(WorkerConfig(heartbeat_seconds=0.2, batching=batching))
    worker.serve(wide=model_path("wide"), batching=model_path("batching"))
    front_ends = [worker.front_end(b"a"), worker.front_end(b"b")]
    ids = [front_end.send([[[1.0]] * 2], model="batching")[0] for front_end in front_ends]
    rows = [front_end.reply(i).outputs[0].data for front_end, i in zip(front_ends, ids, strict=True)]
    assert rows == [np.full(2, 4, np.int32).tobytes()] * 2
    # These wait for more rows for a minute, or until the worker is told to stop. Their replies don't fit into a
    # socket's buffer.
    waiting = [front_ends[0].send([np.ones((1, 1))], model="wide")[0] for _ in range(3)]
    worker.until(lambda m: isinstance(m, Heartbeat) and m.outstanding == 3, "the requests")
    worker.tell(Stop(grace_seconds=20))
    assert [front_ends[0].floats(i).shape for i in waiting] == [(1, 4096)] * 3
    assert worker.wait() == 0, worker.log
    assert "Traceback" not in worker.log


def test_sigterm_drains_and_the_last_reply_leaves(
    start: Callable[[], Worker], model_path: Callable[[str], Path]
) -> None:
    worker = start().register(WorkerConfig(heartbeat_seconds=0.1, num_run_threads=1))
    worker.serve(wide=model_path("wide"), slow=model_path("slow"))
    front_end = worker.front_end()
    front_end.send([[0.6]], model="slow")
    # Two of 48 MB, much more than a socket's buffer holds: they are on their way when the worker has no work left.
    ids = [front_end.send([np.ones((3000, 1))], model="wide")[0] for _ in range(2)]
    worker.until(lambda m: isinstance(m, Heartbeat) and m.outstanding == 3, "the requests")
    worker.process.send_signal(signal.SIGINT)  # left to control
    worker.process.send_signal(signal.SIGTERM)
    assert [front_end.floats(i).shape for i in ids] == [(3000, 4096)] * 2
    assert worker.wait() == 0, worker.log


def test_a_refused_worker_exits(start: Callable[[], Worker]) -> None:
    worker = start()
    worker.until(lambda message: isinstance(message, Hello), "Hello")
    worker.tell(Rejected(reason="control speaks protocol version 999, not 1"))
    assert worker.wait() not in (0, None)
    assert "control speaks protocol version 999" in worker.log


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({}, "a worker needs TENSORMUX_CONTROL and TENSORMUX_BIND"),
        ({ENV_CONTROL: "ipc:///tmp/x", ENV_BIND: "ipc:///tmp/y", "TENSORMUX_CURVE_PUBLIC_KEY": "x"}, "CURVE key pair"),
    ],
)
def test_what_is_wrong_with_the_environment_is_said(env: dict[str, str], text: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TENSORMUX_")}
    ended = subprocess.run(
        [sys.executable, "-m", "workers"],
        cwd=ROOT,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert text in ended.stderr
