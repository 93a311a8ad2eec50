"""The router against workers played by the test: who gets what, answers, deadlines, versions that have gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic_ns

import pytest
import zmq

from frontend import router as router_module
from protos.errors import Code, ServingError
from protos.messages import (
    CODE_GONE,
    CODE_NO_ARENA,
    FRAME_THRESHOLD_BYTES,
    Reply,
    Tensor,
)
from protos.metrics import CANCELLED, EXPIRED, REQUEST_COUNT
from protos.tensor_view import Target
from tests import loops
from tests.catalogs import model, signature_map, version
from tests.unit.frontend.router_bench import BIG, SMALL, Bench, play


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
