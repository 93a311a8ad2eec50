"""Resources around inference, by real HTTP: methods, preflight, compression, health, the API's description."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from frontend.http1 import HttpConnection
from frontend.rest import compression as compression_module
from frontend.rest.handler import RestHandler
from frontend.rest.json_encode import encode_error
from frontend.router import Router
from protos.channel import Channel, Frames, LoopReader
from protos.configs import FrontendConfig
from protos.errors import ServingError
from protos.messages import Catalog, State, VersionEntry
from protos.metrics import REQUEST_COUNT, REQUEST_LATENCY
from tests import loops
from tests.catalogs import model, signature_map, snapshot, version, worker
from tests.doors import Doors, read_all

# Enough signatures for metadata of some 100 KiB.
MANY = signature_map({f"signature_{i}": (["x"], ["y"]) for i in range(400)})
CATALOG = snapshot(
    [worker(1, "")],
    model("m", version(1), version(2), labels={"stable": 1, "early": 9}),
    model("large", version(1, signatures=MANY)),
    model("none"),
    model("ended", version(3, workers=(), state=State.END)),
    model("mixed", version(1), version(2, workers=(), state=State.LOADING), labels={"next": 2}),
    model("ready", version(5)),
)


class Site:
    """The REST door of one front end, whose worker only takes connections."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.config = FrontendConfig(**config)
        self.channel = Channel()
        self.endpoint = f"ipc://{folder}/worker"
        self.router: Router
        self.doors = Doors(self._make, self.config)
        self._handler: RestHandler | None = None
        self._epochs = itertools.count(1)

    def _make(self, loop: asyncio.AbstractEventLoop, config: FrontendConfig, connections: Any) -> asyncio.BaseProtocol:
        if self._handler is None:
            self.router = Router(loop, self.channel, identity="f", max_outstanding=10)
            self._handler = RestHandler(self.router, config, _no_metrics)
        return HttpConnection(loop, config, connections, self._handler, encode_error)

    def show(self, catalog: Catalog = CATALOG, *, workers: bool = True) -> None:
        """Broadcast a catalog with the worker, if there shall be one."""
        entries = [worker(1, self.endpoint)] if workers else []
        changed = Catalog(
            epoch=next(self._epochs), serving=catalog.serving, workers=entries, models=list(catalog.models)
        )
        self.doors.call(lambda: self.router.update(changed))

    def ask(self, target: str, method: str = "GET", **more: Any) -> requests.Response:
        return requests.request(method, f"http://127.0.0.1:{self.doors.port}{target}", timeout=10, **more)

    def status(self, target: str) -> int:
        answer = self.ask(target)
        body = answer.json()
        assert (
            list(body) == (["status"] if answer.status_code == 200 else ["error"])
            and answer.headers["Content-Type"] == "application/json"
        )
        return answer.status_code

    def counted(self) -> list[str]:
        return [cell.name for cell in self.router.metrics.registry.snapshot() if cell.name in COUNTERS]


COUNTERS = (REQUEST_COUNT, REQUEST_LATENCY)


def _no_metrics(_: object) -> Any:
    raise ServingError(14, "no metrics here")


@contextlib.contextmanager
def opened(folder: Path, *, show: bool = True, **config: Any) -> Iterator[Site]:
    site = Site(folder, **config)
    with site.doors:
        # The first connection makes the router.
        assert site.ask("/healthz").status_code == 200
        sock, site.endpoint = site.doors.call(lambda: site.channel.bind_router(site.endpoint))
        reader = site.doors.call(lambda: LoopReader(site.doors._loop, sock, _ignore))
        if show:
            site.show()
            loops.wait_until(lambda: site.doors.call(lambda: site.router.connected_workers))
        try:
            yield site
        finally:
            site.doors.call(site.router.close)
            site.doors.call(reader.close)
            site.doors.call(lambda: sock.close(0))
    site.channel.close()


def _ignore(_: Frames) -> None:
    pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("site"), enable_cors=True) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    with opened(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def compressing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("compressing"), rest_compression_min_bytes=1_000) as running:
        yield running


# --- methods -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        *("/v1/models/m", "/v1/models/m/versions/1", "/v1/models/m/labels/stable", "/v1/models/m/metadata"),
        *("/v1/models/m/ready", "/v1/health/live", "/v1/health/ready", "/healthz", "/readyz", "/openapi.json"),
        *("/v1/models/nobody", "/v1/models/nobody/ready", "/v1/models", "/nothing"),
    ],
)
def test_head_is_get_without_the_body(site: Site, target: str) -> None:
    get, head = site.ask(target), site.ask(target, "HEAD")
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["Content-Length"] == str(len(get.content)) == get.headers["Content-Length"]
    assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    ("target", "allow"),
    [
        ("/v1/models/m", "GET, HEAD, OPTIONS"),
        ("/v1/models/m/ready", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/v1/models/m:predict", "POST, OPTIONS"),
    ],
)
def test_other_methods(site: Site, method: str, target: str, allow: str) -> None:
    answer = site.ask(target, method, data=b"{}")
    assert (answer.status_code, answer.json()) == (405, {"error": f"Malformed request: {method} {target}"})
    assert answer.headers["Allow"] == allow and answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("request_line", ["GET /v1/models/m:predict", "POST /v1/models/m", "POST /v1/models/m/ready"])
