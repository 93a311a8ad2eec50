"""What is sent to whom, when, and in which order; the wire is a list."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from control.absences import LIMIT_SECONDS
from control.manager import Manager
from control.plane import FLUSH_SECONDS, Plane
from control.storage import Discovery, Version
from control.transition import Transition
from control.watch import Sight
from protos.configs import FrontendConfig, WorkerConfig
from protos.errors import ServingError
from protos.flight_record import UNKNOWN
from protos.messages import (
    PROTOCOL_VERSION,
    Catalog,
    Desired,
    EndedWorker,
    FrontendReport,
    Heartbeat,
    Hello,
    ReloadReply,
    ReloadRequest,
    Resync,
    ServableReport,
    State,
    ToPeer,
    WorkerReport,
)
from protos.public import ModelServerConfig


class FakeLoop:
    """The three methods of a loop that the plane uses, on a clock that tests move."""

    def __init__(self) -> None:
        self.now = 50.0
        self.calls: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any) -> FakeLoop.Handle:
        entry = (self.now + delay, callback)
        self.calls.append(entry)
        return FakeLoop.Handle(self, entry)

    class Handle:
        def __init__(self, loop: FakeLoop, entry: tuple[float, Any]) -> None:
            self.loop, self.entry = loop, entry

        def cancel(self) -> None:
            if self.entry in self.loop.calls:
                self.loop.calls.remove(self.entry)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.calls and min(self.calls, key=lambda call: call[0])[0] <= end:
            entry = min(self.calls, key=lambda call: call[0])
            self.calls.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1]()
        self.now = end


class Rig:
    """A plane with its surroundings."""

    def __init__(self, transition: Transition = Transition.AVAILABILITY_PRESERVING) -> None:
        self.loop = FakeLoop()
        self.sent: list[tuple[bytes, Any]] = []
        self.failures: list[ServingError] = []
        self.hanging: list[str] = []
        self.due: list[str] = []
        self.seq = 0
        self.said: dict[int, State] = {}
        self.manager = Manager(periodic=False, allow_unavailable_labels=False, transition=transition)
        loop: Any = self.loop
        self.plane = Plane(
            loop,
            lambda identity, payload: self.sent.append((identity, msgspec.msgpack.decode(payload, type=ToPeer))),
            self,
            self.manager,
            worker_config=WorkerConfig(),
            frontend_config=FrontendConfig(),
            own_frontends=["frontend-0"],
            own_workers=["worker-0", "worker-1"],
            silence_seconds=10.0,
            start_timeout_seconds=0.0,
        )

    def fatal(self, error: ServingError) -> None:
        self.failures.append(error)

    def peer_hangs(self, name: str) -> None:
        self.hanging.append(name)

    def look_at(self, due: Collection[str]) -> None:
        self.due.extend(due)

    def say(self, identity: bytes, message: msgspec.Struct) -> None:
        self.plane.receive(identity, memoryview(msgspec.msgpack.encode(message)))

    def join(self, role: str, index: int = 0, incarnation: str = "a") -> bytes:
        name = f"{role}-{index}"
        self.say(
            name.encode(),
            Hello(
                protocol=PROTOCOL_VERSION,
                role=role,
                name=name,
                incarnation=incarnation,
                pid=1,
                endpoint=f"ipc://{name}",
            ),
        )
        return name.encode()

    def report(self, state: State, version: int = 1, code: int = 0, *, full: bool = False) -> None:
        self.seq += 1
        servables = [ServableReport(name="m", version=version, state=state, code=code)]
        if state == State.AVAILABLE and self.said.get(version, State.END) == State.END:
            servables.insert(0, ServableReport(name="m", version=version, state=State.LOADING))
        self.said[version] = state
        self.say(b"worker-0", WorkerReport(seq=self.seq, full=full, epoch=0, servables=servables))

    def acked(self) -> None:
        """worker-0 has carried out its last list."""
        epoch = max(message.epoch for _, message in self.sent if isinstance(message, Desired))
        self.say(b"worker-0", Heartbeat(epoch=epoch))
        self.loop.advance(1.0)

    def disk(self, *versions: int, flush: bool = True, stamp: str = "same") -> None:
        look = self.manager.look_for("m")
        assert look is not None
        found = tuple(Version(v, f"/models/m/{v}") for v in versions)
        stamps = dict.fromkeys(versions, stamp)
        self.manager.saw(
            "m", Sight(at=0.0, settings=look.settings, discovery=Discovery(found), gone=frozenset(), stamps=stamps)
        )
        if flush:
            self.plane.changed()

    def take(self, kind: type | None = None) -> list[Any]:
        """What was sent since the last call."""
        taken = [message for _, message in self.sent if kind is None or isinstance(message, kind)]
        self.sent.clear()
        return taken


def config(*names: str) -> ModelServerConfig:
    made = ModelServerConfig()
    made.model_config_list.SetInParent()
    for name in names:
        made.model_config_list.config.add(name=name, base_path=f"/models/{name}", model_platform="tensorflow")
    return made


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.plane.apply(config("m"))
    made.join("worker")
    made.join("frontend")
    made.loop.advance(1.0)
    return made


def serving(rig: Rig) -> None:
    rig.disk(1)
    rig.report(State.AVAILABLE)
    rig.loop.advance(1.0)
    assert rig.plane.serving
    rig.take()


def test_a_new_configuration_is_looked_at(rig: Rig) -> None:
    assert rig.due == ["m"]


def test_a_list_and_a_catalog_follow_a_change(rig: Rig) -> None:
    rig.take()
    rig.disk(1)
    rig.loop.advance(1.0)
    catalog, desired = rig.take()
    assert isinstance(catalog, Catalog)
    assert [(version.version, version.state) for version in catalog.models[0].versions] == [(1, State.START)]
    assert isinstance(desired, Desired)
    assert [(item.version, item.path) for item in desired.servables] == [(1, "/models/m/1")]


def test_changes_are_told_together_and_at_most_every_few_milliseconds(rig: Rig) -> None:
    serving(rig)
    for state in (State.UNLOADING, State.END, State.LOADING, State.AVAILABLE, State.UNLOADING):
        rig.report(state)
    rig.loop.advance(0.0)
    assert len(rig.take(Catalog)) == 1
    rig.report(State.END)
    rig.loop.advance(FLUSH_SECONDS / 2)
    assert rig.take(Catalog) == []
    rig.loop.advance(FLUSH_SECONDS)
    assert len(rig.take(Catalog)) == 1


def test_nothing_is_sent_when_nothing_has_changed(rig: Rig) -> None:
    serving(rig)
    rig.report(State.AVAILABLE)
    rig.disk(1)
    rig.loop.advance(1.0)
    rig.plane.tick()
    assert rig.take() == []


def test_a_look_that_shows_nothing_new_costs_nothing(rig: Rig) -> None:
    serving(rig)
    rig.loop.calls.clear()
    rig.disk(1, flush=False)
    rig.plane.looked()
    assert rig.loop.calls == []
    rig.disk(2, flush=False)
    rig.plane.looked()
    rig.loop.advance(1.0)
    assert [item.version for item in rig.take(Desired)[0].servables] == [2, 1]


def test_serving_turns_true_once_a_version_is_available(rig: Rig) -> None:
    rig.take()
    rig.disk(1)
    rig.loop.advance(1.0)
    rig.report(State.AVAILABLE)
    rig.loop.advance(1.0)
    assert [catalog.serving for catalog in rig.take(Catalog)] == [False, True]


def test_front_ends_hear_of_an_unload_before_the_worker_does(rig: Rig) -> None:
    serving(rig)
    rig.disk(2)
    rig.report(State.AVAILABLE, 2)
    rig.loop.advance(1.0)
    catalog, desired = rig.take()[-2:]
    assert [(v.version, v.state, v.workers) for v in catalog.models[0].versions] == [
        (2, State.AVAILABLE, [1]),
        (1, State.UNLOADING, []),
    ]
    assert [item.version for item in desired.servables] == [2]
    assert desired.epoch > catalog.epoch


def test_a_lost_worker_is_told_at_once(rig: Rig) -> None:
    serving(rig)
    rig.plane.peers.drop("worker", "worker-0")
    (catalog,) = rig.take()
    assert (catalog.workers, catalog.models[0].versions[0].workers) == ([], [])


def test_front_ends_learn_how_a_worker_ended(rig: Rig) -> None:
    serving(rig)
    rig.plane.peers.drop("worker", "worker-0")
    rig.take()
    rig.plane.worker_ended("worker-0", [("m", 1)], evidence=False)
    (catalog,) = rig.take(Catalog)
    assert catalog.ended == [EndedWorker(incarnation="a", suspects=[])]
    rig.join("worker", incarnation="b")
    rig.loop.advance(1.0)
    (*_, catalog) = rig.take(Catalog)
    assert [(worker.incarnation, worker.watched) for worker in catalog.workers] == [("b", True)]
    rig.plane.peers.drop("worker", "worker-0")
    rig.plane.worker_ended("worker-0", [("m", 1), UNKNOWN], evidence=True)
    (*_, catalog) = rig.take(Catalog)
    assert catalog.ended[1:] == [EndedWorker(incarnation="b", suspects=[("m", 1)])]
    # One that was started elsewhere may end unseen.
    rig.join("worker", 7, "c")
    rig.loop.advance(1.0)
    (*_, catalog) = rig.take(Catalog)
    assert [worker.watched for worker in catalog.workers] == [False]


def test_a_late_front_end_gets_the_catalog_with_its_welcome(rig: Rig) -> None:
    serving(rig)
    rig.join("frontend", 1)
    assert [type(message).__name__ for message in rig.take()] == ["Welcome", "Catalog"]


def test_a_worker_that_registers_again_gets_its_list_again(rig: Rig) -> None:
    serving(rig)
    rig.join("worker")
    rig.loop.advance(1.0)
    assert rig.take(Desired) == []
    rig.report(State.AVAILABLE, full=True)
    rig.loop.advance(1.0)
    assert [item.version for item in rig.take(Desired)[0].servables] == [1]


def test_a_control_that_was_restarted_takes_over_without_a_gap() -> None:
    rig = Rig()
    rig.plane.apply(config("m"))
    # Both were at work under the control before this one.
    rig.say(b"worker-0", Heartbeat(epoch=99))
    rig.say(b"frontend-0", Heartbeat(epoch=99))
    rig.join("worker")
    rig.join("frontend")
    rig.loop.advance(1.0)
    assert [type(message).__name__ for message in rig.take()] == ["Resync", "Resync", "Welcome", "Welcome"]
    rig.report(State.AVAILABLE, 7, full=True)
    rig.loop.advance(1.0)
    # The first catalog and the first list have the version that is being served.
    catalog, desired = rig.take()
    assert (catalog.serving, catalog.models[0].versions[0].state) == (True, State.AVAILABLE)
    assert [item.version for item in desired.servables] == [7]


def test_a_silent_worker_is_reported_and_dropped(rig: Rig) -> None:
    serving(rig)
    rig.join("frontend", 1)
    rig.loop.advance(9.5)
    rig.join("frontend", 1)
    rig.loop.advance(1.0)
    rig.plane.tick()
    assert set(rig.hanging) == {"worker-0", "frontend-0"}
    assert rig.take(Catalog)[-1].workers == []


def test_a_rolling_switch_goes_on_when_a_worker_has_been_lost_for_long() -> None:
    rig = Rig(Transition.ROLLING)
    rig.plane.apply(config("m"))
    for index in range(2):
        rig.join("worker", index)
    serving(rig)
    rig.plane.peers.drop("worker", "worker-1")
    rig.disk(2)
    rig.plane.tick()
    rig.loop.advance(LIMIT_SECONDS)
    assert rig.take(Desired) == []
    rig.say(b"worker-0", Heartbeat(epoch=1 << 60))
    rig.plane.tick()
    rig.loop.advance(1.0)
    assert [[one.version for one in list_.servables] for list_ in rig.take(Desired)] == [[2, 1]]


def test_a_failed_start_is_fatal(rig: Rig) -> None:
    rig.disk(1)
    rig.report(State.END, code=5)
    rig.loop.advance(1.0)
    assert "1 servable(s) did not become available" in rig.failures[0].message


def test_grpc_that_cannot_listen_is_fatal_at_the_start_and_a_hang_later(rig: Rig) -> None:
    serving(rig)
    error = FrontendReport(epoch=1, grpc_error="in use")
    rig.say(b"frontend-0", error)
    assert rig.failures[0].message == "Failed to BuildAndStart gRPC server"
    rig.say(b"frontend-0", FrontendReport(epoch=1, grpc_open=True))
    rig.say(b"frontend-0", error)
    assert (len(rig.failures), rig.hanging) == (1, ["frontend-0"])


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"\xff", "Cannot read the ModelServerConfig"),
        (b"", "Only ModelConfigList is currently supported"),
        (config("m", "m").SerializeToString(), "multiple times"),
    ],
)
def test_a_bad_reload_is_refused_and_changes_nothing(rig: Rig, payload: bytes, text: str) -> None:
    serving(rig)
    rig.say(b"frontend-0", ReloadRequest(id=9, config=payload))
    (reply,) = rig.take(ReloadReply)
    assert (reply.id, reply.code) == (9, 3)
    assert text in reply.message
    assert rig.manager.configured == ["m"]


def test_a_good_reload_is_answered_to_the_one_who_asked(rig: Rig) -> None:
    serving(rig)
    rig.join("frontend", 1)
    rig.take()
    rig.say(b"frontend-1", ReloadRequest(id=4, config=config("m").SerializeToString()))
    rig.loop.advance(1.0)
    assert rig.sent == [(b"frontend-1", ReloadReply(id=4, code=0, message=""))]


def test_epochs_go_on_rising_over_restarts_of_control() -> None:
    before = time.time_ns() // 1_000_000
    rig = Rig()
    rig.join("frontend")
    rig.loop.advance(1.0)
    (catalog,) = rig.take(Catalog)
    # Far fewer than one epoch a millisecond is ever used.
    assert before < catalog.epoch <= time.time_ns() // 1_000_000 + 1


def test_a_worker_that_says_what_cannot_be_is_asked_for_everything(rig: Rig) -> None:
    serving(rig)
    rig.report(State.UNLOADING)
    rig.loop.advance(2.0)
    rig.take()
    rig.report(State.LOADING)
    assert [type(message) for message in rig.take()] == [Resync]
    # Nothing is believed before that has come.
    rig.report(State.END)
    rig.loop.advance(1.0)
    assert rig.manager.versions("m")[0].state == State.UNLOADING
    rig.report(State.LOADING, full=True)
    rig.loop.advance(1.0)
    assert rig.manager.versions("m")[0].state == State.LOADING


def test_other_files_give_a_version_another_try_even_if_the_list_of_the_worker_does_not_change(rig: Rig) -> None:
    serving(rig)
    rig.disk(2)
    rig.loop.advance(1.0)
    for incarnation in ("b", "c"):
        rig.report(State.LOADING, 2)
        rig.plane.peers.drop("worker", "worker-0")
        rig.seq, rig.said = 0, {}
        rig.join("worker", 0, incarnation)
        rig.loop.advance(1.0)
        rig.report(State.AVAILABLE, 1)
        rig.loop.advance(1.0)
    assert rig.manager.versions("m")[0].state == State.END
    rig.acked()
    rig.take()
    rig.disk(2, stamp="other")
    rig.disk(2, stamp="other")
    rig.loop.advance(1.0)
    assert [[item.version for item in desired.servables] for desired in rig.take(Desired)] == [[2, 1]]
