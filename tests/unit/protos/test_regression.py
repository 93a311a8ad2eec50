"""Regress: checks of signatures and of outputs, their order and texts, and what the output means."""

from __future__ import annotations

import math
import struct

import pytest

from protos import public
from protos.dtypes import DT_FLOAT, DT_INT64, DT_STRING
from protos.errors import Code, ServingError
from protos.messages import Tensor
from protos.regression import METHOD_NAME, choose_outputs, read_result
from protos.signature import Signature

DEFINITION = public.SignatureDef(method_name="some/method")


def signature(inputs: str, outputs: str, method: str = METHOD_NAME) -> Signature:
    return Signature(
        name="s",
        method_name=method,
        inputs={alias: (DT_STRING, "examples:0") for alias in inputs.split()},
        outputs={alias: 1 for alias in outputs.split()},
        defaults={},
        definition=DEFINITION.SerializeToString(),
    )


def floats(shape: tuple[int, ...], *values: float) -> Tensor:
    return Tensor(DT_FLOAT, shape, struct.pack(f"<{len(values)}f", *values))


@pytest.mark.parametrize("check", [False, True])
def test_the_chosen_output(check: bool) -> None:
    assert choose_outputs(signature("inputs", "outputs"), check_method_name=check) == ["outputs"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "text"),
    [
        ("", "outputs", "Expected one input Tensor."),
        ("inputs others", "outputs", "Expected one input Tensor."),
        ("inputs", "", "Expected one output Tensor."),
        ("inputs", "outputs others", "Expected one output Tensor."),
        ("x", "outputs", f"No regression inputs found in SignatureDef: {DEFINITION}"),
        ("inputs", "y", f"No regression outputs found in SignatureDef: {DEFINITION}"),
        # The first that is wrong counts.
        ("x z", "y w", "Expected one input Tensor."),
        ("x", "y w", "Expected one output Tensor."),
        ("x", "y", f"No regression inputs found in SignatureDef: {DEFINITION}"),
    ],
)
def test_signatures_that_will_not_do(inputs: str, outputs: str, text: str) -> None:
    for check in (False, True):
        with pytest.raises(ServingError) as raised:
            choose_outputs(signature(inputs, outputs), check_method_name=check)
        assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, text)


@pytest.mark.parametrize("method", ["", "tensorflow/serving/predict", "tensorflow/serving/classify"])
def test_other_method_names(method: str) -> None:
    assert choose_outputs(signature("inputs", "outputs", method), check_method_name=False) == ["outputs"]
    with pytest.raises(ServingError) as raised:
        choose_outputs(signature("x y", "a b", method), check_method_name=True)
    assert (raised.value.code, raised.value.message) == (
        Code.INVALID_ARGUMENT,
        f"Expected regression signature method_name to be tensorflow/serving/regress. Was: {method}",
    )


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_values(shape: tuple[int, ...]) -> None:
    message = public.RegressionResult()
    read_result(["outputs"], [floats(shape, 0.5, 0.0, -math.inf)], 3).write(message)
    assert [regression.value for regression in message.regressions] == [0.5, 0.0, -math.inf]


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ([], "Expected output_tensors and output_tensor_names to have the same size."),
        (
            [floats((), 1.0)],
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []",
        ),
        (
            [floats((3, 2), *range(6))],
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [3,2]",
        ),
        (
            [floats((3, 1, 1), *range(3))],
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [3,1,1]",
        ),
        ([floats((2,), 1, 2)], "Input batch size did not match output batch size: 3 vs. 2"),
        ([Tensor(DT_INT64, (3,), bytes(24))], "Expected output Tensor of DT_FLOAT.  Got: DT_INT64"),
        ([Tensor(DT_STRING, (3, 1), [b""] * 3)], "Expected output Tensor of DT_FLOAT.  Got: DT_STRING"),
        # The first that is wrong counts.
        ([Tensor(DT_INT64, (2,), bytes(16))], "Input batch size did not match output batch size: 3 vs. 2"),
    ],
)
def test_outputs_that_will_not_do(tensors: list[Tensor], text: str) -> None:
    with pytest.raises(ServingError) as raised:
        read_result(["outputs"], tensors, 3)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, text)
