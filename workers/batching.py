"""A batching queue: tasks in, batches out.

Pure bookkeeping: no threads, sockets or TensorFlow, and the clock (monotonic nanoseconds, never going back) is an
argument. One thread owns all of it. The rules are those of TensorFlow's shared batch scheduler as TensorFlow Serving
sets it up, with these differences:

- A batch only takes tasks of one `shape_class`, so that an odd request cannot spoil the batch of others. Each class has
  its own open batch, of which a queue has at most `MAX_OPEN_BATCHES`; one more class closes the oldest. Under-full
  open batches of other classes don't count against `max_enqueued_batches`: a task is refused only when it needs a new
  batch while that many full, closed or own ones wait. With one shape class this is upstream's rule.
- A task without rows runs alone, at once (upstream never runs it).
- Expired and cancelled tasks are dropped when their batch is taken, even when others of the batch are alive.

A task that was added comes back exactly once: in a batch, or as dropped.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Hashable

from protos.configs import BatchingConfig
from protos.errors import Code, ServingError, invalid_argument
from workers.merge import shape_class
from workers.task import Task, cut

# Open batches, which is to say shape classes with an under-full batch, that one queue holds.
MAX_OPEN_BATCHES = 32

Dropped = list[tuple[Task, ServingError]]


class Batch:
    """Tasks that run together.

    Attributes:
        queue: where it comes from.
        tasks: in order of arrival.
        rows: of all tasks together.
        opened_ns: when the first task came.
    """

    __slots__ = ("queue", "tasks", "rows", "opened_ns", "shape_class")

    def __init__(self, queue: BatchQueue, opened_ns: int, shape_class: Hashable) -> None:
        self.queue = queue
        self.tasks: list[Task] = []
        self.rows = 0
        self.opened_ns = opened_ns
        self.shape_class = shape_class

    def drop_dead(self, now_ns: int, dropped: Dropped) -> None:
        """Move expired and cancelled tasks to `dropped`, each with its error.

        When the whole batch has expired that is RESOURCE_EXHAUSTED, as upstream says; a single late task gets
        DEADLINE_EXCEEDED.
        """
        tasks = self.tasks
        live = [task for task in tasks if not (task.cancelled or 0 < task.deadline_ns <= now_ns)]
        if len(live) == len(tasks):
            return
        for task in tasks:
            if task.cancelled:
                dropped.append((task, ServingError(Code.CANCELLED, "The request was cancelled before it ran")))
            elif 0 < task.deadline_ns <= now_ns:
                if live:
                    error = ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded while waiting in batching queue")
                else:
                    error = ServingError(
                        Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue"
                    )
                dropped.append((task, error))
        self.tasks = live
        self.rows = sum([task.rows for task in live])


class BatchQueue:
    """The waiting tasks of one set of input and output tensors of one loaded version.

    Within a shape class tasks are taken in the order in which they came; among classes the batch that was opened first
    goes first. A batch has at most `max_batch_rows` rows.

    Attributes:
        key: whatever the owner tells queues apart by.
        config: the batching parameters.
        max_batch_rows: rows of the largest batch (`max_execution_batch_size` when large ones are split, else
            `max_batch_size`).
        timeout_ns: how long an under-full batch may wait for more.
        closed: no more tasks are taken, those that wait run at once.
        running: batches taken and not yet done; kept by the scheduler, as are `listed` and `armed`.
    """

    __slots__ = (
        "key",
        "config",
        "max_batch_rows",
        "timeout_ns",
        "closed",
        "running",
        "listed",
        "armed",
        "_max_task_rows",
        "_max_batches",
        "_split",
        "_pad",
        "_ready",
        "_open",
    )

    def __init__(self, key: Hashable, config: BatchingConfig) -> None:
        self.key = key
        self.config = config
        self.timeout_ns = config.batch_timeout_micros * 1000
        self.closed = False
        self.running = 0
        self.listed = False
        self.armed = False
        self._split = config.enable_large_batch_splitting
        self._pad = config.pad_variable_length_inputs
        self._max_task_rows = _unsigned(config.max_batch_size)
        self.max_batch_rows = _unsigned(config.max_execution_batch_size) if self._split else self._max_task_rows
        self._max_batches = max(1, _unsigned(config.max_enqueued_batches))
        # Full and closed batches in the order in which they became so.
        self._ready: deque[Batch] = deque()
        # Under-full batches by shape class, oldest first.
        self._open: dict[Hashable, Batch] = {}

    def add(self, task: Task, now_ns: int) -> None:
        """Queue `task`; its owner goes through `BatchScheduler.add`.

        Raises:
            ServingError: INVALID_ARGUMENT, it can never run; UNAVAILABLE, the queue is full or closed. Nothing has been
                queued then.
        """
        rows = task.rows
        if rows > self._max_task_rows:
            raise invalid_argument(f"Task size {rows} is larger than maximum input batch size {self._max_task_rows}")
        if self.closed:
            raise ServingError(
                Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is closed"
            )
        task.enqueued_ns = now_ns
        if rows == 0:
            self._add_empty(task, now_ns)
            return
        inputs_class = shape_class(task.inputs, pad_variable_length=self._pad)
        batch = self._open.get(inputs_class)
        if batch is not None:
            total = batch.rows + rows
            if total < self.max_batch_rows:
                batch.tasks.append(task)
                batch.rows = total
                return
        if not self._split:
            if batch is None or batch.rows + rows > self.max_batch_rows:
                self._check_room_for_batch(batch)
            self._append(task, inputs_class, now_ns)
            return
        self._check_room_for_rows(rows, batch)
        room = self.max_batch_rows - batch.rows if batch is not None else 0
        for part in cut(task, first=room, limit=self.max_batch_rows):
            part.enqueued_ns = now_ns
            self._append(part, inputs_class, now_ns)

    def _append(self, task: Task, inputs_class: Hashable, now_ns: int) -> None:
        """Put `task` in the open batch of its class, or in a new one when it doesn't fit."""
        opened = self._open
        batch = opened.get(inputs_class)
        if batch is not None and batch.rows + task.rows > self.max_batch_rows:
            self._ready.append(opened.pop(inputs_class))
            batch = None
        if batch is None:
            if len(opened) >= MAX_OPEN_BATCHES:
                self._ready.append(opened.pop(next(iter(opened))))
            batch = opened[inputs_class] = Batch(self, now_ns, inputs_class)
        batch.tasks.append(task)
        batch.rows += task.rows
        if batch.rows >= self.max_batch_rows:
            self._ready.append(opened.pop(inputs_class))

    def _add_empty(self, task: Task, now_ns: int) -> None:
        self._check_room_for_batch(None)
        batch = Batch(self, now_ns, None)
        batch.tasks.append(task)
        self._ready.append(batch)

    def _check_room_for_batch(self, own: Batch | None) -> None:
        count = len(self._ready) + (own is not None)
        if count >= self._max_batches:
            raise ServingError(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{count} batches enqueued and max_enqueued_batches is {self._max_batches}",
            )

    def _check_room_for_rows(self, rows: int, own: Batch | None) -> None:
        limit = self.max_batch_rows
        # Upstream always has a last batch that counts, be it empty or full.
        if own is not None:
            count, open_rows = len(self._ready) + 1, own.rows
        elif self._ready:
            count, open_rows = len(self._ready), limit
        else:
            count, open_rows = 1, 0
        capacity = max(0, (self._max_batches - count) * limit + limit - open_rows)
        if rows > capacity:
            raise ServingError(
                Code.UNAVAILABLE,
                f"The batch scheduling queue to which this task was submitted is full; task size is {rows} but "
                f"scheduling capacity is only {capacity} (num_enqueued_batches={count}, "
                f"max_enqueued_batches={self._max_batches}, open_batch_size={open_rows}, "
                f"max_execution_batch_size={limit})",
            )

    @property
    def empty(self) -> bool:
        """Nothing waits here."""
        return not self._ready and not self._open

    @property
    def idle(self) -> bool:
        """Nothing waits here and nothing from here runs."""
        return not self.running and self.empty

    def next_wakeup_ns(self) -> int | None:
        """When the oldest open batch has waited long enough; None without an open batch."""
        for batch in self._open.values():
            return batch.opened_ns + self.timeout_ns
        return None

    def ready(self, now_ns: int) -> bool:
        """Whether a batch may run: a full or closed one, or an open one that has waited long enough."""
        return bool(self._ready) or self._open_is_due(now_ns)

    def _open_is_due(self, now_ns: int) -> bool:
        # Open batches are in order of age: when the first is not due, none is.
        for batch in self._open.values():
            return self.closed or now_ns >= batch.opened_ns + self.timeout_ns
        return False

    def take(self, now_ns: int, dropped: Dropped) -> Batch | None:
        """The next batch that may run, with at least one task, all alive; None when there is none.

        Expired and cancelled tasks met on the way are appended to `dropped`.
        """
        while (batch := self._pop(now_ns)) is not None:
            batch.drop_dead(now_ns, dropped)
            if batch.tasks:
                return batch
        return None

    def _pop(self, now_ns: int) -> Batch | None:
        ready, opened = self._ready, self._open
        if not self._open_is_due(now_ns):
            return ready.popleft() if ready else None
        oldest = next(iter(opened.values()))
        # By age, so that a busy shape class does not starve the others.
        if ready and ready[0].opened_ns <= oldest.opened_ns:
            return ready.popleft()
        del opened[oldest.shape_class]
        return oldest

    def close(self) -> None:
        """Take no more tasks; what waits may run at once."""
        self.closed = True


def _unsigned(value: int) -> int:
    """A limit as upstream reads it: a negative one is converted to a huge number."""
    return value if value >= 0 else sys.maxsize
