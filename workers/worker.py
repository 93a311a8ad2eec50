"""The worker's loop: ZeroMQ in, engine, ZeroMQ out.

One thread reads requests, runs the cheap ones, and sends replies; loads, unloads and expensive runs happen on
executor threads. The loop waits in one poll for: the control connection, the front ends' socket, finished
jobs, and the next point in time at which something is due.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic_ns
from typing import Any

import msgspec
import zmq

from protos.channel import Channel, has_message
from protos.configs import WorkerConfig
from protos.errors import Code, ServingError
from protos.messages import (
    PROTOCOL_VERSION,
    Desired,
    Heartbeat,
    Hello,
    Infer,
    InferBatch,
    MetricsReport,
    MetricsRequest,
    Rejected,
    Reply,
    ReplyBatch,
    Resync,
    Stop,
    ToPeer,
    Welcome,
    WorkerReport,
)
from protos.process_metrics import private_memory_bytes
from workers import load_pool
from workers.engine import Engine, Outbox
from workers.executor import Executor
from workers.loaders import MAX_ABANDONED, Loaders
from workers.loading import Outcome
from workers.metrics import WorkerMetrics
from workers.residency import Residency, Resident, report
from workers.takeover import Deposed, Takeover

log = logging.getLogger("tensormux.worker")

# ZeroMQ messages handled before the loop looks at anything else.
_BURST = 32
# Replies that are sent without waiting for the end of the message that their requests came in, so that the front end
# works on them meanwhile.
_REPLIES_AT_ONCE = 16
_HELLO_EVERY_S = 1.0
# How often the main thread looks for signals while another one leads.
_SIGNAL_CHECK_S = 0.2
_CANCELLED = ServingError(Code.CANCELLED, "the request was cancelled before it ran")
# A process that ends waits so long for its last replies to leave.
_LINGER_MS = 1_000
# What decoding raises for bytes that are no message (a broken string is a ValueError), or without any.
_UNREADABLE = (msgspec.MsgspecError, ValueError, IndexError, RecursionError)


class Worker:
    """One worker process; `run` returns when control, or a signal, told it to stop.

    Args:
        control: endpoint of control.
        name: stable name of this worker.
        incarnation: of this process.
        bind, advertise: where inferences are taken, and what front ends connect to (empty: the same).
        device: for people to read.
    """

    def __init__(
        self, channel: Channel, *, control: str, name: str, incarnation: str, bind: str, advertise: str, device: str
    ) -> None:
        self._control = channel.connect_dealer(control, identity=f"{name}/{incarnation}".encode())
        self._router, bound = channel.bind_router(bind)
        self._hello = Hello(
            protocol=PROTOCOL_VERSION,
            role="worker",
            name=name,
            incarnation=incarnation,
            pid=os.getpid(),
            endpoint=advertise or bound,
            device=device,
        )
        self._encoder = msgspec.msgpack.Encoder()
        self._decode_peer = msgspec.msgpack.Decoder(ToPeer).decode
        self._decode_batch = msgspec.msgpack.Decoder(InferBatch).decode
        self._poller = zmq.Poller()
        self._poller.register(self._control, zmq.POLLIN)
        self._config: WorkerConfig | None = None
        self._metrics = WorkerMetrics(device)
        self._engine: Engine
        self._residency: Residency
        self._runners: Executor
        self._loaders: Loaders
        self._outboxes: dict[bytes, Outbox] = {}
        self._changed: dict[Resident, None] = {}
        self._seq = 0
        self._epoch = 0
        self._next_beat_ns = 0
        self._stop_at_ns: int | None = None
        # Requests received and not yet looked at.
        self._inbox: deque[tuple[Outbox, Infer, list[Any]]] = deque()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self.stop_requested = False

    # --- loop ---

    def run(self) -> None:
        """Serve until told to stop; to be called on the main thread, which also handles signals.

        Raises:
            SystemExit: control refuses this worker.
        """
        self._lead()
        # Another thread may have taken the loop over.
        while not self._ended.wait(_SIGNAL_CHECK_S):
            pass
        if self._failure is not None:
            raise self._failure

    def _lead(self) -> None:
        """Run the loop on this thread, until its end or another leader's takeover."""
        try:
            self._loop()
        except Deposed:
            return
        except BaseException as failure:
            self._failure = failure
        self._ended.set()

    def _loop(self) -> None:
        while True:
            due_ns = self._tick(monotonic_ns())
            if self._stop_at_ns is not None and self._is_done():
                if self._config is not None:
                    self._tell_metrics(0)  # or what was counted since the last time would be lost
                for sock in (self._router, self._control):
                    sock.close(linger=_LINGER_MS if self._config is not None else 0)
                return
            timeout_ms = 0 if self._inbox else max(0, -(-(due_ns - monotonic_ns()) // 1_000_000))
            events = dict(self._poller.poll(timeout_ms))
            if self._control in events:
                self._read_control()
            if self._config is None:
                continue
            if self._router in events or self._inbox:
                self._read_requests()
            if self._runners.wake_fd in events:
                for context, result, error in self._runners.finished():
                    self._engine.finished(context, result, error)
            if self._loaders.wake_fd in events:
                self._finish_loads()
            self._flush()

    def _tick(self, now_ns: int) -> int:
        """Do what is due; when something is due next."""
        if self._config is None:
            if now_ns >= self._next_beat_ns:
                self._send_control(self._hello)
                self._next_beat_ns = now_ns + int(_HELLO_EVERY_S * 1e9)
            if self.stop_requested:
                self._stop_at_ns = now_ns
            return self._next_beat_ns
        if now_ns >= self._next_beat_ns:
            self._next_beat_ns = now_ns + int(self._config.heartbeat_seconds * 1e9)
            self._send_control(
                Heartbeat(
                    epoch=self._epoch,
                    outstanding=self._engine.outstanding,
                    unloads=self._residency.unloads,
                    memory_bytes=private_memory_bytes(),
                )
            )
        if self.stop_requested and self._stop_at_ns is None:
            self._begin_stop(10.0)
        due_ns = self._next_beat_ns
        for other_ns in (self._engine.dispatch(), self._residency.tick(now_ns), self._stop_at_ns):
            if other_ns is not None and other_ns < due_ns:
                due_ns = other_ns
        self._flush()
        if self._changed:
            self._report(full=False)
        return due_ns

    def _is_done(self) -> bool:
        if self._config is None:
            return True
        assert self._stop_at_ns is not None
        idle = not self._inbox and not self._engine.outstanding and not self._residency.busy
        return idle or monotonic_ns() >= self._stop_at_ns

    # --- control plane ---

    def _read_control(self) -> None:
        while has_message(self._control):
            raw = self._control.recv(zmq.DONTWAIT)
            try:
                message = self._decode_peer(raw)
            except _UNREADABLE as error:
                log.error("unreadable message from control: %s", error)
                continue
            if isinstance(message, Welcome):
                self._welcome(message)
            elif isinstance(message, Rejected):
                raise SystemExit(f"control refuses this worker: {message.reason}")
            elif isinstance(message, Resync):
                self._send_control(self._hello)
                if self._config is not None:
                    self._report(full=True)
            elif isinstance(message, Desired) and self._config is not None:
                if self._stop_at_ns is None and message.epoch >= self._epoch:
                    self._epoch = message.epoch
                    self._residency.apply(message.servables)
                    self._next_beat_ns = 0
            elif isinstance(message, MetricsRequest):
                self._tell_metrics(message.round)
            elif isinstance(message, Stop):
                self._begin_stop(message.grace_seconds)

    def _welcome(self, message: Welcome) -> None:
        if self._config is not None or message.worker is None:
            return
        config = message.worker
        load_threads = max(1, config.num_load_threads)
        # Loads that hang keep their pools.
        session_config = load_pool.with_pools(config.session_config, load_threads + MAX_ABANDONED)
        config = self._config = msgspec.structs.replace(config, session_config=session_config)
        threads = config.num_run_threads or len(os.sched_getaffinity(0))
        if config.batching is not None:
            threads = config.batching.num_batch_threads
        self._runners = Executor(threads, name="run")
        self._loaders = Loaders(
            load_threads,
            prepare=lambda: load_pool.start(config.session_config),
            discard=Outcome.discard,
        )
        self._engine = Engine(config, self._runners)
        self._metrics.watch(self._hello.name, lambda: self._engine.outstanding)
        self._residency = Residency(
            config,
            self._loaders,
            self._metrics,
            on_change=lambda resident: self._changed.setdefault(resident),
            on_unload=self._engine.unloading,
        )
        self._engine.residency = self._residency
        self._engine.takeover = Takeover(self._lead, self._engine.adopt)
        for source in (self._router, self._runners.wake_fd, self._loaders.wake_fd):
            self._poller.register(source, zmq.POLLIN)
        self._report(full=True)

    def _finish_loads(self) -> None:
        for resident, result, error in self._loaders.finished():
            if self._residency.finished(resident, result, error):
                self._residency.retry_at(resident, monotonic_ns())

    def _begin_stop(self, grace_seconds: float) -> None:
        if self._stop_at_ns is None:
            self._stop_at_ns = monotonic_ns() + int(grace_seconds * 1e9)
            if self._config is not None:
                # Nothing is wanted any more; control hears of it and sends no new requests here.
                self._residency.apply([])

    def _report(self, *, full: bool) -> None:
        servables = self._residency.reports() if full else [report(resident) for resident in self._changed]
        self._changed.clear()
        self._seq += 1
        self._send_control(WorkerReport(seq=self._seq, full=full, epoch=self._epoch, servables=servables))

    def _tell_metrics(self, number: int) -> None:
        self._send_control(MetricsReport(round=number, cells=self._metrics.registry.snapshot()))

    def _send_control(self, message: Hello | WorkerReport | Heartbeat | MetricsReport) -> None:
        # A control that has been away for long finds the queue full; it asks for everything when it is back.
        with contextlib.suppress(zmq.Again):
            self._control.send(self._encoder.encode(message), zmq.DONTWAIT)

    # --- data plane ---

    def _read_requests(self) -> None:
        inbox = self._inbox
        infer = self._engine.infer
        for _ in range(_BURST):
            # What is in the inbox stays there when this thread is deposed in the middle: its successor goes on.
            while inbox:
                outbox, request, buffers = inbox.popleft()
                infer(outbox, request, buffers)
                if len(outbox.replies) >= _REPLIES_AT_ONCE:
                    self._send(outbox)
            self._flush()
            if not has_message(self._router):
                return
            self._receive(self._router.recv_multipart(zmq.DONTWAIT, copy=False))

    def _receive(self, frames: Sequence[zmq.Frame]) -> None:
        """Put the requests of a message into the inbox."""
        identity = frames[0].bytes
        outbox = self._outboxes.get(identity)
        if outbox is None:
            outbox = self._outboxes[identity] = Outbox(identity)
        try:
            batch = self._decode_batch(frames[1].buffer)
        except _UNREADABLE as error:
            log.error("unreadable message from front end %r: %s", identity, error)
            return
        buffers = [frame.buffer for frame in frames[2:]]
        if batch.cancelled:
            self._engine.cancel(outbox, batch.cancelled)
        refused: ServingError | None = None
        if batch.blocks:
            try:
                buffers += reversed(outbox.blocks(batch))
            except ServingError as error:
                refused = error
        gone = frozenset(batch.cancelled)
        for request in batch.requests:
            if refused is not None:
                outbox.fail(request.id, refused)
            elif request.id in gone:
                outbox.fail(request.id, _CANCELLED)
            else:
                self._inbox.append((outbox, request, buffers))

    def _flush(self) -> None:
        for outbox in list(self._outboxes.values()):
            if outbox.replies:
                self._send(outbox)

    def _send(self, outbox: Outbox) -> None:
        replies, frames = outbox.replies, outbox.frames
        outbox.replies, outbox.frames = [], []
        parts: Sequence[Any] = (outbox.identity, self._encode_replies(replies), *frames)
        try:
            self._router.send_multipart(parts, zmq.DONTWAIT, copy=not frames)
        except zmq.ZMQError as error:
            # The front end has gone (EHOSTUNREACH) or reads nothing (EAGAIN): its clients are lost or will time out.
            log.warning("dropping %d replies to front end %r: %s", len(replies), outbox.identity, error)
            if error.errno == zmq.EHOSTUNREACH:
                for task in outbox.waiting.values():
                    task.cancel()
                # It may have gone already: requests of a message are answered in several messages.
                if self._outboxes.get(outbox.identity) is outbox:
                    del self._outboxes[outbox.identity]

    def _encode_replies(self, replies: list[Reply]) -> bytes:
        return self._encoder.encode(ReplyBatch(replies))
