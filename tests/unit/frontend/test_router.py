"""The router against workers played by the test, over real ZeroMQ sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic_ns
from typing import Any

import msgspec
import pytest
import zmq

from frontend import router as router_module
from frontend import stranded
from frontend.call import Call
from frontend.router import Router
from protos import messages
from protos.channel import Channel, Frames, LoopReader
from protos.errors import Code, ServingError
from protos.messages import (
    CODE_GONE,
    CODE_NO_ARENA,
    FRAME_THRESHOLD_BYTES,
    Infer,
    InferBatch,
    Reply,
    ReplyBatch,
    Tensor,
)
from protos.metrics import CANCELLED, EXPIRED, REQUEST_COUNT
from protos.tensor_view import Target
from tests import loops
from tests.catalogs import ended, model, signature_map, snapshot, version, worker

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


def test_a_request_and_its_reply(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit(timeout_s=5)
        (request,) = await bench.received(1)
        assert (request.model, request.version, request.signature) == ("m", 1, "serving_default")
        assert request.inputs == [SMALL] and request.outputs == ()
        assert 4_000_000 < request.timeout_us <= 5_000_000
        assert bench.router.outstanding == 1
        bench.workers[0].answer(request)
        await loops.until(lambda: call.ends)
        assert call.tensors == [SMALL] and bench.router.outstanding == 0

    play(tmp_path, scene)


def test_an_error_of_the_worker(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit()
        (request,) = await bench.received(1)
        assert request.timeout_us == 0
        bench.workers[0].answer(request, Code.INVALID_ARGUMENT, "Expects arg[0] to be float")
        await loops.until(lambda: call.ends)
        assert call.error is not None
        assert (call.error.code, call.error.message) == (Code.INVALID_ARGUMENT, "Expects arg[0] to be float")

    play(tmp_path, scene)


def test_requests_of_one_turn_are_one_message(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit() for _ in range(100)]
        requests = await bench.received(100)
        assert len(bench.workers[0].batches) == 1
        assert len({request.id for request in requests}) == 100
        bench.submit()
        await bench.received(101)
        assert len(bench.workers[0].batches) == 2
        bench.workers[0].send(*[Reply(r.id, 0, "", [SMALL]) for r in reversed(requests)])
        await loops.until(lambda: all(call.ends for call in calls))

    play(tmp_path, scene)


def test_large_tensors_travel_outside_the_header(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        next(iter(bench.router._links.values())).shares_memory = False
        other = Tensor(1, BIG.shape, b"\1" * FRAME_THRESHOLD_BYTES)
        first = bench.submit(inputs=[SMALL, BIG])
        bench.submit(inputs=[other, SMALL, Tensor(7, (1,), [bytes(FRAME_THRESHOLD_BYTES)])])
        await bench.received(2)
        (batch, frames) = bench.workers[0].batches[0]
        assert frames == [BIG.data, other.data]
        assert batch.requests[0].inputs == [SMALL, Tensor(1, BIG.shape, 0)]
        assert batch.requests[1].inputs[:2] == [Tensor(1, BIG.shape, 1), SMALL]
        assert isinstance(batch.requests[1].inputs[2].data, list)
        # Back the same way.
        outputs = [Tensor(1, BIG.shape, 0), SMALL]
        bench.workers[0].send(Reply(batch.requests[0].id, 0, "", outputs), frames=(frames[1],))
        await loops.until(lambda: first.ends)
        assert first.tensors is not None
        assert bytes(first.tensors[0].data) == other.data and first.tensors[1] == SMALL  # type: ignore[arg-type]

    play(tmp_path, scene)


def test_a_worker_that_cannot_reach_shared_memory_gets_frames(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit(inputs=[BIG])
        (request,) = await bench.received(1)
        (batch, frames) = bench.workers[0].batches[0]
        assert frames == [] and request.inputs == [Tensor(1, BIG.shape, -1)]
        assert batch.arena and batch.blocks[0][1] == FRAME_THRESHOLD_BYTES
        bench.show()  # the worker is the same, the catalog is not
        bench.workers[0].answer(request, CODE_NO_ARENA)
        again = (await bench.received(2))[1]
        assert again.inputs == [Tensor(1, BIG.shape, 0)]
        assert bench.workers[0].batches[1][1] == [BIG.data]
        bench.workers[0].answer(again)
        await loops.until(lambda: call.ends)
        assert call.tensors == [SMALL]
        bench.submit(inputs=[BIG])
        await bench.received(3)
        assert bench.workers[0].batches[2][1] == [BIG.data]

    play(tmp_path, scene)


def test_the_least_loaded_worker_gets_the_next(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for _ in range(9):
            bench.submit()
        for index in range(3):
            assert len(await bench.received(3, index)) == 3
        for request in bench.workers[1].requests:
            bench.workers[1].answer(request)
        await loops.until(lambda: bench.router.outstanding == 6)
        for _ in range(3):
            bench.submit()
        assert len(await bench.received(6, 1)) == 6
        assert len(bench.workers[0].requests) == len(bench.workers[2].requests) == 3

    play(tmp_path, scene, workers=3)


def test_only_workers_that_have_the_version(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        bench.show(model("m", version(1, workers=[0]), version(2, workers=[1, 7])))
        for _ in range(4):
            bench.submit(Target("m", 1, None, ""))
        bench.submit()
        assert [r.version for r in await bench.received(4, 0)] == [1] * 4
        assert [r.version for r in await bench.received(1, 1)] == [2]

    play(tmp_path, scene, workers=2)


def test_a_worker_that_answers_nothing_gets_less(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        late = bench.submit(timeout_s=0.02)
        await bench.received(1, 0)
        await loops.until(lambda: late.ends)
        assert late.code == Code.DEADLINE_EXCEEDED
        # One after the other, while both have nothing to do as far as one can see from here.
        for count in (1, 2, 3):
            call = bench.submit()
            bench.workers[1].answer((await bench.received(count, 1))[-1])
            await loops.until(lambda call=call: call.ends)
        # Until it answers again.
        bench.submit(), bench.submit()
        bench.workers[0].answer((await bench.received(2, 0))[-1])
        await loops.until(lambda: bench.router.outstanding == 1)
        bench.submit()
        assert len(await bench.received(3, 0)) == 3

    play(tmp_path, scene, workers=2)


def test_a_lost_worker_costs_one_retry(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit(inputs=[BIG]) for _ in range(4)]
        await bench.received(2, 0)
        await bench.received(2, 1)
        bench.show(without=(0,))
        requests = await bench.received(4, 1)
        for request in requests:
            bench.workers[1].answer(request)
        await loops.until(lambda: all(call.ends for call in calls))
        assert all(call.tensors for call in calls)
        again = bench.submit()
        await bench.received(5, 1)
        assert not again.ends

    play(tmp_path, scene, workers=2)


def test_a_broken_connection_is_noticed_before_control_says_so(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit() for _ in range(4)]
        await bench.received(2, 0)
        await bench.received(2, 1)
        bench.workers[0].kill()
        for request in await bench.received(4, 1):
            bench.workers[1].answer(request)
        await loops.until(lambda: all(call.ends for call in calls))
        assert all(call.tensors for call in calls)
        # The dead worker is still in the catalog, and gets nothing while the other can be reached.
        more = [bench.submit() for _ in range(4)]
        await bench.received(8, 1)
        assert not any(call.ends for call in more)

    play(tmp_path, scene, workers=2)


def test_a_worker_that_comes_back_to_its_place_is_used_again(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        lost = bench.submit()
        await bench.received(1)
        bench.workers[0].kill()
        # It may be the network only: the request goes there once more when the connection stands again.
        bench.workers[0] = FakeWorker(bench.channel, bench.workers[0].endpoint)
        (request,) = await bench.received(1)
        bench.workers[0].answer(request)
        await loops.until(lambda: bool(lost.ends))
        assert lost.tensors

    play(tmp_path, scene)


M, N = Target("m", None, None, ""), Target("n", None, None, "")


def both_models(*workers: int) -> list[messages.ModelEntry]:
    return [model(name, version(1, workers=workers)) for name in ("m", "n")]


async def stranded_calls(bench: Bench) -> tuple[Recorded, Recorded]:
    """Calls for `m` and `n` that worker 0 has, whose connection has broken."""
    bench.show(*both_models(0))
    await loops.until(lambda: bench.router.connected_workers == 2)
    calls = bench.submit(M), bench.submit(N)
    await bench.received(2, 0)
    bench.show(*both_models(0, 1))
    bench.workers[0].kill()
    await loops.until(lambda: bench.router.connected_workers == 1)
    return calls


@pytest.mark.parametrize("broken_first", [True, False])
def test_what_may_have_ended_a_worker_goes_to_no_other(tmp_path: Path, broken_first: bool) -> None:
    async def scene(bench: Bench) -> None:
        if broken_first:
            bad, good = await stranded_calls(bench)
        else:
            bench.show(*both_models(0))
            await loops.until(lambda: bench.router.connected_workers == 2)
            bad, good = bench.submit(M), bench.submit(N)
            await bench.received(2, 0)
        # That it is gone is known a moment before why.
        bench.show(*both_models(1), without=(0,))
        assert not bad.ends and not good.ends
        bench.show(*both_models(1), without=(0,), ended=(ended(7, ("n", 1)), ended(0, ("m", 1))))
        assert bad.error is not None and bad.error.code == Code.UNAVAILABLE
        text = "worker-0 crashed while it ran servable {name: m version: 1}: the request may be why"
        assert bad.error.message == f"{text}, and is not tried again"
        (request,) = await bench.received(1, 1)
        assert request.model == "n"
        bench.workers[1].answer(request)
        await loops.until(lambda: good.ends)
        assert good.tensors == [SMALL]
        # Later requests for the version are welcome.
        bench.submit(M)
        assert [request.model for request in await bench.received(2, 1)] == ["n", "m"]

    play(tmp_path, scene, workers=2, watched=True)


def test_a_worker_that_was_killed_costs_nobody_a_request(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = await stranded_calls(bench)
        bench.show(*both_models(1), without=(0,), ended=(ended(0),))
        for request in await bench.received(2, 1):
            bench.workers[1].answer(request)
        await loops.until(lambda: all(call.ends for call in calls))
        assert [call.tensors for call in calls] == [[SMALL]] * 2

    play(tmp_path, scene, workers=2, watched=True)


def test_without_news_of_its_end_requests_of_a_lost_worker_wait_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stranded, "_BROKEN_S", 0.05)

    async def scene(bench: Bench) -> None:
        await stranded_calls(bench)
        assert {request.model for request in await bench.received(2, 1)} == {"m", "n"}

    play(tmp_path, scene, workers=2, watched=True)


def test_a_worker_that_control_has_taken_away_may_take_longer_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stranded, "_BROKEN_S", 0.05)
    monkeypatch.setattr(stranded, "_ENDING_S", 0.5)

    async def scene(bench: Bench) -> None:
        began = monotonic_ns()
        calls = await stranded_calls(bench)
        bench.show(*both_models(1), without=(0,))
        await loops.until(lambda: monotonic_ns() - began > 200_000_000)
        assert not bench.workers[1].requests and not any(call.ends for call in calls)
        assert {request.model for request in await bench.received(2, 1)} == {"m", "n"}

    play(tmp_path, scene, workers=2, watched=True)


def test_deadlines_pass_while_the_end_of_a_worker_is_waited_for(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        bench.show(*both_models(0))
        await loops.until(lambda: bench.router.connected_workers == 2)
        call = bench.submit(M, timeout_s=0.1)
        await bench.received(1, 0)
        bench.show(*both_models(1), without=(0,))
        await loops.until(lambda: call.ends)
        assert call.code == Code.DEADLINE_EXCEEDED
        bench.show(*both_models(1), without=(0,), ended=(ended(0),))
        assert (call.ends, bench.workers[1].requests) == (1, [])

    play(tmp_path, scene, workers=2, watched=True)


def test_an_answer_that_has_arrived_counts_though_its_worker_is_lost(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await loops.until(lambda: bench.router.connected_workers == 1)
        call = bench.submit()
        (request,) = await bench.received(1)
        (link,) = bench.router._links.values()
        bench.workers[0].answer(request)
        assert link.socket.poll(5_000)
        bench.show(model("m", version(1, workers=[])), without=(0,), ended=(ended(0, ("m", 1)),))
        assert call.tensors == [SMALL]

    play(tmp_path, scene, watched=True)


def test_what_has_not_left_did_not_end_the_worker(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        bench.show(*both_models(0))
        await loops.until(lambda: bench.router.connected_workers == 2)
        call = bench.submit(M)
        bench.show(*both_models(1), without=(0,), ended=(ended(0, ("m", 1)),))
        assert [request.model for request in await bench.received(1, 1)] == ["m"]
        assert not call.ends

    play(tmp_path, scene, workers=2, watched=True)


def test_a_second_loss_is_waited_for_no_longer(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = await stranded_calls(bench)
        bench.show(*both_models(1), without=(0,), ended=(ended(0),))
        await bench.received(2, 1)
        bench.show(*both_models(), without=(0, 1))
        assert [call.code for call in calls] == [Code.UNAVAILABLE] * 2

    play(tmp_path, scene, workers=2, watched=True)


def test_control_may_number_workers_anew(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await loops.until(lambda: bench.router.connected_workers == 2)
        entry = worker(0, bench.workers[0].endpoint)
        entry.id = 7
        bench.router.update(snapshot([entry], model("m", version(1, workers=[7])), epoch=99))
        bench.submit()
        await bench.received(1)

    play(tmp_path, scene, workers=2, watched=True)


def test_whoever_leaves_while_the_end_of_a_worker_is_waited_for_is_not_answered(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = await stranded_calls(bench)
        for call in calls:
            bench.router.cancel(call)
        bench.show(*both_models(1), without=(0,), ended=(ended(0, ("m", 1)),))
        assert (bench.router.outstanding, [call.ends for call in calls]) == (0, [0, 0])

    play(tmp_path, scene, workers=2, watched=True)


def test_closing_ends_what_waits_for_news(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = await stranded_calls(bench)
        bench.router.cancel(calls[0])
        bench.router.close()
        assert [call.code for call in calls] == [None, Code.UNAVAILABLE]
        assert bench.router.outstanding == 0

    play(tmp_path, scene, workers=2, watched=True)


def test_what_never_reached_a_worker_did_not_end_it(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await stranded_calls(bench)
        bench.show(*both_models(0))
        late = bench.submit(M)  # to the dead one, while the connection is tried again
        bench.show(*both_models(1), without=(0,), ended=(ended(0, ("m", 1)),))
        assert [request.model for request in await bench.received(2, 1)].count("m") == 1
        assert not late.ends

    play(tmp_path, scene, workers=2, watched=True)


def test_a_second_loss_is_the_end(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit() for _ in range(3)]
        bench.show(without=(0,))
        bench.show(without=(0, 1))
        assert [call.code for call in calls].count(Code.UNAVAILABLE) >= 1
        bench.show(model("m", version(1, workers=[])), without=(0, 1, 2))
        assert [call.code for call in calls] == [Code.UNAVAILABLE] * 3
        assert [call.ends for call in calls] == [1] * 3

    play(tmp_path, scene, workers=3)


def test_no_other_worker(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit()
        await bench.received(1)
        bench.show(model("m", version(1, workers=[])), without=(0,))
        assert call.error is not None and call.error.code == Code.UNAVAILABLE
        assert "worker-0" in call.error.message

    play(tmp_path, scene)


def test_a_retry_stays_with_its_version(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        bench.show(model("m", version(1, workers=[0, 1])))
        calls = [bench.submit() for _ in range(2)]
        bench.show(model("m", version(1, workers=[1]), version(2, workers=[1])), without=(0,))
        assert [r.version for r in await bench.received(2, 1)] == [1, 1]
        assert not any(call.ends for call in calls)

    play(tmp_path, scene, workers=2)


def test_a_version_that_has_gone_is_resolved_anew(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit()
        (request,) = await bench.received(1)
        bench.show(model("m", version(2, workers=[0])))
        bench.workers[0].answer(request, CODE_GONE)
        requests = await bench.received(2)
        assert requests[1].version == 2 and requests[1].id != request.id
        bench.workers[0].answer(requests[1])
        await loops.until(lambda: call.ends)
        assert call.tensors == [SMALL] and call.route.version.version == 2

    play(tmp_path, scene)


def test_a_version_that_has_gone_before_the_catalog_says_so(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit()
        (request,) = await bench.received(1)
        bench.workers[0].answer(request, CODE_GONE)
        again = (await bench.received(2))[1]
        assert again.version == 1
        bench.show(model("m", version(2, workers=[0])))
        bench.workers[0].answer(again, CODE_GONE)
        assert (await bench.received(3))[2].version == 2
        assert not call.ends

    play(tmp_path, scene)


@pytest.mark.parametrize("when", ["before the answer", "during the pause"])
def test_a_version_replaced_by_one_with_another_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    other = model("m", version(2, workers=[0], signatures=signature_map({"serving_default": (["a", "x"], ["y"])})))

    async def scene(bench: Bench) -> None:
        call = bench.submit()
        (request,) = await bench.received(1)
        if when == "before the answer":
            bench.show(other)
        bench.workers[0].answer(request, CODE_GONE)
        if when == "during the pause":
            await loops.until(lambda: call.tries == 1)
            bench.show(other)
        await loops.until(lambda: call.ends)
        assert call.error is not None and call.error.code == Code.UNAVAILABLE
        assert "another signature" in call.error.message
        assert len(bench.workers[0].requests) == 1

    monkeypatch.setattr(router_module, "_GONE_PAUSE_S", 0.05)
    play(tmp_path, scene)


def test_a_version_that_is_gone_for_good(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit(Target("m", 1, None, ""))
        (request,) = await bench.received(1)
        bench.show(model("m", version(2, workers=[0])))
        bench.workers[0].answer(request, CODE_GONE)
        await loops.until(lambda: call.ends)
        assert call.code == Code.NOT_FOUND

    play(tmp_path, scene)


def test_a_worker_that_never_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "_GONE_PAUSE_S", 0.001)
    monkeypatch.setattr(router_module, "_GONE_TRIES", 3)

    async def scene(bench: Bench) -> None:
        call = bench.submit()
        answered = 0
        while not call.ends:
            for request in bench.workers[0].requests[answered:]:
                answered += 1
                bench.workers[0].answer(request, CODE_GONE)
            await asyncio.sleep(0)
        assert call.code == Code.UNAVAILABLE and answered == 4

    play(tmp_path, scene)


def test_a_deadline_that_passes_while_its_version_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "_GONE_PAUSE_S", 0.1)

    async def scene(bench: Bench) -> None:
        call = bench.submit(timeout_s=0.05)
        (request,) = await bench.received(1)
        bench.workers[0].answer(request, CODE_GONE)
        await loops.until(lambda: call.ends)
        assert call.code == Code.DEADLINE_EXCEEDED
        assert len(bench.workers[0].requests) == 1

    play(tmp_path, scene)


def test_cancelled_calls_are_told_to_the_worker_and_end_silently(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit() for _ in range(3)]
        requests = await bench.received(3)
        bench.router.cancel(calls[0])
        bench.router.cancel(calls[2])
        bench.router.cancel(calls[2])  # twice is as good as once
        await loops.until(lambda: bench.workers[0].cancelled)
        assert bench.workers[0].cancelled == [requests[0].id, requests[2].id]
        assert len(bench.workers[0].batches) == 2
        for request in requests:
            bench.workers[0].answer(request)
        await loops.until(lambda: calls[1].ends)
        assert [call.ends for call in calls] == [0, 1, 0] and bench.router.outstanding == 0
        bench.router.cancel(calls[1])
        assert calls[1].ends == 1

    play(tmp_path, scene)


def test_a_call_cancelled_while_its_version_is_gone_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router_module, "_GONE_PAUSE_S", 0.02)

    async def scene(bench: Bench) -> None:
        call = bench.submit()
        (request,) = await bench.received(1)
        bench.workers[0].answer(request, CODE_GONE)
        await loops.until(lambda: call.tries == 1)
        bench.router.cancel(call)
        later = bench.submit()
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        started = monotonic_ns()
        await loops.until(lambda: monotonic_ns() - started > 60_000_000)
        assert len(bench.workers[0].requests) == 2 and not call.ends and not later.ends

    play(tmp_path, scene)


def test_deadlines_are_swept(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        late = [bench.submit(timeout_s=0.03) for _ in range(3)]
        patient = bench.submit()
        requests = await bench.received(4)
        await loops.until(lambda: all(call.ends for call in late))
        assert [call.code for call in late] == [Code.DEADLINE_EXCEEDED] * 3
        assert all(monotonic_ns() >= call.deadline_ns for call in late)
        await loops.until(lambda: len(bench.workers[0].cancelled) == 3)
        assert bench.workers[0].cancelled == [request.id for request in requests[:3]]
        assert not patient.ends and bench.router.outstanding == 1
        bench.workers[0].answer(requests[0])  # too late
        bench.workers[0].answer(requests[3])
        await loops.until(lambda: patient.ends)
        assert [call.ends for call in late] == [1] * 3
        # The sweep stops when nothing is outstanding, and starts again with the next call.
        await loops.until(lambda: not bench.router._sweeping)
        again = bench.submit(timeout_s=0.02)
        await loops.until(lambda: again.ends)
        assert again.code == Code.DEADLINE_EXCEEDED

    play(tmp_path, scene)


def test_a_deadline_is_kept_after_a_version_was_gone(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit(timeout_s=0.2)
        (request,) = await bench.received(1)
        bench.workers[0].answer(request, CODE_GONE)
        await bench.received(2)  # and now it hangs
        await loops.until(lambda: call.ends)
        assert call.code == Code.DEADLINE_EXCEEDED

    play(tmp_path, scene)


def test_too_many_outstanding(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit() for _ in range(3)]
        with pytest.raises(ServingError, match="outstanding") as raised:
            bench.submit()
        assert raised.value.code == Code.RESOURCE_EXHAUSTED
        bench.router.cancel(calls[0])
        bench.submit()
        await bench.received(4)

    play(tmp_path, scene, max_outstanding=3)


def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        link = next(iter(bench.router._links.values()))

        class Full:
            def send(self, *_: object) -> None:
                raise zmq.Again

        socket, link.socket = link.socket, Full()  # type: ignore[assignment]
        calls = [bench.submit() for _ in range(3)]
        await loops.until(lambda: all(call.ends for call in calls))
        link.socket = socket
        assert [call.code for call in calls] == [Code.UNAVAILABLE] * 3 and bench.router.outstanding == 0

    play(tmp_path, scene)


def test_closing_ends_every_call(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit() for _ in range(3)]
        await bench.received(3)
        bench.router.close()
        assert [call.code for call in calls] == [Code.UNAVAILABLE] * 3
        assert [call.ends for call in calls] == [1] * 3
        assert bench.router.outstanding == 0

    play(tmp_path, scene)


def test_replies_that_cannot_be_read_cost_the_connection_and_no_request(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit()
        await bench.received(1)
        bench.workers[0].socket.send_multipart([bench.workers[0].peer, b"\xc1"])
        _, again = await bench.received(2)
        bench.workers[0].answer(again)
        await loops.until(lambda: call.ends)
        assert call.tensors == [SMALL]

    play(tmp_path, scene)


def test_a_new_incarnation_is_another_worker(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        call = bench.submit()
        await bench.received(1)
        with contextlib.suppress(ServingError):
            entry = worker(0, bench.workers[0].endpoint, "b")
            bench.router.update(snapshot([entry], model("m", version(1, workers=[0])), epoch=9))
        requests = await bench.received(2)
        bench.workers[0].answer(requests[1])
        await loops.until(lambda: call.ends)
        assert call.tensors == [SMALL]

    play(tmp_path, scene)


def counted(bench: Bench) -> dict[tuple[str, ...], float]:
    """What was counted of requests by label values; of metrics with one label behind their name."""
    cells = bench.router.metrics.registry.snapshot()
    assert {cell.name for cell in cells} <= {CANCELLED, EXPIRED, REQUEST_COUNT}
    return {cell.labels if cell.name == REQUEST_COUNT else (cell.name, *cell.labels): cell.sum for cell in cells}


def test_a_request_that_expires_counts_once_whoever_notices(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        swept = bench.submit(timeout_s=0.02)
        (request,) = await bench.received(1)
        await loops.until(lambda: swept.ends)
        bench.workers[0].answer(request, Code.DEADLINE_EXCEEDED)
        # The next answer comes after that one.
        for code in (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT):
            late, early = bench.submit(), bench.submit(timeout_s=60)
            requests = (await bench.received(len(bench.workers[0].requests) + 2))[-2:]
            late.deadline_ns = monotonic_ns() + 1
            bench.router._sweeping = True  # looked at by hand only
            for request in requests:
                bench.workers[0].answer(request, code)
            await loops.until(lambda late=late, early=early: late.ends and early.ends)
        assert counted(bench) == {(EXPIRED, "m"): 3}

    play(tmp_path, scene)


def test_a_client_that_leaves_at_its_deadline_has_not_cancelled(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        calls = [bench.submit(timeout_s=seconds) for seconds in (0, 60, 60)]
        await bench.received(3)
        calls[2].deadline_ns = monotonic_ns() + 5_000_000
        for call in calls:
            bench.router.cancel(call)
            bench.router.cancel(call)
        assert counted(bench) == {
            (CANCELLED, "m"): 2,
            ("m", "CANCELLED"): 2,
            (EXPIRED, "m"): 1,
            ("m", "DEADLINE_EXCEEDED"): 1,
        }

    play(tmp_path, scene)


def test_models_that_nobody_has_make_no_labels(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        metrics = bench.router.metrics
        for name in ("m", "a", "b", ""):
            metrics.failed(name, ServingError(Code.NOT_FOUND, ""))
            metrics.expired(name)
        metrics.failed("m", ServingError(77, ""))
        assert counted(bench) == {
            ("m", "NOT_FOUND"): 1,
            ("", "NOT_FOUND"): 3,
            ("m", "UNKNOWN"): 1,
            (EXPIRED, "m"): 1,
            (EXPIRED, ""): 3,
        }

    play(tmp_path, scene)
