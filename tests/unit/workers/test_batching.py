"""One batching queue: limits, capacity, timeouts, shape classes, dropped tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protos.configs import BatchingConfig
from protos.errors import Code, ServingError
from workers.batching import MAX_OPEN_BATCHES, BatchQueue, Dropped
from workers.task import Task, settle

US = 1000


def make_queue(**config: Any) -> BatchQueue:
    return BatchQueue("key", BatchingConfig(num_batch_threads=1, **config))


def make(rows: int, *, width: int = 1, deadline_ns: int = 0, name: object = None) -> Task:
    return Task([np.zeros((rows, width), np.float32)], rows, deadline_ns, name)


def rows_taken(queue: BatchQueue, now_ns: int = 0) -> list[list[int]]:
    """Rows of the tasks of all batches that may run."""
    dropped: Dropped = []
    batches = []
    while (batch := queue.take(now_ns, dropped)) is not None:
        assert batch.rows == sum(task.rows for task in batch.tasks)
        batches.append([task.rows for task in batch.tasks])
    assert not dropped
    return batches


def refusal(queue: BatchQueue, task: Task, now_ns: int = 0) -> tuple[int, str]:
    with pytest.raises(ServingError) as caught:
        queue.add(task, now_ns)
    return caught.value.code, caught.value.message


class TestBatches:
    @pytest.mark.parametrize(
        ("sizes", "batches"),
        [
            ([1], [[1]]),
            ([2, 2], [[2, 2]]),
            ([2, 2, 1], [[2, 2], [1]]),
            ([3, 2], [[3], [2]]),  # closed although small
            ([4, 4], [[4], [4]]),
            ([1, 4, 1], [[1], [4], [1]]),
        ],
    )
    def test_rows_up_to_max_batch_size(self, sizes: list[int], batches: list[list[int]]) -> None:
        queue = make_queue(max_batch_size=4)
        for size in sizes:
            queue.add(make(size), 0)
        assert rows_taken(queue) == batches
        assert queue.empty

    def test_too_large_a_task(self) -> None:
        queue = make_queue(max_batch_size=3)
        assert refusal(queue, make(4)) == (
            Code.INVALID_ARGUMENT,
            "Task size 4 is larger than maximum input batch size 3",
        )
        assert queue.empty

    def test_negative_limits_are_none(self) -> None:
        queue = make_queue(max_batch_size=-1, max_enqueued_batches=-1)
        for size in (5000, 6000):
            queue.add(make(size), 0)
        assert rows_taken(queue) == [[5000, 6000]]

    def test_enqueue_time_is_noted(self) -> None:
        queue = make_queue()
        task = make(1)
        queue.add(task, 123)
        assert task.enqueued_ns == 123


class TestTimeout:
    def test_an_under_full_batch_waits_from_its_first_task(self) -> None:
        queue = make_queue(max_batch_size=4, batch_timeout_micros=10)
        assert queue.next_wakeup_ns() is None
        queue.add(make(1), 100)
        queue.add(make(1), 5000)
        assert queue.next_wakeup_ns() == 100 + 10 * US
        assert not queue.ready(99 + 10 * US)
        assert queue.take(99 + 10 * US, []) is None
        assert queue.ready(100 + 10 * US)
        assert rows_taken(queue, 100 + 10 * US) == [[1, 1]]
        assert queue.next_wakeup_ns() is None

    def test_a_full_batch_does_not_wait(self) -> None:
        queue = make_queue(max_batch_size=4, batch_timeout_micros=10_000_000)
        queue.add(make(2), 0)
        assert not queue.ready(0)
        queue.add(make(2), 0)
        assert rows_taken(queue) == [[2, 2]]

    def test_a_closed_batch_does_not_wait_but_its_successor_does(self) -> None:
        queue = make_queue(max_batch_size=4, batch_timeout_micros=10)
        queue.add(make(3), 0)
        queue.add(make(2), 7)
        assert rows_taken(queue, 7) == [[3]]
        assert queue.next_wakeup_ns() == 7 + 10 * US
        assert rows_taken(queue, 7 + 10 * US) == [[2]]

    def test_without_timeout_a_batch_may_run_at_once(self) -> None:
        queue = make_queue(max_batch_size=4)
        queue.add(make(1), 50)
        assert queue.ready(50)


class TestCapacity:
    @staticmethod
    def full(count: int, limit: int) -> tuple[int, str]:
        return (
            Code.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full; currently "
            f"{count} batches enqueued and max_enqueued_batches is {limit}",
        )

    def test_refused_when_a_new_batch_would_be_needed(self) -> None:
        queue = make_queue(max_batch_size=4, max_enqueued_batches=2)
        for size in (4, 3):
            queue.add(make(size), 0)
        assert refusal(queue, make(2)) == self.full(2, 2)
        queue.add(make(1), 0)
        assert refusal(queue, make(1)) == self.full(2, 2)
        assert rows_taken(queue) == [[4], [3, 1]]

    @pytest.mark.parametrize("limit", [0, 1])
    def test_one_batch(self, limit: int) -> None:
        queue = make_queue(max_batch_size=4, max_enqueued_batches=limit, batch_timeout_micros=1000)
        queue.add(make(3), 0)
        assert refusal(queue, make(2)) == self.full(1, 1)
        queue.add(make(1), 0)
        assert refusal(queue, make(1)) == self.full(1, 1)

    def test_a_batch_taken_counts_no_more(self) -> None:
        queue = make_queue(max_batch_size=4, max_enqueued_batches=1)
        queue.add(make(4), 0)
        assert queue.take(0, []) is not None
        queue.add(make(4), 0)
        assert rows_taken(queue) == [[4]]

    def test_tasks_without_rows_count(self) -> None:
        queue = make_queue(max_batch_size=4, max_enqueued_batches=2)
        queue.add(make(0), 0)
        queue.add(make(0), 0)
        assert refusal(queue, make(0)) == self.full(2, 2)


class TestSplitting:
    @staticmethod
    def make_queue(**config: Any) -> BatchQueue:
        return make_queue(enable_large_batch_splitting=True, **config)

    @pytest.mark.parametrize(
        ("sizes", "batches"),
        [
            ([3], [[2], [1]]),
            ([1, 3], [[1, 1], [2]]),
            ([1, 4], [[1, 1], [2], [1]]),
            ([2, 3], [[2], [2], [1]]),
            ([1, 1, 1], [[1, 1], [1]]),
        ],
    )
    def test_pieces_fill_batches(self, sizes: list[int], batches: list[list[int]]) -> None:
        queue = self.make_queue(max_batch_size=4, max_execution_batch_size=2)
        for size in sizes:
            queue.add(make(size), 0)
        assert rows_taken(queue) == batches

    def test_input_limit(self) -> None:
        queue = self.make_queue(max_batch_size=3, max_execution_batch_size=2)
        assert refusal(queue, make(4))[1] == "Task size 4 is larger than maximum input batch size 3"

    @pytest.mark.parametrize(
        ("before", "rows", "capacity", "count", "open_rows"),
        [
            ([], 7, 6, 1, 0),
            ([1], 6, 5, 1, 1),
            ([2], 5, 4, 1, 2),
            ([3], 4, 3, 2, 1),
            ([4], 3, 2, 2, 2),
            ([6], 1, 0, 3, 2),
        ],
    )
    def test_capacity(self, before: list[int], rows: int, capacity: int, count: int, open_rows: int) -> None:
        queue = self.make_queue(
            max_batch_size=10, max_execution_batch_size=2, max_enqueued_batches=3, batch_timeout_micros=1_000_000
        )
        for size in before:
            queue.add(make(size), 0)
        assert refusal(queue, make(rows)) == (
            Code.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full; "
            f"task size is {rows} but scheduling capacity is only {capacity} (num_enqueued_batches={count}, "
            f"max_enqueued_batches=3, open_batch_size={open_rows}, max_execution_batch_size=2)",
        )
        if capacity:
            queue.add(make(capacity), 0)
            queue.close()
            assert sum(map(sum, rows_taken(queue))) == 6

    def test_a_dropped_piece_fails_the_whole_task_once(self) -> None:
        queue = self.make_queue(max_batch_size=4, max_execution_batch_size=2)
        task = make(4, deadline_ns=10)
        queue.add(task, 0)
        batch = queue.take(5, [])
        assert batch is not None
        assert settle(batch.tasks[0], [np.zeros(2)]) is None
        dropped: Dropped = []
        assert queue.take(10, dropped) is None
        [(piece, error)] = dropped
        assert settle(piece, error) == (task, error)


class TestShapeClasses:
    def test_odd_tasks_get_their_own_batch(self) -> None:
        queue = make_queue(max_batch_size=8)
        for name, width in enumerate([1, 2, 1, 2, 1]):
            queue.add(make(1, width=width, name=name), name)
        batches = [queue.take(9, []), queue.take(9, [])]
        assert [[task.reply_to for task in batch.tasks] for batch in batches if batch] == [[0, 2, 4], [1, 3]]
        assert queue.empty

    def test_with_padding_different_lengths_share_a_batch(self) -> None:
        queue = make_queue(max_batch_size=8, pad_variable_length_inputs=True)
        for width in (1, 2, 3):
            queue.add(make(1, width=width), 0)
        assert rows_taken(queue) == [[1, 1, 1]]

    def test_with_padding_a_rank_that_cannot_be_padded_is_refused(self) -> None:
        queue = make_queue(pad_variable_length_inputs=True)
        task = Task([np.zeros((1,) * 7)], 1, 0, None)
        assert refusal(queue, task) == (
            Code.INVALID_ARGUMENT,
            "Only tensors with rank from 1 to 6 can be padded.",
        )
        assert queue.empty

    def test_an_under_full_batch_of_another_class_does_not_use_up_the_queue(self) -> None:
        queue = make_queue(max_batch_size=4, max_enqueued_batches=1, batch_timeout_micros=1_000_000)
        queue.add(make(1, width=1), 0)
        queue.add(make(3, width=2), 0)
        assert refusal(queue, make(2, width=2))[0] == Code.UNAVAILABLE

    def test_a_busy_class_does_not_starve_another(self) -> None:
        queue = make_queue(max_batch_size=2, max_enqueued_batches=4, batch_timeout_micros=10)
        queue.add(make(1, width=9), 0)
        for now_ns in range(1, 4):
            queue.add(make(2), now_ns)
        batch = queue.take(10 * US, [])
        assert batch is not None
        assert batch.tasks[0].inputs[0].shape == (1, 9)

    def test_open_batches_are_bounded(self) -> None:
        queue = make_queue(max_batch_size=4, max_enqueued_batches=2, batch_timeout_micros=1_000_000)
        for width in range(MAX_OPEN_BATCHES):
            queue.add(make(1, width=width), width)
        assert not queue.ready(100)
        for width in (100, 101):
            queue.add(make(1, width=width), 100)
        # The two oldest had to make room, and that is as many as may wait.
        assert refusal(queue, make(1, width=102))[0] == Code.UNAVAILABLE
        queue.add(make(1, width=101), 100)
        widths = []
        while (batch := queue.take(100, [])) is not None:
            widths.append(batch.tasks[0].inputs[0].shape[1])
        assert widths == [0, 1]


class TestNoRows:
    def test_runs_alone_and_at_once(self) -> None:
        queue = make_queue(max_batch_size=4, batch_timeout_micros=1_000_000)
        queue.add(make(1), 0)
        queue.add(make(0), 1)
        queue.add(make(1), 2)
        assert rows_taken(queue, 3) == [[0]]
        assert not queue.empty
        queue.close()
        assert rows_taken(queue, 3) == [[1, 1]]


class TestDropping:
    def test_a_late_task_is_dropped_and_the_others_run(self) -> None:
        queue = make_queue(max_batch_size=4)
        late, fine = make(1, deadline_ns=10), make(2, deadline_ns=11)
        queue.add(late, 0)
        queue.add(fine, 0)
        dropped: Dropped = []
        batch = queue.take(10, dropped)
        assert batch is not None
        assert batch.tasks == [fine]
        assert batch.rows == 2
        [(task, error)] = dropped
        assert task is late
        assert error.code == Code.DEADLINE_EXCEEDED

    def test_when_all_are_late(self) -> None:
        queue = make_queue(max_batch_size=4)
        tasks = [make(1, deadline_ns=5), make(1, deadline_ns=7)]
        for task in tasks:
            queue.add(task, 0)
        dropped: Dropped = []
        assert queue.take(8, dropped) is None
        assert [task for task, _ in dropped] == tasks
        assert {(error.code, error.message) for _, error in dropped} == {
            (Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
        }
        assert queue.empty

    def test_the_next_batch_is_taken_instead(self) -> None:
        queue = make_queue(max_batch_size=2)
        queue.add(make(2, deadline_ns=5), 0)
        queue.add(make(2), 0)
        dropped: Dropped = []
        batch = queue.take(8, dropped)
        assert batch is not None
        assert batch.tasks[0].deadline_ns == 0
        assert len(dropped) == 1

    def test_a_cancelled_task_is_dropped(self) -> None:
        queue = make_queue(max_batch_size=4)
        gone, fine = make(1), make(1)
        queue.add(gone, 0)
        queue.add(fine, 0)
        gone.cancel()
        dropped: Dropped = []
        batch = queue.take(0, dropped)
        assert batch is not None
        assert batch.tasks == [fine]
        assert [(task, error.code) for task, error in dropped] == [(gone, Code.CANCELLED)]

    def test_a_task_without_deadline_never_expires(self) -> None:
        queue = make_queue(max_batch_size=4)
        queue.add(make(1), 0)
        assert rows_taken(queue, 1 << 62) == [[1]]


class TestClosing:
    def test_what_waits_may_run_at_once_and_nothing_is_added(self) -> None:
        queue = make_queue(max_batch_size=4, batch_timeout_micros=1_000_000)
        queue.add(make(1), 0)
        queue.add(make(1, width=2), 0)
        queue.close()
        assert refusal(queue, make(1))[0] == Code.UNAVAILABLE
        assert rows_taken(queue) == [[1], [1]]
        assert queue.idle
