"""The registry of peers, fed with messages; what it would send is recorded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from control.peers import FRONTEND, WORKER, Peer, PeerTable
from protos.configs import FrontendConfig, WorkerConfig
from protos.messages import (
    PROTOCOL_VERSION,
    Desired,
    FrontendReport,
    Heartbeat,
    Hello,
    Rejected,
    ReloadRequest,
    Resync,
    ServableReport,
    State,
    Stop,
    ToPeer,
    Welcome,
    WorkerReport,
)

SILENCE = 10.0


class Wire:
    """A table with a clock, its outgoing messages and its events."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sent: list[tuple[bytes, Any]] = []
        self.events: list[tuple[str, Any]] = []
        self.table = PeerTable(
            lambda identity, payload: self.sent.append((identity, msgspec.msgpack.decode(payload, type=ToPeer))),
            self,
            worker_config=WorkerConfig(num_load_threads=3),
            frontend_config=FrontendConfig(rest_port=8501),
            silence_seconds=SILENCE,
        )

    def say(self, message: msgspec.Struct, identity: bytes = b"w") -> list[Any]:
        """Deliver a message; returns what was answered to the sender."""
        before = len(self.sent)
        self.table.receive(identity, msgspec.msgpack.encode(message), self.now)
        return [answer for to, answer in self.sent[before:] if to == identity]

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def peer_joined(self, peer: Peer) -> None:
        self.events.append(("joined", peer.id))

    def peer_left(self, peer: Peer, *, silent: bool) -> None:
        self.events.append(("silent" if silent else "left", peer.id))

    def worker_reported(self, peer: Peer, report: WorkerReport) -> None:
        self.events.append(("report", report.seq))

    def worker_acked(self, peer: Peer) -> None:
        self.events.append(("acked", peer.acked_epoch))

    def frontend_reported(self, peer: Peer, report: FrontendReport) -> None:
        self.events.append(("ports", report.grpc_open))

    def reload_requested(self, peer: Peer, request: ReloadRequest) -> None:
        self.events.append(("reload", request.id))


def hello(**changes: Any) -> Hello:
    facts = {
        "protocol": PROTOCOL_VERSION,
        "role": WORKER,
        "name": "worker-0",
        "incarnation": "a",
        "pid": 42,
        "endpoint": "ipc://x",
    }
    return Hello(**{**facts, **changes})


def report(seq: int, *, full: bool = False, epoch: int = 0) -> WorkerReport:
    servables = [ServableReport(name="m", version=1, state=State.AVAILABLE)]
    return WorkerReport(seq=seq, full=full, epoch=epoch, servables=servables)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_worker_is_welcomed_with_its_configuration(wire: Wire) -> None:
    (welcome,) = wire.say(hello())
    assert welcome == Welcome(protocol=PROTOCOL_VERSION, worker=WorkerConfig(num_load_threads=3))
    assert wire.events == [("joined", 1)]
    assert [peer.name for peer in wire.table.role(WORKER)] == ["worker-0"]


def test_a_front_end_is_welcomed_with_its_own(wire: Wire) -> None:
    (welcome,) = wire.say(hello(role=FRONTEND, name="frontend-0", endpoint=""), b"f")
    assert welcome.frontend == FrontendConfig(rest_port=8501)
    assert welcome.worker is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": PROTOCOL_VERSION + 1}, "protocol version"),
        ({"role": "spy"}, "unknown role 'spy'"),
        ({"endpoint": ""}, "where it takes inferences"),
    ],
)
def test_what_control_cannot_work_with_is_rejected(wire: Wire, changes: dict[str, Any], reason: str) -> None:
    (answer,) = wire.say(hello(**changes))
    assert isinstance(answer, Rejected)
    assert reason in answer.reason
    assert wire.events == []
    assert list(wire.table) == []


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"type": "Nothing"}), b"\xff" * 100])
def test_unreadable_messages_change_nothing(wire: Wire, payload: bytes) -> None:
    wire.table.receive(b"w", payload, wire.now)
    assert (wire.sent, wire.events) == ([], [])


@pytest.mark.parametrize(
    "message", [Heartbeat(epoch=1), report(1, full=True), FrontendReport(epoch=1), ReloadRequest(id=1, config=b"")]
)
def test_a_stranger_is_asked_to_register(wire: Wire, message: msgspec.Struct) -> None:
    assert wire.say(message) == [Resync()]
    assert wire.events == []


