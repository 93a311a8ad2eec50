"""Bodies of `:predict` as text for tests: legal in any spelling, nearly legal, and damaged."""

import math
import random
from collections.abc import Sequence

import orjson
from hypothesis import strategies as st

from frontend.rest import json_bulk
from frontend.rest.json_values import JSON_DTYPES
from protos import dtypes

# Those that JSON can carry more often than the others.
DTYPES = [*sorted(dtypes.DTYPES), *sorted(JSON_DTYPES), *sorted(JSON_DTYPES), dtypes.DT_FLOAT, dtypes.DT_DOUBLE]
SIGNS = ["", "", "", "-", "+"]
WHOLES = ["0", "1", "7", "44", "255", "300", "65536", "16777217", "00", "01", ""]
WHOLES += [str(edge + i) for edge in (2**31, 2**32, 2**63, 2**64) for i in (-1, 0, 1)]
WHOLES += ["9007199254740993", "123456789012345678901234567890", "9" * 310]
FRACTIONS = ["", "", "", ".0", ".5", ".25", ".1", ".000000000000000000000000000001", ".", ".3333333333333333333333"]
EXPONENTS = ["", "", "", "", "e0", "E+0", "e-0", "e3", "E-3", "e+38", "e-38", "e-45", "e308", "e309", "e-324", "e-400"]
EXPONENTS += ["e", "e+", "E-", "e00000000000000000000000001", "e-99999999999999999999", "e99999999999999999999"]
TOKENS = ["NaN", "-NaN", "Infinity", "-Infinity", "Inf", "-Inf", "1", "-2.5", "1e3", "0", "-", "e", ".", " ", "\n"]
TOKENS += [str(number) for _, number, _ in json_bulk._TOKENS]

STRINGS = [b'""', b'"a"', b'"b64"', b'"aGk="', b'"aGk"', b'"aGk=="', b'"-_-_"', b'"\\u0041"', b'"\\u0000"', b'"\\/"']
STRINGS += [
    b'"\\ud83d\\ude00"',
    '"😀ä"'.encode(),
    b'"\\ud800"',
    b'"\\udc00"',
    b'"\\udc00\\ud800"',
    b'"\x7f"',
    b'"\xff"',
]
STRINGS += [
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"',
    b'"\x1f"',
    b'"\n"',
    b'"\0"',
    b'"\\x"',
    b'"\\',
    b"'a'",
]
STRINGS += [
    b'"\\u00g0"',
    b'"["',
    b'"]"',
    b'"]}"',
    b'"NaN"',
    b'"\\""',
    b'"//"',
    b'"' + b"x" * 300 + b'"',
    b'"\xef\xbb\xbf"',
]
OTHERS = [
    b"true",
    b"false",
    b"null",
    b"{}",
    b"[]",
    b'{"b64":"aGk="}',
    b'{"b64":"!"}',
    b'{"b64":5}',
    b'{"a":1,"b64":"aGk="}',
]
ODD = [
    b"True",
    b"nul",
    b"tru e",
    b"undefined",
    b"",
    b"0x10",
    b"/**/1",
    b"[1,]",
    b"{,}",
    b'{"a"}',
    b"1_000",
    b"\0",
    b"\x0c1",
]

ALIASES = [b'"a"', b'"b"', b'"b64"', b'"\\u0061"', b'"c"']
KEYS = [
    b'"instances"',
    b'"inputs"',
    b'"signature_name"',
    b'"inst\\u0061nces"',
    b'"other"',
    b'""',
    b'"\\ud800"',
    b'"\xff"',
]

