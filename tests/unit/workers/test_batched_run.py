"""Scheduler, merge and split together, around a model that computes y = x / 2 + 2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protos.configs import BatchingConfig
from protos.errors import Code, ServingError
from workers.batch_scheduler import BatchScheduler
from workers.batching import BatchQueue
from workers.merge import check_inputs, merge, split, target_rows
from workers.task import Array, Outcome, Task, settle


def half_plus_two(inputs: list[Array]) -> list[Array]:
    return [inputs[0] / np.float32(2) + np.float32(2)]


def serve(requests: list[Any], **config: Any) -> tuple[list[Any], list[int]]:
    """Answers to requests that come together, as lists or errors, and the rows that the model was run with."""
    settings = BatchingConfig(num_batch_threads=1, **config)
    scheduler, queue = BatchScheduler(1), BatchQueue("q", settings)
    answers: list[Any] = [None] * len(requests)
    runs: list[int] = []

    def finish(task: Task, outcome: Outcome) -> None:
        settled = settle(task, outcome)
        if settled is not None:
            whole, result = settled
            assert isinstance(whole.reply_to, int)
            answers[whole.reply_to] = result if isinstance(result, ServingError) else result[0].tolist()

    for number, request in enumerate(requests):
        inputs = [np.asarray(request, np.float32)]
        try:
            scheduler.add(queue, Task(inputs, check_inputs(inputs), 0, number), 0)
        except ServingError as error:
            answers[number] = error
    scheduler.remove_queue(queue, 0)
    while (batch := scheduler.take(0)) is not None:
        target = target_rows(batch.rows, settings.allowed_batch_sizes)
        merged = merge(batch.tasks, target, names=["x"], pad_variable_length=settings.pad_variable_length_inputs)
        runs.append(merged[0].shape[0])
        for task, outputs in zip(batch.tasks, split(half_plus_two(merged), batch.tasks, target), strict=True):
            finish(task, outputs)
        scheduler.done(batch)
    assert queue.idle
    return answers, runs


def plain(request: Any) -> Any:
    return half_plus_two([np.asarray(request, np.float32)])[0].tolist()


ROWS_3 = np.arange(12).reshape(3, 2, 2).tolist()


@pytest.mark.parametrize(
    ("requests", "config", "runs"),
    [
        ([[10, 20], [30, 40]], {"max_batch_size": 4}, [4]),
        ([[1, 2]], {"max_batch_size": 4, "allowed_batch_sizes": (2, 4)}, [2]),
        ([[1, 2]], {"max_batch_size": 4, "allowed_batch_sizes": (1, 3, 4)}, [3]),
        ([[1], [2, 3]], {"max_batch_size": 4, "allowed_batch_sizes": (1, 4)}, [4]),
        # Two shapes: two batches, where upstream fails both.
        ([[[[1]]] * 3, [[5, 6]]], {"max_batch_size": 4}, [3, 1]),
        (
            [[[[1, 2], [3, 4]]], ROWS_3],
            {"max_batch_size": 3, "enable_large_batch_splitting": True, "max_execution_batch_size": 2},
            [2, 2],
        ),
        (
            [[[[1]]] * 3, [[5, 6]]],
            {"max_batch_size": 3, "enable_large_batch_splitting": True, "max_execution_batch_size": 2},
            [2, 1, 1],
        ),
        ([[], [1, 2]], {"max_batch_size": 4, "allowed_batch_sizes": (4,)}, [0, 4]),
    ],
)
def test_answers_are_those_without_batching(requests: list[Any], config: dict[str, Any], runs: list[int]) -> None:
    answers, ran = serve(requests, **config)
    assert answers == [plain(request) for request in requests]
    assert ran == runs


def test_variable_length_outputs_stay_padded() -> None:
    small = [[[1, 2], [3, 4]]]
    large = [[[5, 6, 7], [8, 9, 10], [11, 12, 13]]]
    answers, runs = serve([small, large], max_batch_size=2, pad_variable_length_inputs=True)
    assert answers[0] == [[[2.5, 3, 2.5], [3.5, 4, 2.5], [2.5, 2.5, 2.5]]]
    assert answers[1] == plain(large)
    assert runs == [2]


def test_too_many_rows() -> None:
    answers, runs = serve([[1, 2, 3, 4], [5]], max_batch_size=3)
    assert answers[0].code == Code.INVALID_ARGUMENT
    assert answers[0].message == "Task size 4 is larger than maximum input batch size 3"
    assert answers[1] == plain([5])
    assert runs == [1]
