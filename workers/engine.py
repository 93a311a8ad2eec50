"""Runs requests: inline when cheap, else on executor threads, alone or in batches.

One `Engine` lives on the worker's loop thread and never blocks it longer than a cheap graph takes (see `run_mode`).
Everything that waits is a `Task` that can be cancelled or expire before it runs, and the number of requests that
wait or run is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import monotonic_ns
from typing import Any

import msgspec

from protos.arena import ArenaReader
from protos.configs import WorkerConfig
from protos.errors import Code, ServingError
from protos.messages import CODE_GONE, CODE_NO_ARENA, Infer, InferBatch, Reply
from protos.metrics import Histogram
from workers.batch_run import run_batch
from workers.batch_scheduler import BatchScheduler, QueueTable
from workers.batching import Batch
from workers.executor import Executor
from workers.merge import check_inputs, target_rows
from workers.metrics import SignatureCounts
from workers.residency import Residency, Resident
from workers.run_mode import Lane
from workers.servable import Prepared
from workers.status import as_serving_error
from workers.takeover import Deposed, Takeover
from workers.task import Outcome, Task, settle
from workers.tensors import from_array, to_array


class Outbox:
    """Replies to one front end that have not been sent yet, and its tasks that wait, by request id."""

    __slots__ = ("identity", "replies", "frames", "waiting", "arena", "arena_path")

    def __init__(self, identity: bytes) -> None:
        self.identity = identity
        self.replies: list[Reply] = []
        self.frames: list[Any] = []
        self.waiting: dict[int, Task] = {}
        # The front end's shared memory, once it was used; None when it cannot be reached.
        self.arena: ArenaReader | None = None
        self.arena_path = ""

    def blocks(self, batch: InferBatch) -> list[memoryview]:
        """The bytes of a batch's blocks.

        Raises:
            ServingError: CODE_NO_ARENA, they cannot be reached from here.
        """
        if batch.arena != self.arena_path:
            self.arena_path = batch.arena
            try:
                self.arena = ArenaReader(batch.arena)
            except (OSError, ValueError):
                self.arena = None
        try:
            if self.arena is not None:
                return [self.arena.read(offset, size) for offset, size in batch.blocks]
        except ValueError as error:
            raise ServingError(CODE_NO_ARENA, str(error)) from None
        raise ServingError(CODE_NO_ARENA, "shared memory cannot be reached")

    def add(self, request_id: int, outputs: Sequence[Any]) -> None:
        """Answer with the session's outputs."""
        try:
            tensors = [from_array(array, self.frames) for array in outputs]
        except ServingError as error:
            self.fail(request_id, error)
            return
        self.replies.append(Reply(request_id, 0, "", tensors))

    def fail(self, request_id: int, error: ServingError) -> None:
        """Answer with an error."""
        self.replies.append(Reply(request_id, error.code, error.message, []))


class _Ticket:
    """What a waiting task needs to be run and answered."""

    __slots__ = ("outbox", "request_id", "resident", "prepared", "input_bytes", "latency", "ran_us", "counts")

    def __init__(
        self,
        outbox: Outbox,
        request_id: int,
        resident: Resident,
        prepared: Prepared,
        input_bytes: int,
        latency: Histogram,
    ) -> None:
        self.outbox = outbox
        self.latency = latency
        self.counts: SignatureCounts | None = None
        # How long the graph ran, set by the thread that ran it; 0 in a batch.
        self.ran_us = 0.0
        self.request_id = request_id
        self.resident = resident
        self.prepared = prepared
        self.input_bytes = input_bytes


class _InlineCall(msgspec.Struct, gc=False):
    """A call on the loop's thread (a Struct for the speed of making one); `task` is set when it is adopted."""

    outbox: Any
    request_id: int
    resident: Any
    prepared: Any
    input_bytes: int
    arrays: list[Any]
    latency: Histogram
    task: Task | None


