from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from control import keygen
from protos.channel import ENV_CURVE_FILE, ENV_CURVE_PUBLIC, ENV_CURVE_SECRET, Curve


def test_prints_a_pair(capsys: pytest.CaptureFixture[str]):
    keygen.main([])
    lines = dict(re.findall(r"^(\w+)='([^']{40})'$", capsys.readouterr().out, re.MULTILINE))
    assert lines.keys() == {ENV_CURVE_PUBLIC, ENV_CURVE_SECRET}
    assert Curve.from_env(lines) == Curve(lines[ENV_CURVE_PUBLIC].encode(), lines[ENV_CURVE_SECRET].encode())


def test_writes_a_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "curve.env"
    keygen.main([str(path)])
    first = Curve.from_env({ENV_CURVE_FILE: str(path)})
    assert first is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keygen.main([str(path)])
    assert Curve.from_env({ENV_CURVE_FILE: str(path)}) == first
    assert capsys.readouterr().out == f"{path}: a new key pair\n{path}: has a key pair already\n"
    assert list(tmp_path.iterdir()) == [path]


def test_does_not_replace_a_pair_that_appears_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "curve.env"
    others = keygen.new_pair()

    def slow_pair() -> str:
        path.write_text(others)
        return "never seen"

    monkeypatch.setattr(keygen, "new_pair", slow_pair)
    assert not keygen.ensure(path)
    assert path.read_text() == others
    assert list(tmp_path.iterdir()) == [path]


def test_keeps_away_from_a_file_that_is_no_pair(tmp_path: Path):
    path = tmp_path / "curve.env"
    path.write_text("precious\n")
    with pytest.raises(SystemExit, match="must be set together and be a CURVE key pair"):
        keygen.main([str(path)])
    assert path.read_text() == "precious\n"
    with pytest.raises(SystemExit, match="No such file or directory"):
        keygen.main([str(tmp_path / "nowhere" / "curve.env")])
