"""Runs one batch: its tasks' inputs together, their outputs apart."""

from __future__ import annotations

from time import monotonic_ns

from workers.batching import Batch
from workers.merge import merge, split, target_rows
from workers.run_mode import Lane
from workers.servable import Prepared
from workers.status import as_serving_error
from workers.task import Outcome, Task


def run_batch(batch: Batch, prepared: Prepared, lane: Lane, input_bytes: int) -> list[Outcome]:
    """The outcome of each of its tasks; how long the graph ran is reported to `prepared.modes`."""
    tasks = batch.tasks
    config = batch.queue.config
    try:
        target = target_rows(batch.rows, config.allowed_batch_sizes)
        inputs = merge(
            tasks,
            target,
            names=prepared.input_names,
            pad_variable_length=config.pad_variable_length_inputs,
        )
        started_ns = monotonic_ns()
        outputs = prepared.run(lane, inputs)
        ran_us = (monotonic_ns() - started_ns) / 1000
        if lane == Lane.INLINE:
            prepared.modes.report_inline(input_bytes, ran_us)
        else:
            prepared.modes.report(lane, input_bytes, ran_us)
    except Exception as error:
        if len(tasks) == 1:
            return [as_serving_error(error)]
    else:
        try:
            return list(split(outputs, tasks, target))
        except Exception as error:
            return [as_serving_error(error)] * len(tasks)
    # One request must not spoil the batch of others: each gets its own outcome.
    return [_run_alone(prepared, task, config.allowed_batch_sizes) for task in tasks]


def _run_alone(prepared: Prepared, task: Task, allowed: tuple[int, ...]) -> Outcome:
    try:
        target = target_rows(task.rows, allowed)
        inputs = merge([task], target, names=prepared.input_names)
        return split(prepared.run(Lane.CALLER, inputs), [task], target)[0]
    except Exception as error:
        return as_serving_error(error)
