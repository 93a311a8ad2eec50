"""Binding of a request's inputs and choice of its outputs: order of checks, and their texts."""

from __future__ import annotations

import pytest

from protos.binding import bind_inputs, check_method_name, choose_outputs
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import Tensor
from protos.signature import Signature

A, B, C, D = (Tensor(1, (), bytes([i] * 4)) for i in range(4))
BAD = invalid_argument("tensor parsing error")


def signature(
    inputs: str = "x", outputs: str = "y", *, method: str = "", defaults: dict[str, Tensor | ServingError] | None = None
) -> Signature:
    return Signature(
        name="serving_default",
        method_name=method,
        inputs={alias: (1, f"{alias}_feed:0") for alias in inputs.split()},
        outputs={alias: 1 for alias in outputs.split()},
        defaults=defaults or {},
    )


def test_inputs_are_bound_in_the_order_of_aliases() -> None:
    assert bind_inputs(signature("b c a"), {"c": C, "b": B, "a": A}) == [A, B, C]
    assert bind_inputs(signature(""), {}) == []


def test_defaults_fill_in() -> None:
    sig = signature("a b c", defaults={"b": D, "a": D})
    assert bind_inputs(sig, {"a": A, "c": C}) == [A, D, C]
    assert bind_inputs(sig, {"c": C}) == [D, D, C]
    assert bind_inputs(sig, {"a": A, "b": B, "c": C}) == [A, B, C]
    assert bind_inputs(signature("a b", defaults={"a": BAD, "b": D}), {"a": A}) == [A, D]


@pytest.mark.parametrize(
    ("sig", "inputs", "message"),
    [
        (
            signature("x"),
            {"unknown_key2": A, "unknown_key1": B},
            "input size does not match signature: 2!=1 len({unknown_key1,unknown_key2}) != len({x}). "
            "Sent extra: {unknown_key1,unknown_key2}. Missing but required: {x}.",
        ),
        (
            signature("x"),
            {},
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            signature("b a"),
            {"b": B},
            "input size does not match signature: 1!=2 len({b}) != len({a,b}). Sent extra: {}. "
            "Missing but required: {a}.",
        ),
        (
            signature("a b", defaults={"a": D}),
            {"a": A, "b": B, "z": C},
            "input size does not match signature: 3!=2 len({a,b,z}) != len({a,b}). Sent extra: {z}. "
            "Missing but required: {}.",
        ),
        (
            signature("x"),
            {"z": A},
            "Signature input alias: x(feed name: x_feed:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {z}, or default input alias set: ",
        ),
        (
            signature("a b c", defaults={"c": D, "b": D}),
            {"b": B},
            "Signature input alias: a(feed name: a_feed:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {b}, or default input alias set: b,c",
        ),
        (signature("x"), {"x": BAD}, "tensor parsing error: x"),
        (signature("a b"), {"a": BAD, "b": BAD}, "tensor parsing error: a"),
        (
            signature("a b c", defaults={"b": D, "c": D}),
            {"a": A, "y": B, "c": C},
            "Inputs contains invalid name. Used request inputs: a,c, request input: a,c,y",
        ),
        (
            signature("a b", defaults={"a": D, "b": D}),
            {"z": BAD},
            "Inputs contains invalid name. Used request inputs: , request input: z",
        ),
        (signature("a b", defaults={"b": BAD}), {"a": A}, "tensor parsing error: b"),
        # The size comes before the tensors, missing names before those behind them.
        (
            signature("x"),
            {"x": BAD, "z": A},
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). Sent extra: {z}. "
            "Missing but required: {}.",
        ),
        (signature("a b", defaults={"a": D}), {"a": BAD}, "tensor parsing error: a"),
    ],
)
def test_refusals(sig: Signature, inputs: dict[str, Tensor | ServingError], message: str) -> None:
    with pytest.raises(ServingError) as raised:
        bind_inputs(sig, inputs)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize("method", ["", "tensorflow/serving/train", "predict"])
def test_method_name_check(method: str) -> None:
    sig = signature("x", method=method)
    assert bind_inputs(sig, {"x": A}) == [A]
    with pytest.raises(ServingError) as raised:
        check_method_name(sig)
    assert raised.value.code == Code.INTERNAL
    assert raised.value.message == (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        f"tensorflow/serving/classify, tensorflow/serving/regress}}. Was: {method}"
    )


@pytest.mark.parametrize("kind", ["predict", "classify", "regress"])
def test_method_names_for_inference(kind: str) -> None:
    sig = signature("x", method=f"tensorflow/serving/{kind}")
    check_method_name(sig)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["y"], (2,)),
        (["z", "a"], (3, 0)),
        (["b"], (1,)),
        (["a", "b", "y", "z"], (0, 1, 2, 3)),
        (["q"], "output tensor alias not found in signature: q Outputs expected to be in the set {a,b,y,z}."),
        (["a", ""], "output tensor alias not found in signature:  Outputs expected to be in the set {a,b,y,z}."),
        (["y", "y"], "duplicate output tensor alias: y"),
        (["a", "y", "a", "q"], "duplicate output tensor alias: a"),
    ],
)
def test_output_filter(wanted: list[str], expected: tuple[int, ...] | str) -> None:
    sig = signature("x", "z a y b")
    if isinstance(expected, tuple):
        assert choose_outputs(sig, wanted) == expected
        return
    with pytest.raises(ServingError) as raised:
        choose_outputs(sig, wanted)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, expected)
