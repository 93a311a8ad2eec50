"""What parsed JSON values mean: names of types, base64 objects, and packing a flat list of scalars as one data type.

Packing is all or nothing and fast: it answers None when any value is not one that the data type accepts, and
`json_exact` then finds out which and says so. Accepted are, as in TensorFlow Serving: any number for float and double
(through a double: too large becomes infinite, never an error); integer literals in range for the integers, where int16,
int8 and uint8 accept the range of int32 and wrap (300 as uint8 is 44); true and false for bool; strings and base64
objects for string. Data types that JSON cannot carry pack only if there is no value.
"""

from __future__ import annotations

import binascii
import contextlib
import re
import struct
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from protos import dtypes
from protos.errors import ServingError, invalid_argument

Packed = bytes | list[bytes]

_NUMBERS = frozenset((int, float))
_INTEGERS = frozenset((int,))
_BOOLS = frozenset((bool,))
_STRINGS = frozenset((str,))
# Up to this many values a struct (whose format is compiled once) beats an array, 75 to 160 ns at 3 values.
_STRUCT_VALUES = 32
_STRUCTS = {code: tuple(struct.Struct(f"<{n}{code}").pack for n in range(_STRUCT_VALUES + 1)) for code in "fd"}

_BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)", re.ASCII)
_ASCII_SPACE = str.maketrans("", "", " \t\n\v\f\r")


def type_name(value: object) -> str:
    """The JSON type of a value as error texts call it: Null, False, True, Object, Array, String or Number."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"


def is_base64_object(value: object) -> bool:
    """Whether the value is an object whose only member is a string named `b64`."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def is_element_object(value: object) -> bool:
    """Whether the value is an object that does not stand for bytes."""
    return type(value) is dict and not is_base64_object(value)


def text_bytes(text: str) -> bytes:
    """The bytes that a JSON string had in the body; lone surrogates are bytes that were no UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def decode_base64(text: str) -> bytes:
    """Bytes of standard base64: white space is skipped, padding may be missing but not wrong, `.` pads like `=`.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    # binascii is fast, but lets more padding pass than there may be.
    if len(text) % 4 == 0 and len(text) - len(text.rstrip("=")) <= 2:
        with contextlib.suppress(ValueError):
            return binascii.a2b_base64(text, strict_mode=True)
    match = _BASE64.fullmatch(text.translate(_ASCII_SPACE))
    if match is not None:
        data, padding = match.groups()
        missing = -len(data) % 4
        if missing != 3 and len(padding) in (0, missing):
            return binascii.a2b_base64(data + "=" * missing)
    raise invalid_argument("Unable to base64 decode")


def _pack_floating(code: str) -> Callable[[list[Any]], Packed | None]:
    structs = _STRUCTS[code]

    def pack(values: list[Any]) -> Packed | None:
        if not _NUMBERS.issuperset(map(type, values)):
            return None
        count = len(values)
        if count <= _STRUCT_VALUES:
            try:
                return structs[count](*values)
            except OverflowError:
                pass
        return array(code, values).tobytes()

    return pack


def _pack_integers(code: str) -> Callable[[list[Any]], Packed | None]:
    def pack(values: list[Any]) -> Packed | None:
        if not _INTEGERS.issuperset(map(type, values)):
            return None
        try:
            return array(code, values).tobytes()
        except OverflowError:
            return None

    return pack


def _pack_wrapped(dtype: int) -> Callable[[list[Any]], Packed | None]:
    pack_int32 = _pack_integers("i")
    narrow = dtypes.DTYPES[dtype].numpy

    def pack(values: list[Any]) -> Packed | None:
        packed = pack_int32(values)
        return np.frombuffer(packed, "<i4").astype(narrow).tobytes() if isinstance(packed, bytes) else None

    return pack


def _pack_bools(values: list[Any]) -> Packed | None:
    return bytes(values) if _BOOLS.issuperset(map(type, values)) else None


def _pack_strings(values: list[Any]) -> Packed | None:
    if _STRINGS.issuperset(map(type, values)):
        try:
            return list(map(str.encode, values))
        except UnicodeEncodeError:
            return list(map(text_bytes, values))
    packed = []
    try:
        for value in values:
            if type(value) is str:
                packed.append(text_bytes(value))
            elif is_base64_object(value):
                packed.append(decode_base64(value["b64"]))
            else:
                return None
    except ServingError:
        return None
    return packed


def _pack_none(values: list[Any]) -> Packed | None:
    return None if values else b""


_PACKERS: dict[int, Callable[[list[Any]], Packed | None]] = {
    dtypes.DT_FLOAT: _pack_floating("f"),
    dtypes.DT_DOUBLE: _pack_floating("d"),
    dtypes.DT_INT32: _pack_integers("i"),
    dtypes.DT_INT64: _pack_integers("q"),
    dtypes.DT_UINT32: _pack_integers("I"),
    dtypes.DT_UINT64: _pack_integers("Q"),
    dtypes.DT_INT16: _pack_wrapped(dtypes.DT_INT16),
    dtypes.DT_INT8: _pack_wrapped(dtypes.DT_INT8),
    dtypes.DT_UINT8: _pack_wrapped(dtypes.DT_UINT8),
    dtypes.DT_BOOL: _pack_bools,
    dtypes.DT_STRING: _pack_strings,
}

JSON_DTYPES = frozenset(_PACKERS)


def packer(dtype: int) -> Callable[[list[Any]], Packed | None]:
    """The function that packs a list of scalars as `messages.Tensor.data` of a data type, or answers None."""
    return _PACKERS.get(dtype, _pack_none)
