"""What the router does with requests whose worker is lost."""

from __future__ import annotations

import contextlib
from pathlib import Path
from time import monotonic_ns

import pytest

from frontend import stranded
from protos import messages
from protos.errors import Code, ServingError
from protos.messages import Tensor
from protos.tensor_view import Target
from tests import loops
from tests.catalogs import ended, model, snapshot, version, worker
from tests.unit.frontend.router_bench import BIG, SMALL, Bench, FakeWorker, Recorded, play


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


def test_one_request_that_cannot_go_on_is_not_the_end_of_the_others(tmp_path: Path) -> None:
    class Unanswerable(Recorded):
        __slots__ = ()

        def fail(self, error: ServingError) -> None:
            raise RuntimeError("its client cannot be reached")

    async def scene(bench: Bench) -> None:
        bench.show(*both_models(0))
        await loops.until(lambda: bench.router.connected_workers == 2)
        calls = [kind(M, [SMALL]) for kind in (Unanswerable, Recorded, Recorded)]
        for call in calls:
            call.route = bench.router.catalog.route(M)
            bench.router.submit(call)
        await bench.received(3, 0)
        calls[0].lost = True
        calls[1].large, calls[1].inputs = True, [Tensor(1, (1,), None)]
        bench.show(*both_models(1), without=(0,), ended=(ended(0),))
        (request,) = await bench.received(1, 1)
        bench.workers[1].answer(request)
        await loops.until(lambda: calls[2].ends)
        assert [call.code for call in calls] == [None, Code.INTERNAL, None]
        assert [call.ends for call in calls] == [0, 1, 1]

    play(tmp_path, scene, workers=2, watched=True)