NUMBERS = st.builds(
    lambda *parts: "".join(parts).encode(), *map(st.sampled_from, (SIGNS, WHOLES, FRACTIONS, EXPONENTS))
)
PLAIN_NUMBERS = st.one_of(
    st.integers(-3, 300).map(lambda value: b"%d" % value),
    st.floats(allow_nan=False, allow_infinity=False).map(orjson.dumps),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(orjson.dumps),
)
NOT_FINITE = st.sampled_from([b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"Inf", b"-Inf"])
SCALARS = st.one_of(
    PLAIN_NUMBERS, NUMBERS, NOT_FINITE, st.sampled_from(STRINGS), st.sampled_from(OTHERS), st.sampled_from(ODD)
)
INTEGERS = st.one_of(
    st.integers(-3, 300).map(lambda value: b"%d" % value),
    st.sampled_from([b"-0", b"0", b"2147483647", b"-2147483648", b"4294967295", b"9223372036854775807"]),
)
BOOLS = st.sampled_from([b"true", b"false"])
GOOD_STRINGS = st.sampled_from([*STRINGS[:3], *STRINGS[7:14], b'{"b64":"aGk="}', b'"\xff"', b'"]"', b'"["'])
# Leaves of an array, mostly of one kind.
ANY_LEAVES = [INTEGERS, PLAIN_NUMBERS, NUMBERS, PLAIN_NUMBERS | NOT_FINITE, BOOLS, GOOD_STRINGS, SCALARS]
LEAVES = {dtype: [INTEGERS] for dtype in dtypes.DTYPES} | {
    dtypes.DT_FLOAT: ANY_LEAVES[:4],
    dtypes.DT_DOUBLE: ANY_LEAVES[:4],
    dtypes.DT_BOOL: [BOOLS],
    dtypes.DT_STRING: [GOOD_STRINGS],
}


class Writer:
    """Puts texts together with white space of a seed between them."""

    def __init__(self, seed: int) -> None:
        # Nearly all documents have none, or such as there may be.
        spaces = [b""] if seed < 30 else [b"", b"", b" ", b"\n", b"\t\r\n "]
        if seed > 97:
            spaces += [b"\x0b", b"\xa0"]
        chance = random.Random(seed)
        self._space = lambda: chance.choice(spaces)

    def array(self, elements: Sequence[bytes]) -> bytes:
        space = self._space
        return b"[" + b",".join(space() + element + space() for element in elements) + b"]"

    def object(self, members: Sequence[tuple[bytes, bytes]]) -> bytes:
        space = self._space
        return b"{" + b",".join(space() + key + space() + b":" + space() + value for key, value in members) + b"}"


