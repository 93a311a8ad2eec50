"""Servers that tests share: starting one costs seconds, most of them TensorFlow's."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Grpc, Rest, grpc_client, rest_client
from tests.e2e.server import Server, entry, started, write_config

MODELS = ("half_plus_two", "half_plus_three", "slow", "identity", "counter", "tf2")
REST_TIMEOUT_MS = 3_000
MAX_BODY_BYTES = 16 << 20


@pytest.fixture(scope="session", autouse=True)
def many_files() -> None:
    """Let this process and the servers that it starts open as many files as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    """One worker with all of MODELS, half_plus_two labelled `stable`, and a unix socket in its folder.

    Tests that use it leave it as it was: they kill nothing and change no model.
    """
    folder = tmp_path_factory.mktemp("server")
    labels = {"half_plus_two": 'version_labels { key: "stable" value: 1 }'}
    config = write_config(
        folder / "models.config", *(entry(name, model_path(name).parent, labels.get(name, "")) for name in MODELS)
    )
    flags = (
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models",
        f"--grpc_socket_path={folder}/grpc.sock",
        f"--rest_api_timeout_in_ms={REST_TIMEOUT_MS}",
        f"--max_body_bytes={MAX_BODY_BYTES}",
    )
    with started(folder, *flags) as running:
        yield running


@pytest.fixture(scope="session")
def rpc(server: Server) -> Iterator[Grpc]:
    """gRPC to `server`."""
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


@pytest.fixture(scope="session")
def rest(server: Server) -> Iterator[Rest]:
    """REST to `server`."""
    with rest_client(server.rest_port) as client:
        yield client
