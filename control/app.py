"""The life of the control process: open the control plane, start the children, serve, stop in order.

Signals only set events that the one loop acts on. SIGTERM and SIGINT stop the front ends, which drain, and then the
workers; a second one kills what is left. SIGHUP reads the model configuration file again, SIGUSR1 replaces all workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec
import zmq

from control.blame import is_evidence
from control.children import (
    RunDirectory,
    bind_unix,
    bulk_frontend_spec,
    frontend_spec,
    local_endpoint,
    tcp_port_is_free,
)
from control.fleet import OwnWorkers
from control.log import LOGGER
from control.manager import Manager
from control.options import Options
from control.peers import FRONTEND, WORKER
from control.plane import Plane
from control.recycle import Recycler
from control.server import ControlServer
from control.startup import Startup
from control.storage import MODEL_FILES, TFLITE_FILE
from control.supervisor import Backoff, Exit, Supervisor
from control.threads import ThreadPool
from control.watch import look
from control.watcher import Watcher
from protos.channel import Channel, Curve
from protos.configs import FrontendConfig
from protos.errors import Code, ServingError, invalid_argument
from protos.public import ModelServerConfig
from protos.text import read_text_file

FAILURE = 255


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Waiting times, in seconds.

    Attributes:
        tick: between looks at the clock.
        register: a child that was started and has not registered for so long hangs. Importing TensorFlow and
            finding a GPU can take a minute on a busy box.
        silence: a peer that sent no heartbeat for so long hangs; None derives it from the heartbeat.
        stop_slack: how much longer than its grace a stopping child may take before it is killed.
        read: for reading the model configuration file.
    """

    tick: float = 0.5
    register: float = 180.0
    silence: float | None = None
    stop_slack: float = 2.0
    read: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)