def test_messages_of_the_wrong_role_are_ignored(wire: Wire) -> None:
    wire.say(hello())
    wire.say(hello(role=FRONTEND, name="frontend-0"), b"f")
    wire.events.clear()
    assert wire.say(report(1), b"f") == []
    assert wire.say(FrontendReport(epoch=1), b"w") == []
    assert wire.say(ReloadRequest(id=1, config=b""), b"w") == []
    assert wire.events == []


def test_a_gap_in_the_reports_asks_for_a_full_one(wire: Wire) -> None:
    wire.say(hello())
    assert wire.say(report(1)) == []
    wire.now += 5
    assert wire.say(report(3)) == [Resync()]
    # Asked once a second at most, and nothing partial is believed meanwhile.
    assert wire.say(report(4)) == []
    wire.now += 1.5
    assert wire.say(Heartbeat(epoch=0)) == [Resync()]
    assert wire.say(report(5, full=True)) == []
    assert wire.say(report(6)) == []
    assert [seq for name, seq in wire.events if name == "report"] == [1, 5, 6]


def test_a_worker_that_is_older_than_control_has_to_report_in_full(wire: Wire) -> None:
    assert wire.say(Heartbeat(epoch=9)) == [Resync()]
    wire.say(hello())
    wire.say(report(58))
    assert "report" not in wire.names()
    wire.say(report(59, full=True))
    wire.say(report(60))
    assert [seq for name, seq in wire.events if name == "report"] == [59, 60]


def test_registering_again_keeps_the_peer_and_wants_a_full_report(wire: Wire) -> None:
    wire.say(hello())
    wire.say(report(1))
    (welcome,) = wire.say(hello())
    assert isinstance(welcome, Welcome)
    wire.say(report(2))
    wire.say(report(3, full=True))
    assert wire.events == [("joined", 1), ("report", 1), ("joined", 1), ("report", 3)]


def test_a_new_incarnation_replaces_the_old_one_which_is_refused_for_good(wire: Wire) -> None:
    wire.say(hello(), b"first")
    wire.say(hello(incarnation="b"), b"second")
    assert wire.events == [("joined", 1), ("left", 1), ("joined", 2)]
    assert wire.say(Heartbeat(epoch=0), b"first") == [Resync()]
    (answer,) = wire.say(hello(), b"first")
    assert isinstance(answer, Rejected)
    assert [peer.id for peer in wire.table.role(WORKER)] == [2]


def test_an_identity_that_is_taken_over_leaves_its_old_slot(wire: Wire) -> None:
    wire.say(hello(), b"same")
    wire.say(hello(name="worker-1", incarnation="b"), b"same")
    assert wire.events == [("joined", 1), ("left", 1), ("joined", 2)]
    assert wire.table.named(WORKER, "worker-0") is None


def test_a_peer_that_is_behind_gets_its_snapshot_again(wire: Wire) -> None:
    wire.say(hello())
    peer = wire.table.named(WORKER, "worker-0")
    assert peer is not None
    snapshot = Desired(epoch=7, servables=[])
    wire.table.publish(peer, 7, msgspec.msgpack.encode(snapshot), wire.now)
    wire.now += 0.9
    assert wire.say(Heartbeat(epoch=6)) == []
    wire.now += 0.2
    assert wire.say(Heartbeat(epoch=6)) == [snapshot]
    assert wire.say(Heartbeat(epoch=6)) == []
    wire.now += 1.1
    assert wire.say(Heartbeat(epoch=7)) == []
    assert wire.events[-1] == ("acked", 7)


def test_the_silent_leave_and_may_come_back(wire: Wire) -> None:
    wire.say(hello(), b"a")
    wire.say(hello(name="worker-1", incarnation="b"), b"b")
    wire.now += SILENCE
    wire.say(Heartbeat(epoch=0), b"b")
    wire.now += 0.1
    wire.table.check(wire.now)
    assert wire.events[2:] == [("silent", 1)]
    assert wire.say(Heartbeat(epoch=0), b"a") == [Resync()]
    wire.say(hello(), b"a")
    assert wire.events[3:] == [("joined", 3)]


def test_a_dropped_peer_is_gone(wire: Wire) -> None:
    wire.say(hello())
    wire.table.drop(WORKER, "worker-0")
    wire.table.drop(WORKER, "worker-0")
    assert wire.events == [("joined", 1), ("left", 1)]


def test_stop_tells_the_grace(wire: Wire) -> None:
    wire.say(hello())
    (peer,) = wire.table.role(WORKER)
    wire.table.stop(peer, 2.5)
    assert wire.sent[-1] == (b"w", Stop(grace_seconds=2.5))
