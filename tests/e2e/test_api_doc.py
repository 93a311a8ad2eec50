"""The examples of docs/api.md: they run, and answer what the page says."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.server import Server

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
RUN_SECONDS = 20.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


SETTINGS, *SHELL = blocks("sh")
PREDICT, RELOAD = blocks("python")
EXAMPLES = [tuple(line.split("  # ")) for block in SHELL for line in block.splitlines()]


def test_every_example_has_an_answer() -> None:
    assert len(EXAMPLES) > 15 and {len(example) for example in EXAMPLES} == {2}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("command", "answer"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_shell(server: Server, command: str, answer: str) -> None:
    there = SETTINGS.replace("localhost:8501", f"127.0.0.1:{server.rest_port}")
    quiet = command.replace("curl ", "curl --silent --show-error --noproxy '*' ")
    done = subprocess.run(
        ["sh", "-c", there + quiet], capture_output=True, text=True, timeout=RUN_SECONDS, check=True, env={**os.environ}
    )
    assert not done.stderr
    if answer.endswith("..."):
        assert done.stdout.startswith(answer.removesuffix("..."))
    else:
        assert done.stdout == answer


def run(code: str, server: Server) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code.replace("localhost:8500", f"127.0.0.1:{server.grpc_port}"), {})
    return out.getvalue()


def test_predict_over_grpc(server: Server) -> None:
    (answer,) = re.findall(r"^    print\(.*\)  # (.*)$", PREDICT, re.MULTILINE)
    assert run(PREDICT, server) == answer + "\n"


def test_reload_over_grpc(server: Server) -> None:
    """Of the configuration that the server has."""
    assert run(RELOAD.replace("models.config", f"{server.folder}/models.config"), server) == "0\n"