class App:
    """One control process."""

    def __init__(
        self, options: Options, startup: Startup, env: Mapping[str, str], *, limits: Limits | None = None
    ) -> None:
        self._options = options
        self._startup = startup
        self._env = env
        self._limits = limits or Limits()
        self._fleet: OwnWorkers
        self._recycler: Recycler
        self._doors = [f"frontend-{index}" for index in range(startup.num_frontends)]
        self._bulk = [f"frontend-bulk-{index}" for index in range(startup.num_bulk_frontends)]
        self._frontends = self._doors + self._bulk
        self._signals: list[signal.Signals] = []
        # Pids of children that were killed because they hung.
        self._hung: set[int] = set()
        self._failure: ServingError | None = None
        self._reading: asyncio.Future[ModelServerConfig] | None = None
        self._unix: socket.socket | None = None

    async def run(self) -> int:
        """Serve until told to stop; returns the exit status.

        Raises:
            ServingError: the server cannot start; no child is left.
        """
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._reread = asyncio.Event()
        self._supervisor = Supervisor(self._loop, self._child_ended, make_backoff=self._backoff)
        with contextlib.ExitStack() as stack:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._on_signal, number)
            self._loop.add_signal_handler(signal.SIGHUP, self._reread.set)
            self._loop.add_signal_handler(signal.SIGUSR1, lambda: self._recycler.ask(self._fleet.workers()))
            self._open(stack)
            background = [self._loop.create_task(self._tick()), self._loop.create_task(self._follow_config_file())]
            for task in background:
                task.add_done_callback(self._background_ended)
            try:
                self._start()
                await self._event.wait()
                if self._failure is None:
                    await self._stop()
            finally:
                for task in background:
                    task.cancel()
                await self._supervisor.kill_all()
        if self._failure is not None:
            raise self._failure
        return 0

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        """Without its background work control would look alive and do half of its job: better to end."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            LOGGER.error("A part of control has failed", exc_info=error)
            self.fatal(ServingError(Code.INTERNAL, f"a part of control has failed: {error}"))

    def _backoff(self) -> Backoff:
        template = self._limits.backoff
        return Backoff(template.first, template.longest, template.stable_after)

    # --- start ---

    def _open(self, stack: contextlib.ExitStack) -> None:
        options, startup = self._options, self._startup
        run = self._run = RunDirectory()
        stack.callback(run.remove)
        endpoint = options.control_endpoint or run.ipc("control.sock")
        try:
            channel = Channel(Curve.from_env(self._env))
            stack.callback(channel.close)
            self._server = ControlServer(self._loop, channel, endpoint, self._receive)
        except (ValueError, zmq.ZMQError) as error:
            raise invalid_argument(f"Cannot open --control_endpoint={endpoint}: {error}") from error
        stack.callback(self._server.close)
        if options.grpc_socket_path and self._doors:
            self._unix = self._bind_unix(stack, options.grpc_socket_path)
        period = float(options.file_system_poll_wait_seconds)
        manager = Manager(
            periodic=period > 0,
            allow_unavailable_labels=options.allow_version_labels_for_unavailable_models,
            transition=startup.transition,
            transitions=startup.transitions,
            quarantine_after_crashes=options.quarantine_after_crashes,
        )
        self._fleet = OwnWorkers(
            startup.devices,
            self._supervisor,
            control=lambda: local_endpoint(self._server.endpoint),
            run=run,
            record=options.quarantine_after_crashes > 0,
        )
        self._recycler = Recycler(
            self._fleet,
            after_unloads=options.recycle_after_unloads,
            memory_growth_bytes=options.recycle_memory_growth_bytes,
        )
        silence = self._limits.silence
        self._plane = Plane(
            self._loop,
            self._server.send,
            self,
            manager,
            worker_config=startup.worker,
            frontend_config=self._checked(startup.frontend),
            own_frontends=self._doors,
            own_workers=self._fleet.names,
            silence_seconds=silence if silence is not None else startup.worker.heartbeat_seconds * 5 + 5,
            start_timeout_seconds=options.start_timeout_seconds,
        )
        self._fleet.plane = self._plane
        self._threads = ThreadPool(self._loop)
        model_files = (*MODEL_FILES, TFLITE_FILE) if options.prefer_tflite_model else MODEL_FILES
        self._watcher = Watcher(
            self._loop,
            self._threads,
            manager,
            period_seconds=period,
            on_change=self._plane.looked,
            look_at=partial(look, model_files=model_files),
        )
        stack.callback(self._watcher.close)

    def _checked(self, config: FrontendConfig) -> FrontendConfig:
        """Without REST when its port is taken, as upstream does; gRPC's is shared, as upstream's is."""
        if not config.rest_port or not self._doors or tcp_port_is_free(config.rest_port):
            return config
        LOGGER.error("Failed to start HTTP Server at localhost:%d", config.rest_port)
        return msgspec.structs.replace(config, rest_port=0)

    def _bind_unix(self, stack: contextlib.ExitStack, path: str) -> socket.socket:
        try:
            sock = bind_unix(path)
        except OSError as error:
            LOGGER.error("Cannot bind --grpc_socket_path=%s: %s", path, error)
            raise invalid_argument("Failed to BuildAndStart gRPC server") from error
        stack.callback(_unlink_if_same, path, os.stat(path).st_ino)
        stack.callback(sock.close)
        return sock

    def _start(self) -> None:
        endpoint = local_endpoint(self._server.endpoint)
        self._plane.apply(self._startup.model_config)
        # Workers first: TensorFlow takes the longest.
        self._fleet.start()
        sockets = {name: f"{self._run.path}/{name}.sock" for name in self._bulk}
        for name in self._doors:
            self._supervisor.start(frontend_spec(name, control=endpoint, unix=self._unix, bulk=list(sockets.values())))
        for name, path in sockets.items():
            self._supervisor.start(bulk_frontend_spec(name, control=endpoint, socket_path=path))
        if self._options.control_endpoint:
            LOGGER.info("Workers and front ends register at %s", self._server.endpoint)

    # --- what happens ---

    def _receive(self, identity: bytes, payload: memoryview) -> None:
        self._plane.receive(identity, payload)

    def fatal(self, error: ServingError) -> None:
        """The server cannot start: end with this error."""
        if self._failure is None and not self._signals:
            self._failure = error
            self._event.set()

    def peer_hangs(self, name: str) -> None:
        """Kill a child that hangs; one that was started elsewhere is left to whoever started it."""
        pid = self._supervisor.pid(name)
        if pid is not None:
            LOGGER.error("Killing %s (pid %d)", name, pid)
            self._hung.add(pid)
            self._supervisor.kill(name)

    def look_at(self, due: Collection[str]) -> None:
        """Look at models on disk."""
        self._watcher.update(due)

    def _child_ended(self, ended: Exit) -> None:
        role = WORKER if ended.name in self._fleet.names else FRONTEND
        hung = ended.pid in self._hung
        self._hung.discard(ended.pid)
        self._plane.peers.drop(role, ended.name)
        if role == WORKER:
            running = self._fleet.was_running(ended)
            self._plane.worker_ended(ended.name, running, evidence=is_evidence(ended.returncode, hung=hung))
            self._fleet.ended(ended.name)

    def _on_signal(self, number: signal.Signals) -> None:
        self._signals.append(number)
        self._event.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._limits.tick)
            self._plane.tick()
            self._recycler.tick(self._loop.time())
            for role, names in ((WORKER, self._fleet.names), (FRONTEND, self._frontends)):
                for name in list(names):
                    age = self._supervisor.age(name)
                    if age is not None and age > self._limits.register and self._plane.peers.named(role, name) is None:
                        LOGGER.error("%s has not registered for %.0f s", name, age)
                        self.peer_hangs(name)

    async def _follow_config_file(self) -> None:
        path = self._options.model_config_file
        if not path:
            return
        period = self._options.model_config_file_poll_wait_seconds
        said = ""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reread.wait(), period if period > 0 else None)
            asked = self._reread.is_set()
            self._reread.clear()
            problem = await self._read_config_file(path)
            # A file that stays wrong is complained about once, or whenever somebody asks for it to be read.
            if problem and (asked or problem != said):
                LOGGER.error("%s", problem)
            said = problem

    async def _read_config_file(self, path: str) -> str:
        """Read and apply the file; returns what is wrong with it."""
        # One at a time: a file system that hangs must not take a thread for every try.
        if self._reading is None:
            self._reading = asyncio.ensure_future(
                self._threads.submit(partial(read_text_file, path, ModelServerConfig))
            )
        try:
            config = await asyncio.wait_for(asyncio.shield(self._reading), self._limits.read)
            self._reading = None
        except TimeoutError:
            return f"Failed to read ModelServerConfig file: {path} takes longer than {self._limits.read:g} s"
        except ServingError as error:
            self._reading = None
            return f"Failed to read ModelServerConfig file: {error}"
        try:
            self._plane.apply(config)
        except ServingError as error:
            return f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error}"
        return ""

    # --- stop ---

    async def _stop(self) -> None:
        LOGGER.info("Stopping on %s", self._signals[0].name)
        stopping = self._loop.create_task(self._stop_in_order())
        self._event.clear()
        second = self._loop.create_task(self._event.wait())
        await asyncio.wait({stopping, second}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            LOGGER.warning("Stopping at once on a second signal")
        for task in (stopping, second):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping

    async def _stop_in_order(self) -> None:
        self._plane.stopping = True
        self._watcher.close()
        self._supervisor.retire(self._supervisor.names())
        grace = self._options.drain_seconds if self._plane.serving else 0.0
        for role, names in ((FRONTEND, self._frontends), (WORKER, sorted(self._fleet.names))):
            for name in names:
                peer = self._plane.peers.named(role, name)
                if peer is not None:
                    self._plane.peers.stop(peer, grace)
                else:
                    # It has not registered, so it holds no work, and could not be told.
                    self._supervisor.kill(name)
            for name in await self._supervisor.wait_ended(names, grace + self._limits.stop_slack):
                LOGGER.error("%s did not stop within %.1f s", name, grace + self._limits.stop_slack)
                self._supervisor.kill(name)


def _unlink_if_same(path: str, inode: int) -> None:
    with contextlib.suppress(OSError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)
