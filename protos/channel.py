"""The ZeroMQ channel: socket settings, CURVE security, and reading a socket from an event loop.

Rules that hold everywhere: every queue is bounded (high-water marks; a send that would block raises
`zmq.Again`), nothing lingers at close, and on `tcp://` both ends prove the same CURVE key pair (a peer without it
is refused before it can say a word). `ipc://` endpoints are guarded by the permissions of their directory.

A ZeroMQ socket's file descriptor is edge-triggered: it wakes once for many messages, and a send may swallow the
wake-up of a receive. `LoopReader` hides this; whoever sends on a socket that a `LoopReader` reads calls its `poke()`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import zmq
from zmq.auth.thread import ThreadAuthenticator

# Environment of a process that control starts, or that an operator starts beside it.
ENV_CONTROL = "TENSORMUX_CONTROL"
ENV_NAME = "TENSORMUX_NAME"
ENV_BIND = "TENSORMUX_BIND"
ENV_ADVERTISE = "TENSORMUX_ADVERTISE"
# Unix sockets: those to which a front end passes connections with large bodies on, and the one at which it takes them.
ENV_BULK = "TENSORMUX_BULK"
ENV_BULK_BIND = "TENSORMUX_BULK_BIND"
ENV_CURVE_PUBLIC = "TENSORMUX_CURVE_PUBLIC_KEY"
ENV_CURVE_SECRET = "TENSORMUX_CURVE_SECRET_KEY"
# A file with lines NAME=value for the two above, in quotes or not; read when neither of them is set.
ENV_CURVE_FILE = "TENSORMUX_CURVE_KEY_FILE"

HIGH_WATER_MARK = 20_000
HEARTBEAT_IVL_MS = 2_000
HEARTBEAT_TIMEOUT_MS = 10_000
# Largest single frame: the 2 GiB - 1 that a protobuf message can have, with room for its header.
MAX_FRAME_BYTES = (1 << 31) + (1 << 20)

_ZAP_DOMAIN = "tensormux"
# Two lines of 80 bytes are what is expected there.
_KEY_FILE_BYTES = 64 * 1024
# Messages handled in one turn of the loop before others get theirs.
_READ_BURST = 64


@dataclass(frozen=True)
class Curve:
    """The key pair of a deployment, Z85 text; all its processes hold the same one."""

    public: bytes
    secret: bytes

    @staticmethod
    def from_env(env: Mapping[str, str]) -> Curve | None:
        """The pair in the environment, or in the file that it names, or None.

        Raises:
            ValueError: only one of the two keys is set, they are no pair, or the file cannot be read.
        """
        public, secret = env.get(ENV_CURVE_PUBLIC, ""), env.get(ENV_CURVE_SECRET, "")
        where = ""
        if not public and not secret:
            path = env.get(ENV_CURVE_FILE, "")
            if not path:
                return None
            where = f"{path}: "
            pair = _read_key_file(path)
            public, secret = pair.get(ENV_CURVE_PUBLIC, ""), pair.get(ENV_CURVE_SECRET, "")
        try:
            matches = bool(public) and zmq.curve_public(secret.encode()) == public.encode()
        except (ValueError, zmq.ZMQError):
            matches = False
        if not matches:
            raise ValueError(
                f"{where}{ENV_CURVE_PUBLIC} and {ENV_CURVE_SECRET} must be set together and be a CURVE key pair"
            )
        return Curve(public.encode(), secret.encode())


def _read_key_file(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(_KEY_FILE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {ENV_CURVE_FILE}={path}: {error}") from error
    pairs = (line.strip().partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


class _OnlyOurKey:
    """ZAP credentials provider: the one key that may connect."""

    def __init__(self, public: bytes) -> None:
        self._public = public

    def callback(self, domain: str, key: bytes) -> bool:
        # pyzmq hands the key over as Z85 text.
        return key == self._public


class Channel:
    """Makes the sockets of one process, all with the same limits and security."""

    def __init__(self, curve: Curve | None = None, *, io_threads: int = 1) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._curve = curve
        self._authenticator: ThreadAuthenticator | None = None

    def _socket(self, kind: int, *, server: bool, endpoint: str) -> zmq.Socket[bytes]:
        sock = self.context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        sock.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        sock.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        if endpoint.startswith("tcp://"):
            sock.setsockopt(zmq.IPV6, 1)
            sock.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_IVL_MS)
            sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
            try:
                self._secure(sock, server=server)
            except ValueError:
                sock.close()
                raise
        return sock

    def _secure(self, sock: zmq.Socket[bytes], *, server: bool) -> None:
        if self._curve is None:
            raise ValueError(
                f"tcp:// between processes needs {ENV_CURVE_PUBLIC} and {ENV_CURVE_SECRET}, or {ENV_CURVE_FILE}"
            )
        sock.curve_publickey = self._curve.public
        sock.curve_secretkey = self._curve.secret
        if not server:
            sock.curve_serverkey = self._curve.public
            return
        if self._authenticator is None:
            self._authenticator = ThreadAuthenticator(self.context)
            self._authenticator.start()
            provider = _OnlyOurKey(self._curve.public)
            # "*" would not do: it stands for sockets without a domain only.
            self._authenticator.configure_curve_callback(_ZAP_DOMAIN, credentials_provider=provider)
        sock.curve_server = True
        sock.zap_domain = _ZAP_DOMAIN.encode()

    def bind_router(self, endpoint: str) -> tuple[zmq.Socket[bytes], str]:
        """A ROUTER bound to `endpoint` and the endpoint it got (a `tcp://...:*` port is filled in).

        A message to a peer that has gone raises EHOSTUNREACH instead of vanishing.

        Raises:
            zmq.ZMQError: the address cannot be bound.
            ValueError: `tcp://` without a key pair.
        """
        sock = self._socket(zmq.ROUTER, server=True, endpoint=endpoint)
        sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        sock.setsockopt(zmq.ROUTER_HANDOVER, 1)
        # The file of a unix socket is for this user alone, wherever its directory is.
        umask = os.umask(0o177) if endpoint.startswith("ipc://") else None
        try:
            sock.bind(endpoint)
        except zmq.ZMQError:
            sock.close()
            raise
        finally:
            if umask is not None:
                os.umask(umask)
        return sock, cast(bytes, sock.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    def connect_dealer(self, endpoint: str, *, identity: bytes) -> zmq.Socket[bytes]:
        """A DEALER that connects, and keeps reconnecting, to `endpoint`.

        Raises:
            zmq.ZMQError: the endpoint is malformed.
            ValueError: `tcp://` without a key pair.
        """
        sock = self.dealer(endpoint, identity=identity)
        sock.connect(endpoint)
        return sock

    def dealer(self, endpoint: str, *, identity: bytes) -> zmq.Socket[bytes]:
        """A DEALER for `endpoint` that is not connected yet, so that its connection can be watched from the start.

        Raises:
            ValueError: `tcp://` without a key pair.
        """
        sock = self._socket(zmq.DEALER, server=False, endpoint=endpoint)
        sock.setsockopt(zmq.IDENTITY, identity)
        sock.setsockopt(zmq.RECONNECT_IVL, 50)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
        return sock

    def close(self) -> None:
        """Close all sockets at once and free the context."""
        if self._authenticator is not None:
            self._authenticator.stop()
        self.context.destroy(linger=0)


Frames = Sequence[zmq.Frame]


def has_message(sock: zmq.Socket[bytes]) -> bool:
    """Whether a receive would give a message now."""
    return bool(cast(int, sock.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


class LoopReader:
    """Calls `on_message(frames)` on the loop for each message that `sock` receives, in bounded bursts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: zmq.Socket[bytes],
        on_message: Callable[[Frames], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_message = on_message
        self._fd: int = sock.FD
        self._scheduled = False
        self.closed = False
        loop.add_reader(self._fd, self._read)
        self.poke()

    def poke(self) -> None:
        """Look for messages once this turn; to be called after every send on the same socket."""
        if not self._scheduled and not self.closed:
            self._scheduled = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._scheduled = False
        sock = self._sock
        for _ in range(_READ_BURST):
            # Asking costs less than half of an exception.
            if self.closed or not has_message(sock):
                return
            try:
                self._on_message(sock.recv_multipart(zmq.DONTWAIT, copy=False))
            except BaseException:
                self.poke()  # the loop reports the exception; messages behind this one must not wait for another
                raise
        self.poke()

    def drain(self) -> None:
        """Read what has arrived now."""
        while not self.closed and has_message(self._sock):
            self._on_message(self._sock.recv_multipart(zmq.DONTWAIT, copy=False))

    def close(self) -> None:
        """Stop reading; the socket itself stays open."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._fd)


def new_incarnation() -> str:
    """A random name for one life of one process."""
    return os.urandom(8).hex()
