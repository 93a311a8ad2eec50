"""Listening sockets of one front end; any number of front ends share a port through SO_REUSEPORT."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Mapping
from typing import Protocol

from frontend.tls import BACKLOG, TlsDoor, TlsListener

ENV_UNIX_FD = "TENSORMUX_GRPC_UNIX_FD"

Factory = Callable[[], asyncio.BaseProtocol]


def _tcp_socket(family: int, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def ipv4_socket(port: int) -> socket.socket:
    """Bound to `port` on all IPv4 interfaces, where upstream serves gRPC.

    Raises:
        OSError: the port cannot be bound.
    """
    return _tcp_socket(socket.AF_INET, "0.0.0.0", port)


def dual_stack_socket(port: int) -> socket.socket:
    """Bound to `port` on all interfaces, IPv6 and IPv4, or IPv4 alone where there is no IPv6: as upstream serves REST.

    Raises:
        OSError: the port cannot be bound.
    """
    try:
        return _tcp_socket(socket.AF_INET6, "::", port)
    except OSError:
        return ipv4_socket(port)


def unix_socket(path: str, env: Mapping[str, str]) -> socket.socket:
    """The unix socket at `path`: the one that control has bound already and passed on, else bound here.

    Raises:
        OSError: the path cannot be bound, or is something other than a socket.
    """
    passed = env.get(ENV_UNIX_FD, "")
    if passed:
        return socket.socket(fileno=os.dup(int(passed)))
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)  # left behind by a process that was killed
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return sock


class Listener(Protocol):
    """Accepts connections."""

    def close(self) -> None:
        """Accept no more; connections that are open go on."""


async def listen(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, factory: Factory, tls: TlsDoor | None = None
) -> Listener:
    """Start to accept connections on a bound socket, with TLS if told how.

    Raises:
        OSError: somebody else listens there already without sharing.
    """
    if tls is not None:
        return TlsListener(loop, sock, factory, tls)
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(factory, sock=sock, backlog=BACKLOG)
    return await loop.create_server(factory, sock=sock, backlog=BACKLOG)
