"""Who is asked for metrics, when, and who gets which answer; the wire is a list, the clock is the test's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from control.manager import Manager
from control.plane import Plane
from control.scrapes import EVERY_SECONDS, LEAST_SECONDS, ROUND_SECONDS
from protos.configs import FrontendConfig, WorkerConfig
from protos.errors import ServingError
from protos.messages import (
    PROTOCOL_VERSION,
    Heartbeat,
    Hello,
    MetricsReport,
    MetricsRequest,
    ScrapeReply,
    ScrapeRequest,
    ToPeer,
)
from protos.metrics import PADDED_ROWS, REQUEST_COUNT, CellSnapshot
from tests.unit.control.fake_loop import FakeLoop

SILENCE = 10.0


class Rig:
    """A plane that measures, with two front ends (f, g) and a worker (w); round 1 has come and gone."""

    def __init__(self, config: FrontendConfig) -> None:
        self.loop = FakeLoop()
        self.sent: list[tuple[str, Any]] = []
        loop: Any = self.loop
        self.plane = Plane(
            loop,
            lambda identity, payload: self.sent.append(
                (identity.decode(), msgspec.msgpack.decode(payload, type=ToPeer))
            ),
            self,
            Manager(periodic=False, allow_unavailable_labels=False),
            worker_config=WorkerConfig(),
            frontend_config=config,
            own_frontends=[],
            own_workers=[],
            silence_seconds=SILENCE,
            start_timeout_seconds=0.0,
        )
        self.loop.advance(EVERY_SECONDS)
        self.round = 0
        for name in "fgw":
            self.join(name)

    def join(self, name: str, incarnation: str = "1") -> None:
        role = "worker" if name == "w" else "frontend"
        self.say(
            name,
            Hello(
                protocol=PROTOCOL_VERSION, role=role, name=name, incarnation=incarnation, pid=1, endpoint="ipc:///none"
            ),
        )

    def say(self, name: str, message: msgspec.Struct) -> None:
        self.plane.receive(name.encode(), memoryview(msgspec.msgpack.encode(message)))

    def scrape(self, name: str, number: int) -> None:
        self.say(name, ScrapeRequest(id=number))

    def answer(self, name: str, count: int) -> None:
        """Of the round that was asked for last."""
        if name == "w":
            cell = CellSnapshot(PADDED_ROWS, ("m", "s", "cpu"), count)
        else:
            cell = CellSnapshot(REQUEST_COUNT, ("m", "OK"), count)
        self.say(name, MetricsReport(round=self.round, cells=[cell]))

    def asked(self) -> str:
        """Who was asked since the last look; empties the wire."""
        requests = [(name, message.round) for name, message in self.sent if isinstance(message, MetricsRequest)]
        self.sent.clear()
        if requests:
            assert len({number for _, number in requests}) == 1
            self.round = requests[0][1]
        return "".join(sorted(name for name, _ in requests))

    def answers(self) -> dict[str, tuple[list[int], str]]:
        """Who got which answer since the last look; empties the wire unless there is none."""
        found = {name: (m.ids, m.text.decode()) for name, m in self.sent if isinstance(m, ScrapeReply)}
        if found:
            self.sent.clear()
        return found

    def fatal(self, error: ServingError) -> None:
        raise error

    def peer_hangs(self, name: str) -> None:
        pass

    def look_at(self, due: Collection[str]) -> None:
        pass


def requests(text: str) -> int:
    (line,) = [
        line for line in text.splitlines() if line.startswith(':tensorflow:serving:request_count{model_name="m"')
    ]
    return int(line.split()[-1])


@pytest.fixture
def rig() -> Rig:
    rig = Rig(FrontendConfig(rest_port=8501, metrics_path="/metrics"))
    rig.sent.clear()
    return rig


def test_a_scrape_asks_everybody_and_is_answered_once_all_have(rig: Rig) -> None:
    rig.scrape("f", 7)
    assert rig.asked() == "fgw"
    rig.answer("f", 1)
    rig.answer("w", 2)
    assert rig.answers() == {}
    rig.answer("g", 3)
    (who, (ids, text)) = rig.answers().popitem()
    assert (who, ids, requests(text)) == ("f", [7], 4)
    assert 'tensormux_padded_rows_total{model_name="m",signature="s",device="cpu"} 2' in text
    assert 'tensormux_process_cpu_seconds_total{process="control"}' in text


def test_scrapes_during_a_round_share_the_next_one(rig: Rig) -> None:
    rig.scrape("f", 1)
    assert rig.asked() == "fgw"
    for name, number in (("f", 2), ("g", 3), ("f", 4)):
        rig.scrape(name, number)
    assert rig.asked() == ""
    for name in "fgw":
        rig.answer(name, 1)
    assert [(who, ids) for who, (ids, _) in rig.answers().items()] == [("f", [1])]
    rig.loop.advance(LEAST_SECONDS)
    assert rig.asked() == "fgw"
    for name in "fgw":
        rig.answer(name, 2)
    found = rig.answers()
    assert {who: ids for who, (ids, _) in found.items()} == {"f": [2, 4], "g": [3]}
    assert {requests(text) for _, text in found.values()} == {4}
    rig.loop.advance(2 * LEAST_SECONDS)
    assert rig.asked() == ""


def test_rounds_do_not_follow_each_other_without_a_pause(rig: Rig) -> None:
    for number in range(5):
        rig.scrape("f", number)
        if number:
            assert rig.asked() == ""
            rig.loop.advance(LEAST_SECONDS)
        assert rig.asked() == "fgw"
        for name in "fgw":
            rig.answer(name, number)
        assert rig.answers()["f"][0] == [number]


def test_who_does_not_answer_counts_with_what_was_known(rig: Rig) -> None:
    rig.scrape("f", 1)
    rig.asked()
    rig.answer("g", 5)
    rig.answer("f", 1)
    rig.loop.advance(ROUND_SECONDS)
    assert requests(rig.answers()["f"][1]) == 6
    rig.scrape("f", 2)
    rig.asked()
    rig.answer("f", 2)
    rig.loop.advance(ROUND_SECONDS)
    assert requests(rig.answers()["f"][1]) == 7
    rig.answer("g", 9)  # late, and not for nothing
    rig.scrape("f", 3)
    rig.asked()
    rig.loop.advance(ROUND_SECONDS)
    assert requests(rig.answers()["f"][1]) == 11


def test_a_late_answer_ends_no_later_round(rig: Rig) -> None:
    rig.scrape("f", 1)
    rig.asked()
    rig.loop.advance(ROUND_SECONDS)
    rig.answers()
    old = rig.round
    rig.scrape("f", 2)
    rig.asked()
    for name in "fgw":
        rig.say(name, MetricsReport(round=old, cells=[]))
    assert rig.answers() == {}
    for name in "fgw":
        rig.answer(name, 1)
    assert rig.answers()["f"][0] == [2]


@pytest.mark.parametrize("how", ["replaced", "ended", "silent"])
def test_a_lost_process_holds_up_no_round_and_its_counts_stay(rig: Rig, how: str) -> None:
    rig.scrape("f", 1)
    rig.asked()
    for name in "fgw":
        rig.answer(name, 10)
    rig.answers()
    rig.loop.advance(LEAST_SECONDS)
    rig.scrape("f", 2)
    rig.asked()
    rig.answer("f", 11)
    rig.answer("w", 10)
    if how == "replaced":
        rig.join("g", "2")
    elif how == "ended":
        rig.plane.peers.drop("frontend", "g")
    else:
        rig.plane.peers._by_identity[b"g"].heard_at -= SILENCE + 1
        rig.plane.tick()
    assert requests(rig.answers()["f"][1]) == 21


def test_a_scrape_of_a_front_end_that_has_gone_is_forgotten(rig: Rig) -> None:
    rig.scrape("f", 1)
    rig.scrape("g", 2)
    assert rig.asked() == "fgw"
    rig.plane.peers.drop("frontend", "g")
    rig.answer("f", 1)
    rig.answer("w", 1)
    assert set(rig.answers()) == {"f"}
    rig.loop.advance(1.0)
    assert rig.asked() == ""


def test_everybody_is_asked_now_and_then_without_any_scrape(rig: Rig) -> None:
    asked = []
    for _ in range(41):
        rig.plane.tick()
        asked.append(rig.asked())
        for name in asked[-1]:
            rig.answer(name, 1)
        rig.loop.advance(EVERY_SECONDS / 20)
        for name in "fgw":
            rig.say(name, Heartbeat(epoch=0))
    assert [index for index, names in enumerate(asked) if names] == [0, 20, 40]
    assert rig.answers() == {}


@pytest.mark.parametrize(
    "config", [FrontendConfig(rest_port=8501), FrontendConfig(metrics_path="/metrics")], ids=["no path", "no REST"]
)
def test_nobody_is_asked_when_nobody_can_see_it(config: FrontendConfig) -> None:
    rig = Rig(config)
    rig.scrape("f", 1)
    rig.plane.tick()
    rig.loop.advance(2 * ROUND_SECONDS)
    assert rig.asked() == "" and rig.answers() == {}


def test_workers_may_not_scrape(rig: Rig) -> None:
    rig.scrape("w", 1)
    assert rig.asked() == ""
