"""grpc.health.v1 with its own client: statuses from catalogs, changes, drain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from frontend.grpc.health import MODEL_PREFIX, SERVICES
from protos.messages import State
from tests.catalogs import model, version
from tests.front import Front, opened
from tests.loops import wait_until

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
M = MODEL_PREFIX + "m"
GONE = version(1, workers=(), state=State.END)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with opened(tmp_path, grpc_health=True) as front:
        yield front


@pytest.fixture
def stub(front: Front) -> Iterator[health_pb2_grpc.HealthStub]:
    with front.client() as channel:
        yield health_pb2_grpc.HealthStub(channel)


def ask(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


def check(stub: health_pb2_grpc.HealthStub, service: str) -> int:
    return stub.Check(ask(service), timeout=10).status  # type: ignore[no-any-return]


def code(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code()


@pytest.mark.parametrize("service", SERVICES)
def test_the_server(front: Front, stub: health_pb2_grpc.HealthStub, service: str) -> None:
    assert check(stub, service) == NOT_SERVING
    front.show(model("m", GONE), serving=True)
    assert check(stub, service) == SERVING


@pytest.mark.parametrize(
    ("versions", "status"),
    [
        ([version(1)], SERVING),
        ([version(1), version(2, workers=(), state=State.LOADING)], SERVING),
        ([GONE, version(2)], SERVING),
        ([], NOT_SERVING),
        ([GONE], NOT_SERVING),
        ([version(1, workers=(), state=State.LOADING)], NOT_SERVING),
    ],
)
def test_a_model(front: Front, stub: health_pb2_grpc.HealthStub, versions: list[Any], status: int) -> None:
    front.show(model("m", *versions))
    assert check(stub, M) == status
    answer = stub.List(health_pb2.HealthListRequest(), timeout=10)
    assert {name: value.status for name, value in answer.statuses.items()} == dict.fromkeys(SERVICES, SERVING) | {
        M: status
    }


@pytest.mark.parametrize(
    "service", ["m", "nobody", MODEL_PREFIX, MODEL_PREFIX + "nobody", MODEL_PREFIX + M, "x" * 4000]
)
def test_names_that_nobody_has(front: Front, stub: health_pb2_grpc.HealthStub, service: str) -> None:
    front.show(model("m", version(1)))
    assert code(lambda: check(stub, service)) is grpc.StatusCode.NOT_FOUND
    assert next(stub.Watch(ask(service), timeout=10)).status == SERVICE_UNKNOWN


def test_a_watch_is_told_of_changes_only(front: Front, stub: health_pb2_grpc.HealthStub) -> None:
    watch = stub.Watch(ask(M), timeout=30)
    seen = []

    def take(count: int) -> list[int]:
        seen.extend(answer.status for answer in itertools.islice(watch, count))
        return seen

    assert take(1) == [SERVICE_UNKNOWN]
    front.show()
    front.show(model("m", version(1)))
    front.show(model("m", version(1), version(2)))
    assert take(1)[-1] == SERVING
    front.show(model("m", GONE))
    front.show(model("m", GONE), model("other", version(1)))
    assert take(1)[-1] == NOT_SERVING
    front.show(model("m", GONE, version(2)))
    assert take(1) == [SERVICE_UNKNOWN, SERVING, NOT_SERVING, SERVING]


def test_many_watches_of_one_name(front: Front, stub: health_pb2_grpc.HealthStub) -> None:
    watches = [stub.Watch(ask(""), timeout=30) for _ in range(20)]
    assert [next(watch).status for watch in watches] == [NOT_SERVING] * 20
    watches.pop().cancel()
    front.show()
    assert [next(watch).status for watch in watches] == [SERVING] * 19


def test_nothing_is_kept_of_a_watch_that_has_ended(front: Front, stub: health_pb2_grpc.HealthStub) -> None:
    watches = [stub.Watch(ask(name), timeout=30) for name in ("", "a", "a", "b")]
    for watch in watches:
        next(watch)
    (health,) = {listener.__self__ for listener in front.router.on_catalog}  # type: ignore[attr-defined]
    assert set(health._watched) == {"", "a", "b"}
    for watch in watches:
        watch.cancel()
    wait_until(lambda: front.call(lambda: not health._watched))


def test_drain(front: Front, stub: health_pb2_grpc.HealthStub) -> None:
    front.show(model("m", version(1)))
    watches = [stub.Watch(ask(name), timeout=30) for name in ("", M, "nobody")]
    assert [next(watch).status for watch in watches] == [SERVING, SERVING, SERVICE_UNKNOWN]
    drained = front.drain(10)
    for watch, last in zip(watches, (NOT_SERVING, NOT_SERVING, None), strict=True):
        if last:
            assert next(watch).status == last
        assert code(lambda watch=watch: next(watch)) is grpc.StatusCode.UNAVAILABLE
    drained.result(5)


def test_a_check_while_the_server_drains(front: Front, stub: health_pb2_grpc.HealthStub) -> None:
    front.show(model("m", version(1)))
    assert check(stub, M) == SERVING

    def begin() -> None:
        front.connections.draining = True

    front.call(begin)
    for service in ("", M):
        assert check(stub, service) == NOT_SERVING
        assert code(lambda service=service: next(stub.Watch(ask(service), timeout=10))) is grpc.StatusCode.UNAVAILABLE


def test_bad_requests(front: Front) -> None:
    with front.client() as channel:
        for data in (b"\xff", b"\x0a\x05ab", b"\x0a\x01\xff"):
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert code(lambda check=check, data=data: check(data, timeout=10)) is grpc.StatusCode.INVALID_ARGUMENT
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
            assert (
                code(lambda watch=watch, data=data: next(watch(data, timeout=10))) is grpc.StatusCode.INVALID_ARGUMENT
            )
        long = ask("x" * 10_000).SerializeToString()
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        assert code(lambda: next(watch(long, timeout=10))) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_without_the_flag_there_is_none(tmp_path: Path) -> None:
    with opened(tmp_path) as front, front.client() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for call in (lambda: check(stub, ""), lambda: next(stub.Watch(ask(""), timeout=10))):
            assert code(call) is grpc.StatusCode.UNIMPLEMENTED
