"""Limits that flags set: header fields, levels of arrays, and where each is counted."""

from __future__ import annotations

import asyncio
from typing import Any

import ngh2
import pytest

from frontend.connections import Connections
from frontend.exchange import Exchange
from frontend.http1 import HttpConnection
from frontend.http2 import ConnectionBroken, Headers, Http2
from frontend.rest.json_bulk import MIN_BULK_BYTES, read_bulk
from frontend.rest.json_tensors import parse_predict
from protos import dtypes
from protos.configs import FrontendConfig
from protos.errors import Code, ServingError
from protos.signature import Signature
from tests.doors import Doors, read_all

FIELDS = 10


def rest_doors() -> Doors:
    def make(loop: asyncio.AbstractEventLoop, config: FrontendConfig, all_: Connections) -> asyncio.BaseProtocol:
        return HttpConnection(loop, config, all_, lambda exchange: ok(exchange), str.encode)

    def ok(exchange: Exchange) -> None:
        exchange.respond(200, b"ok")

    return Doors(make, FrontendConfig(max_header_count=FIELDS))


@pytest.mark.parametrize(
    ("fields", "trailers", "status"),
    [
        (0, 0, b"200"),
        (FIELDS, 0, b"200"),
        (FIELDS + 1, 0, b"431"),
        (5_000, 0, b"431"),
        (FIELDS - 1, 0, b"200"),
        (3, FIELDS - 4, b"200"),
        (3, FIELDS, b"431"),
    ],
)
def test_fields_over_http1(fields: int, trailers: int, status: bytes) -> None:
    """Those behind a chunked body count with those in front of it; every request counts anew."""
    lines = [f"X{i}: a" for i in range(fields)]
    body = ""
    if trailers:
        lines.append("Transfer-Encoding: chunked")
        body = "1\r\na\r\n0\r\n" + "".join(f"T{i}: a\r\n" for i in range(trailers)) + "\r\n"
    request = "\r\n".join(["POST / HTTP/1.1", *lines, "", body]).encode()
    with rest_doors() as doors, doors.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n" + request)
        if status == b"200":
            sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        answers = [part[:3] for part in read_all(sock).split(b"HTTP/1.1 ")[1:]]
        assert answers == ([b"200", b"200", b"200"] if status == b"200" else [b"200", b"431"])


class Requests:
    """Streams whose headers were taken."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def on_request(self, stream_id: int, headers: Headers, ended: bool) -> None:
        self.taken.append(stream_id)

    def on_data(self, stream_id: int, data: bytes, ended: bool) -> None:
        raise AssertionError

    def on_closed(self, stream_id: int) -> None:
        pass


def test_fields_over_http2() -> None:
    """Too many end the connection."""
    seen = Requests()
    server = Http2(seen, max_streams=10, max_header_bytes=65_536, max_header_count=FIELDS)
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    common = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/a/B")]

    def send(more: int) -> int:
        headers = [*common, *((b"x-%d" % i, b"a") for i in range(more))]
        stream: int = client.send_request(headers, end_stream=True)
        server.receive(client.data_to_send())
        return stream

    taken = [send(0), send(FIELDS - len(common))]
    with pytest.raises(ConnectionBroken):
        send(FIELDS - len(common) + 1)
    assert seen.taken == taken


def arrays(levels: int, values: int) -> str:
    """So many arrays in each other, the innermost with `values` numbers."""
    return "[" * levels + ",".join(["1"] * values) + "]" * levels


@pytest.mark.parametrize("values", [1, MIN_BULK_BYTES])
@pytest.mark.parametrize(
    ("form", "around"),
    [
        ('{"instances":%s}', 0),
        ('{"inputs":%s}', 0),
        ('{"inputs":{"x":%s}}', 0),
        ('{"instances":[{"x":%s}]}', 1),
        ('{"instances":[{"x":%s}],"other":[[[[[[]]]]]]}', 1),
    ],
)
def test_levels_of_arrays(form: str, around: int, values: int) -> None:
    signature = Signature(
        name="s", method_name="", inputs={"x": (dtypes.DT_FLOAT, "x:0")}, outputs={"y": dtypes.DT_FLOAT}, defaults={}
    )

    def read(levels: int, limit: int) -> Any:
        body = (form % arrays(levels, values)).encode()
        _, (tensor,) = parse_predict(body, limit).tensors(signature)
        return tensor.shape

    for limit in (2, 3, 254):
        fits = limit - around
        assert read(fits, limit) == (*[1] * (limit - 1), values)
        with pytest.raises(ServingError) as refused:
            read(fits + 1, limit)
        assert refused.value.code == Code.INVALID_ARGUMENT
        assert f"nested deeper than the {limit} dimensions" in refused.value.message
        assert ("--max_json_depth" in refused.value.message) == (limit < 254)


def test_levels_are_counted_in_bulk() -> None:
    body = f'{{"inputs":{arrays(5, MIN_BULK_BYTES)}}}'.encode()
    assert read_bulk(body, 5) is not None
    assert read_bulk(body, 4) is None
