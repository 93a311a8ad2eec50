"""A whole server with TLS at all its doors, which also asks gRPC clients for certificates, and real clients."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests

from protos.configs import TlsConfig
from tests import certificates
from tests.e2e.clients import Grpc, raises
from tests.e2e.server import Server, entry, eventually, started, write_config

MODELS = ("half_plus_two", "identity")
HANDSHAKES = 200
BROKEN_HANDSHAKES = 100
CALL_SECONDS = 20.0


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    """gRPC on TCP and on a unix socket, and REST; all with client certificates."""
    folder = tmp_path_factory.mktemp("secure")
    config = write_config(folder / "models.config", *(entry(name, model_path(name).parent) for name in MODELS))
    tls = certificates.write_ssl_config(folder / "ssl.pbtxt", certificates.tls_config(verify_clients=True))
    flags = (
        f"--model_config_file={config}",
        f"--grpc_socket_path={folder}/grpc.sock",
        f"--ssl_config_file={tls}",
        f"--rest_ssl_config_file={tls}",
        "--num_frontends=2",
        "--max_header_count=40",
        "--max_json_depth=3",
        "--max_message_bytes=30000000",
    )
    with started(folder, *flags) as running:
        yield running
        assert certificates.server_pair().key.splitlines()[1] not in running.log + running.stdout


@contextlib.contextmanager
def client(
    address: str, *, pair: certificates.Pair | None = None, root: certificates.Authority | None = None
) -> Iterator[Grpc]:
    """A gRPC client that trusts `root` and shows `pair`."""
    credentials = grpc.ssl_channel_credentials(
        (root or certificates.trusted()).pem.encode(),
        pair.key.encode() if pair else None,
        pair.certificates.encode() if pair else None,
    )
    made = Grpc(address, credentials)
    with made.channel:
        yield made


@pytest.fixture
def known(secure: Server) -> Iterator[Grpc]:
    with client(f"localhost:{secure.grpc_port}", pair=certificates.client_pair()) as made:
        yield made


@pytest.fixture
def session(tmp_path: Path) -> Iterator[requests.Session]:
    """REST with a client's certificate."""
    pair = certificates.client_pair()
    (tmp_path / "ca.pem").write_text(certificates.trusted().pem)
    (tmp_path / "client.pem").write_text(pair.certificates + pair.key)
    with requests.Session() as made:
        made.trust_env = False
        made.verify = str(tmp_path / "ca.pem")
        made.cert = str(tmp_path / "client.pem")
        yield made


def answers(rpc: Grpc) -> None:
    assert rpc.arrays("half_plus_two", {"x": [2.0, 4.0]})["y"].tolist() == [3.0, 4.0]


def url(server: Server, path: str = "") -> str:
    return f"https://localhost:{server.rest_port}/v1/models/half_plus_two{path}"


def test_grpc(secure: Server, known: Grpc) -> None:
    answers(known)
    assert "] Using SSL credentials\n" in secure.log
    assert "] Using SSL credentials for HTTP/REST\n" in secure.log
    assert "InsecureServerCredentials" not in secure.log


@pytest.mark.parametrize("size", [150_000, 5_000_000])
def test_large_messages(known: Grpc, size: int) -> None:
    x = np.arange(size, dtype=np.float32)
    y = known.arrays("identity", {"x": x}, signature="float", timeout=CALL_SECONDS)["y"]
    assert np.array_equal(x, y)


def test_the_unix_socket_asks_for_the_same(secure: Server) -> None:
    address = f"unix:{secure.folder}/grpc.sock"
    with client(address, pair=certificates.client_pair()) as rpc:
        answers(rpc)
    with client(address) as rpc, raises("UNAVAILABLE"):
        rpc.predict("half_plus_two", {"x": [1.0]})


@pytest.mark.parametrize("who", ["nobody", "stranger", "who trusts another"])
def test_grpc_clients_that_get_nothing(secure: Server, known: Grpc, who: str) -> None:
    pair = {"stranger": certificates.stranger().issue("client.test"), "nobody": None}.get(
        who, certificates.client_pair()
    )
    root = certificates.stranger() if who == "who trusts another" else None
    with client(f"localhost:{secure.grpc_port}", pair=pair, root=root) as rpc, raises("UNAVAILABLE"):
        rpc.predict("half_plus_two", {"x": [1.0]})
    answers(known)


