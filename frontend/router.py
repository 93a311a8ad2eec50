"""Requests to workers and answers back: links, least-loaded choice, deadlines, retries.

All requests of one loop turn for one worker leave in one ZeroMQ message. A request that was sent is kept until it is
answered; when its worker is lost it goes once to another, unless it may be why (`frontend.stranded`), and when the
worker no longer has the version it is resolved again. Every request ends exactly once: with a reply, or with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic_ns

import msgspec
import zmq

from frontend.call import Call
from frontend.catalog import Catalog, Model, Route, Version
from frontend.link import Link
from frontend.metrics import RequestMetrics
from frontend.stranded import Stranded
from protos import messages
from protos.arena import Arena
from protos.channel import Channel, Frames
from protos.errors import Code, ServingError
from protos.flight_record import Servable
from protos.messages import (
    CODE_GONE,
    CODE_NO_ARENA,
    FRAME_THRESHOLD_BYTES,
    Infer,
    InferBatch,
    Reply,
    ReplyBatch,
    Tensor,
)
from protos.metrics import Registry
from protos.tensor_view import Target

log = logging.getLogger("tensormux.frontend")

# A worker that lost the version between two snapshots: wait this long for the next one, so many times.
_GONE_PAUSE_S = 0.01
_GONE_TRIES = 50
# How often deadlines are looked at, with few and with many requests outstanding.
_SWEEP_S = 0.01
_SWEEP_MANY_S = 0.05
_MANY = 2_000
# Shared memory for inputs; only what is in use, or was, takes memory.
_ARENA_BYTES = 256 << 20
# What a worker answers for a request whose deadline has passed while it waited.
_LATE = (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)
# A gRPC client resets its call at the deadline, which began before the request was here.
_EARLY_NS = 20_000_000
# `Call.tries` of a call that nobody waits for.
_ABANDONED = -1


class Router:
    """Holds the catalog and the links; lives on the front end's loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channel: Channel, *, identity: str, max_outstanding: int
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._identity = identity.encode()
        self._max_outstanding = max_outstanding
        self.catalog = Catalog()
        # Called after each change of `catalog`.
        self.on_catalog: list[Callable[[], None]] = []
        self._snapshot = messages.Catalog(epoch=0, serving=False, workers=[], models=[])
        self._links: dict[str, Link] = {}
        self._stranded = Stranded(loop, self._release)
        self._dirty: list[Link] = []
        self._next_id = 0
        self._sweeping = False
        self._arena = Arena(_ARENA_BYTES)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ReplyBatch).decode
        self.outstanding = 0
        self.metrics = RequestMetrics(Registry(), lambda model: model in self.catalog.models)

    @property
    def serving(self) -> bool:
        """All models were available when control sent its last snapshot, or had been before."""
        return self._snapshot.serving

    @property
    def connected_workers(self) -> int:
        """Workers that can be reached now."""
        return sum(link.up for link in self._links.values())

    # --- catalog ---

    def update(self, snapshot: messages.Catalog) -> None:
        """Take a new snapshot: connect to new workers, give up on those that have gone."""
        present = {entry.incarnation: entry for entry in snapshot.workers}
        lost = [link for incarnation, link in self._links.items() if incarnation not in present]
        for link in lost:
            del self._links[link.entry.incarnation]
        for incarnation, entry in present.items():
            if incarnation not in self._links:
                self._links[incarnation] = self._connect(entry)
            # A control that was started again numbers workers anew.
            self._links[incarnation].entry = entry
        self._snapshot = snapshot
        self._rebuild()
        self._stranded.update(snapshot)
        for link in lost:
            self._give_up(link)

    def _rebuild(self) -> None:
        """Make the catalog from the snapshot and the state of the links."""
        by_id = {link.entry.id: link for link in self._links.values()}
        models = (
            Model(
                entry.name,
                (Version(entry.name, v, _usable([by_id[i] for i in v.workers if i in by_id])) for v in entry.versions),
                entry.labels,
            )
            for entry in self._snapshot.models
        )
        self.catalog = Catalog(models, before=self.catalog)
        for listener in self.on_catalog:
            listener()

    def _connect(self, entry: messages.WorkerEntry) -> Link:
        link = Link(entry, self._channel.dealer(entry.endpoint, identity=self._identity))
        link.connect(
            self._loop,
            on_replies=lambda frames: self._on_replies(link, frames),
            on_connection=lambda up: self._on_connection(link, up),
        )
        return link

    def _on_connection(self, link: Link, up: bool) -> None:
        if link.closed:
            return
        if up:
            log.info("connected to %s at %s", link.name, link.entry.endpoint)
            link.up = True
            self._rebuild()
        elif link.up:
            # What was sent is lost. Control may not know yet, so the worker counts as there, but goes to the end of
            # the queue until it can be reached again.
            self._links[link.entry.incarnation] = self._connect(link.entry)
            self._rebuild()
            self._give_up(link)

    def _give_up(self, link: Link) -> None:
        link.drain()
        log.warning("lost %s with %d requests outstanding", link.name, len(link.pending))
        link.close()
        pending, link.pending = link.pending, {}
        self.outstanding -= len(pending)
        unsent = {request.id for request in link.requests}
        # What the worker cannot have seen is not why it ended, and what was lost before ends in any case.
        free: list[Call] = []
        stranded: list[Call] = []
        for call in pending.values():
            call.link = None
            (stranded if link.up and call.id not in unsent and not call.lost else free).append(call)
        self._release(link, free, ())
        self._stranded.add(link, stranded)

    def _release(self, link: Link, calls: Iterable[Call], suspects: Collection[Servable]) -> None:
        """Have requests that were lost with `link` end, or go to another worker."""
        for call in calls:
            if call.tries == _ABANDONED:
                continue
            try:
                self._go_on(link, call, suspects)
            except Exception:  # one request's trouble is not the others'
                log.exception("cannot go on with a request for %s", call.target)
                with contextlib.suppress(Exception):  # it may be this that fails
                    call.fail(ServingError(Code.INTERNAL, "internal error"))

    def _go_on(self, link: Link, call: Call, suspects: Collection[Servable]) -> None:
        version = call.route.version
        if (version.model, version.version) in suspects:
            text = f"{link.name} crashed while it ran servable {{name: {version.model} version: {version.version}}}"
            call.fail(ServingError(Code.UNAVAILABLE, f"{text}: the request may be why, and is not tried again"))
        elif call.lost:
            call.fail(ServingError(Code.UNAVAILABLE, f"{link.name} was lost while it had the request"))
        else:
            call.lost = True
            self._retry(call, f"{link.name} was lost, and no other worker has the model")

    def _retry(self, call: Call, otherwise: str) -> None:
        """Send a call again, to whichever worker has the same version now; UNAVAILABLE if none has."""
        try:
            version = self.catalog.resolve(Target(call.target.name, call.route.version.version, None, ""))
        except ServingError:
            call.fail(ServingError(Code.UNAVAILABLE, otherwise))
            return
        self._send(call, version)

    # --- requests ---

    def submit(self, call: Call) -> None:
        """Send a call (with target, route, inputs, outputs, deadline_ns and large set) to the least loaded worker.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, there are too many requests outstanding.
        """
        if self.outstanding >= self._max_outstanding:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED, f"the front end has {self.outstanding} requests outstanding already"
            )
        call.tries = 0
        call.lost = False
        self._send(call, call.route.version)

    def _send(self, call: Call, version: Version) -> None:
        links = version.links
        link = links[0] if len(links) == 1 else min(links, key=_load)
        self._next_id = request_id = self._next_id + 1
        call.id = request_id
        call.link = link
        inputs = call.inputs
        if call.large:
            call.blocks = []
            inputs = [self._outside(link, call, tensor) for tensor in inputs]
        timeout_us = 0
        if call.deadline_ns:
            timeout_us = max(1, (call.deadline_ns - monotonic_ns()) // 1000)
        if not link.requests and not link.cancelled:
            self._mark(link)
        link.requests.append(
            Infer(
                request_id,
                version.model,
                version.version,
                call.route.signature.name,
                timeout_us,
                inputs,
                call.outputs,
                call.method,
            )
        )
        link.pending[request_id] = call
        self.outstanding += 1
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(_SWEEP_S, self._sweep)

    def _outside(self, link: Link, call: Call, tensor: Tensor) -> Tensor:
        """The tensor with large data moved to shared memory, or to a frame of the link's next message."""
        data = tensor.data
        if isinstance(data, (list, int)) or len(data) < FRAME_THRESHOLD_BYTES:
            return tensor
        block = self._arena.put(data) if link.shares_memory else None
        if block is None:
            link.frames.append(data)
            return Tensor(tensor.dtype, tensor.shape, len(link.frames) - 1)
        call.blocks.append(block)
        link.blocks.append((block.offset, block.size))
        return Tensor(tensor.dtype, tensor.shape, -len(link.blocks))

    def _mark(self, link: Link) -> None:
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(link)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for link in dirty:
            requests, frames, blocks, cancelled = link.requests, link.frames, link.blocks, link.cancelled
            link.requests, link.frames, link.blocks, link.cancelled = [], [], [], []
            if link.closed:
                continue
            header = self._encode(InferBatch(requests, cancelled, self._arena.path if blocks else "", blocks))
            try:
                if frames:
                    link.socket.send_multipart((header, *frames), zmq.DONTWAIT, copy=False)
                else:
                    link.socket.send(header, zmq.DONTWAIT)
            except zmq.Again:
                for request in requests:
                    self._refuse(link, request.id)
            link.poke()

    def _refuse(self, link: Link, request_id: int) -> None:
        link.abandoned.pop(request_id, None)
        call = link.pending.pop(request_id, None)
        if call is not None:
            self.outstanding -= 1
            call.link = None
            call.fail(ServingError(Code.UNAVAILABLE, f"{link.name} takes no more requests"))

    def cancel(self, call: Call) -> None:
        """The client of `call` has gone; neither `complete` nor `fail` will be called."""
        if call.tries == _ABANDONED:
            return
        late = 0 < call.deadline_ns <= monotonic_ns() + _EARLY_NS
        self.metrics.abandoned(call.target.name, call.method, late=late)
        self._drop(call)
        call.tries = _ABANDONED

    def _drop(self, call: Call) -> None:
        """Nobody waits for `call` any more."""
        link = call.link
        if link is None or link.pending.pop(call.id, None) is None:
            call.tries = _ABANDONED
            return
        call.link = None
        self.outstanding -= 1
        link.unanswered += 1
        if call.large and call.blocks:
            link.abandoned[call.id] = call.blocks
        if not link.requests and not link.cancelled:
            self._mark(link)
        link.cancelled.append(call.id)

    # --- answers ---

    def _on_replies(self, link: Link, frames: Frames) -> None:
        pending = link.pending
        try:
            replies = self._decode(frames[0].buffer).replies
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.error("unreadable message from %s: %s", link.name, error)
            if self._links.get(link.entry.incarnation) is link:  # and isn't being given up
                self._on_connection(link, up=False)
            return
        link.unanswered = 0
        for reply in replies:
            call = pending.pop(reply.id, None)
            if call is None:  # cancelled, or past its deadline
                link.abandoned.pop(reply.id, None)
                continue
            self.outstanding -= 1
            call.link = None
            try:
                if reply.code == 0:
                    tensors = reply.outputs
                    if len(frames) > 1:
                        _attach(tensors, frames)
                    call.complete(tensors)
                else:
                    self._on_error(link, call, reply)
            except Exception:  # one answer's trouble is not the others'
                log.exception("cannot answer a request for %s", call.target)
                call.fail(ServingError(Code.INTERNAL, "internal error"))

    def _on_error(self, link: Link, call: Call, reply: Reply) -> None:
        if reply.code == CODE_GONE:
            self._again(call)
        elif reply.code == CODE_NO_ARENA:
            log.warning("%s cannot reach shared memory: large tensors go to it as frames", link.name)
            link.shares_memory = False
            self._retry(call, f"{link.name} no longer has the model, nor has any other worker")
        else:
            # A worker drops what has waited too long; when the deadline has passed, that is why.
            if reply.code in _LATE and 0 < call.deadline_ns <= monotonic_ns():
                self.metrics.expired(call.target.name)
            call.fail(ServingError(reply.code, reply.message))

    def _again(self, call: Call) -> None:
        """The worker no longer has the version: ask the catalog, which changes about now."""
        call.tries += 1
        gone = call.route.version
        route = self._reroute(call)
        if route is None:
            return
        if route.version.version == gone.version:
            self._loop.call_later(_GONE_PAUSE_S, self._resend, call)
        else:
            call.route = route
            self._send(call, route.version)

    def _resend(self, call: Call) -> None:
        if call.tries == _ABANDONED:
            return
        route = self._reroute(call)
        if route is not None:
            call.route = route
            self._send(call, route.version)

    def _reroute(self, call: Call) -> Route | None:
        """Where `call` goes now; None, and the call has failed, when there is no place for it any more."""
        gone = call.route.signature
        try:
            if 0 < call.deadline_ns <= monotonic_ns():
                self.metrics.expired(call.target.name)
                raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
            route = call.resolve(self.catalog)
            if route.signature.inputs != gone.inputs or route.signature.outputs != gone.outputs:
                raise ServingError(Code.UNAVAILABLE, "the version was replaced by one with another signature")
            if call.tries > _GONE_TRIES:
                raise ServingError(
                    Code.UNAVAILABLE, f"no worker has version {route.version.version} of model {call.target.name}"
                )
        except ServingError as error:
            call.fail(error)
            return None
        return route

    def _sweep(self) -> None:
        """Fail what is past its deadline. Requests carry no timer of their own: most are answered long before."""
        now_ns = monotonic_ns()
        for link in self._links.values():
            for call in [c for c in link.pending.values() if 0 < c.deadline_ns <= now_ns]:
                self._expire(call)
        for call in self._stranded:
            if 0 < call.deadline_ns <= now_ns and call.tries != _ABANDONED:
                self._expire(call)
        self._sweeping = self.outstanding > 0 or bool(self._stranded)
        if self._sweeping:
            self._loop.call_later(_SWEEP_S if self.outstanding < _MANY else _SWEEP_MANY_S, self._sweep)

    def _expire(self, call: Call) -> None:
        self.metrics.expired(call.target.name)
        self._drop(call)
        call.fail(ServingError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def close(self) -> None:
        """Drop all links; what is still outstanding fails with UNAVAILABLE."""
        for link in list(self._links.values()):
            link.close()
            pending, link.pending = link.pending, {}
            self.outstanding -= len(pending)
            for call in pending.values():
                call.link = None
                call.fail(ServingError(Code.UNAVAILABLE, "the server is shutting down"))
        for call in self._stranded.close():
            if call.tries != _ABANDONED:
                call.fail(ServingError(Code.UNAVAILABLE, "the server is shutting down"))
        self._links.clear()
        self.catalog = Catalog()


def _load(link: Link) -> int:
    return len(link.pending) + link.unanswered


def _usable(links: list[Link]) -> list[Link]:
    """Those that are connected, or all if none is: requests then wait for the connection."""
    return [link for link in links if link.up] or links


def _attach(tensors: Sequence[Tensor], frames: Frames) -> None:
    """Put the bytes of frames where their numbers stand."""
    for tensor in tensors:
        if type(tensor.data) is int:
            tensor.data = frames[tensor.data + 1].buffer  # type: ignore[assignment]
