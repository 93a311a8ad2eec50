"""Many requests into one batch and back: checks, padding, concatenation and splitting, with NumPy only.

The rules, their order and the texts of the errors are those of TensorFlow Serving's batching session. Object arrays
(strings) are treated as any other.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence

import numpy as np

from protos.errors import Code, ServingError, invalid_argument
from workers.task import Array, Task

# Variable-length padding works on tensors of up to this rank.
MAX_PADDED_RANK = 6

_log = logging.getLogger("tensormux.worker")


def check_inputs(inputs: Sequence[Array]) -> int:
    """The number of rows of a request, which every input must agree on.

    Raises:
        ServingError: INVALID_ARGUMENT, when the request cannot be batched.
    """
    if not inputs:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    for array in inputs:
        if not array.shape:
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
    rows: int = inputs[0].shape[0]
    for array in inputs:
        if array.shape[0] != rows:
            raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return rows


def shape_class(inputs: Sequence[Array], *, pad_variable_length: bool) -> Hashable:
    """What requests must have in common to share a batch: types and, unless padded to fit, dimensions after the first.

    With padding the rank is enough, except that a tensor without elements has nothing to be padded with.

    Raises:
        ServingError: INVALID_ARGUMENT, an input has a rank that cannot be padded.
    """
    if not pad_variable_length:
        if len(inputs) == 1:
            array = inputs[0]
            return (array.dtype, array.shape[1:])
        return tuple([(array.dtype, array.shape[1:]) for array in inputs])
    for array in inputs:
        _check_rank(array)
    return tuple(
        [(array.dtype, array.shape[1:] if 0 in array.shape[1:] else len(array.shape)) for array in inputs],
    )


def target_rows(rows: int, allowed: Sequence[int]) -> int:
    """The rows to run a batch of `rows` with: the first allowed size that is enough.

    Without allowed sizes, and for no rows at all (there is no row to copy), that is `rows` itself; also when no
    size is enough, with a warning.
    """
    if not allowed or rows == 0:
        return rows
    for size in allowed:
        if size >= rows:
            return size
    _log.warning(
        "Input batch size %d is greater than largest allowed size %d ignoring allowed sizes constraint.",
        rows,
        max(allowed),
    )
    return rows


def merge(
    tasks: Sequence[Task],
    target: int,
    *,
    names: Sequence[str],
    pad_variable_length: bool = False,
) -> list[Array]:
    """Concatenate the inputs of `tasks` in order, and add copies of the last task's first row up to `target` rows.

    Args:
        tasks: at least one; all with the same number of inputs.
        target: from `target_rows`, at least the sum of the tasks' rows.
        names: of the inputs' tensors in the order of `Task.inputs`, for errors.
        pad_variable_length: make dimensions after the first equal, by adding copies of a tensor's first element at
            their ends.

    Returns:
        One array for each input. A single task that needs no padding gives its own arrays, not copies.

    Raises:
        ServingError: the tasks don't fit together (tasks of one `shape_class` always do).
    """
    first = tasks[0]
    if len(tasks) == 1 and first.rows == target:
        if pad_variable_length:
            for array in first.inputs:
                _check_rank(array)
        return first.inputs
    pad_rows = target - sum([task.rows for task in tasks])
    merged: list[Array] = []
    for index, name in enumerate(names):
        arrays = [task.inputs[index] for task in tasks]
        if pad_variable_length:
            arrays = _pad_to_largest(arrays)
        if pad_rows:
            arrays.append(arrays[-1][:1].repeat(pad_rows, 0))
        try:
            merged.append(np.concatenate(arrays, axis=0, dtype=arrays[0].dtype, casting="no"))
        except ValueError:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            ) from None
        except TypeError:
            raise ServingError(
                Code.INTERNAL,
                f"Tensor concat operation failed: {Code.INVALID_ARGUMENT.name}: tensors with name '{name}' from "
                f"different tasks have different types: {', '.join(sorted({str(a.dtype) for a in arrays}))}",
            ) from None
    return merged


def split(outputs: Sequence[Array], tasks: Sequence[Task], padded_rows: int) -> list[list[Array]]:
    """Cut the outputs of a merged run into those of each task; padding rows at the end are left out.

    Args:
        outputs: what the run gave.
        tasks: those of `merge`, in the same order.
        padded_rows: `target` of `merge`, the rows that the run was given.

    Returns:
        For each task its outputs in the order of `outputs`, as views.

    Raises:
        ServingError: FAILED_PRECONDITION, an output does not have one row for each row of the inputs. This holds for
            a single task, too.
    """
    for array in outputs:
        shape = getattr(array, "shape", ())  # a scalar string comes as bytes
        if not shape:
            raise ServingError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if shape[0] != padded_rows:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                "input tensors",
            )
    if len(tasks) == 1 and tasks[0].rows == padded_rows:
        return [list(outputs)]
    parts: list[list[Array]] = []
    start = 0
    for task in tasks:
        end = start + task.rows
        parts.append([array[start:end] for array in outputs])
        start = end
    return parts


def _check_rank(array: Array) -> None:
    if not 1 <= array.ndim <= MAX_PADDED_RANK:
        raise invalid_argument(f"Only tensors with rank from 1 to {MAX_PADDED_RANK} can be padded.")


def _pad_to_largest(arrays: list[Array]) -> list[Array]:
    """Each array with dimensions after the first padded at the end to the largest of all, with its first element."""
    for array in arrays:
        _check_rank(array)
    trailing = {array.shape[1:] for array in arrays}
    if len(trailing) == 1:
        return arrays
    if len({len(shape) for shape in trailing}) > 1:
        raise invalid_argument("Tensors of different ranks cannot be padded to one shape.")
    largest = tuple(map(max, *trailing))
    return [array if array.shape[1:] == largest else _pad(array, largest) for array in arrays]


def _pad(array: Array, trailing: tuple[int, ...]) -> Array:
    if array.size == 0:
        raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
    padded: Array = np.empty((array.shape[0], *trailing), dtype=array.dtype)
    padded[...] = array[(0,) * array.ndim]
    padded[tuple([slice(size) for size in array.shape])] = array
    return padded
