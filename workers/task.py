"""A request that waits to run, and the pieces that a large one is cut into.

A `Task` is all that the batching queues know of a request. When large batches may be split, a queue replaces a
task by `Piece`s that run in different batches; `settle` puts their outcomes together again, so that whoever
answers requests sees whole tasks only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from protos.errors import Code, ServingError

Array = npt.NDArray[Any]
Outcome = list[Array] | ServingError


class Task:
    """One request in a batching queue.

    Attributes:
        inputs: one array for each input of the signature, in the signature's order, all with `rows` rows.
        rows: size of dimension 0 (`merge.check_inputs` tells it).
        deadline_ns: when the client stops waiting, on the monotonic clock; 0 for never.
        enqueued_ns: when the task entered its queue, set by the queue.
        reply_to: whatever the owner needs to answer; never looked at here.
        cancelled: set by `cancel`; a cancelled task is dropped before it runs.
        pieces: what a large task was cut into, else None.
    """

    __slots__ = ("inputs", "rows", "deadline_ns", "enqueued_ns", "reply_to", "cancelled", "pieces")

    def __init__(self, inputs: list[Array], rows: int, deadline_ns: int, reply_to: object) -> None:
        self.inputs = inputs
        self.rows = rows
        self.deadline_ns = deadline_ns
        self.enqueued_ns = 0
        self.reply_to = reply_to
        self.cancelled = False
        self.pieces: list[Piece] | None = None

    def cancel(self) -> None:
        """Nobody wants the answer any more: drop the task, and its pieces, unless it runs already."""
        self.cancelled = True
        for piece in self.pieces or ():
            piece.cancelled = True


class _Joint:
    """What the pieces of one task share: the outputs so far, how many are missing, the first error."""

    __slots__ = ("task", "outputs", "missing", "error")

    def __init__(self, task: Task, count: int) -> None:
        self.task = task
        self.outputs: list[list[Array]] = [[]] * count
        self.missing = count
        self.error: ServingError | None = None


class Piece(Task):
    """Some consecutive rows of a large task; its inputs are views."""

    __slots__ = ("_joint", "_index")

    def __init__(self, joint: _Joint, index: int, first_row: int, rows: int) -> None:
        task = joint.task
        inputs = [array[first_row : first_row + rows] for array in task.inputs]
        super().__init__(inputs, rows, task.deadline_ns, task.reply_to)
        self.cancelled = task.cancelled
        self._joint = joint
        self._index = index

    def settle(self, outcome: Outcome) -> tuple[Task, Outcome] | None:
        """Note the outcome of this piece; the whole task and its outcome once no piece is missing."""
        joint = self._joint
        joint.missing -= 1
        if isinstance(outcome, ServingError):
            if joint.error is None:
                joint.error = outcome
                # The request has failed: rows that have not run yet need not.
                for piece in joint.task.pieces or ():
                    piece.cancelled = True
        else:
            joint.outputs[self._index] = outcome
        if joint.missing:
            return None
        return joint.task, joint.error or _concatenate(joint.outputs)


def _concatenate(parts: list[list[Array]]) -> Outcome:
    try:
        return [np.concatenate(arrays, axis=0) for arrays in zip(*parts, strict=True)]
    except ValueError as error:
        return ServingError(
            Code.INVALID_ARGUMENT, f"The outputs of the pieces of a large batch cannot be concatenated: {error}"
        )


def cut(task: Task, *, first: int, limit: int) -> Sequence[Task]:
    """Cut `task` for batches of at most `limit` rows, the first of which has room for `first` rows.

    Returns:
        The task itself when it fits whole, else its pieces in row order: `first` rows (left out when 0), then
        `limit` rows each, then the rest. Their outcomes must go through `settle`.
    """
    if task.rows <= (first or limit):
        return (task,)
    sizes = [first] if first else []
    left = task.rows - first
    while left > 0:
        sizes.append(min(limit, left))
        left -= limit
    joint = _Joint(task, len(sizes))
    pieces: list[Piece] = []
    row = 0
    for index, size in enumerate(sizes):
        pieces.append(Piece(joint, index, row, size))
        row += size
    task.pieces = pieces
    return pieces


def settle(task: Task, outcome: Outcome) -> tuple[Task, Outcome] | None:
    """What to answer now that `task`, as taken from a queue, has an outcome.

    Every task that a queue hands back, to run or as dropped, must be settled once.

    Returns:
        The request's own task and its outcome; for a piece None while others are missing, then the outputs joined
        on dimension 0, or the first error of any piece.
    """
    if isinstance(task, Piece):
        return task.settle(outcome)
    return task, outcome
