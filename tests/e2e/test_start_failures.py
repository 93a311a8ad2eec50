"""A server that cannot start says why on stdout, in TensorFlow Serving's words, and exits with 255."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.server import START_SECONDS, entry, started, write_config


def fails(folder: Path, *flags: str) -> tuple[str, str]:
    """stdout and stderr of a server that must not start."""
    with started(folder, *flags, ready=False) as server:
        assert server.wait_ended(within=START_SECONDS) == 255
        return server.stdout, server.log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--port=0", "--model_base_path=/models/m"),
            "INVALID_ARGUMENT: At least one of server_options.grpc_port or server_options.grpc_socket_path "
            "must be set.",
        ),
        ((), "INVALID_ARGUMENT: Both server_options.model_base_path and server_options.model_config_file are empty!"),
        (("--model_config_file=/nowhere",), "NOT_FOUND: /nowhere; No such file or directory"),
        (
            ("--model_base_path=/models/m", "--batching_parameters_file=/nowhere"),
            "INVALID_ARGUMENT: server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true.",
        ),
        (
            ("--model_base_path=models/m",),
            "INVALID_ARGUMENT: Expected model default to have an absolute path or URI; got base_path()=models/m",
        ),
    ],
)
def test_flags(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    stdout, _ = fails(tmp_path, *flags)
    assert stdout == f"Failed to start server. Error: {message}\n"


def test_a_value_that_cannot_be_read(tmp_path: Path) -> None:
    stdout, stderr = fails(tmp_path, "--rest_api_port=many")
    assert "Couldn't interpret value many for flag rest_api_port." in stderr
    assert stdout.startswith("usage: ")


def test_a_bad_config_file(tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    config.write_text('model_config_list {\n  config { nome: "a" }\n}\n')
    stdout, stderr = fails(tmp_path, f"--model_config_file={config}")
    assert stdout == f"Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: '{config}'\n"
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig: 2:" in stderr


def test_labels_of_versions_that_cannot_be_there_yet(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    labels = 'version_labels { key: "stable" value: 1 }'
    config = write_config(tmp_path / "models.config", entry("two", model_path("half_plus_two").parent, labels))
    stdout, _ = fails(tmp_path, f"--model_config_file={config}")
    assert stdout == (
        "Failed to start server. Error: FAILED_PRECONDITION: Request to assign label to version 1 of model two, "
        "which is not currently available for inference\n"
    )


def test_a_model_that_does_not_load(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    config = write_config(
        tmp_path / "models.config",
        entry("two", model_path("half_plus_two").parent),
        entry("broken", model_path("unloadable").parent),
    )
    stdout, _ = fails(tmp_path, f"--model_config_file={config}", "--max_num_load_retries=0")
    assert stdout.startswith(
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        "{{{name: broken version: 1} due to error: "
    )
    assert stdout.endswith("}, }\n")


def test_a_model_that_is_not_there_in_time(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    stdout, _ = fails(tmp_path, f"--model_base_path={tmp_path}/empty", "--start_timeout_seconds=1")
    assert stdout.startswith("Failed to start server. Error: ")
    assert "default" in stdout
