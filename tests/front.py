"""The gRPC door of one front end, with a real router and the true table of methods; nobody answers for its workers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from frontend.connections import Connections
from frontend.grpc.connection import GrpcConnection, Methods
from frontend.grpc.services import methods
from frontend.router import Router
from protos import messages
from protos.channel import Channel
from protos.configs import FrontendConfig
from tests.catalogs import worker
from tests.doors import Doors


class Front(Doors):
    """Catalogs are shown to it by `show`."""

    def __init__(self, folder: Path, **config: object) -> None:
        self.channel = Channel()
        self.router: Router
        self._endpoint = f"ipc://{folder}/nobody"
        self._table: Methods | None = None
        self._epochs = itertools.count(1)
        super().__init__(self._connect, FrontendConfig(**config))

    def _connect(
        self, loop: asyncio.AbstractEventLoop, config: FrontendConfig, connections: Connections
    ) -> asyncio.BaseProtocol:
        assert self._table is not None
        return GrpcConnection(loop, config, connections, self._table)

    def begin(self) -> None:
        """Make the router, on the loop."""

        def work() -> None:
            self.router = Router(self._loop, self.channel, identity="f", max_outstanding=10)
            self._table = methods(self.router, self._config, lambda *_: None, lambda: self.connections.draining)

        self.call(work)

    def show(self, *models: messages.ModelEntry, serving: bool = True) -> None:
        """Broadcast a catalog with one worker."""
        catalog = messages.Catalog(
            epoch=next(self._epochs), serving=serving, workers=[worker(1, self._endpoint)], models=list(models)
        )
        self.call(lambda: self.router.update(catalog))

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[grpc.Channel]:
        """A channel of its own connection."""
        every = [("grpc.use_local_subchannel_pool", 1), *options.items()]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options=every) as channel:
            yield channel


@contextlib.contextmanager
def opened(folder: Path, **config: object) -> Iterator[Front]:
    """An open door, closed at the end."""
    front = Front(folder, **config)
    with front:
        front.begin()
        try:
            yield front
        finally:
            front.call(front.router.close)
    front.channel.close()
