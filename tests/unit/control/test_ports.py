"""The log lines that people and scripts wait for."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from control.log import LOGGER
from control.ports import Ports
from protos.configs import FrontendConfig, TlsConfig
from protos.errors import Code, ServingError
from protos.logs import TensorFlowFormatter
from protos.messages import FrontendReport

OPEN = FrontendReport(epoch=1, grpc_open=True, unix_open=True, rest_open=True)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TensorFlowFormatter())
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    yield stream
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(level)
    LOGGER.propagate = propagate


def texts(stream: io.StringIO) -> list[str]:
    return [line.split("] ", 1)[1] for line in stream.getvalue().splitlines()]


CONFIG = FrontendConfig(grpc_port=8500, grpc_socket_path="/run/g.sock", rest_port=8501)


def test_all_lines_come_once_when_the_last_front_end_is_ready(lines: io.StringIO) -> None:
    ports = Ports(CONFIG, ["frontend-0", "frontend-1"])
    ports.report("frontend-1", OPEN)
    assert (ports.open, lines.getvalue()) == (False, "")
    ports.report("frontend-0", OPEN)
    ports.gone("frontend-0")
    ports.report("frontend-0", OPEN)
    assert ports.open
    assert texts(lines) == [
        "Using InsecureServerCredentials",
        "Running gRPC ModelServer at 0.0.0.0:8500 ...",
        "Running gRPC ModelServer at UNIX socket /run/g.sock ...",
        "Exporting HTTP/REST API at:localhost:8501 ...",
        "NET_LOG: Entering the event loop ...",
    ]
    assert lines.getvalue().splitlines()[-1].startswith("[evhttp_server.cc : ")


def test_only_what_is_open_is_announced(lines: io.StringIO) -> None:
    ports = Ports(FrontendConfig(grpc_port=9000), ["frontend-0"])
    ports.report("frontend-0", FrontendReport(epoch=1, grpc_open=True))
    assert texts(lines) == ["Using InsecureServerCredentials", "Running gRPC ModelServer at 0.0.0.0:9000 ..."]


def test_encryption_is_announced(lines: io.StringIO) -> None:
    tls = TlsConfig(key="k", certificates="c")
    ports = Ports(FrontendConfig(grpc_port=9000, rest_port=9001, tls=tls, rest_tls=tls), ["frontend-0"])
    ports.report("frontend-0", OPEN)
    assert texts(lines)[:-1] == [
        "Using SSL credentials",
        "Running gRPC ModelServer at 0.0.0.0:9000 ...",
        "Using SSL credentials for HTTP/REST",
        "Exporting HTTP/REST API at:localhost:9001 ...",
    ]


def test_a_front_end_that_ended_before_all_were_ready_has_to_come_back(lines: io.StringIO) -> None:
    ports = Ports(CONFIG, ["frontend-0", "frontend-1"])
    ports.report("frontend-0", OPEN)
    ports.gone("frontend-0")
    ports.report("frontend-1", OPEN)
    assert not ports.open


def test_one_front_end_from_elsewhere_is_enough(lines: io.StringIO) -> None:
    ports = Ports(CONFIG, [])
    ports.report("somewhere", FrontendReport(epoch=1))
    assert not ports.open
    ports.report("somewhere", OPEN)
    assert ports.open


def test_rest_that_cannot_listen_is_named_once_and_left_out(lines: io.StringIO) -> None:
    ports = Ports(CONFIG, ["a", "b"])
    for name in ("a", "b"):
        ports.report(name, FrontendReport(epoch=1, grpc_open=True, rest_error="address in use"))
    said = texts(lines)
    assert said.count("Failed to start HTTP Server at localhost:8501") == 1
    assert not any("Exporting" in line or "NET_LOG" in line for line in said)
    assert ports.open


def test_grpc_that_cannot_listen_is_an_error(lines: io.StringIO) -> None:
    ports = Ports(CONFIG, ["a"])
    with pytest.raises(ServingError) as caught:
        ports.report("a", FrontendReport(epoch=1, grpc_error="address in use", rest_open=True))
    assert (caught.value.code, caught.value.message) == (
        Code.INVALID_ARGUMENT,
        "Failed to BuildAndStart gRPC server",
    )
    assert not ports.open
