"""Which batch of many queues runs next, and the queues of one version.

As `batching`: no threads, sockets or TensorFlow, the clock is an argument, and one thread owns it all.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable

from protos.configs import BatchingConfig
from protos.errors import Code, ServingError, invalid_argument
from workers.batching import Batch, BatchQueue, Dropped
from workers.task import Task

# Queues of one version: its signatures and the sets of outputs that clients ask for.
MAX_QUEUES = 256


class BatchScheduler:
    """Which batch of many queues runs next: round-robin among queues that have one, one batch a turn.

    At most `num_batch_threads` batches run at a time. A queue joins the end of the round when it gets a batch that may
    run. All calls cost O(1), or O(log n) in the queues that wait for a timeout; idle queues cost nothing.

    Attributes:
        running: batches taken and not yet done.
        dropped: tasks that will not run, with their errors; the owner answers and clears them after every `take`
            (see `pop_dropped`).
    """

    __slots__ = ("running", "dropped", "_num_threads", "_round", "_timers", "_sequence")

    def __init__(self, num_batch_threads: int) -> None:
        if num_batch_threads < 1:
            raise invalid_argument(f"num_batch_threads must be positive; was {num_batch_threads}")
        self.running = 0
        self.dropped: Dropped = []
        self._num_threads = num_batch_threads
        # Queues that have a batch that may run (`listed`), next first.
        self._round: deque[BatchQueue] = deque()
        # At most one entry a queue (`armed`), never later than its next timeout; the number settles ties.
        self._timers: list[tuple[int, int, BatchQueue]] = []
        self._sequence = 0

    def add(self, queue: BatchQueue, task: Task, now_ns: int) -> None:
        """Queue `task` in `queue`; raises as `BatchQueue.add`."""
        queue.add(task, now_ns)
        if not queue.listed:
            self._watch(queue, now_ns)

    def _watch(self, queue: BatchQueue, now_ns: int) -> None:
        """See that a queue that is not in the round gets there in time."""
        if queue.ready(now_ns):
            queue.listed = True
            self._round.append(queue)
        elif not queue.armed:
            due_ns = queue.next_wakeup_ns()
            if due_ns is not None:
                self._arm(queue, due_ns)

    def _arm(self, queue: BatchQueue, due_ns: int) -> None:
        queue.armed = True
        self._sequence += 1
        heapq.heappush(self._timers, (due_ns, self._sequence, queue))

    def _fire_timers(self, now_ns: int) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now_ns:
            queue = heapq.heappop(timers)[2]
            queue.armed = False
            if not queue.listed:
                self._watch(queue, now_ns)

    def take(self, now_ns: int) -> Batch | None:
        """The batch to run now; None when none is due or `num_batch_threads` are running.

        Every batch taken must be given back with `done`.
        """
        if self.running >= self._num_threads:
            return None
        if self._timers:
            self._fire_timers(now_ns)
        turn = self._round
        while turn:
            queue = turn.popleft()
            queue.listed = False
            batch = queue.take(now_ns, self.dropped)
            self._watch(queue, now_ns)
            if batch is not None:
                queue.running += 1
                self.running += 1
                return batch
        return None

    def done(self, batch: Batch) -> None:
        """A batch has run: another may."""
        batch.queue.running -= 1
        self.running -= 1

    def pop_dropped(self) -> Dropped:
        """The tasks dropped since the last call, each with the error to answer with."""
        dropped = self.dropped
        if dropped:
            self.dropped = []
        return dropped

    def next_wakeup_ns(self, now_ns: int) -> int | None:
        """When to call `take` again if nothing else happens (no `add`, `done` or `remove_queue`).

        That is `now_ns` when a batch may run already, and None when there is nothing to wait for: nothing queued, or
        all threads busy.
        """
        if self.running >= self._num_threads:
            return None
        timers = self._timers
        self._fire_timers(now_ns)
        if self._round:
            return now_ns
        while timers:
            due_ns, _, queue = timers[0]
            actual_ns = queue.next_wakeup_ns()
            if actual_ns == due_ns:
                return due_ns
            # The batch that the timer was set for has gone.
            heapq.heappop(timers)
            queue.armed = False
            if actual_ns is not None:
                self._arm(queue, actual_ns)
        return None

    def remove_queue(self, queue: BatchQueue, now_ns: int) -> None:
        """Close `queue`: what waits in it is scheduled at once. It is through when `queue.idle`."""
        queue.close()
        if not queue.listed:
            self._watch(queue, now_ns)


class QueueTable:
    """The queues of one version by key, made when first asked for, at most `MAX_QUEUES`.

    When there are so many, an idle one makes room; so clients that ask for ever other sets of outputs cannot fill the
    memory.
    """

    __slots__ = ("_config", "_queues")

    def __init__(self, config: BatchingConfig) -> None:
        self._config = config
        self._queues: dict[Hashable, BatchQueue] = {}

    def get(self, key: Hashable) -> BatchQueue:
        """The queue of `key`.

        Raises:
            ServingError: UNAVAILABLE, there are too many queues and all are in use.
        """
        queue = self._queues.get(key)
        if queue is None:
            if len(self._queues) >= MAX_QUEUES:
                self._evict()
            queue = self._queues[key] = BatchQueue(key, self._config)
        return queue

    def _evict(self) -> None:
        for key, queue in self._queues.items():
            if queue.idle:
                del self._queues[key]
                return
        raise ServingError(
            Code.UNAVAILABLE,
            f"Requests for {MAX_QUEUES} different sets of inputs and outputs are being batched already",
        )

    @property
    def idle(self) -> bool:
        """Nothing of this version waits or runs."""
        return all(queue.idle for queue in self._queues.values())

    def remove_from(self, scheduler: BatchScheduler, now_ns: int) -> None:
        """Close all queues, which then run empty; `idle` tells when."""
        for queue in self._queues.values():
            scheduler.remove_queue(queue, now_ns)
