"""Warm-up with made-up inputs: their shapes, what is left out, what happens to failures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protos import public
from protos.configs import BatchingConfig, WorkerConfig
from protos.dtypes import DT_FLOAT, DT_INT64, DT_STRING
from protos.errors import Code, ServingError
from protos.messages import Tensor
from tests.unit.workers.warmup_files import copy, predict
from workers import auto_warmup, loading
from workers.auto_warmup import MAX_ELEMENTS, MAX_SECONDS, made_up_inputs
from workers.run_mode import Lane
from workers.warm_run import GivenUp

_QINT8 = 11


def definition(**inputs: tuple[int, list[int] | None]) -> public.SignatureDef:
    made = public.SignatureDef()
    made.outputs["y"].name = "y:0"
    for alias, (dtype, shape) in inputs.items():
        info = made.inputs[alias]
        info.dtype = dtype
        if shape is None:
            info.tensor_shape.unknown_rank = True
        for size in shape or ():
            info.tensor_shape.dim.add(size=size)
    return made


@pytest.mark.parametrize(
    ("dtype", "shape", "rows", "expected"),
    [
        (DT_FLOAT, [-1, 2], 1, Tensor(DT_FLOAT, (1, 2), bytes(8))),
        (DT_FLOAT, [-1, -1], 3, Tensor(DT_FLOAT, (3, 1), bytes(12))),
        (DT_FLOAT, [5], 3, Tensor(DT_FLOAT, (5,), bytes(20))),
        (DT_FLOAT, [], 3, Tensor(DT_FLOAT, (), bytes(4))),
        (DT_INT64, None, 2, Tensor(DT_INT64, (2,), bytes(16))),
        (DT_STRING, [-1], 2, Tensor(DT_STRING, (2,), [b"", b""])),
        (DT_FLOAT, [0, 2], 1, Tensor(DT_FLOAT, (0, 2), b"")),
    ],
)
def test_made_up_inputs(dtype: int, shape: list[int] | None, rows: int, expected: Tensor) -> None:
    assert made_up_inputs(definition(x=(dtype, shape)), rows) == [expected]


def test_they_are_in_sorted_alias_order() -> None:
    made = made_up_inputs(definition(b=(DT_FLOAT, []), a=(DT_INT64, [])), 1)
    assert [tensor.dtype for tensor in made] == [DT_INT64, DT_FLOAT]


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": (_QINT8, [1])},
        {"x": (DT_STRING, [1 << 40])},
        {"x": (DT_FLOAT, [MAX_ELEMENTS]), "z": (DT_FLOAT, [1])},
    ],
)
def test_what_cannot_be_made_up(inputs: dict[str, Any]) -> None:
    with pytest.raises(ServingError) as caught:
        made_up_inputs(definition(**inputs), 1)
    assert caught.value.code == Code.INVALID_ARGUMENT


class Runs:
    """Notes what is run; time passes with each."""

    def __init__(self, error: Exception | None = None, seconds: float = 0.0) -> None:
        self.made: list[tuple[str, tuple[int, ...]]] = []
        self.now_ns = 0
        self._error = error
        self._seconds = seconds

    def __call__(self, signature: str, outputs: tuple[int, ...], inputs: Any) -> None:
        assert outputs == ()
        self.made.append((signature, inputs[0].shape))
        self.now_ns += int(self._seconds * 1e9)
        if self._error is not None:
            raise self._error

    def run(self, names: list[str], batching: BatchingConfig | None = None) -> None:
        signatures = public.SignatureDefMap()
        for name in names:
            signatures.signature_def[name].CopyFrom(definition(x=(DT_FLOAT, [-1, 2])))
        auto_warmup.run(self, signatures, batching, clock_ns=lambda: self.now_ns)


def test_each_signature_with_each_allowed_batch_size() -> None:
    runs = Runs()
    runs.run(["b", "a", "__saved_model_init_op"], BatchingConfig(num_batch_threads=1, allowed_batch_sizes=(2, 4)))
    assert runs.made == [("a", (2, 2)), ("a", (4, 2)), ("b", (2, 2)), ("b", (4, 2))]


def test_a_signature_that_fails_is_logged_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    runs = Runs(error=ServingError(Code.INTERNAL, "not like this"))
    with caplog.at_level(logging.INFO):
        runs.run(["a", "b"], BatchingConfig(num_batch_threads=1, allowed_batch_sizes=(2, 4)))
    assert runs.made == [("a", (2, 2)), ("b", (2, 2))]
    assert "signature a does not run with made-up inputs: INTERNAL: not like this" in caplog.text


def test_a_version_that_nobody_wants_ends_it() -> None:
    runs = Runs(error=GivenUp())
    with pytest.raises(GivenUp):
        runs.run(["a", "b"])
    assert len(runs.made) == 1


def test_it_is_bounded_in_time_and_number() -> None:
    slow = Runs(seconds=MAX_SECONDS)
    slow.run(["a", "b", "c"])
    assert len(slow.made) == 2  # one that begins in time may end late
    many = Runs()
    many.run([f"s{number}" for number in range(1000)])
    assert len(many.made) == 256


def load(path: Path, **config: Any) -> Any:
    outcome = loading.load(str(path), WorkerConfig(**config), lambda: True)
    assert outcome.error is None
    assert outcome.servable is not None
    return outcome


@pytest.mark.parametrize(
    "model", ["half_plus_two", "identity", "inferences", "signatures", "ctr", "tf2", "counter", "keras"]
)
@pytest.mark.parametrize(
    "batching", [None, BatchingConfig(num_batch_threads=1, max_batch_size=2, allowed_batch_sizes=(2,))]
)
def test_whatever_the_model_it_loads(
    model_path: Callable[[str], Path], model: str, batching: BatchingConfig | None
) -> None:
    outcome = load(model_path(model), auto_warmup=True, batching=batching)
    assert outcome.warmth is None
    outcome.discard()


def test_models_are_not_run_unless_told_so(model_path: Callable[[str], Path], tmp_path: Path) -> None:
    def count(outcome: Any) -> float:
        value = float(outcome.servable.prepared("get_counter", ()).run(Lane.CALLER, [])[0])
        outcome.discard()
        return value

    assert count(load(model_path("counter"))) == 0
    # A version's own requests take its place.
    path = copy(model_path("counter"), tmp_path / "1", predict("incr_counter"))
    assert count(load(path, auto_warmup=True)) == 1