@st.composite
def even_arrays(draw: st.DrawFn, writer: Writer, dtype: int) -> bytes:
    """An array of one shape; sometimes long, sometimes with one element that is another."""
    leaf = draw(st.sampled_from(LEAVES[dtype] if draw(st.integers(0, 9)) else ANY_LEAVES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = math.prod(shape)
    texts = draw(st.lists(leaf, min_size=count, max_size=count))
    if shape and draw(st.integers(0, 9)) == 0:
        # Enough for every way's true size.
        times = draw(st.sampled_from([50, 300]))
        texts, shape = texts * times, [shape[0] * times, *shape[1:]]
    if texts and draw(st.integers(0, 9)) == 0:
        other = st.sampled_from([b"[1]", b"1,2", b"[]", b"[[]]", b"1][2", b"1],[2"])
        texts[draw(st.integers(0, len(texts) - 1))] = draw(SCALARS | other)
    for size in reversed(shape):
        rows = len(texts) // size if size else 0
        texts = [writer.array(texts[i * size : (i + 1) * size]) for i in range(rows)]
    return texts[0] if texts else draw(st.sampled_from([b"[]", b"[[],[]]", b"[[[]]]", b"[[],[1]]"]))


@st.composite
def values(draw: st.DrawFn, writer: Writer, dtype: int) -> bytes:
    if draw(st.integers(0, 9)):
        return draw(even_arrays(writer, dtype))
    nested = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(writer.array), max_leaves=6)
    return draw(nested)


@st.composite
def members(draw: st.DrawFn, writer: Writer, inputs: dict[str, int]) -> bytes:
    """An object with all inputs, or nearly."""
    pairs = [(b'"%b"' % alias.encode(), draw(values(writer, dtype))) for alias, dtype in inputs.items()]
    if draw(st.integers(0, 9)) == 0:
        pairs.append((draw(st.sampled_from(ALIASES)), draw(values(writer, dtypes.DT_FLOAT))))
    if len(pairs) > 1 and draw(st.integers(0, 9)) == 0:
        del pairs[0]
    return writer.object(pairs)


Request = tuple[bytes, dict[str, int]]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A body, and the inputs (alias to data type) of the signature that it is for."""
    writer = Writer(draw(st.integers(0, 99)))
    names = draw(st.sampled_from([["a"], ["a"], ["b64"], ["a", "b"], ["a", "b64"]]))
    inputs = {name: draw(st.sampled_from(DTYPES)) for name in names}
    kind = draw(st.sampled_from(["plain", "objects", "columns"][len(names) > 1 and draw(st.integers(0, 9)) > 0 :]))
    if kind == "plain":
        pairs = [(draw(st.sampled_from(KEYS[:2])), draw(values(writer, inputs[names[0]])))]
    elif kind == "objects":
        first = draw(members(writer, inputs))
        rows = [first] * draw(st.sampled_from([1, 1, 2, 3]))
        if draw(st.integers(0, 3)) == 0:
            rows.append(draw(members(writer, inputs) | SCALARS))
        pairs = [(KEYS[0], writer.array(rows))]
    else:
        pairs = [(KEYS[1], draw(members(writer, inputs)))]
    if draw(st.integers(0, 2)) == 0:
        pairs.append((KEYS[2], draw(GOOD_STRINGS if draw(st.integers(0, 4)) else st.sampled_from(STRINGS) | SCALARS)))
    if draw(st.integers(0, 19)) == 0:
        pairs.append((draw(st.sampled_from(KEYS)), draw(values(writer, dtypes.DT_FLOAT))))
    return writer.object(draw(st.permutations(pairs))), inputs


BYTES = st.sampled_from([bytes((byte,)) for byte in b'[]{},:"\\0159.eE+-NIantfiy \n\x00\x1f\x80\xff'])
PIECES = st.one_of(
    BYTES,
    st.sampled_from(
        [b"NaN", b"-NaN", b"Infinity", b"Inf", b"[]", b"{}", b"],[", b'":', b"\\u", b"\xef\xbb\xbf", b"//"]
    ),
)
# (where, how many bytes go, what comes): a change, a cut, or something put in.
EDITS = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, 5, 40, 10**6]), PIECES | st.just(b"")),
    max_size=3,
)
# Mostly none.
TAILS = st.sampled_from(
    [b"", b" ", b"\0", b"\0{", b"}", b"]", b"x", b"{}", b"NaN", b"\xff", b"\n\n", b" " * 5000] + [b""] * 20
)
HEADS = st.sampled_from(
    [b" ", b"\xef\xbb\xbf", b"\xbf", b"\xef", b"\xef\xbb\xbf" * 2, b"\xff\xfe", b"\0", b"\n" * 5000] + [b""] * 20
)


def damaged(body: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    data = bytearray(body)
    for where, gone, piece in edits:
        at = where % (len(data) + 1)
        data[at : at + gone] = piece
    return bytes(data)


FORMS = [b'{"instances":@}', b'{"inputs":@}', b'{"instances":[{"a":@}]}', b'{"inputs":{"a":@}}']
FORMS += [b'{"signature_name":"[s]","instances":@}', b' {"signature_name" : "", "inputs": {"a" : @ } } ']
FORMS += [b'{"instances":[{"b":@}]}', b'{"instances":[@]}', b'{"instances":[{"a":@},{"a":@}]}']
NUMERIC = sorted(JSON_DTYPES - {dtypes.DT_STRING, dtypes.DT_BOOL})


@st.composite
def arrays_of_numbers(draw: st.DrawFn) -> Request:
    """What simdjson is for, with brackets, commas and numbers moved, doubled or lost here and there."""
    writer, dtype = Writer(draw(st.integers(0, 97))), draw(st.sampled_from(NUMERIC))
    leaf = draw(st.sampled_from(LEAVES[dtype]))
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    texts = draw(st.lists(leaf, min_size=math.prod(shape), max_size=math.prod(shape)))
    for size in reversed(shape):
        texts = [writer.array(texts[i : i + size]) for i in range(0, len(texts), size)]
    body = bytearray(draw(st.sampled_from(FORMS)).replace(b"@", texts[0]))
    places = [i for i, byte in enumerate(body) if byte in b"[],{}"]
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        at = draw(st.sampled_from(places))
        body[at : at + draw(st.integers(0, 1))] = draw(
            st.sampled_from(
                [b"", b"[", b"]", b",", b"],[", b"1", b" ", b"NaN", b"-", b"{", b"}", b"null", b'"', b'"",']
            )
        )
    return bytes(body), {"a": dtype}