class Engine:
    """Takes requests, gives replies into the outboxes that they came with.

    Args:
        config: batching, limits.
        executor: for everything that is not cheap; its results come back through `finished`.
    """

    def __init__(self, config: WorkerConfig, executor: Executor) -> None:
        self._executor = executor
        self._max_outstanding = config.max_outstanding_requests
        self._batching = config.batching
        self._scheduler = BatchScheduler(config.batching.num_batch_threads) if config.batching else None
        # Without batching: versions that have requests waiting; each gets a turn, whatever the others have.
        self._turns: deque[Resident] = deque()
        self._running = 0
        self.outstanding = 0
        # Set by the worker; they refer to each other.
        self.residency: Residency
        self.takeover: Takeover

    # --- requests in ---

    def infer(self, outbox: Outbox, request: Infer, buffers: Sequence[Any]) -> None:
        """Run `request` now if it is cheap, else queue it."""
        try:
            resident = self.residency.available.get((request.model, request.version))
            if resident is None:
                # The front end's catalog is a moment old.
                raise ServingError(
                    CODE_GONE, f"Servable not found for request: Specific({request.model}, {request.version})"
                )
            servable = resident.servable
            assert servable is not None
            prepared = servable.prepared(request.signature, request.outputs)
            tensors = request.inputs
            arrays = [to_array(tensor, buffers) for tensor in tensors]
            if [tensor.dtype for tensor in tensors] != prepared.input_dtypes:
                prepared.refuse([tensor.dtype for tensor in tensors])
            input_bytes = sum([array.nbytes for array in arrays])
            latency = resident.counts.latencies[request.method]
            if self._scheduler is None:
                if prepared.modes.is_inline(input_bytes):
                    call = _InlineCall(outbox, request.id, resident, prepared, input_bytes, arrays, latency, None)
                    outbox.add(request.id, self._run_inline(call))
                    return
                rows = 0
            else:
                rows = check_inputs(arrays)
            if self.outstanding >= self._max_outstanding:
                raise ServingError(Code.UNAVAILABLE, f"the worker has {self.outstanding} requests outstanding already")
            ticket = _Ticket(outbox, request.id, resident, prepared, input_bytes, latency)
            self._enqueue(ticket, request, arrays, rows)
        except Exception as error:
            outbox.fail(request.id, as_serving_error(error))

    def _run_inline(self, call: _InlineCall) -> list[Any]:
        """Run a cheap graph on this thread.

        Raises:
            Deposed: it was not cheap this time, and another thread leads the loop by now.
        """
        token = self.takeover.enter(call)
        started_ns = monotonic_ns()
        outputs, error = None, None
        try:
            outputs = call.prepared.run(Lane.INLINE, call.arrays)
        except Exception as failure:
            error = failure
        if not self.takeover.leave(token):
            # Not its task, which `adopt` is perhaps about to make: it is there when a leader takes this.
            self._executor.hand_in(call, outputs, error)
            raise Deposed
        if error is not None:
            try:
                raise error
            finally:
                error = None  # its traceback leads back to this frame, and would keep the inputs
        ran_us = (monotonic_ns() - started_ns) / 1000
        call.prepared.modes.report_inline(call.input_bytes, ran_us)
        call.latency.observe(ran_us)
        assert outputs is not None
        return outputs

    def adopt(self, call: _InlineCall | tuple[Prepared, int]) -> None:
        """An inline call under way outlives its thread's leadership: from now on it is one of the executor's."""
        if isinstance(call, tuple):  # a batch, which is counted already
            call[0].modes.held_up(call[1])
            return
        call.prepared.modes.held_up(call.input_bytes)
        ticket = _Ticket(call.outbox, call.request_id, call.resident, call.prepared, call.input_bytes, call.latency)
        call.task = Task(call.arrays, 0, 0, ticket)
        call.task.enqueued_ns = monotonic_ns()
        self._count(call.task)
        self._running += 1

    def _count(self, task: Task) -> None:
        """A request waits or runs away from the loop's thread."""
        ticket: _Ticket = task.reply_to  # type: ignore[assignment]
        ticket.outbox.waiting[ticket.request_id] = task
        ticket.resident.in_flight += 1
        self.outstanding += 1

    def _enqueue(self, ticket: _Ticket, request: Infer, arrays: list[Any], rows: int) -> None:
        now_ns = monotonic_ns()
        ticket.counts = ticket.resident.counts.of(request.signature)
        deadline_ns = now_ns + request.timeout_us * 1000 if request.timeout_us else 0
        task = Task(arrays, rows, deadline_ns, ticket)
        if self._scheduler is None:
            task.enqueued_ns = now_ns
            waiting = ticket.resident.waiting
            if not waiting:
                self._turns.append(ticket.resident)
            waiting.append(task)
        else:
            resident = ticket.resident
            queues = resident.queues
            if queues is None:
                assert self._batching is not None
                queues = resident.queues = QueueTable(self._batching)
            self._scheduler.add(queues.get(ticket.prepared.key), task, now_ns)
        self._count(task)

    def cancel(self, outbox: Outbox, request_ids: Sequence[int]) -> None:
        """Drop requests whose client has gone, unless they run already."""
        for request_id in request_ids:
            task = outbox.waiting.get(request_id)
            if task is not None:
                task.cancel()

    def unloading(self, resident: Resident) -> None:
        """A version takes no more requests: run what waits for it at once."""
        if self._scheduler is not None and resident.queues is not None:
            resident.queues.remove_from(self._scheduler, monotonic_ns())

    # --- running ---

    def dispatch(self) -> int | None:
        """Start what can start now.

        Returns:
            When to call again if nothing else happens (monotonic nanoseconds), None for never.
        """
        if self._scheduler is None:
            while self._turns and self._running < self._executor.threads:
                resident = self._turns.popleft()
                task = resident.waiting.popleft()
                if resident.waiting:
                    self._turns.append(resident)
                self._start_single(task)
            return None
        return self._dispatch_batches(self._scheduler)

    def _start_single(self, task: Task) -> None:
        ticket: _Ticket = task.reply_to  # type: ignore[assignment]
        if task.cancelled:
            self._answer(task, ServingError(Code.CANCELLED, "the request was cancelled before it ran"))
            return
        now_ns = monotonic_ns()
        if 0 < task.deadline_ns <= now_ns:
            self._answer(task, ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded before the request ran"))
            return
        prepared, inputs, input_bytes = ticket.prepared, task.inputs, ticket.input_bytes
        if ticket.counts is not None:
            ticket.counts.waited(now_ns - task.enqueued_ns)
        lane = prepared.modes.choose(input_bytes)
        if lane == Lane.INLINE:  # found to be cheap while it waited; a thread is still the fair place
            lane = Lane.CALLER

        def job() -> list[Any]:
            started_ns = monotonic_ns()
            outputs = prepared.run(lane, inputs)
            ticket.ran_us = (monotonic_ns() - started_ns) / 1000
            prepared.modes.report(lane, input_bytes, ticket.ran_us)
            return outputs

        self._running += 1
        self._executor.submit(job, task)

    def _dispatch_batches(self, scheduler: BatchScheduler) -> int | None:
        while True:
            now_ns = monotonic_ns()
            batch = scheduler.take(now_ns)
            if scheduler.dropped:
                for task, error in scheduler.pop_dropped():
                    self._settle(task, error)
            if batch is None:
                return scheduler.next_wakeup_ns(now_ns)
            self._start_batch(scheduler, batch)

    def _start_batch(self, scheduler: BatchScheduler, batch: Batch) -> None:
        tasks = batch.tasks
        ticket: _Ticket = tasks[0].reply_to  # type: ignore[assignment]
        prepared = ticket.prepared
        config = batch.queue.config
        input_bytes = ticket.input_bytes * len(tasks)
        if ticket.counts is not None:
            padded_rows = target_rows(batch.rows, config.allowed_batch_sizes) - batch.rows
            ticket.counts.batched(tasks, len(prepared.input_names), padded_rows, monotonic_ns())

        lane = prepared.modes.choose(input_bytes)
        if lane == Lane.INLINE:
            token = self.takeover.enter((prepared, input_bytes))
            outcomes = run_batch(batch, prepared, lane, input_bytes)
            if not self.takeover.leave(token):
                self._executor.hand_in(batch, outcomes, None)
                raise Deposed
            scheduler.done(batch)
            self._settle_all(tasks, outcomes)
        else:
            self._executor.submit(lambda: run_batch(batch, prepared, lane, input_bytes), batch)

    # --- answers out ---

    def finished(self, context: Any, result: Any, error: BaseException | None) -> None:
        """Take a job's outcome from the executor."""
        task = context.task if isinstance(context, _InlineCall) else context
        if isinstance(task, Task):
            self._running -= 1
            self._answer(task, as_serving_error(error) if error is not None else result)
            return
        batch: Batch = context
        assert self._scheduler is not None
        self._scheduler.done(batch)
        if error is not None:
            result = [as_serving_error(error)] * len(batch.tasks)
        self._settle_all(batch.tasks, result)

    def _settle_all(self, tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> None:
        for task, outcome in zip(tasks, outcomes, strict=True):
            self._settle(task, outcome)

    def _settle(self, task: Task, outcome: Outcome) -> None:
        settled = settle(task, outcome)
        if settled is not None:
            self._answer(*settled)

    def _answer(self, task: Task, outcome: Outcome) -> None:
        ticket: _Ticket = task.reply_to  # type: ignore[assignment]
        outbox = ticket.outbox
        # A cancelled request is answered, too: the front end holds its inputs in shared memory until then.
        if outbox.waiting.pop(ticket.request_id, None) is not None:
            if isinstance(outcome, ServingError):
                outbox.fail(ticket.request_id, outcome)
            else:
                outbox.add(ticket.request_id, outcome)
                ticket.latency.observe(ticket.ran_us or (monotonic_ns() - task.enqueued_ns) / 1000)
        self.outstanding -= 1
        resident = ticket.resident
        resident.in_flight -= 1
        if not resident.in_flight:
            self.residency.release(resident)
