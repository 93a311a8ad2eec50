"""The fast ways from a body to tensors agree with the value-by-value way, on results and on errors.

The slow way is the tolerant parser and `json_exact`; the fast ones are orjson with lists packed level by level,
Python's parser for NaN and infinities, and simdjson. Each is held against it with the size from which it is tried set
to nothing, and with the true sizes. The one difference that there may be is tested as such: beyond
`MAX_TOLERANT_BYTES`, what only the tolerant parser takes is a parse error with other words.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frontend.rest import json_parse, json_tensors
from frontend.rest.json_exact import MAX_RANK
from protos import dtypes
from protos.errors import Code, ServingError
from protos.signature import Signature
from tests.unit.frontend.json_documents import (
    DTYPES,
    EDITS,
    HEADS,
    NUMBERS,
    TAILS,
    TOKENS,
    Request,
    arrays_of_numbers,
    damaged,
    requests,
)

NEVER = 1 << 40
EXAMPLES = 300


# --- The ways ---


def outcome(body: bytes, signature: Signature, max_rank: int = MAX_RANK) -> object:
    try:
        document = json_tensors.parse_predict(body, max_rank)
        row_format, tensors = document.tensors(signature)
    except ServingError as error:
        return error.code, error.message
    return document.signature_name, row_format, repr(tensors)


@contextmanager
def setting(*changes: tuple[object, str, object]) -> Iterator[None]:
    """Module attributes changed for a while; like `monkeypatch`, at a tenth of the cost."""
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


class Refusing:
    """A parser that takes nothing."""

    JSONDecodeError = orjson.JSONDecodeError

    @staticmethod
    def loads(body: bytes) -> object:
        raise orjson.JSONDecodeError("refused", "", 0)


BULK = (json_tensors, "MIN_BULK_BYTES")
STDLIB = (json_parse, "_STDLIB_BYTES")
SLOWLY = (
    (*BULK, NEVER),
    (*STDLIB, NEVER),
    (json_tensors, "_even_tensor", lambda *_: None),
    (json_parse, "orjson", Refusing),
)
FAST = [((*BULK, bulk), (*STDLIB, stdlib)) for bulk in (NEVER, 0) for stdlib in (NEVER, 0)]


def signature_of(inputs: dict[str, int]) -> Signature:
    pairs = {alias: (dtype, f"{alias}:0") for alias, dtype in inputs.items()}
    return Signature(name="s", method_name="", inputs=pairs, outputs={"y": 1}, defaults={})


def check(body: bytes, inputs: dict[str, int], max_rank: int = MAX_RANK) -> None:
    signature = signature_of(inputs)
    with setting(*SLOWLY):
        expected = outcome(body, signature, max_rank)
    for changes in FAST:
        with setting(*changes):
            assert outcome(body, signature, max_rank) == expected
    assert outcome(body, signature, max_rank) == expected


def check_beyond_the_limit(body: bytes, inputs: dict[str, int]) -> None:
    """Without the tolerant parser the outcome is the same, or a parse error of what orjson refuses, too."""
    signature = signature_of(inputs)
    expected = outcome(body, signature)
    for changes in FAST:
        with setting(*changes, (json_parse, "MAX_TOLERANT_BYTES", -1)):
            found = outcome(body, signature)
        if found != expected:
            code, message = found  # type: ignore[misc]
            assert code == Code.INVALID_ARGUMENT
            assert message.startswith("JSON Parse error: ") and " at offset: " in message
            try:
                orjson.loads(body)
            except orjson.JSONDecodeError:
                continue
            raise AssertionError(message)


# --- The tests ---

INT64 = {"a": dtypes.DT_INT64}


@settings(max_examples=EXAMPLES, deadline=None)
@given(requests())
@example((b'{"instances": [[1, 2], [], [3, 4, 5]]}', {"a": dtypes.DT_FLOAT}))
@example((b'{"instances": [[1, 2], 3, [4, 5, 6]]}', {"a": dtypes.DT_FLOAT}))
@example((b'{"inputs": [[[1], [2, 3]], [[4]], [[5, 6]]]}', INT64))
@example((b'{"signature_name": "[", "instances": [1, 2]}', INT64))
@example((b'{"instances": [1, 2], "signature_name": "]"}', INT64))
@example((b'{"x": [1, 2], "instances": 5}', INT64))
@example((b'{"instances": 5, "instances": [1]}', INT64))
@example((b'{"instances": ["a", {"b64": "!"}]}', {"a": dtypes.DT_STRING}))
@example((b'{"instances": [{"a": [{"b64": "!"}, 5]}]}', {"a": dtypes.DT_STRING}))
@example((b'{"inputs": [5, {"b64": "!"}]}', {"a": dtypes.DT_STRING}))
@example((b'{"instances": [{"a": [[1], [2]]}]}', INT64))
@example((b'{"instances": [{"a": [[1], [2]]}]}', {"b": dtypes.DT_INT64}))
@example((b'{"instances": [{"a": [[1], [2]], "a": [1]}]}', INT64))
@example((b'{"instances": [{"a": [[1], [2, 3]]}]}', INT64))
@example((b'{"instances": [{"a": [1]}, [2]]}', INT64))
@example((b'{"inputs": {"a": [[1], [2]]}}', INT64))
@example((b'{"inputs": {"a": [[1], [2]]}}', {"b": dtypes.DT_INT64}))
@example((b'{"inputs": {"c": 1, "a": [[1], [2]]}}', INT64))
@example((b'{"signature_name": "[", "inputs": {"a": [[1], [2]]}}', INT64))
@example((b'{"inst\\u0061nces": [1, 2]}', INT64))
def test_documents(request: Request) -> None:
    check(*request)


@settings(max_examples=EXAMPLES, deadline=None)
@given(requests(), EDITS, HEADS, TAILS)
def test_damaged_documents(request: Request, edits: list[tuple[int, int, bytes]], head: bytes, tail: bytes) -> None:
    check(head + damaged(request[0], edits) + tail, request[1])


@settings(max_examples=EXAMPLES, deadline=None)
@given(arrays_of_numbers())
@example((b'{"instances":[[0],[],[0],[0]]}', {"a": dtypes.DT_INT32}))
@example((b'{"inputs":{"a":[[[1]],[[]]]}}', {"a": dtypes.DT_FLOAT}))
def test_arrays_of_numbers(request: Request) -> None:
    check(*request)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(requests() | arrays_of_numbers(), st.integers(1, 4))
def test_with_a_lower_limit_of_ranks(request: Request, max_rank: int) -> None:
    check(*request, max_rank)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3).map("".join), min_size=1, max_size=4))
@example(["NaN", "NaN5", "-6.1728394506172e-291"])
@example(["1", "-Infinity"])
def test_tokens_that_are_no_numbers(elements: list[str]) -> None:
    check(f'{{"instances": [{",".join(elements)}]}}'.encode(), {"a": dtypes.DT_DOUBLE})


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=4), st.sampled_from(DTYPES))
def test_every_spelling_of_numbers(numbers: list[bytes], dtype: int) -> None:
    check(b'{"instances": [%b]}' % b", ".join(numbers), {"a": dtype})


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(requests(), EDITS, HEADS, TAILS)
def test_beyond_the_limit_of_the_tolerant_parser(
    request: Request, edits: list[tuple[int, int, bytes]], head: bytes, tail: bytes
) -> None:
    check_beyond_the_limit(head + damaged(request[0], edits) + tail, request[1])