def test_a_plaintext_client(secure: Server, known: Grpc) -> None:
    with (
        grpc.insecure_channel(f"localhost:{secure.grpc_port}") as channel,
        raises("UNAVAILABLE"),
    ):
        channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(b"", timeout=CALL_SECONDS)
    with pytest.raises(requests.ConnectionError):
        requests.get(url(secure).replace("https", "http"), timeout=CALL_SECONDS)
    answers(known)


def test_rest(secure: Server, session: requests.Session) -> None:
    answer = session.post(url(secure, ":predict"), json={"instances": [2.0, 4.0]}, timeout=CALL_SECONDS)
    assert (answer.status_code, answer.json()) == (200, {"predictions": [3.0, 4.0]})
    rows = [float(i) for i in range(500_000)]
    answer = session.post(url(secure, ":predict"), json={"instances": rows}, timeout=CALL_SECONDS)
    assert answer.json() == {"predictions": [row / 2 + 2 for row in rows]}
    session.cert = None
    session.close()  # its connection was made with the certificate
    with pytest.raises(requests.ConnectionError):
        session.get(url(secure), timeout=CALL_SECONDS)


def test_limits_of_flags(secure: Server, known: Grpc, session: requests.Session) -> None:
    body = {"instances": [[[1.0]], [[2.0]]]}
    assert session.post(url(secure, ":predict"), json=body, timeout=CALL_SECONDS).status_code == 200
    answer = session.post(url(secure, ":predict"), json={"instances": [[[[1.0]]]]}, timeout=CALL_SECONDS)
    assert answer.status_code == 400 and "--max_json_depth" in answer.json()["error"]
    fields = {f"x-{i}": "1" for i in range(41)}
    answer = session.get(url(secure), headers=fields, timeout=CALL_SECONDS)
    assert answer.status_code == 431 and "header fields" in answer.json()["error"]
    with raises("RESOURCE_EXHAUSTED"):
        known.predict("identity", {"x": np.zeros(7_500_001, np.float32)}, signature="float")
    answers(known)


def test_many_handshakes_at_once(secure: Server, tmp_path: Path) -> None:
    context = certificates.trusted().client_context(certificates.client_pair(), folder=tmp_path)
    request = b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    def status(_: int) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", secure.rest_port), timeout=CALL_SECONDS) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as wrapped,
        ):
            wrapped.sendall(request)
            return wrapped.recv(15)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert list(pool.map(status, range(HANDSHAKES))) == [b"HTTP/1.1 200 OK"] * HANDSHAKES


def test_half_finished_handshakes_hold_up_nobody(secure: Server, known: Grpc) -> None:
    """Nor do they stay: the server is the first to close."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = certificates.trusted().client_context().wrap_bio(into, out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    hello = out.read()
    with contextlib.ExitStack() as stack:
        for i in range(BROKEN_HANDSHAKES):
            port = (secure.grpc_port, secure.rest_port)[i % 2]
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=CALL_SECONDS))
            sock.sendall((hello, hello[:50], b"", bytes(100))[i // 2 % 4])
        answers(known)
    eventually(lambda: "TLS handshakes have failed so far" in secure.log, within=CALL_SECONDS)
    answers(known)


def test_a_key_that_does_not_fit_stops_the_start(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    pair, other = certificates.server_pair(), certificates.trusted().issue("localhost")
    path = tmp_path / "ssl.pbtxt"
    wrong = TlsConfig(key=other.key, certificates=pair.certificates)
    flags = (
        f"--model_base_path={model_path('half_plus_two').parent}",
        f"--ssl_config_file={certificates.write_ssl_config(path, wrong)}",
    )
    with started(tmp_path, *flags, ready=False) as server:
        assert server.wait_ended(within=CALL_SECONDS) == 255
        assert server.stdout == (
            f"Failed to start server. Error: INVALID_ARGUMENT: {path}: server_key does not belong to the first "
            "certificate in server_cert\n"
        )
