"""The slow JSON parser: accepts what TensorFlow Serving's parser accepts and fails with its error texts and offsets.

It runs only on bodies that the fast parsers refuse. Beyond the JSON of RFC 8259 it takes the number tokens `NaN`,
`Inf` and `Infinity` (each with an optional `-`), a byte order mark, strings that are no UTF-8 or hold lone low
surrogates, any depth of nesting, and bytes after the root value, which it ignores; a NUL byte outside strings ends
the text. An integer beyond 64 bits is a float. A table of states decides what may come next, and names the error when
something else does; no recursion. Of equal keys in one object the last one wins, as in the fast parsers.
"""

from __future__ import annotations

import math
import re
from enum import IntEnum

from protos.errors import ServingError, invalid_argument


class _State(IntEnum):
    """What has just been read; indices of the tables below."""

    START = 0
    OBJECT_START = 1
    KEY = 2
    COLON = 3
    MEMBER = 4
    MEMBER_COMMA = 5
    ARRAY_START = 6
    ELEMENT = 7
    ELEMENT_COMMA = 8


class _Step(IntEnum):
    """What to do with the next byte."""

    FAIL = 0
    SKIP = 1
    SCALAR = 2
    OPEN_ARRAY = 3
    OPEN_OBJECT = 4
    CLOSE = 5
    NAME = 6
    MOVE = 7


# What is wrong when the next token does not fit the state, or the text ends there.
_EXPECTED = {
    _State.START: "The document is empty.",
    _State.OBJECT_START: "Missing a name for object member.",
    _State.KEY: "Missing a colon after a name of object member.",
    _State.COLON: "Invalid value.",
    _State.MEMBER: "Missing a comma or '}' after an object member.",
    _State.MEMBER_COMMA: "Missing a name for object member.",
    _State.ARRAY_START: "Invalid value.",
    _State.ELEMENT: "Missing a comma or ']' after an array element.",
    _State.ELEMENT_COMMA: "Invalid value.",
}
_VALUE = {"[": _Step.OPEN_ARRAY, "{": _Step.OPEN_OBJECT} | dict.fromkeys(",:]}", _Step.FAIL)


def _table(steps: dict[str, _Step]) -> bytes:
    """Step by next byte; where values are taken, each character that is no bracket, comma or colon begins a scalar."""
    table = bytearray([_Step.SCALAR if "[" in steps else _Step.FAIL]) * 256
    for character, step in ({"\0": _Step.FAIL} | dict.fromkeys(" \t\n\r", _Step.SKIP) | steps).items():
        table[ord(character)] = step
    return bytes(table)


# In the order of the states.
_STEPS = (
    _table(_VALUE),
    _table({'"': _Step.NAME, "}": _Step.CLOSE}),
    _table({":": _Step.MOVE}),
    _table(_VALUE),
    _table({",": _Step.MOVE, "}": _Step.CLOSE}),
    _table({'"': _Step.NAME}),
    _table(_VALUE | {"]": _Step.CLOSE}),
    _table({",": _Step.MOVE, "]": _Step.CLOSE}),
    _table(_VALUE),
)
# Where a comma or colon leads.
_MOVES = {
    _State.KEY: _State.COLON,
    _State.MEMBER: _State.MEMBER_COMMA,
    _State.ELEMENT: _State.ELEMENT_COMMA,
}
# Plain names for the loop that runs once a token: attributes of a class and comparing enums would show there.
_FAIL, _SKIP, _SCALAR, _OPEN_ARRAY, _OPEN_OBJECT, _CLOSE, _NAME, _MOVE = map(int, _Step)
_KEY, _MEMBER, _ELEMENT = _State.KEY, _State.MEMBER, _State.ELEMENT
_ARRAY_START, _OBJECT_START = _State.ARRAY_START, _State.OBJECT_START

