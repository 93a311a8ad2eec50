"""TensorFlow lives in workers only: what listens and what decides stays small."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.processes import memory_mb
from bench.server import ROOT
from tests.e2e.clients import grpc_client, rest_client
from tests.e2e.server import started

MOST_MB = 80.0


@pytest.mark.parametrize("module", ["control.__main__", "frontend.__main__"])
def test_tensorflow_is_not_imported(module: str) -> None:
    program = f"import sys, {module}; print([name for name in sys.modules if name.startswith('tensorflow')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_processes_of_a_running_server(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    flags = (f"--model_base_path={model_path('half_plus_two').parent}", "--num_frontends=1", "--num_bulk_frontends=1")
    with (
        started(tmp_path, *flags) as server,
        grpc_client(f"127.0.0.1:{server.grpc_port}") as client,
        rest_client(server.rest_port) as rest,
    ):
        assert client.arrays("default", {"x": [2.0]})["y"].tolist() == rest.predict("default", [2.0]) == [3.0]
        tree = server.tree()
        assert sorted(tree.values()) == ["control", "frontend", "frontend", "worker"]
        for pid, role in tree.items():
            has_tensorflow = "libtensorflow" in Path(f"/proc/{pid}/maps").read_text()
            assert has_tensorflow == (role == "worker"), role
            now, _ = memory_mb(pid)
            print(f"{role}: {now:.0f} MB")
            assert role == "worker" or now < MOST_MB, (role, now)
