"""`--monitoring_config_file`: read at the start, before anything runs, and only when there is REST."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.flags import parse
from control.startup import Startup, prepare
from protos.errors import ServingError

DEFAULT_PATH = "/monitoring/prometheus/metrics"


def plan(*argv: str) -> Startup:
    return prepare(parse(["--model_base_path=/models/m", *argv], {}), {"CUDA_VISIBLE_DEVICES": "-1"}, cpus=4)


def write(folder: Path, text: str) -> str:
    (folder / "monitoring.config").write_text(text)
    return f"--monitoring_config_file={folder / 'monitoring.config'}"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ('prometheus_config: {\n  enable: true,\n  path: "/monitoring/prometheus/metrics"\n}', DEFAULT_PATH),
        ("prometheus_config { enable: true }", DEFAULT_PATH),
        ('prometheus_config { enable: true path: "" }', DEFAULT_PATH),
        ("prometheus_config { enable: false }", ""),
        ('prometheus_config { path: "/metrics" }', ""),
        ("# nothing\n", ""),
    ],
)
def test_the_path(tmp_path: Path, text: str, path: str) -> None:
    startup = plan("--rest_api_port=8501", write(tmp_path, text))
    assert startup.frontend.metrics_path == path
    assert startup.complaints == ()


def test_without_the_flag() -> None:
    assert plan("--rest_api_port=8501").frontend.metrics_path == ""


@pytest.mark.parametrize("rest", [(), ("--rest_api_port=8500",)], ids=["no REST", "gRPC's port"])
def test_without_rest_it_is_not_read(rest: tuple[str, ...]) -> None:
    startup = plan("--monitoring_config_file=/none", *rest)
    assert startup.frontend.metrics_path == ""
    assert startup.complaints[-1] == "--monitoring_config_file has no effect without REST (--rest_api_port)"


def test_a_path_that_nobody_can_ask_for_is_complained_about(tmp_path: Path) -> None:
    startup = plan("--rest_api_port=8501", write(tmp_path, 'prometheus_config { enable: true path: "metrics" }'))
    assert startup.frontend.metrics_path == "metrics"
    assert "prometheus_config.path must begin with a slash" in startup.complaints[-1]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "NOT_FOUND: {path}; No such file or directory"),
        ("", "INVALID_ARGUMENT: {path}; Invalid argument"),
        ("prometheus_config { enabled: true }", "INVALID_ARGUMENT: Invalid protobuf file: '{path}'"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | None, error: str) -> None:
    path = tmp_path / "monitoring.config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ServingError) as refused:
        plan("--rest_api_port=8501", f"--monitoring_config_file={path}")
    assert str(refused.value) == error.format(path=path)