def test_the_method_of_the_other_kind_is_400(site: Site, request_line: str) -> None:
    method, target = request_line.split()
    answer = site.ask(target, method)
    assert (answer.status_code, answer.json()) == (400, {"error": f"Malformed request: {request_line}"})
    assert "Allow" not in answer.headers


def test_trace_is_501(site: Site) -> None:
    answer = site.ask("/v1/models/m", "TRACE")
    assert (answer.status_code, answer.json()) == (501, {"error": "TRACE is not supported"})


@pytest.mark.parametrize("target", ["/v1/models/m:predict", "/v1/models/m", "/v1/nothing", "/healthz"])
def test_preflight(site: Site, target: str) -> None:
    answer = site.ask(target, "OPTIONS", headers={"Origin": "http://somewhere"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "text/html; charset=ISO-8859-1"
    assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET"
    for headers in ({}, {"Origin": "somewhere"}):
        answer = site.ask(target, "OPTIONS", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "Origin header is missing in CORS preflight")


def test_preflight_outside_of_the_api(site: Site) -> None:
    assert site.ask("/nothing", "OPTIONS", headers={"Origin": "http://somewhere"}).status_code == 404


# --- compressed requests --------------------------------------------------------------------------------------------

BAD_JSON = gzip.compress(b'{"instances": x}', mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "text"),
    [
        ("gzip", BAD_JSON, 400, "JSON Parse error: Invalid value. at offset: 14"),
        ("my_gzip", BAD_JSON, 400, "JSON Parse error: Invalid value. at offset: 14"),
        ("GZIP", BAD_JSON, 400, "JSON Parse error: Invalid value. at offset: 0"),
        ("deflate", zlib.compress(b"{}"), 400, "JSON Parse error: Invalid value. at offset: 0"),
        ("gzip", gzip.compress(b""), 400, "JSON Parse error: The document is empty"),
        ("gzip", b"", 400, "the body is not valid gzip data: it ends too soon"),
        ("gzip", b"no gzip", 400, "the body is not valid gzip data"),
        ("gzip", zlib.compress(b"{}"), 400, "the body is not valid gzip data"),
        ("gzip", BAD_JSON[:-1], 400, "the body is not valid gzip data: it ends too soon"),
        ("gzip", BAD_JSON[:-8] + bytes(8), 400, "the body is not valid gzip data"),
        ("gzip", gzip.compress(bytes(3_000_000)), 413, "the decompressed body is larger than 2000000 bytes"),
    ],
)
def test_compressed_requests(small: Site, encoding: str, body: bytes, status: int, text: str) -> None:
    answer = small.ask("/v1/models/m:predict", "POST", data=body, headers={"Content-Encoding": encoding})
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert text in answer.json()["error"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("small"), max_body_bytes=2_000_000) as running:
        yield running


# --- compressed answers ---------------------------------------------------------------------------------------------


def test_answers_are_not_compressed_by_default(site: Site) -> None:
    answer = site.ask("/v1/models/large/metadata", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200 and len(answer.content) > 50_000
    assert not {"Content-Encoding", "Vary"} & answer.headers.keys()


def test_large_answers_are_compressed(compressing: Site) -> None:
    plain = compressing.ask("/v1/models/large/metadata", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers and plain.headers["Vary"] == "Accept-Encoding"
    for method in ("GET", "HEAD"):
        answer = compressing.ask("/v1/models/large/metadata", method, headers={"Accept-Encoding": "deflate, gzip"})
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
        assert answer.headers["Content-Type"] == "application/json"
        assert int(answer.headers["Content-Length"]) < len(plain.content) / 2
        assert answer.content == (plain.content if method == "GET" else b"")


def test_small_answers_are_not(compressing: Site) -> None:
    answer = compressing.ask("/v1/models/m", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200 and not {"Content-Encoding", "Vary"} & answer.headers.keys()


def test_compressed_answers_keep_their_place(compressing: Site) -> None:
    head = "GET {} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n{}\r\n"
    with compressing.doors.connect() as sock:
        large = "/v1/models/large/metadata"
        lines = [head.format(large, ""), head.format("/healthz", ""), head.format(large, "Connection: close\r\n")]
        sock.sendall("".join(lines).encode())
        data = read_all(sock)
    encoded = data.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [b"Content-Encoding: gzip" in part for part in encoded] == [True, False, True]
    bodies = [part.partition(b"\r\n\r\n")[2] for part in encoded]
    assert bodies[1] == b'{"status":"live"}'
    assert "signature_def" in json.loads(gzip.decompress(bodies[0]))["metadata"] and bodies[0] == bodies[2]


def test_a_client_that_leaves_before_its_answer_is_compressed(compressing: Site) -> None:
    head = b"GET /v1/models/large/metadata HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
    for _ in range(10):
        with compressing.doors.connect() as sock:
            sock.sendall(head)
    loops.wait_until(lambda: compressing.doors.open_count() == 0)
    answer = compressing.ask("/v1/models/large/metadata")
    assert answer.headers["Content-Encoding"] == "gzip"


def test_answers_that_would_wait_too_long_go_as_they_are(compressing: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression_module, "_MAX_WAITING_BYTES", 20_000)
    answer = compressing.ask("/v1/models/large/metadata", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers and answer.headers["Vary"] == "Accept-Encoding"


# --- health --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        ("m/ready", 200, "ready"),
        ("m/versions/1/ready", 200, "ready"),
        ("m/labels/stable/ready", 200, "ready"),
        ("ready/ready", 200, "ready"),
        ("mixed/ready", 200, "ready"),
        ("mixed/versions/2/ready", 503, "version 2 of model mixed is LOADING"),
        ("mixed/labels/next/ready", 503, "version 2 of model mixed is LOADING"),
        ("none/ready", 503, "no version of model none is available"),
        ("ended/ready", 503, "no version of model ended is available: 3 is END"),
        ("ended/versions/3/ready", 503, "version 3 of model ended is END"),
        ("m/labels/early/ready", 503, "version 9 of model m is not there yet"),
        ("m/versions/7/ready", 404, "model m has no version 7"),
        ("m/labels/nobody/ready", 404, "model m has no label nobody"),
        ("nobody/ready", 404, "there is no model nobody"),
        ("nobody/labels/stable/ready", 404, "there is no model nobody"),
    ],
)
def test_readiness_of_models(site: Site, target: str, status: int, text: str) -> None:
    answer = site.ask(f"/v1/models/{target}")
    assert (answer.status_code, answer.json()) == (status, {"status" if status == 200 else "error": text})


def test_the_error_of_a_version_is_its_reason(fresh: Site) -> None:
    failed = VersionEntry(version=1, state=State.END, code=13, message="no such file", workers=[], signatures=b"")
    fresh.show(snapshot([], model("failed", failed)))
    answer = fresh.ask("/v1/models/failed/versions/1/ready")
    assert (answer.status_code, answer.json()) == (503, {"error": "version 1 of model failed is END: no such file"})


@pytest.mark.parametrize(("live", "ready"), [("/v1/health/live", "/v1/health/ready"), ("/healthz", "/readyz")])
def test_a_front_end_is_ready_when_it_can_serve(tmp_path: Path, live: str, ready: str) -> None:
    with opened(tmp_path, show=False) as site:
        assert (site.status(live), site.status(ready)) == (200, 503)
        assert site.ask(ready).json() == {"error": "the models have not been loaded yet"}
        site.show(workers=False)
        assert site.ask(ready).json() == {"error": "no worker is connected"}
        site.show()
        loops.wait_until(lambda: site.status(ready) == 200)
        site.show(workers=False)
        assert (site.status(live), site.status(ready)) == (200, 503)


@pytest.mark.parametrize(("target", "status"), [("/v1/health/live", b"200"), ("/v1/health/ready", b"503")])
def test_a_front_end_that_drains_is_not_ready(fresh: Site, target: str, status: bytes) -> None:
    with fresh.doors.connect() as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\n".encode())
        loops.wait_until(lambda: fresh.doors.call(lambda: any(c._started for c in fresh.doors.connections._open)))
        fresh.doors.drain(5)
        sock.sendall(b"Host: x\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 " + status)


def test_health_and_the_description_are_not_counted(fresh: Site) -> None:
    for target in ("/healthz", "/readyz", "/v1/models/m/ready", "/v1/models/nobody/ready", "/openapi.json"):
        fresh.ask(target)
    fresh.show(workers=False)
    fresh.ask("/readyz")
    assert fresh.counted() == []
    fresh.ask("/v1/models/m")
    fresh.ask("/v1/models/none", "PUT")
    assert set(fresh.counted()) == set(COUNTERS)


# --- the API's description ------------------------------------------------------------------------------------------


def test_the_description_names_what_there_is(site: Site) -> None:
    """Each path, with names filled in, is a resource for its method: anything but 404 or 405 for the URL."""
    document = site.ask("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    names = {"model": "m", "version": 1, "label": "stable"}
    seen = set()
    for path, item in document["paths"].items():
        (method,) = item
        answer = site.ask(path.format(**names), method.upper())
        assert answer.status_code in ((200,) if method == "get" else (400, 501)), (path, answer.text)
        assert "Malformed" not in answer.text
        seen.add(item[method]["operationId"])
    assert len(seen) == len(document["paths"])


def test_the_description_names_the_page_of_the_metrics_if_there_is_one(tmp_path: Path, site: Site) -> None:
    assert not any("monitoring" in path for path in site.ask("/openapi.json").json()["paths"])
    with opened(tmp_path, metrics_path="/monitoring/here") as other:
        assert "/monitoring/here" in other.ask("/openapi.json").json()["paths"]


def test_every_reference_leads_somewhere(site: Site) -> None:
    document = site.ask("/openapi.json").json()

    def check(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key == "$ref":
                at = document
                for part in value.removeprefix("#/").split("/"):
                    at = at[part]
                assert at
            elif isinstance(value, dict | list):
                check(value)

    check(document)
