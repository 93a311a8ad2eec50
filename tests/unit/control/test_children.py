"""How children are started, and the unix socket they inherit."""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.children import RunDirectory, bind_unix, bulk_frontend_spec, frontend_spec, local_endpoint, worker_spec
from control.devices import Device


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with a path short enough for sockets, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="tmx") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


@pytest.fixture
def run(base: Path) -> Iterator[RunDirectory]:
    made = RunDirectory()
    assert Path(made.path).parent == base
    yield made
    made.remove()


def test_the_run_directory_is_private_and_goes_with_its_contents(run: RunDirectory) -> None:
    assert stat.S_IMODE(os.stat(run.path).st_mode) == 0o700
    assert run.ipc("control.sock") == f"ipc://{run.path}/control.sock"
    (Path(run.path) / "left.sock").touch()
    run.remove()
    assert not os.path.exists(run.path)
    run.remove()


def test_only_what_a_killed_control_has_left_is_removed(run: RunDirectory, base: Path) -> None:
    left, strange = base / "tensormux-left", base / "tensormux-strange"
    for folder in (left, strange):
        folder.mkdir()
        (folder / "control.sock").touch()
    (left / "control.lock").touch()
    other = RunDirectory()
    assert {path.name for path in base.iterdir()} == {
        os.path.basename(run.path),
        os.path.basename(other.path),
        "tensormux-strange",
    }
    run.remove()
    other.remove()


def test_a_long_temporary_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    made = RunDirectory()
    try:
        assert len(made.ipc("worker-1023-1000000.sock").removeprefix("ipc://")) <= 107
    finally:
        made.remove()


def test_a_worker_is_pinned_and_never_reuses_an_endpoint(run: RunDirectory) -> None:
    spec = worker_spec("worker-3", Device("gpu:1", "7"), control="ipc:///c", run=run)
    first, second = spec.env(1), spec.env(2)
    assert spec.name == "worker-3"
    assert spec.argv == (sys.executable, "-P", "-m", "workers")
    assert first["TENSORMUX_CONTROL"] == "ipc:///c"
    assert first["TENSORMUX_NAME"] == "worker-3"
    assert first["TENSORMUX_DEVICE"] == "gpu:1"
    assert first["CUDA_VISIBLE_DEVICES"] == "7"
    assert first["TENSORMUX_BIND"] == run.ipc("worker-3-1.sock")
    assert second["TENSORMUX_BIND"] == run.ipc("worker-3-2.sock")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.check=1", "glibc.malloc.check=1:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_a_worker_asks_for_huge_pages_unless_told_otherwise(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if given is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", given)
    spec = worker_spec("worker-0", Device("cpu", ""), control="ipc:///c", run=run)
    assert spec.env(1)["GLIBC_TUNABLES"] == expected


def test_each_life_of_a_worker_has_a_record_of_its_own(run: RunDirectory) -> None:
    spec = worker_spec("worker-3", Device("gpu:1", "7"), control="ipc:///c", run=run, record="/record-{}".format)
    assert spec.env(1)["TENSORMUX_FLIGHT_RECORD"] == "/record-1"
    assert spec.env(2)["TENSORMUX_FLIGHT_RECORD"] == "/record-2"
    spec = worker_spec("worker-3", Device("gpu:1", "7"), control="ipc:///c", run=run)
    assert spec.env(1)["TENSORMUX_FLIGHT_RECORD"] == ""


def test_a_front_end_inherits_the_unix_socket(tmp_path: Path) -> None:
    with bind_unix(str(tmp_path / "g.sock")) as sock:
        spec = frontend_spec("frontend-0", control="ipc:///c", unix=sock, bulk=["/a", "/b"])
        assert spec.pass_fds == (sock.fileno(),)
        assert spec.env(1)["TENSORMUX_GRPC_UNIX_FD"] == str(sock.fileno())
        assert spec.env(1)["TENSORMUX_BULK"] == "/a:/b"
    spec = frontend_spec("frontend-1", control="ipc:///c", unix=None, bulk=[])
    assert spec.pass_fds == ()
    assert "TENSORMUX_GRPC_UNIX_FD" not in spec.env(1)
    assert bulk_frontend_spec("bulk", control="ipc:///c", socket_path="/a").env(1)["TENSORMUX_BULK_BIND"] == "/a"


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_unix_socket_refuses_clients_until_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "g.sock"
    with bind_unix(str(path)) as sock:
        with pytest.raises(ConnectionRefusedError):
            connect(path)
        sock.listen()
        connect(path)


def test_a_stale_socket_is_replaced_a_live_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = tmp_path / "g.sock"
    bind_unix(str(path)).close()
    with bind_unix(str(path)) as sock:
        sock.listen()
        with pytest.raises(FileExistsError, match="in use by another process"):
            bind_unix(str(path))
    other = tmp_path / "file"
    other.write_text("data")
    with pytest.raises(FileExistsError, match="is no socket"):
        bind_unix(str(other))
    assert other.read_text() == "data"
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(FileExistsError, match="is no socket"):
        bind_unix(str(link))


@pytest.mark.parametrize(
    ("bound", "local"),
    [
        ("tcp://0.0.0.0:9000", "tcp://127.0.0.1:9000"),
        ("tcp://[::]:9000", "tcp://127.0.0.1:9000"),
        ("tcp://10.1.2.3:9000", "tcp://10.1.2.3:9000"),
        ("ipc:///run/x.sock", "ipc:///run/x.sock"),
    ],
)
def test_children_reach_control_at_a_local_address(bound: str, local: str) -> None:
    assert local_endpoint(bound) == local
