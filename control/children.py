"""What there is to start on this box: front ends and workers, their private directory, and the gRPC unix socket."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import site
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from control.devices import Device
from control.supervisor import ChildSpec
from protos.channel import ENV_BIND, ENV_BULK, ENV_BULK_BIND, ENV_CONTROL, ENV_NAME
from protos.flight_record import ENV_FLIGHT_RECORD

ENV_DEVICE = "TENSORMUX_DEVICE"
ENV_GRPC_UNIX_FD = "TENSORMUX_GRPC_UNIX_FD"

_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb"
# Longest path of a unix socket on Linux, without its end; names of sockets in the run directory are shorter than 32.
_SUN_PATH = 107
_LONGEST_NAME = 32
_PREFIX = "tensormux-"
_LOCK = "control.lock"


class RunDirectory:
    """A directory for the sockets between processes, which only this user can enter; removed at the end.

    What a control process that was killed has left behind goes when the next one starts: a live one holds a lock.
    """

    def __init__(self) -> None:
        """Make it.

        Raises:
            OSError: no directory could be made.
        """
        base = tempfile.gettempdir()
        if len(os.fsencode(base)) > _SUN_PATH - _LONGEST_NAME - len("/tensormux-12345678/"):
            base = "/tmp"
        for left in Path(base).glob(f"{_PREFIX}*/{_LOCK}"):
            _remove_if_left(left)
        self.path = tempfile.mkdtemp(prefix=_PREFIX, dir=base)
        # Not inherited by children, so it is released when this process ends, however it ends.
        self._lock = os.open(f"{self.path}/{_LOCK}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def ipc(self, name: str) -> str:
        """The ZeroMQ endpoint for a socket file `name` in it."""
        return f"ipc://{self.path}/{name}"

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _remove_if_left(lock: Path) -> None:
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        # Somebody else's.
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.parent, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(fd)


def tcp_port_is_free(port: int) -> bool:
    """Whether nobody else listens on a TCP port, on any interface.

    Front ends share their ports (SO_REUSEPORT), so the kernel would let two servers of one user share them, too.
    """
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind((address, port))
            return True
    return False


def bind_unix(path: str) -> socket.socket:
    """A stream socket bound to `path`, not listening: clients are refused until a front end calls listen().

    A socket file that nobody answers on is replaced.

    Raises:
        OSError: the path is in use, is no socket, or cannot be bound.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise FileExistsError(f"{path} is in use by another process")


def local_endpoint(endpoint: str) -> str:
    """The address at which this box's own processes reach a bound `endpoint`."""
    for everywhere in ("tcp://0.0.0.0:", "tcp://[::]:"):
        if endpoint.startswith(everywhere):
            return f"tcp://127.0.0.1:{endpoint.removeprefix(everywhere)}"
    return endpoint


def worker_spec(
    name: str, device: Device, *, control: str, run: RunDirectory, record: Callable[[int], str] = lambda generation: ""
) -> ChildSpec:
    """The worker of one device; `record` tells each of its lives the path to record what it runs at, or none."""

    def env(generation: int) -> Mapping[str, str]:
        # An endpoint is never used twice: a message for an earlier life must not reach a later one.
        bind = run.ipc(f"{name}-{generation}.sock")
        return {
            **_common_env(name, control),
            ENV_BIND: bind,
            ENV_DEVICE: device.name,
            # Empty for none: nothing of the kind is inherited from control's own environment.
            ENV_FLIGHT_RECORD: record(generation),
            "CUDA_VISIBLE_DEVICES": device.cuda_visible_devices,
            _TUNABLES: _with_huge_pages(os.environ.get(_TUNABLES, "")),
        }

    return ChildSpec(name=name, argv=_module("workers"), env=env)


def frontend_spec(name: str, *, control: str, unix: socket.socket | None, bulk: Sequence[str]) -> ChildSpec:
    """A front end with doors. It inherits the socket of --grpc_socket_path, and passes connections on to `bulk`."""
    extra = {ENV_BULK: os.pathsep.join(bulk)}
    if unix is not None:
        extra[ENV_GRPC_UNIX_FD] = str(unix.fileno())
    fds = (unix.fileno(),) if unix is not None else ()
    return ChildSpec(
        name=name, argv=_module("frontend"), env=lambda _: {**_common_env(name, control), **extra}, pass_fds=fds
    )


def bulk_frontend_spec(name: str, *, control: str, socket_path: str) -> ChildSpec:
    """A front end without doors, which takes connections over at a unix socket."""
    return ChildSpec(
        name=name,
        argv=_module("frontend"),
        env=lambda _: {**_common_env(name, control), ENV_BULK_BIND: socket_path},
    )


def _with_huge_pages(tunables: str) -> str:
    """Settings of the C library under which its large blocks are huge pages, where Linux has these for who asks.

    Variables that are read into such memory come in faster; and a kernel that doesn't interrupt itself
    (PREEMPT_NONE) lets others run whenever it makes one, where it would copy for 10 ms and more without them.
    """
    if _HUGE_PAGES in tunables:
        return tunables
    return ":".join(filter(None, (tunables, f"{_HUGE_PAGES}=1")))


def _module(name: str) -> tuple[str, ...]:
    # -P: a folder that happens to be called `workers` where the server was started must not be taken for ours.
    return (sys.executable, "-P", "-m", name)


def _common_env(name: str, control: str) -> dict[str, str]:
    env = {ENV_CONTROL: control, ENV_NAME: name}
    root = str(Path(__file__).resolve().parent.parent)
    if root not in site.getsitepackages():
        env["PYTHONPATH"] = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return env
