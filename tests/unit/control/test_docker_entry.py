from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control import docker

DEFAULTS = ["--port=8500", "--rest_api_port=8501", "--model_name=model", "--model_base_path=/models/model"]
SERVER = [sys.executable, "-P", "-m", "control"]


@pytest.mark.parametrize(
    ("env", "argv", "line"),
    [
        ({}, [], [*SERVER, *DEFAULTS]),
        ({}, ["--port=1", "--x"], [*SERVER, *DEFAULTS, "--port=1", "--x"]),
        ({}, ["-h"], [*SERVER, *DEFAULTS, "-h"]),
        (
            {"MODEL_NAME": "half plus", "MODEL_BASE_PATH": "/m"},
            [],
            [*SERVER, *DEFAULTS[:2], "--model_name=half plus", "--model_base_path=/m/half plus"],
        ),
        ({}, ["python", "-m", "workers"], ["python", "-m", "workers"]),
        ({"MODEL_NAME": "x"}, ["sh", "--login"], ["sh", "--login"]),
    ],
)
def test_command(env: dict[str, str], argv: list[str], line: list[str]):
    assert docker.command(env, argv) == line


def start(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.defpath, "PYTHONPATH": str(Path(docker.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "control.docker", *argv],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_command_takes_its_place(tmp_path: Path):
    assert start("sh", "-c", "echo $0 $1; exit 7", "a b", "c", cwd=tmp_path).stdout == "a b c\n"
    assert start("sh", "-c", "exit 7", cwd=tmp_path).returncode == 7


def test_flags_start_the_server(tmp_path: Path):
    # A folder of this name must not be taken for the server.
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "__init__.py").write_text("raise SystemExit('wrong one')")
    ended = start("--version", cwd=tmp_path)
    assert ended.returncode == 0
    assert ended.stdout.startswith("TensorFlow ModelServer: ")


def test_says_what_cannot_be_started(tmp_path: Path):
    ended = start("no-such-program", "--port=1", cwd=tmp_path)
    assert ended.returncode == docker.NOT_FOUND
    assert ended.stderr == "cannot start no-such-program: No such file or directory\n"
    (tmp_path / "data").write_text("")
    assert start(str(tmp_path / "data"), cwd=tmp_path).returncode == docker.NOT_STARTED
