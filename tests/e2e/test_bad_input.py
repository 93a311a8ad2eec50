"""Whatever clients send, the server answers or hangs up, lives, and serves the next request from the same processes."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.e2e import broken_bytes
from tests.e2e.broken_bytes import HTTP1, HTTP2, broken, noise, random_frames
from tests.e2e.clients import Grpc, Rest, predict_request
from tests.e2e.conftest import MAX_BODY_BYTES
from tests.e2e.server import Server

CLIENTS = 8
TALK_SECONDS = 20.0
GOOD_JSON = json.dumps({"signature_name": "serving_default", "instances": [{"x": 1.0}, {"x": -2e3}]}).encode()
DEEP = 200_000


@pytest.fixture(autouse=True)
def unharmed(server: Server, rest: Rest, rpc: Grpc) -> Iterator[None]:
    """After each test the next good request is answered, by the processes that were there before."""
    before = server.tree()
    yield
    assert rest.predict("half_plus_two", [2.0]) == [3.0]
    assert rpc.arrays("half_plus_two", {"x": [2.0]})["y"].tolist() == [3.0]
    assert server.tree() == before
    assert "Traceback" not in server.log
    assert "internal error" not in server.log


def talk(port: int, data: bytes) -> bytes:
    """Send `data`, then no more; what comes back until the server hangs up, which it must."""
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=TALK_SECONDS) as sock:
        # The server may have hung up already.
        with contextlib.suppress(OSError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := sock.recv(1 << 16):
                answer += piece
    return bytes(answer)


def talk_all(port: int, conversations: Iterable[bytes]) -> list[bytes]:
    """`talk` from several connections at a time."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda data: talk(port, data), conversations))


def test_broken_http(server: Server) -> None:
    for data, answer in zip(HTTP1, talk_all(server.rest_port, HTTP1), strict=True):
        assert not answer or answer.startswith(b"HTTP/1.1 "), (data[:80], answer[:80])


@pytest.mark.parametrize("data", [b"GET / HTTP/9.9\r\n\r\n", b"no request at all\r\n\r\n", broken_bytes.PREFACE])
def test_a_request_that_cannot_be_read_is_a_400(server: Server, data: bytes) -> None:
    head, _, body = talk(server.rest_port, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert list(json.loads(body)) == ["error"]


def test_random_http(server: Server) -> None:
    good = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GOOD_JSON)
    talk_all(server.rest_port, [*noise(1, 100), *broken(good + GOOD_JSON, 2, 400)])


def test_broken_http2(server: Server) -> None:
    talk_all(server.grpc_port, HTTP2)


def test_random_http2(server: Server) -> None:
    good = broken_bytes.OPEN + broken_bytes.frame(broken_bytes.HEADERS, 4, 1, broken_bytes.CALL)
    talk_all(server.grpc_port, [*noise(3, 100), *random_frames(4, 300), *broken(good, 5, 300)])


def test_random_json(rest: Rest) -> None:
    statuses = set()
    for body in broken(GOOD_JSON, 6, 600):
        answer = rest.post("half_plus_two:predict", body)
        statuses.add(answer.status_code)
        assert answer.status_code == 200 or list(answer.json()) == ["error"], body
    assert statuses <= {200, 400}


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"instances": ' + b"[" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"instances": [' + b"9" * 100_000 + b"]}",
        b'{"instances": [1e999999999999]}',
        b'{"instances": ["\xff\xfe\xfd"]}',
        b'{"instances": ["\\ud800"]}',
        b'{"instances": [{"b64": "%%%"}]}',
        b'{"instances": [null, true, {}]}',
        b'{"instances": [1.0], "instances": [2.0], "inputs": 3}',
        b'{"signature_name": "' + b"a" * 1_000_000 + b'", "instances": [1.0]}',
        b"\0" * 1_000,
        b'"instances"',
        b"[" + b"1," * 1_000_000 + b"1]",
    ],
    ids=range(14),
)
def test_nasty_json(rest: Rest, body: bytes) -> None:
    answer = rest.post("half_plus_two:predict", body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert len(answer.json()["error"]) < 2_000_000


def test_random_messages(rpc: Grpc) -> None:
    good = predict_request("half_plus_two", {"x": [1.0, 2.0]}, version=1, output_filter=["y"]).SerializeToString()
    call = rpc.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    codes = set()
    for data in [*noise(7, 100), *broken(good, 8, 600)]:
        try:
            call(data, timeout=TALK_SECONDS)
        except grpc.RpcError as error:
            codes.add(error.code().name)
    assert codes <= {"INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}
    assert {"INTERNAL", "INVALID_ARGUMENT"} <= codes


def test_a_tensor_that_claims_to_be_huge(rpc: Grpc) -> None:
    request = predict_request("half_plus_two", {"x": [1.0]})
    request.inputs["x"].tensor_shape.dim[0].size = 1 << 45
    with pytest.raises(grpc.RpcError) as error:
        rpc.prediction.Predict(request, timeout=TALK_SECONDS)
    assert error.value.code().name in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


def test_a_body_over_the_limit_is_a_413(server: Server, rest: Rest) -> None:
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\n"
    told = head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
    assert talk(server.rest_port, told).startswith(b"HTTP/1.1 413 ")
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    untold = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * ((MAX_BODY_BYTES >> 20) + 1)
    assert talk(server.rest_port, untold).startswith(b"HTTP/1.1 413 ")
    fits = b'{"instances": [2.0]' + b" " * (MAX_BODY_BYTES - 20) + b"}"
    assert rest.post("half_plus_two:predict", fits).json() == {"predictions": [3.0]}
