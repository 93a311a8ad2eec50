"""Servers that tests share: starting one costs seconds, most of them TensorFlow's."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Grpc, Rest, grpc_client, rest_client
from tests.e2e.server import Server, entry, started, write_config

MODELS = ("half_plus_two", "half_plus_three", "slow", "identity", "counter", "tf2", "signatures", "inferences")
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
        "--enable_grpc_healthcheck_service",
        f"--rest_api_timeout_in_ms={REST_TIMEOUT_MS}",
        f"--max_body_bytes={MAX_BODY_BYTES}",
        "--num_bulk_frontends=2",
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


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Rest]:
    """REST to a server of its own, for the rows of the REST tables.

    Its models are half_plus_two (version 123, `stable`, adds two; 124 adds three), `identity`, `answers`, and one with
    an odd name. It sends CORS headers, has no REST timeout, and writes tensors as `tensor_content` over gRPC, which
    must not matter to REST.
    """
    folder = tmp_path_factory.mktemp("rest-rows")
    for number, name in ((123, "half_plus_two"), (124, "half_plus_three")):
        shutil.copytree(model_path(name), folder / "half_plus_two" / str(number))
    both = "model_version_policy { specific { versions: 123 versions: 124 } }"
    entries = [
        entry("half_plus_two", folder / "half_plus_two", both + ' version_labels { key: "stable" value: 123 }'),
        entry("identity", model_path("identity").parent),
        entry("answers", model_path("answers").parent),
        entry("name with ä+%?:/", model_path("half_plus_two").parent, 'version_labels { key: "a/ä" value: 1 }'),
    ]
    flags = (
        f"--model_config_file={write_config(folder / 'models.config', *entries)}",
        "--allow_version_labels_for_unavailable_models",
        "--enable_serialization_as_tensor_content",
        "--rest_api_enable_cors_support",
        "--rest_api_timeout_in_ms=0",
    )
    with started(folder / "server", *flags) as running, rest_client(running.rest_port) as client:
        yield client
