"""Another gRPC client, @grpc/grpc-js, against a real server; skipped without Node or the module (`make interop`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.server import ROOT
from tests.e2e.server import Server

FOLDER = ROOT / "tests" / "interop" / "grpc_js"
SECONDS = 120.0


def node() -> str:
    """The interpreter, or why there is none that can do it."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no node")
    look = [program, "-e", "require('@grpc/grpc-js'); require('@grpc/proto-loader')"]
    if subprocess.run(look, cwd=FOLDER, capture_output=True, timeout=SECONDS).returncode != 0:
        pytest.skip(f"@grpc/grpc-js is not installed in {FOLDER.relative_to(ROOT)}: run `make interop`")
    return program


def test_grpc_js(server: Server) -> None:
    program = node()
    targets = [f"127.0.0.1:{server.grpc_port}", f"unix:{Path(server.folder) / 'grpc.sock'}"]
    command = [program, "interop.js", str(ROOT / "protos"), *targets]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=SECONDS)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(line.startswith("ok ") for line in lines)
    for target in targets:
        assert sum(target in line for line in lines) >= 10
