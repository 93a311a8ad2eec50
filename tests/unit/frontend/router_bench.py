"""A router against workers that a test plays, over real ZeroMQ sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic_ns
from typing import Any

import msgspec

from frontend.call import Call
from frontend.router import Router
from protos import messages
from protos.channel import Channel, Frames, LoopReader
from protos.errors import ServingError
from protos.messages import (
    FRAME_THRESHOLD_BYTES,
    Infer,
    InferBatch,
    Reply,
    ReplyBatch,
    Tensor,
)
from protos.tensor_view import Target
from tests import loops
from tests.catalogs import model, snapshot, version, worker

LATEST = Target("m", None, None, "")
SMALL = Tensor(1, (1,), b"abcd")
BIG = Tensor(1, (FRAME_THRESHOLD_BYTES // 4,), bytes(FRAME_THRESHOLD_BYTES))


class Recorded(Call):
    __slots__ = ("tensors", "error", "ends")

    def __init__(self, target: Target, inputs: list[Tensor], *, timeout_s: float = 0.0) -> None:
        self.target = target
        self.inputs = inputs
        self.outputs = ()
        self.deadline_ns = monotonic_ns() + int(timeout_s * 1e9) if timeout_s else 0
        self.large = any(isinstance(t.data, bytes) and len(t.data) >= FRAME_THRESHOLD_BYTES for t in inputs)
        self.tensors: list[Tensor] | None = None
        self.error: ServingError | None = None
        self.ends = 0

    def complete(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors
        self.ends += 1

    def fail(self, error: ServingError) -> None:
        self.error = error
        self.ends += 1

    @property
    def code(self) -> int | None:
        return None if self.error is None else self.error.code


class FakeWorker:
    """Records batches; answers when told to."""

    def __init__(self, channel: Channel, endpoint: str) -> None:
        self.socket, self.endpoint = channel.bind_router(endpoint)
        self.batches: list[tuple[InferBatch, list[bytes]]] = []
        self.peer = b""
        self.reader = LoopReader(asyncio.get_running_loop(), self.socket, self._on_message)

    def _on_message(self, frames: Frames) -> None:
        self.peer = frames[0].bytes
        batch = msgspec.msgpack.decode(frames[1].bytes, type=InferBatch)
        self.batches.append((batch, [frame.bytes for frame in frames[2:]]))

    @property
    def requests(self) -> list[Infer]:
        return [request for batch, _ in self.batches for request in batch.requests]

    @property
    def cancelled(self) -> list[int]:
        return [number for batch, _ in self.batches for number in batch.cancelled]

    def send(self, *replies: Reply, frames: tuple[bytes, ...] = ()) -> None:
        self.socket.send_multipart([self.peer, msgspec.msgpack.encode(ReplyBatch(list(replies))), *frames])
        self.reader.poke()

    def answer(self, request: Infer, code: int = 0, message: str = "") -> None:
        self.send(Reply(request.id, code, message, [] if code else [SMALL]))

    def kill(self) -> None:
        self.reader.close()
        self.socket.close(0)


class Bench:
    """A router with so many fake workers, all with version 1 of model m."""

    def __init__(self, folder: Path, workers: int, *, max_outstanding: int = 1_000, watched: bool = False) -> None:
        self.watched = watched
        self.channel = Channel()
        self.folder = folder
        self.workers = [FakeWorker(self.channel, f"ipc://{folder}/{i}") for i in range(workers)]
        self.router = Router(
            asyncio.get_running_loop(), self.channel, identity="frontend-0/x", max_outstanding=max_outstanding
        )
        self.epoch = 0

    def show(
        self,
        *models: messages.ModelEntry,
        without: tuple[int, ...] = (),
        ended: tuple[messages.EndedWorker, ...] = (),
    ) -> None:
        """Broadcast the workers (less some) with `models`, or with version 1 of m on each of them."""
        self.epoch += 1
        present = [i for i in range(len(self.workers)) if i not in without]
        entries = [worker(i, self.workers[i].endpoint, watched=self.watched) for i in present]
        models = models or (model("m", version(1, workers=present)),)
        self.router.update(snapshot(entries, *models, epoch=self.epoch, ended=ended))

    def submit(self, target: Target = LATEST, inputs: list[Tensor] | None = None, timeout_s: float = 0.0) -> Recorded:
        call = Recorded(target, inputs or [SMALL], timeout_s=timeout_s)
        call.route = self.router.catalog.route(target)
        self.router.submit(call)
        return call

    async def received(self, count: int, index: int = 0) -> list[Infer]:
        await loops.until(lambda: len(self.workers[index].requests) >= count)
        return self.workers[index].requests

    def close(self) -> None:
        self.router.close()
        for fake in self.workers:
            fake.reader.close()
        self.channel.close()


Scene = Callable[[Bench], Coroutine[Any, Any, None]]


def play(folder: Path, scene: Scene, *, workers: int = 1, max_outstanding: int = 1_000, watched: bool = False) -> None:
    async def main() -> None:
        bench = Bench(folder, workers, max_outstanding=max_outstanding, watched=watched)
        bench.show()
        try:
            await scene(bench)
            assert bench.router.outstanding == sum(len(link.pending) for link in bench.router._links.values())
        finally:
            bench.close()

    loops.run(main())
