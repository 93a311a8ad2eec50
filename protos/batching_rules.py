"""`BatchingParameters` into `BatchingConfig`, and the checks that TensorFlow Serving makes of them.

Two moments: `batching_config` when the server starts, `check_batching` whenever a version is loaded (there, a mistake
is the version's load error). Texts are TensorFlow Serving's and its batch scheduler's.
"""

from __future__ import annotations

from itertools import pairwise

from protos.configs import BatchingConfig
from protos.errors import invalid_argument
from protos.public import BatchingParameters

_DEFAULT_MAX_BATCH_SIZE = 1000
_DEFAULT_MAX_ENQUEUED_BATCHES = 10
# Upstream reads a negative size as a huge unsigned number, and configurations use that to say "no limit".
_UNLIMITED = (1 << 63) - 1


def batching_config(parameters: BatchingParameters, *, cpus: int) -> BatchingConfig:
    """The parameters with defaults applied; `cpus` is the default number of batch threads.

    Raises:
        ServingError: INVALID_ARGUMENT when num_batch_threads is less than 1.
    """
    threads = parameters.num_batch_threads.value if parameters.HasField("num_batch_threads") else cpus
    if threads < 1:
        raise invalid_argument(f"num_batch_threads must be positive; was {threads}")
    splitting = parameters.enable_large_batch_splitting.value
    max_batch_size = _DEFAULT_MAX_BATCH_SIZE
    if parameters.HasField("max_batch_size"):
        max_batch_size = _size(parameters.max_batch_size.value)
    max_enqueued_batches = _DEFAULT_MAX_ENQUEUED_BATCHES
    if parameters.HasField("max_enqueued_batches"):
        max_enqueued_batches = _size(parameters.max_enqueued_batches.value)
    if max_enqueued_batches == 0 and not splitting:
        max_enqueued_batches = 1
    max_execution_batch_size = max_batch_size
    if splitting and parameters.HasField("max_execution_batch_size"):
        max_execution_batch_size = _size(parameters.max_execution_batch_size.value)
    return BatchingConfig(
        max_batch_size=max_batch_size,
        batch_timeout_micros=parameters.batch_timeout_micros.value,
        max_enqueued_batches=max_enqueued_batches,
        num_batch_threads=threads,
        allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
        pad_variable_length_inputs=parameters.pad_variable_length_inputs,
        enable_large_batch_splitting=splitting,
        max_execution_batch_size=max_execution_batch_size,
    )


def check_batching(config: BatchingConfig) -> None:
    """Refuse a configuration with which no queue can work.

    Beyond upstream's checks: sizes must be positive and rise, and with splitting the list may also end in
    max_execution_batch_size, since no larger batch is ever run.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    _check_allowed_batch_sizes(config)
    if config.max_batch_size < 1:
        raise invalid_argument(f"input_batch_size_limit must be positive; was {config.max_batch_size}")
    if config.batch_timeout_micros < 0:
        raise invalid_argument(f"batch_timeout_micros must be non-negative; was {config.batch_timeout_micros}")
    if config.max_enqueued_batches < 1:
        raise invalid_argument(f"max_enqueued_batches must be positive; was {config.max_enqueued_batches}")
    if not config.enable_large_batch_splitting:
        return
    if config.max_execution_batch_size < 1:
        raise invalid_argument(f"max_execution_batch_size must be positive; was {config.max_execution_batch_size}")
    if config.max_batch_size < config.max_execution_batch_size:
        # The digits after the full stop are upstream's: a 1 and the two sizes, run together.
        raise invalid_argument(
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
            f"max_execution_batch_size.1{config.max_batch_size}{config.max_execution_batch_size}"
        )


def _check_allowed_batch_sizes(config: BatchingConfig) -> None:
    sizes = config.allowed_batch_sizes
    if not sizes:
        return
    ends = {config.max_batch_size}
    if config.enable_large_batch_splitting:
        ends.add(config.max_execution_batch_size)
    if sizes[-1] not in ends:
        raise invalid_argument(
            "Last entry in allowed_batch_sizes must match max_batch_size; "
            f"last entry was {sizes[-1]}; expected {config.max_batch_size}"
        )
    if sizes[0] < 1:
        raise invalid_argument(f"allowed_batch_sizes entries must be positive; was {sizes[0]}")
    if any(later <= earlier for earlier, later in pairwise(sizes)):
        raise invalid_argument("allowed_batch_sizes entries must be monotonically increasing")


def _size(value: int) -> int:
    return _UNLIMITED if value < 0 else value
