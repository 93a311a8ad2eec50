"""The fast ways from a body to tensors agree with the value-by-value way, on results and on errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frontend.rest import json_bulk, json_parse, json_tensors
from frontend.signature import Signature
from protos import dtypes
from protos.errors import ServingError

DTYPES = [
    dtypes.DT_FLOAT,
    dtypes.DT_DOUBLE,
    dtypes.DT_INT32,
    dtypes.DT_INT64,
    dtypes.DT_UINT8,
    dtypes.DT_INT8,
    dtypes.DT_UINT32,
    dtypes.DT_UINT64,
    dtypes.DT_BOOL,
    dtypes.DT_STRING,
    dtypes.DT_HALF,
]


def outcome(body: bytes, signature: Signature) -> object:
    try:
        document = json_tensors.parse_predict(body)
        row_format, tensors = document.tensors(signature)
    except ServingError as error:
        return error.code, error.message
    return document.signature_name, row_format, repr(tensors)


@contextmanager
def slowly() -> Iterator[None]:
    """No parser but the tolerant one, no packing of whole levels."""

    def refuse(body: bytes) -> object:
        raise orjson.JSONDecodeError("refused", "", 0)

    with (
        patch.object(json_tensors, "MIN_BULK_BYTES", 1 << 40),
        patch.object(json_tensors, "_even_tensor", lambda values, dtype: None),
        patch.object(json_parse, "_STDLIB_BYTES", 1 << 40),
        patch.object(json_parse.orjson, "loads", refuse),
    ):
        yield


def check(body: bytes, inputs: dict[str, int]) -> None:
    pairs = {alias: (dtype, f"{alias}:0") for alias, dtype in inputs.items()}
    signature = Signature(name="s", method_name="", inputs=pairs, outputs={"y": 1}, defaults={})
    with slowly():
        expected = outcome(body, signature)
    for bulk_bytes in (1 << 40, 0):
        for stdlib_bytes in (1 << 40, 0):
            with (
                patch.object(json_tensors, "MIN_BULK_BYTES", bulk_bytes),
                patch.object(json_parse, "_STDLIB_BYTES", stdlib_bytes),
            ):
                assert outcome(body, signature) == expected


NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.floats(width=32),
    st.floats(),
    st.sampled_from([2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1]),
)
SCALARS = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.sampled_from(["", "aGk=", "aGk", "!"]).map(lambda text: {"b64": text}),
    st.just({}),
)


def even(leaf: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    def arrays(shape: list[int]) -> st.SearchStrategy[object]:
        inner = leaf
        for size in reversed(shape):
            inner = st.lists(inner, min_size=size, max_size=size)
        return inner

    return st.lists(st.integers(0, 3), max_size=3).flatmap(arrays)


LEAVES = [st.integers(-3, 300), NUMBERS, st.booleans(), st.text(max_size=3), SCALARS]
VALUES = st.one_of(
    *map(even, LEAVES),
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=8),
)
ALIASES = st.dictionaries(st.sampled_from(["a", "b", "b64"]), st.sampled_from(DTYPES), min_size=1, max_size=2)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, dict[str, int]]:
    inputs = draw(ALIASES)
    named = st.fixed_dictionaries({alias: VALUES for alias in inputs}, optional={"c": VALUES})
    kind = draw(st.sampled_from(["plain", "objects", "columns"]))
    if kind == "plain":
        root = {draw(st.sampled_from(["instances", "inputs"])): draw(VALUES)}
    elif kind == "objects":
        row = st.fixed_dictionaries({alias: draw(st.just(VALUES)) for alias in inputs})
        first = draw(row)
        root = {"instances": [first, *draw(st.lists(st.one_of(st.just(first), row, named, SCALARS), max_size=3))]}
    else:
        root = {"inputs": draw(named)}
    if draw(st.booleans()):
        root["signature_name"] = draw(st.one_of(st.just("name[1]"), SCALARS))
    if draw(st.integers(0, 9)) == 0:
        root["other"] = draw(VALUES)
    items = list(root.items())
    body = json.dumps(dict(draw(st.permutations(items))), indent=draw(st.sampled_from([None, 1])))
    return body.encode(), inputs


@settings(max_examples=400, deadline=None)
@given(requests())
@example((b'{"instances": [[1, 2], [], [3, 4, 5]]}', {"a": dtypes.DT_FLOAT}))
@example((b'{"instances": [[1, 2], 3, [4, 5, 6]]}', {"a": dtypes.DT_FLOAT}))
@example((b'{"inputs": [[[1], [2, 3]], [[4]], [[5, 6]]]}', {"a": dtypes.DT_INT64}))
@example((b'{"signature_name": "[", "instances": [1, 2]}', {"a": dtypes.DT_INT64}))
@example((b'{"instances": [1, 2], "signature_name": "]"}', {"a": dtypes.DT_INT64}))
@example((b'{"x": [1, 2], "instances": 5}', {"a": dtypes.DT_INT64}))
@example((b'{"instances": 5, "instances": [1]}', {"a": dtypes.DT_INT64}))
@example((b'{"instances": ["a", {"b64": "!"}]}', {"a": dtypes.DT_STRING}))
@example((b'{"instances": [{"a": [{"b64": "!"}, 5]}]}', {"a": dtypes.DT_STRING}))
@example((b'{"inputs": [5, {"b64": "!"}]}', {"a": dtypes.DT_STRING}))
@example((b'{"instances": [{"a": [[1], [2]]}]}', {"a": dtypes.DT_INT64}))
@example((b'{"instances": [{"a": [[1], [2]]}]}', {"b": dtypes.DT_INT64}))
@example((b'{"instances": [{"a": [[1], [2]], "a": [1]}]}', {"a": dtypes.DT_INT64}))
@example((b'{"instances": [{"a": [[1], [2, 3]]}]}', {"a": dtypes.DT_INT64}))
@example((b'{"instances": [{"a": [1]}, [2]]}', {"a": dtypes.DT_INT64}))
@example((b'{"inputs": {"a": [[1], [2]]}}', {"a": dtypes.DT_INT64}))
@example((b'{"inputs": {"a": [[1], [2]]}}', {"b": dtypes.DT_INT64}))
@example((b'{"inputs": {"c": 1, "a": [[1], [2]]}}', {"a": dtypes.DT_INT64}))
@example((b'{"signature_name": "[", "inputs": {"a": [[1], [2]]}}', {"a": dtypes.DT_INT64}))
@example((b'{"inst\\u0061nces": [1, 2]}', {"a": dtypes.DT_INT64}))
def test_documents(request: tuple[bytes, dict[str, int]]) -> None:
    check(*request)


@settings(max_examples=400, deadline=None)
@given(
    requests(),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b'[]{},:"\\0159.eE+-NIantf \x00\xff')), max_size=4),
)
def test_damaged_documents(request: tuple[bytes, dict[str, int]], edits: list[tuple[int, int]]) -> None:
    body = bytearray(request[0])
    for position, byte in edits:
        body[position % len(body)] = byte
    check(bytes(body), request[1])


TOKENS = ["NaN", "-NaN", "Infinity", "-Infinity", "Inf", "-Inf", "1", "-2.5", "1e3", "0", "-", "e", ".", " ", "\n"]
TOKENS += [str(number) for _, number, _ in json_bulk._TOKENS]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3).map("".join), min_size=1, max_size=4))
@example(["NaN", "NaN5", "-6.1728394506172e-291"])
@example(["1", "-Infinity"])
def test_tokens_that_are_no_numbers(elements: list[str]) -> None:
    check(f'{{"instances": [{",".join(elements)}]}}'.encode(), {"a": dtypes.DT_DOUBLE})
