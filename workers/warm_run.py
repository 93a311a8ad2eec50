"""Runs one request on a version that is not available yet, as the engine would if it came alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Any

from protos.configs import BatchingConfig
from protos.errors import Code, ServingError
from protos.messages import Tensor
from workers.batch_run import run_batch
from workers.batch_scheduler import BatchScheduler
from workers.batching import BatchQueue
from workers.merge import check_inputs
from workers.run_mode import INLINE_LIMIT_US, Lane
from workers.servable import Prepared, Servable
from workers.task import Task, settle
from workers.tensors import to_array
from workers.tflite import TfliteServable


class GivenUp(Exception):
    """Nobody wants the version any more."""


class Runner:
    """Runs inputs as the engine would if they came alone."""

    def __init__(
        self, servable: Servable | TfliteServable, batching: BatchingConfig | None, wanted: Callable[[], bool]
    ) -> None:
        self._servable = servable
        self._batching = batching
        self._wanted = wanted
        # The least time that a run of each has taken.
        self._least_us: dict[Prepared, float] = {}

    def run(self, signature: str, outputs: tuple[int, ...], inputs: Sequence[Tensor]) -> list[Any]:
        """The outputs at the given positions, all when there are none.

        Raises:
            ServingError: the version cannot run these.
            tf.errors.OpError: what a kernel said.
            GivenUp: the version isn't wanted.
        """
        if not self._wanted():
            raise GivenUp
        prepared = self._servable.prepared(signature, outputs)
        arrays = [to_array(tensor, ()) for tensor in inputs]
        dtypes = [tensor.dtype for tensor in inputs]
        if dtypes != prepared.input_dtypes:
            prepared.refuse(dtypes)
        started_ns = monotonic_ns()
        outcome = self._run_batched(prepared, arrays) if self._batching is not None else _run(prepared, arrays)
        ran_us = (monotonic_ns() - started_ns) / 1000
        self._least_us[prepared] = min(ran_us, self._least_us.get(prepared, ran_us))
        return outcome

    def _run_batched(self, prepared: Prepared, arrays: list[Any]) -> list[Any]:
        """As batches of this one request: padded to an allowed size, cut when it is too large."""
        assert self._batching is not None
        scheduler, queue = BatchScheduler(1), BatchQueue(prepared.key, self._batching)
        task = Task(arrays, check_inputs(arrays), 0, None)
        scheduler.add(queue, task, 0)
        scheduler.remove_queue(queue, 0)  # a closed queue waits for nothing
        input_bytes = sum(array.nbytes for array in arrays)
        whole = None
        while (batch := scheduler.take(0)) is not None:
            outcomes = run_batch(batch, prepared, _lane(prepared, input_bytes), input_bytes)
            scheduler.done(batch)
            for part, outcome in zip(batch.tasks, outcomes, strict=True):
                whole = settle(part, outcome) or whole
        if whole is None:
            raise ServingError(Code.INTERNAL, "a warmup request was never run")
        if isinstance(whole[1], ServingError):
            raise whole[1]
        return whole[1]

    def prepare_pool(self) -> None:
        """Make the callables of the lane that serving will try with graphs that are not cheap; they are not run."""
        if isinstance(self._servable, TfliteServable):
            return
        for prepared, least_us in self._least_us.items():
            if least_us > INLINE_LIMIT_US:
                prepared.prepare(pool=True)


def _lane(prepared: Prepared, input_bytes: int) -> Lane:
    lane = prepared.modes.choose(input_bytes)
    return Lane.CALLER if lane == Lane.INLINE else lane


def _run(prepared: Prepared, arrays: list[Any]) -> list[Any]:
    input_bytes = sum(array.nbytes for array in arrays)
    lane = _lane(prepared, input_bytes)
    started_ns = monotonic_ns()
    outputs = prepared.run(lane, arrays)
    prepared.modes.report(lane, input_bytes, (monotonic_ns() - started_ns) / 1000)
    return outputs
