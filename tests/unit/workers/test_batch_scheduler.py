"""Many queues: turns, threads, timers, removal; and that no task is ever lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protos.configs import BatchingConfig
from protos.errors import Code, ServingError
from workers.batch_scheduler import MAX_QUEUES, BatchScheduler, QueueTable
from workers.batching import Batch, BatchQueue
from workers.task import Task, settle

US = 1000


def make_queue(key: str = "key", **config: Any) -> BatchQueue:
    return BatchQueue(key, BatchingConfig(num_batch_threads=1, **config))


def make(rows: int, *, width: int = 1, deadline_ns: int = 0, name: object = None) -> Task:
    return Task([np.zeros((rows, width), np.float32)], rows, deadline_ns, name)


def test_threads_must_be_positive() -> None:
    with pytest.raises(ServingError) as caught:
        BatchScheduler(0)
    assert (caught.value.code, caught.value.message) == (
        Code.INVALID_ARGUMENT,
        "num_batch_threads must be positive; was 0",
    )


def test_one_batch_a_turn_among_queues() -> None:
    scheduler = BatchScheduler(100)
    a, b, c = (make_queue(key, max_batch_size=1) for key in "abc")
    for queue, count in ((a, 3), (b, 1), (c, 2)):
        for _ in range(count):
            scheduler.add(queue, make(1), 0)
    turns = []
    while (batch := scheduler.take(0)) is not None:
        turns.append(batch.queue.key)
    assert turns == ["a", "b", "c", "a", "c", "a"]


def test_a_queue_that_becomes_busy_joins_the_end_of_the_round() -> None:
    scheduler = BatchScheduler(100)
    a, b, c = (make_queue(key, max_batch_size=1) for key in "abc")
    for queue in (a, a, b):
        scheduler.add(queue, make(1), 0)
    turns = []
    while (batch := scheduler.take(0)) is not None:
        if not turns:
            scheduler.add(c, make(1), 0)
        turns.append(batch.queue.key)
    assert turns == ["a", "b", "a", "c"]


def test_no_more_batches_than_threads() -> None:
    scheduler = BatchScheduler(2)
    queue = make_queue(max_batch_size=1)
    for _ in range(3):
        scheduler.add(queue, make(1), 0)
    first, second = scheduler.take(0), scheduler.take(0)
    assert first is not None and second is not None
    assert scheduler.take(0) is None
    assert scheduler.next_wakeup_ns(0) is None
    scheduler.done(first)
    assert scheduler.next_wakeup_ns(0) == 0
    assert scheduler.take(0) is not None


def test_requests_pile_up_while_threads_are_busy() -> None:
    scheduler = BatchScheduler(1)
    queue = make_queue(max_batch_size=8)
    scheduler.add(queue, make(1), 0)
    running = scheduler.take(0)
    assert running is not None and running.rows == 1
    for now_ns in range(1, 6):
        scheduler.add(queue, make(1), now_ns)
        assert scheduler.take(now_ns) is None
    scheduler.done(running)
    batch = scheduler.take(6)
    assert batch is not None and batch.rows == 5


def test_two_requests_fill_a_batch_long_before_the_timeout() -> None:
    scheduler = BatchScheduler(2)
    queue = make_queue(max_batch_size=4, batch_timeout_micros=10_000_000)
    scheduler.add(queue, make(2), 0)
    assert scheduler.take(1) is None
    scheduler.add(queue, make(2), 2)
    batch = scheduler.take(2)
    assert batch is not None and [task.rows for task in batch.tasks] == [2, 2]


class TestTimers:
    def test_wakes_for_the_earliest_timeout(self) -> None:
        scheduler = BatchScheduler(4)
        slow = make_queue("slow", max_batch_size=4, batch_timeout_micros=100)
        fast = make_queue("fast", max_batch_size=4, batch_timeout_micros=10)
        assert scheduler.next_wakeup_ns(0) is None
        scheduler.add(slow, make(1), 0)
        scheduler.add(fast, make(1), 0)
        assert scheduler.next_wakeup_ns(0) == 10 * US
        assert scheduler.take(10 * US - 1) is None
        batch = scheduler.take(10 * US)
        assert batch is not None and batch.queue is fast
        assert scheduler.next_wakeup_ns(10 * US) == 100 * US
        batch = scheduler.take(100 * US)
        assert batch is not None and batch.queue is slow
        assert scheduler.next_wakeup_ns(100 * US) is None

    def test_a_timer_moves_on_when_its_batch_ran_early(self) -> None:
        scheduler = BatchScheduler(4)
        queue = make_queue(max_batch_size=2, batch_timeout_micros=10)
        scheduler.add(queue, make(1), 0)
        scheduler.add(queue, make(1), 5)
        assert scheduler.next_wakeup_ns(5) == 5
        assert scheduler.take(5) is not None
        assert scheduler.next_wakeup_ns(5) is None
        scheduler.add(queue, make(1), 6)
        assert scheduler.next_wakeup_ns(6) == 6 + 10 * US
        assert scheduler.take(10 * US) is None
        assert scheduler.take(6 + 10 * US) is not None

    def test_a_queue_is_timed_again_after_its_timeout(self) -> None:
        scheduler = BatchScheduler(4)
        queue = make_queue(max_batch_size=2, batch_timeout_micros=10)
        for start_ns in (0, 50 * US):
            scheduler.add(queue, make(1), start_ns)
            assert scheduler.next_wakeup_ns(start_ns) == start_ns + 10 * US
            assert scheduler.take(start_ns + 10 * US) is not None

    def test_the_open_batch_behind_a_full_one_has_its_own_timeout(self) -> None:
        scheduler = BatchScheduler(4)
        queue = make_queue(max_batch_size=2, batch_timeout_micros=10)
        for now_ns in range(3):
            scheduler.add(queue, make(1), now_ns)
        assert scheduler.take(3) is not None
        assert scheduler.take(3) is None
        assert scheduler.next_wakeup_ns(3) == 2 + 10 * US


def test_dropped_tasks_are_handed_out_once() -> None:
    scheduler = BatchScheduler(1)
    first, second = make_queue("first"), make_queue("second")
    late = make(1, deadline_ns=5)
    scheduler.add(first, late, 0)
    scheduler.add(second, make(1), 0)
    batch = scheduler.take(6)
    assert batch is not None and batch.queue is second
    assert [(task, error.message) for task, error in scheduler.pop_dropped()] == [
        (late, "Run() timeout exceeded while waiting in batching queue")
    ]
    assert scheduler.pop_dropped() == []
    assert first.idle


def test_a_removed_queue_runs_empty() -> None:
    scheduler = BatchScheduler(4)
    queue = make_queue(max_batch_size=4, batch_timeout_micros=10_000_000)
    scheduler.add(queue, make(1), 0)
    assert scheduler.take(1) is None
    scheduler.remove_queue(queue, 1)
    assert not queue.idle
    with pytest.raises(ServingError):
        scheduler.add(queue, make(1), 1)
    batch = scheduler.take(1)
    assert batch is not None
    assert not queue.idle
    scheduler.done(batch)
    assert queue.idle
    assert scheduler.next_wakeup_ns(1) is None


class TestQueueTable:
    def test_one_queue_for_each_set_of_tensors(self) -> None:
        table = QueueTable(BatchingConfig(num_batch_threads=1, max_batch_size=7))
        both = table.get((("x:0",), ("y:0", "z:0")))
        assert table.get((("x:0",), ("y:0", "z:0"))) is both
        assert table.get((("x:0",), ("y:0",))) is not both
        assert both.config.max_batch_size == 7

    def test_idle_queues_make_room(self) -> None:
        table = QueueTable(BatchingConfig(num_batch_threads=1))
        busy = table.get("busy")
        busy.add(make(1), 0)
        for number in range(2 * MAX_QUEUES):
            table.get(number)
        assert table.get("busy") is busy
        assert not table.idle

    def test_bounded(self) -> None:
        table = QueueTable(BatchingConfig(num_batch_threads=1))
        scheduler = BatchScheduler(1)
        for number in range(MAX_QUEUES):
            scheduler.add(table.get(number), make(1), 0)
        with pytest.raises(ServingError) as caught:
            table.get("one more")
        assert caught.value.code == Code.UNAVAILABLE
        table.remove_from(scheduler, 0)
        while (batch := scheduler.take(0)) is not None:
            scheduler.done(batch)
        assert table.idle


class SchedulerMachine(RuleBasedStateMachine):
    """Random adds, cancels, takes and ends of batches against what must always hold."""

    @initialize(
        threads=st.integers(1, 3),
        timeout_us=st.sampled_from([0, 2, 2]),
        limit=st.integers(2, 5),
        splitting=st.booleans(),
        padding=st.booleans(),
        max_batches=st.integers(1, 3),
    )
    def start(
        self, threads: int, timeout_us: int, limit: int, splitting: bool, padding: bool, max_batches: int
    ) -> None:
        self.now = 1
        self.threads = threads
        self.scheduler = BatchScheduler(threads)
        self.limit = limit
        self.queues = [
            make_queue(
                str(number),
                max_batch_size=limit * (3 if splitting else 1),
                max_execution_batch_size=limit,
                enable_large_batch_splitting=splitting,
                pad_variable_length_inputs=padding,
                max_enqueued_batches=max_batches,
                batch_timeout_micros=timeout_us * (number + 1),
            )
            for number in range(3)
        ]
        self.running: list[Batch] = []
        self.waiting: dict[int, Task] = {}
        self.answered: set[int] = set()
        self.last_taken: dict[object, int] = {}
        self.count = 0

    @rule(
        queue=st.integers(0, 2),
        rows=st.sampled_from([1, 1, 1, 2, 3, 0, 5, 9]),
        width=st.integers(1, 2),
        patience_ns=st.sampled_from([0, 0, 1500, 9000]),
    )
    def add(self, queue: int, rows: int, width: int, patience_ns: int) -> None:
        self.count += 1
        task = make(
            rows, width=width, deadline_ns=self.now + patience_ns if patience_ns else 0, name=(self.count, queue, width)
        )
        try:
            self.scheduler.add(self.queues[queue], task, self.now)
        except ServingError as error:
            assert error.code in (Code.UNAVAILABLE, Code.INVALID_ARGUMENT)
        else:
            self.waiting[self.count] = task

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.waiting[data.draw(st.sampled_from(sorted(self.waiting)))].cancel()

    @rule(step_ns=st.sampled_from([1, 1000, 4000]))
    def tick(self, step_ns: int) -> None:
        self.now += step_ns

    def settle(self, task: Task, outcome: list[np.ndarray] | ServingError) -> None:
        settled = settle(task, outcome)
        if settled is None:
            return
        number = settled[0].reply_to[0]  # type: ignore[index]
        assert number not in self.answered
        self.answered.add(number)
        del self.waiting[number]
        if isinstance(settled[1], list):
            np.testing.assert_array_equal(settled[1][0], settled[0].inputs[0])

    def check_batch(self, batch: Batch) -> None:
        assert batch.tasks
        assert batch.rows == sum(task.rows for task in batch.tasks) <= self.limit
        assert batch.rows or len(batch.tasks) == 1
        for task in batch.tasks:
            assert not task.cancelled
            assert not task.deadline_ns or task.deadline_ns > self.now
            number, _, width = task.reply_to  # type: ignore[misc]
            padding = batch.queue.config.pad_variable_length_inputs
            if task.rows:
                # Of one shape class and in order of arrival (pieces of one task share its number).
                key = (batch.queue.key, None if padding else width)
                assert self.last_taken.get(key, 0) <= number
                self.last_taken[key] = number

    @rule()
    def take(self) -> None:
        while (batch := self.scheduler.take(self.now)) is not None:
            self.check_batch(batch)
            self.running.append(batch)
        for task, error in self.scheduler.pop_dropped():
            assert task.cancelled or task.deadline_ns <= self.now
            self.settle(task, error)
        if len(self.running) < self.threads:
            # Capacity is free: whatever has waited out its queue's timeout has been taken.
            for task in self.waiting.values():
                queue = self.queues[task.reply_to[1]]  # type: ignore[index]
                overdue = task.rows and self.now >= task.enqueued_ns + queue.timeout_ns
                assert not overdue or self.is_running(task)
            due_ns = self.scheduler.next_wakeup_ns(self.now)
            dues = [due for queue in self.queues if (due := queue.next_wakeup_ns()) is not None]
            assert due_ns == min(dues, default=None)

    def is_running(self, task: Task) -> bool:
        return any(task.reply_to == other.reply_to for batch in self.running for other in batch.tasks)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.scheduler.done(batch)
        for task in batch.tasks:
            self.settle(task, task.inputs)

    @invariant()
    def threads_are_not_exceeded(self) -> None:
        if hasattr(self, "scheduler"):
            assert self.scheduler.running == len(self.running) <= self.threads

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for queue in self.queues:
            self.scheduler.remove_queue(queue, self.now)
        while True:
            self.take()
            if not self.running:
                break
            for batch in self.running:
                self.scheduler.done(batch)
                for task in batch.tasks:
                    self.settle(task, task.inputs)
            self.running.clear()
        assert not self.waiting, "a task was lost"
        assert all(queue.idle for queue in self.queues)


SchedulerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestScheduler = SchedulerMachine.TestCase
