"""The command line as a whole, up to where processes would be started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from control.__main__ import run

ROOT = Path(__file__).resolve().parents[3]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"], {}) == 0
    assert capsys.readouterr().out.startswith("TensorFlow ModelServer: ")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], {}, program="tensorflow_model_server") == 255
    assert capsys.readouterr().out.startswith("usage: tensorflow_model_server\nFlags:\n")


def test_a_bad_value_is_named_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--port=many"], {}) == 255
    assert "Couldn't interpret value many for flag port." in capsys.readouterr().err


def test_a_refused_start_is_named_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], {}) == 255
    assert capsys.readouterr().out == (
        "Failed to start server. Error: INVALID_ARGUMENT: "
        "Both server_options.model_base_path and server_options.model_config_file are empty!\n"
    )


def test_an_unknown_argument_is_named_and_does_not_stop_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--bogus=1", "--model_base_path=relative"], {}) == 255
    out = capsys.readouterr().out
    assert out.startswith("unknown argument: --bogus=1\nusage: ")
    assert "to have an absolute path or URI; got base_path()=relative\n" in out.splitlines(keepends=True)[-1]


def test_half_a_key_pair_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    env = {"TENSORMUX_CURVE_PUBLIC_KEY": "x" * 40}
    assert run([f"--model_base_path={tmp_path}", "--control_endpoint=tcp://127.0.0.1:*"], env) == 255
    assert "TENSORMUX_CURVE_PUBLIC_KEY and TENSORMUX_CURVE_SECRET_KEY" in capsys.readouterr().out


def test_control_stays_light() -> None:
    code = "import sys, control.__main__; print(sorted({'tensorflow', 'numpy'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
