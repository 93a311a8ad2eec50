"""Examples of an `Input` as the string tensor that a graph parses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import public
from protos.dtypes import DT_STRING
from protos.errors import Code, ServingError
from protos.examples import serialized_examples, string_tensor
from protos.messages import Tensor


def example(**features: float) -> public.Example:
    result = public.Example()
    for name, value in features.items():
        result.features.feature[name].float_list.value.append(value)
    return result


def read(data: bytes) -> dict[str, list[float]]:
    features = public.Example.FromString(data).features.feature
    return {name: list(feature.float_list.value) for name, feature in features.items()}


def test_a_list() -> None:
    source = public.Input()
    source.example_list.examples.extend([example(a=1), public.Example(), example(a=2, b=3)])
    assert [read(data) for data in serialized_examples(source)] == [{"a": [1]}, {}, {"a": [2], "b": [3]}]


def test_an_example_overrides_its_context() -> None:
    source = public.Input()
    source.example_list_with_context.context.CopyFrom(example(uno=1, dos=2))
    source.example_list_with_context.examples.extend([public.Example(), example(dos=4, tres=3)])
    assert [read(data) for data in serialized_examples(source)] == [
        {"uno": [1], "dos": [2]},
        {"uno": [1], "dos": [4], "tres": [3]},
    ]


def test_nothing() -> None:
    without = public.Input()
    empty = public.Input()
    empty.example_list.SetInParent()
    with_context = public.Input()
    with_context.example_list_with_context.context.CopyFrom(example(a=1))
    for source in (without, empty, with_context):
        with pytest.raises(ServingError) as raised:
            string_tensor(serialized_examples(source))
        assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, "Input is empty.")


def test_the_tensor() -> None:
    assert string_tensor([b"a", b""]) == Tensor(DT_STRING, (2,), [b"a", b""])


FEATURES = st.dictionaries(st.sampled_from("abcd"), st.floats(width=32, allow_nan=False), max_size=4)


@settings(max_examples=50)
@given(st.none() | FEATURES, st.lists(FEATURES, max_size=4))
def test_what_is_read_is_what_was_written(context: dict[str, float] | None, examples: list[dict[str, float]]) -> None:
    source = public.Input()
    kind = source.example_list if context is None else source.example_list_with_context
    kind.SetInParent()
    kind.examples.extend([example(**features) for features in examples])
    if context is not None:
        source.example_list_with_context.context.CopyFrom(example(**context))
    expected = [{name: [value] for name, value in {**(context or {}), **e}.items()} for e in examples]
    assert [read(data) for data in serialized_examples(source)] == expected
