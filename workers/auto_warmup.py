"""Runs each signature of a version once with made-up inputs: zeros and empty strings of the shapes it declares.

For versions that bring no requests of their own. Nobody said that they can run with such inputs, so what goes wrong is
logged and has no consequence. It is bounded: in the size of an input, and in the time after which nothing more is run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import prod
from time import monotonic_ns
from typing import Any

from protos import public
from protos.configs import BatchingConfig
from protos.dtypes import DT_STRING, DTYPES
from protos.errors import invalid_argument
from protos.messages import Tensor
from workers.status import as_serving_error
from workers.warm_run import GivenUp

log = logging.getLogger("tensormux.worker")

# Elements of all inputs of a run; signatures with larger ones are left out.
MAX_ELEMENTS = 1 << 22
MAX_SECONDS = 10.0
# Signatures, each with one or more numbers of rows.
_MAX_RUNS = 256
_INIT_SIGNATURES = frozenset({"__saved_model_init_op", "__saved_model_train_op"})

Run = Callable[[str, tuple[int, ...], Sequence[Tensor]], Any]


def run(
    run: Run,
    signatures: public.SignatureDefMap,
    batching: BatchingConfig | None,
    *,
    clock_ns: Callable[[], int] = monotonic_ns,
) -> None:
    """Run what there is; a dimension that may vary is 1, but with batching the first takes each allowed batch size.

    Args:
        run: takes a signature, no outputs (for all), and its inputs in sorted alias order.
        signatures: of the version.
        batching: its allowed batch sizes, if any.
        clock_ns: for tests.

    Raises:
        GivenUp: by `run`.
    """
    end_ns = clock_ns() + int(MAX_SECONDS * 1e9)
    left = _MAX_RUNS
    sizes = (batching.allowed_batch_sizes if batching is not None else ()) or (1,)
    for name, definition in sorted(signatures.signature_def.items()):
        if name in _INIT_SIGNATURES or not definition.outputs or not definition.inputs:
            continue
        for rows in sizes:
            if clock_ns() > end_ns or not left:
                log.info("automatic warm-up has taken long enough")
                return
            left -= 1
            try:
                run(name, (), made_up_inputs(definition, rows))
            except GivenUp:
                raise
            except Exception as error:
                log.info("signature %s does not run with made-up inputs: %s", name, as_serving_error(error))
                break


def made_up_inputs(definition: public.SignatureDef, rows: int) -> list[Tensor]:
    """Zeros and empty strings in sorted alias order; `rows` in the first dimension where it may vary.

    Raises:
        ServingError: INVALID_ARGUMENT, there are none for this signature.
    """
    inputs = []
    elements = 0
    for alias, info in sorted(definition.inputs.items()):
        row = DTYPES.get(info.dtype)
        if row is None:
            raise invalid_argument(f"input {alias} is of a type that cannot be made up")
        declared = [dim.size for dim in info.tensor_shape.dim]
        if info.tensor_shape.unknown_rank:
            declared = [-1]
        shape = tuple([(1 if i else rows) if size < 0 else size for i, size in enumerate(declared)])
        count = prod(shape)
        elements += count
        if elements > MAX_ELEMENTS:
            raise invalid_argument(f"its inputs have more than {MAX_ELEMENTS} elements")
        if info.dtype == DT_STRING:
            inputs.append(Tensor(DT_STRING, shape, [b""] * count))
        else:
            inputs.append(Tensor(info.dtype, shape, bytes(count * row.size)))
    return inputs
