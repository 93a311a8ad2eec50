"""Connections that bring large JSON bodies go to front ends that have no doors of their own: the *bulk* front ends.

Reading megabytes of JSON takes milliseconds, in which a front end does nothing else: everybody behind the same door
would wait, and there is often only one. So the first large body of a connection takes the connection along: its socket
and what was read of it are passed to another process, which goes on as if it had accepted the client itself. Clients
notice nothing. A front end serves what it cannot pass on, because no bulk front end is there or none takes it.

Passing is one datagram on a unix socket with two files: the connection, and the bytes read so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from array import array
from collections.abc import Callable, Sequence

from frontend.exchange import Exchange
from frontend.rest import media

log = logging.getLogger("tensormux.frontend")

# Bodies from this size on; a smaller one takes less than half a millisecond.
BULK_BYTES = 256 << 10
# Connections taken over in one turn of the loop before others get theirs.
_BURST = 16
_FILES = 2


class Handover:
    """Passes connections on, to each of some sockets in turn."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = list(paths)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def __call__(self, exchange: Exchange, transport: asyncio.Transport, read: bytes) -> bool:
        """Pass on the connection of `transport` if the body that follows is large JSON; whether it was.

        `read` is everything from the start of the request on. A connection that was passed on is to be aborted here,
        which closes this process's hold on it and nothing else.
        """
        length = exchange.field(b"content-length")
        if not length.isdigit() or int(length) < BULK_BYTES or media.form(exchange.fields).request:
            return False
        connection = transport.get_extra_info("socket")
        return connection is not None and self._pass(connection.fileno(), read)

    def close(self) -> None:
        """Pass none on any more."""
        self._paths.clear()
        self._socket.close()

    def _pass(self, connection: int, read: bytes) -> bool:
        with contextlib.suppress(OSError), open(os.memfd_create("read", os.MFD_CLOEXEC), "wb", buffering=0) as memory:
            if memory.write(read) != len(read):
                return False
            files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", (connection, memory.fileno())))]
            for _ in self._paths:
                path = self._paths.pop(0)
                self._paths.append(path)
                with contextlib.suppress(OSError):  # it starts, has ended, or is behind
                    self._socket.sendmsg([b"\0"], files, 0, path)
                    return True
        return False


class Taker:
    """Takes connections over on the socket `path` until `close`; `make` makes their protocol from what was read."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, path: str, make: Callable[[bytes], asyncio.BaseProtocol]
    ) -> None:
        """Begin.

        Raises:
            OSError: the path cannot be bound.
        """
        self._loop = loop
        self._make = make
        self._tasks: set[asyncio.Task[None]] = set()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # of an earlier life
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(path)
        loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        """Take what has been passed on, and no more; connections that were taken over go on."""
        self._loop.remove_reader(self._socket)
        # Whoever is refused from now on keeps its connection.
        self._socket.shutdown(socket.SHUT_RD)
        while self._read():
            pass
        self._socket.close()

    async def settle(self) -> None:
        """Return when everything that was passed on is a connection here."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _read(self) -> bool:
        """Take some connections over; whether there may be more."""
        for _ in range(_BURST):
            try:
                data, files, _, _ = socket.recv_fds(self._socket, 1, _FILES, socket.MSG_CMSG_CLOEXEC)
            except (BlockingIOError, InterruptedError):
                return False
            if not data:
                return False
            if len(files) == _FILES:
                task = self._loop.create_task(self._take(*files))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:  # no files are left to this process
                log.error("cannot take a connection over: %d of %d files have arrived", len(files), _FILES)
                for file in files:
                    os.close(file)
        return True

    async def _take(self, connection: int, memory: int) -> None:
        with open(memory, "rb") as file:
            read = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
        client = socket.socket(fileno=connection)
        client.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(lambda: self._make(read), client)
        except OSError as error:  # it has gone meanwhile
            client.close()
            log.info("cannot take a connection over: %s", error)
