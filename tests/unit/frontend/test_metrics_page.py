"""Scrapes that wait for control, and the page that shows their outcome, by real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from frontend import scrapes
from frontend.http1 import HttpConnection
from frontend.rest.handler import RestHandler
from frontend.rest.json_encode import encode_error
from frontend.router import Router
from frontend.scrapes import MAX_WAITING, Scrapes
from protos.channel import Channel
from protos.configs import FrontendConfig
from protos.errors import ServingError
from protos.messages import ScrapeReply, ScrapeRequest
from protos.metrics import REQUEST_COUNT
from tests import loops
from tests.doors import Doors

PATH = "/monitoring/prometheus/metrics"
TEXT = b"# TYPE x counter\nx{} 1\n"
Outcome = bytes | ServingError


class Control:
    """Keeps what it is sent, unless it cannot be reached."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.there = True

    def send(self, message: ScrapeRequest) -> bool:
        if self.there:
            self.asked.append(message.id)
        return self.there


def play(scene: Callable[[Scrapes, Control, list[Outcome]], Any]) -> None:
    """Run a scene on a loop; outcomes of scrapes are appended to its last argument."""

    async def run() -> None:
        control = Control()
        await scene(Scrapes(asyncio.get_running_loop(), control.send), control, [])

    asyncio.run(run())


def test_each_scrape_gets_its_answer_once() -> None:
    async def scene(table: Scrapes, control: Control, outcomes: list[Outcome]) -> None:
        for _ in range(3):
            table.ask(outcomes.append)
        table.replied(ScrapeReply(ids=[control.asked[0], control.asked[2], 99], text=TEXT))
        assert outcomes == [TEXT, TEXT]
        table.replied(ScrapeReply(ids=control.asked, text=b""))
        assert outcomes == [TEXT, TEXT, b""]

    play(scene)


def test_a_cancelled_scrape_is_not_answered_and_leaves_its_place() -> None:
    async def scene(table: Scrapes, control: Control, outcomes: list[Outcome]) -> None:
        for _ in range(MAX_WAITING):
            cancel = table.ask(outcomes.append)
        with pytest.raises(ServingError, match="under way already"):
            table.ask(outcomes.append)
        cancel()
        table.ask(outcomes.append)
        table.replied(ScrapeReply(ids=control.asked, text=TEXT))
        assert len(outcomes) == MAX_WAITING

    play(scene)


def test_control_does_not_answer_or_restarts_or_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrapes, "TIMEOUT_SECONDS", 0.01)

    async def scene(table: Scrapes, control: Control, outcomes: list[Outcome]) -> None:
        table.ask(outcomes.append)
        await loops.until(lambda: outcomes)
        table.ask(outcomes.append)
        table.control_restarted()
        assert [str(outcome) for outcome in outcomes] == [
            "UNAVAILABLE: control did not answer in time with the metrics of all processes",
            "UNAVAILABLE: control has restarted",
        ]
        control.there = False
        with pytest.raises(ServingError, match="control cannot be reached"):
            table.ask(outcomes.append)
        assert len(outcomes) == 2

    play(scene)


class Site:
    """The REST door of a front end without models; `respond` is how control answers scrapes."""

    def __init__(self) -> None:
        self.respond: Callable[[Callable[[Outcome], None]], None] = lambda done: done(TEXT)
        self.cancelled = 0
        self.router: Router

    def scrape(self, done: Callable[[Outcome], None]) -> Callable[[], None]:
        self.respond(done)
        return self.cancel

    def cancel(self) -> None:
        self.cancelled += 1

    @contextlib.contextmanager
    def door(self, config: FrontendConfig) -> Iterator[Doors]:
        channel = Channel()

        def make(loop: asyncio.AbstractEventLoop, config: FrontendConfig, connections: Any) -> asyncio.BaseProtocol:
            self.router = Router(loop, channel, identity="f", max_outstanding=10)
            handler = RestHandler(self.router, config, self.scrape)
            return HttpConnection(loop, config, connections, handler, encode_error)

        with Doors(make, config) as doors:
            yield doors
        channel.close()


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def door(site: Site) -> Iterator[Doors]:
    with site.door(FrontendConfig(metrics_path=PATH, enable_cors=True)) as doors:
        yield doors


def ask(door: Doors, target: str, method: str = "GET") -> requests.Response:
    return requests.request(method, f"http://127.0.0.1:{door.port}{target}", timeout=10)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_page_is_there_for_any_method(door: Doors, method: str) -> None:
    answer = ask(door, PATH, method)
    assert (answer.status_code, answer.content) == (200, TEXT)
    assert answer.headers["Content-Type"] == "text/plain"
    assert not any(name.startswith("Access-Control") for name in answer.headers)


def test_head_is_without_a_body(door: Doors) -> None:
    answer = ask(door, PATH, "HEAD")
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", str(len(TEXT)))


def test_the_absolute_form_of_the_target(door: Doors) -> None:
    with door.connect() as sock:
        sock.sendall(f"GET http://somewhere{PATH} HTTP/1.1\r\nHost: somewhere\r\nConnection: close\r\n\r\n".encode())
        answer = bytearray()
        while piece := sock.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(TEXT)


def test_a_query_is_refused(door: Doors) -> None:
    answer = ask(door, f"{PATH}?name=up")
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "text/plain")
    assert answer.text == f"Unexpected path: {PATH}?name=up. Should be {PATH}"
    assert not any(name.startswith("Access-Control") for name in answer.headers)


def test_without_an_answer_it_is_503(site: Site, door: Doors) -> None:
    site.respond = lambda done: done(ServingError(14, "control has restarted"))
    answer = ask(door, PATH)
    assert (answer.status_code, answer.json()) == (503, {"error": "control has restarted"})

    def refuse(done: Callable[[Outcome], None]) -> None:
        raise ServingError(14, "control cannot be reached")

    site.respond = refuse
    answer = ask(door, PATH)
    assert (answer.status_code, answer.json()) == (503, {"error": "control cannot be reached"})


def test_a_client_that_leaves_cancels_its_scrape(site: Site, door: Doors) -> None:
    asked: list[Any] = []
    site.respond = asked.append
    with door.connect() as sock:
        sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        loops.wait_until(lambda: asked)
    loops.wait_until(lambda: site.cancelled == 1)


@pytest.mark.parametrize("target", [PATH + "/", PATH[:-1], PATH.upper(), "/", "/metrics"])
def test_other_paths_are_not_found_and_not_counted(site: Site, door: Doors, target: str) -> None:
    assert ask(door, target).status_code == 404
    assert ask(door, PATH).status_code == 200
    assert [cell for cell in site.router.metrics.registry.snapshot() if cell.name == REQUEST_COUNT] == []


def test_the_path_may_lie_in_the_api(site: Site) -> None:
    with site.door(FrontendConfig(metrics_path="/v1/models/metrics")) as door:
        assert ask(door, "/v1/models/metrics").content == TEXT
        assert ask(door, "/v1/models/other").status_code == 404


def test_without_a_path_there_is_no_page(site: Site) -> None:
    with site.door(FrontendConfig()) as door:
        assert ask(door, PATH).status_code == 404
        assert ask(door, "/").status_code == 404
