"""Classify: checks of signatures and of outputs, their order and texts, and what the outputs mean."""

from __future__ import annotations

import struct

import pytest

from protos import public
from protos.classification import METHOD_NAME, Classified, choose_outputs, read_result
from protos.dtypes import DT_DOUBLE, DT_FLOAT, DT_INT64, DT_STRING
from protos.errors import Code, ServingError
from protos.messages import Tensor
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


def labels(rows: int, *values: str | bytes) -> Tensor:
    data = [value.encode() if isinstance(value, str) else value for value in values]
    return Tensor(DT_STRING, (rows, len(data) // rows), data)


def floats(rows: int, *values: float) -> Tensor:
    return Tensor(DT_FLOAT, (rows, len(values) // rows), struct.pack(f"<{len(values)}f", *values))


def zeros(dtype: int, *shape: int) -> Tensor:
    count = 1
    for size in shape:
        count *= size
    return Tensor(dtype, shape, [b""] * count if dtype == DT_STRING else bytes(8 * count))


def message(result: Classified) -> list[list[tuple[str, float]]]:
    whole = public.ClassificationResult()
    result.write(whole)
    return [[(c.label, c.score) for c in row.classes] for row in whole.classifications]


@pytest.mark.parametrize(
    ("outputs", "chosen"),
    [
        ("classes", ["classes"]),
        ("scores", ["scores"]),
        ("scores classes", ["classes", "scores"]),
        ("scores other", ["scores"]),
        ("another classes", ["classes"]),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_chosen_outputs(outputs: str, chosen: list[str], check: bool) -> None:
    assert choose_outputs(signature("inputs", outputs), check_method_name=check) == chosen


@pytest.mark.parametrize(
    ("inputs", "outputs", "text"),
    [
        ("", "scores", "Expected one input Tensor."),
        ("inputs others", "scores", "Expected one input Tensor."),
        ("inputs", "", "Expected one or two output Tensors, found 0"),
        ("inputs", "classes scores other", "Expected one or two output Tensors, found 3"),
        ("x", "scores", f"No classification inputs found in SignatureDef: {DEFINITION}"),
        (
            "inputs",
            "x y",
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {DEFINITION}",
        ),
        # The first that is wrong counts.
        ("x y", "a b c", "Expected one input Tensor."),
        ("x", "a b c", "Expected one or two output Tensors, found 3"),
        ("x", "a", f"No classification inputs found in SignatureDef: {DEFINITION}"),
    ],
)
def test_signatures_that_will_not_do(inputs: str, outputs: str, text: str) -> None:
    for check in (False, True):
        with pytest.raises(ServingError) as raised:
            choose_outputs(signature(inputs, outputs), check_method_name=check)
        assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, text)


@pytest.mark.parametrize("method", ["", "tensorflow/serving/predict", "tensorflow/serving/regress"])
def test_other_method_names(method: str) -> None:
    assert choose_outputs(signature("inputs", "scores", method), check_method_name=False) == ["scores"]
    with pytest.raises(ServingError) as raised:
        choose_outputs(signature("x y", "a b c", method), check_method_name=True)
    assert (raised.value.code, raised.value.message) == (
        Code.INVALID_ARGUMENT,
        f"Expected classification signature method_name to be tensorflow/serving/classify. Was: {method}",
    )


def test_a_long_definition_is_cut() -> None:
    definition = public.SignatureDef(method_name="m" * 10_000).SerializeToString()
    long = Signature(name="s", method_name="", inputs={}, outputs={}, defaults={}, definition=definition)
    assert long.debug_text.startswith('method_name: "mmm') and len(long.debug_text) == 4096


def test_labels_and_scores() -> None:
    result = read_result(["classes", "scores"], [labels(2, "dos", "uno", "cuatro", "tres"), floats(2, 2, 1, 4, 3)], 2)
    assert message(result) == [[("dos", 2.0), ("uno", 1.0)], [("cuatro", 4.0), ("tres", 3.0)]]


def test_only_labels() -> None:
    assert message(read_result(["classes"], [labels(2, "a", "b")], 2)) == [[("a", 0.0)], [("b", 0.0)]]


def test_only_scores() -> None:
    result = read_result(["scores"], [floats(1, -1.0, 0.0, 1.0)], 1)
    assert message(result) == [[("", -1.0), ("", 0.0), ("", 1.0)]]


def test_no_classes_at_all() -> None:
    assert message(read_result(["scores"], [floats(2)], 2)) == [[], []]
    assert message(read_result(["classes", "scores"], [labels(2), floats(2)], 2)) == [[], []]


def test_labels_that_are_no_utf8() -> None:
    assert message(read_result(["classes"], [labels(1, b"\xff!")], 1)) == [[("\ufffd!", 0.0)]]


BOTH = ["classes", "scores"]


@pytest.mark.parametrize(
    ("aliases", "tensors", "text"),
    [
        (BOTH, [labels(3, *"abc")], "Expected 2 output tensor(s).  Got: 1"),
        (
            ["classes"],
            [zeros(DT_STRING, 3)],
            "Expected Tensor shape: [batch_size num_classes] but got [3]",
        ),
        (["scores"], [zeros(DT_FLOAT)], "Expected Tensor shape: [batch_size num_classes] but got []"),
        (["scores"], [zeros(DT_FLOAT, 3, 1, 2)], "Expected Tensor shape: [batch_size num_classes] but got [3,1,2]"),
        (["classes"], [zeros(DT_INT64, 3, 1)], "Expected classes Tensor of DT_STRING. Got: DT_INT64"),
        (["classes"], [labels(2, "a", "b")], "Expected classes output batch size of 3. Got: 2"),
        (["scores"], [zeros(DT_DOUBLE, 3, 1)], "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        (["scores"], [floats(4, *range(4))], "Expected scores output batch size of 3. Got: 4"),
        (
            BOTH,
            [zeros(DT_STRING, 3, 2), zeros(DT_FLOAT, 3, 1)],
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
        # The first that is wrong counts, and all of the classes comes before the scores.
        (["scores"], [zeros(DT_INT64, 2)], "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        (["scores"], [zeros(DT_INT64, 2, 1)], "Expected scores Tensor of DT_FLOAT. Got: DT_INT64"),
        (BOTH, [zeros(DT_STRING, 2, 1), zeros(DT_INT64, 2)], "Expected classes output batch size of 3. Got: 2"),
        (BOTH, [zeros(DT_STRING, 3, 2), zeros(DT_FLOAT, 1, 1)], "Expected scores output batch size of 3. Got: 1"),
    ],
)
def test_outputs_that_will_not_do(aliases: list[str], tensors: list[Tensor], text: str) -> None:
    with pytest.raises(ServingError) as raised:
        read_result(aliases, tensors, 3)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, text)