_SPACE = re.compile(rb"[ \t\n\r]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES = dict(zip(b'"\\/bfnrt', (b'"', b"\\", b"/", b"\b", b"\f", b"\n", b"\r", b"\t"), strict=True))
_BOM = b"\xef\xbb\xbf"
# Longest digits, with a sign, that are worth a look for whether they fit 64 bits.
_INTEGER_CHARS = 20
_INT64_MIN, _UINT64_MAX = -(1 << 63), (1 << 64) - 1


def parse(body: bytes) -> object:
    """The root value of `body`: dict, list, str, int, float, bool or None.

    Bytes of strings that are no UTF-8 become lone surrogates (`surrogateescape`), so that encoding restores them.

    Raises:
        ServingError: INVALID_ARGUMENT, `JSON Parse error: <what> at offset: <bytes from the start>`.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    pos = 0
    for byte in _BOM:
        if body[pos : pos + 1] == bytes((byte,)):
            pos += 1
    end = len(body)
    state = _State.START
    open_containers: list[dict[str, object] | list[object]] = []
    container: dict[str, object] | list[object] | None = None
    key = ""
    while True:
        char = body[pos] if pos < end else 0
        step = _STEPS[state][char]
        if step == _SKIP:
            pos = _end(_SPACE.match(body, pos))
        elif step == _MOVE:
            state = _MOVES[state]
            pos += 1
        elif step == _CLOSE:
            pos += 1
            closed = open_containers.pop()
            if not open_containers:
                return closed
            container = open_containers[-1]
            state = _ELEMENT if type(container) is list else _MEMBER
        elif step == _NAME:
            key, pos = _string(body, pos)
            state = _KEY
        elif step == _FAIL:
            raise _error(_EXPECTED[state], pos)
        else:
            value: object
            if step == _SCALAR:
                value, pos = _scalar(body, pos, char)
                if container is None:
                    return value
            else:
                value = [] if step == _OPEN_ARRAY else {}
                pos += 1
            if isinstance(container, list):
                container.append(value)
                state = _ELEMENT
            elif container is not None:
                container[key] = value
                state = _MEMBER
            if step != _SCALAR:
                assert isinstance(value, (list, dict))
                container = value
                open_containers.append(container)
                state = _ARRAY_START if step == _OPEN_ARRAY else _OBJECT_START


def _error(text: str, offset: int) -> ServingError:
    return invalid_argument(f"JSON Parse error: {text} at offset: {offset}")


def _end(match: re.Match[bytes] | None) -> int:
    """End of a match of a pattern that matches everywhere."""
    assert match is not None
    return match.end()


def _scalar(body: bytes, pos: int, char: int) -> tuple[object, int]:
    if char == 0x22:
        return _string(body, pos)
    if char == 0x74:
        return True, _literal(body, pos, b"true")
    if char == 0x66:
        return False, _literal(body, pos, b"false")
    if char == 0x6E:
        return None, _literal(body, pos, b"null")
    return _number(body, pos)


def _literal(body: bytes, pos: int, literal: bytes) -> int:
    """Position after `literal`; fails at the first byte that differs."""
    end = pos + len(literal)
    if body[pos:end] == literal:
        return end
    for i, byte in enumerate(literal):
        if body[pos + i : pos + i + 1] != bytes((byte,)):
            raise _error("Invalid value.", pos + i)
    raise AssertionError("unreachable")


def _number(body: bytes, start: int) -> tuple[int | float, int]:
    match = _NUMBER.match(body, start)
    if match is None:
        return _not_finite(body, start)
    end = match.end()
    fraction, exponent = match.groups()
    following = body[end : end + 1]
    if exponent is None and following in (b"e", b"E"):
        signed = body[end + 1 : end + 2] in (b"+", b"-")
        raise _error("Miss exponent in number.", end + 1 + signed)
    if fraction is None and exponent is None and following == b".":
        raise _error("Miss fraction part in number.", end + 1)
    text = match.group()
    if fraction is None and exponent is None and len(text) <= _INTEGER_CHARS:
        integer = int(text)
        if _INT64_MIN <= integer <= _UINT64_MAX:
            return integer, end
    value = float(text)
    if math.isinf(value):
        raise _error("Number too big to be stored in double.", start)
    return value, end


def _not_finite(body: bytes, start: int) -> tuple[float, int]:
    minus = body[start : start + 1] == b"-"
    pos = start + minus
    char = body[pos : pos + 1]
    if char == b"N":
        return math.nan, _literal(body, pos, b"NaN")
    if char != b"I":
        raise _error("Invalid value.", pos)
    pos = _literal(body, pos, b"Inf")
    if body[pos : pos + 1] == b"i":
        pos = _literal(body, pos, b"inity")
    return (-math.inf if minus else math.inf), pos


def _string(body: bytes, start: int) -> tuple[str, int]:
    """The string whose opening quote is at `start`, and the position after its closing quote."""
    parts: list[bytes] = []
    pos = start + 1
    while True:
        end = _end(_PLAIN.match(body, pos))
        parts.append(body[pos:end])
        char = body[end : end + 1]
        if char == b'"':
            return b"".join(parts).decode("utf-8", "surrogateescape"), end + 1
        if char != b"\\":
            missing = char in (b"", b"\0")
            text = "Missing a closing quotation mark in string." if missing else "Invalid escape character in string."
            raise _error(text, end)
        escape = body[end + 1 : end + 2]
        if escape == b"u":
            part, pos = _unicode_escape(body, end)
            parts.append(part)
        else:
            plain = _ESCAPES.get(escape[0]) if escape else None
            if plain is None:
                raise _error("Invalid escape character in string.", end)
            parts.append(plain)
            pos = end + 2


def _unicode_escape(body: bytes, start: int) -> tuple[bytes, int]:
    r"""UTF-8 of the `\uXXXX` at `start`, or of a pair of them, and the position after."""
    code, pos = _hex4(body, start + 2, start), start + 6
    if 0xD800 <= code <= 0xDBFF:
        low = _hex4(body, pos + 2, start) if body[pos : pos + 2] == b"\\u" else 0
        if not 0xDC00 <= low <= 0xDFFF:
            raise _error("The surrogate pair in string is invalid.", start)
        code, pos = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), pos + 6
    return chr(code).encode("utf-8", "surrogatepass"), pos


def _hex4(body: bytes, pos: int, escape_offset: int) -> int:
    match = _HEX4.match(body, pos)
    if match is None:
        raise _error("Incorrect hex digit after \\u escape in string.", escape_offset)
    return int(match.group(), 16)
