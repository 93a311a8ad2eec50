from typing import Any

import pytest

from protos.batching_rules import batching_config, check_batching
from protos.configs import BatchingConfig
from protos.errors import Code, ServingError
from protos.public import BatchingParameters

CPUS = 6
UNLIMITED = 2**63 - 1


def parameters(allowed: tuple[int, ...] = (), pad: bool = False, **values: int | bool | str) -> BatchingParameters:
    result = BatchingParameters(allowed_batch_sizes=allowed, pad_variable_length_inputs=pad)
    for name, value in values.items():
        wrapper = getattr(result, name)
        wrapper.SetInParent()
        wrapper.value = value
    return result


@pytest.mark.parametrize(
    ("given", "differs"),
    [
        (parameters(), {}),
        (parameters(thread_pool_name="x"), {}),
        (parameters(max_batch_size=0), {"max_batch_size": 0, "max_execution_batch_size": 0}),
        (parameters(max_batch_size=8), {"max_batch_size": 8, "max_execution_batch_size": 8}),
        (parameters(max_batch_size=-1), {"max_batch_size": UNLIMITED, "max_execution_batch_size": UNLIMITED}),
        (parameters(batch_timeout_micros=-5), {"batch_timeout_micros": -5}),
        (parameters(max_enqueued_batches=0), {"max_enqueued_batches": 1}),
        (parameters(max_enqueued_batches=-3), {"max_enqueued_batches": UNLIMITED}),
        (
            parameters(max_enqueued_batches=0, enable_large_batch_splitting=True),
            {"max_enqueued_batches": 0, "enable_large_batch_splitting": True},
        ),
        (parameters(num_batch_threads=1), {"num_batch_threads": 1}),
        (parameters(allowed=(2, 1000)), {"allowed_batch_sizes": (2, 1000)}),
        (parameters(pad=True), {"pad_variable_length_inputs": True}),
        (parameters(max_execution_batch_size=4), {}),
        (
            parameters(max_execution_batch_size=4, enable_large_batch_splitting=True),
            {"max_execution_batch_size": 4, "enable_large_batch_splitting": True},
        ),
        (parameters(enable_large_batch_splitting=True), {"enable_large_batch_splitting": True}),
    ],
)
def test_defaults(given: BatchingParameters, differs: dict[str, Any]) -> None:
    expected = {
        "max_batch_size": 1000,
        "batch_timeout_micros": 0,
        "max_enqueued_batches": 10,
        "num_batch_threads": CPUS,
        "allowed_batch_sizes": (),
        "pad_variable_length_inputs": False,
        "enable_large_batch_splitting": False,
        "max_execution_batch_size": 1000,
    }
    assert batching_config(given, cpus=CPUS) == BatchingConfig(**(expected | differs))


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_must_be_positive(threads: int) -> None:
    with pytest.raises(ServingError, match=f"^INVALID_ARGUMENT: num_batch_threads must be positive; was {threads}$"):
        batching_config(parameters(num_batch_threads=threads), cpus=CPUS)


@pytest.mark.parametrize(
    "given",
    [
        parameters(),
        parameters(max_batch_size=-1, max_enqueued_batches=-1),
        parameters(max_enqueued_batches=0),
        parameters(allowed=(1000,)),
        parameters(max_batch_size=4, allowed=(1, 3, 4)),
        parameters(max_batch_size=4, max_execution_batch_size=4, enable_large_batch_splitting=True),
        parameters(max_batch_size=8, max_execution_batch_size=4, enable_large_batch_splitting=True, allowed=(2, 8)),
        parameters(max_batch_size=8, max_execution_batch_size=4, enable_large_batch_splitting=True, allowed=(2, 4)),
    ],
)
def test_what_a_version_can_be_loaded_with(given: BatchingParameters) -> None:
    check_batching(batching_config(given, cpus=CPUS))


LAST_ENTRY = "Last entry in allowed_batch_sizes must match max_batch_size; last entry was {}; expected {}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (parameters(allowed=(2, 4)), LAST_ENTRY.format(4, 1000)),
        (parameters(max_batch_size=8, allowed=(8, 4)), LAST_ENTRY.format(4, 8)),
        (parameters(max_batch_size=8, max_execution_batch_size=4, allowed=(2, 4)), LAST_ENTRY.format(4, 8)),
        (
            parameters(max_batch_size=8, max_execution_batch_size=4, enable_large_batch_splitting=True, allowed=(2,)),
            LAST_ENTRY.format(2, 8),
        ),
        (
            parameters(max_batch_size=4, allowed=(2, 2, 4)),
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            parameters(max_batch_size=4, allowed=(3, 2, 4)),
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (parameters(max_batch_size=4, allowed=(0, 4)), "allowed_batch_sizes entries must be positive; was 0"),
        (parameters(max_batch_size=0), "input_batch_size_limit must be positive; was 0"),
        (parameters(batch_timeout_micros=-1), "batch_timeout_micros must be non-negative; was -1"),
        (
            parameters(max_enqueued_batches=0, enable_large_batch_splitting=True),
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            parameters(max_execution_batch_size=0, enable_large_batch_splitting=True),
            "max_execution_batch_size must be positive; was 0",
        ),
        (
            parameters(max_batch_size=4, max_execution_batch_size=8, enable_large_batch_splitting=True),
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
            "max_execution_batch_size.148",
        ),
    ],
)
def test_what_a_version_cannot_be_loaded_with(given: BatchingParameters, message: str) -> None:
    config = batching_config(given, cpus=CPUS)
    with pytest.raises(ServingError) as refused:
        check_batching(config)
    assert (refused.value.code, refused.value.message) == (Code.INVALID_ARGUMENT, message)
