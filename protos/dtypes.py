"""The table of `tensorflow.DataType`: names, sizes, NumPy types and the TensorProto field that carries each.

Source: TensorFlow's `types.proto` and `tensor.proto`. Half and bfloat16 are handled as 16-bit patterns, so that
processes without TensorFlow need no extra number types.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DT_INVALID = 0
DT_FLOAT = 1
DT_DOUBLE = 2
DT_INT32 = 3
DT_UINT8 = 4
DT_INT16 = 5
DT_INT8 = 6
DT_STRING = 7
DT_COMPLEX64 = 8
DT_INT64 = 9
DT_BOOL = 10
DT_BFLOAT16 = 14
DT_UINT16 = 17
DT_COMPLEX128 = 18
DT_HALF = 19
DT_UINT32 = 22
DT_UINT64 = 23


class DType(NamedTuple):
    """Facts about one data type.

    Attributes:
        number: in `tensorflow.DataType`.
        name: as TensorFlow's `DataTypeString` prints it, such as `float`.
        size: bytes an element; 0 for DT_STRING.
        numpy: type of the elements in `messages.Tensor.data` (half and bfloat16: uint16 patterns).
        field: the typed repeated field of TensorProto.
    """

    number: int
    name: str
    size: int
    numpy: np.dtype[np.generic]
    field: str


def _row(number: int, name: str, numpy: str, field: str) -> DType:
    dtype: np.dtype[np.generic] = np.dtype(numpy)
    return DType(number, name, 0 if numpy == "O" else dtype.itemsize, dtype, field)


# Types that can be served; the others of the enum (quantized, resource, variant, float8) are refused at decoding.
DTYPES: dict[int, DType] = {
    row.number: row
    for row in (
        _row(DT_FLOAT, "float", "<f4", "float_val"),
        _row(DT_DOUBLE, "double", "<f8", "double_val"),
        _row(DT_INT32, "int32", "<i4", "int_val"),
        _row(DT_UINT8, "uint8", "u1", "int_val"),
        _row(DT_INT16, "int16", "<i2", "int_val"),
        _row(DT_INT8, "int8", "i1", "int_val"),
        _row(DT_STRING, "string", "O", "string_val"),
        _row(DT_COMPLEX64, "complex64", "<c8", "scomplex_val"),
        _row(DT_INT64, "int64", "<i8", "int64_val"),
        _row(DT_BOOL, "bool", "?", "bool_val"),
        _row(DT_BFLOAT16, "bfloat16", "<u2", "half_val"),
        _row(DT_UINT16, "uint16", "<u2", "int_val"),
        _row(DT_COMPLEX128, "complex128", "<c16", "dcomplex_val"),
        _row(DT_HALF, "half", "<u2", "half_val"),
        _row(DT_UINT32, "uint32", "<u4", "uint32_val"),
        _row(DT_UINT64, "uint64", "<u8", "uint64_val"),
    )
}

_OTHER_NAMES = {
    11: "qint8",
    12: "quint8",
    13: "qint32",
    15: "qint16",
    16: "quint16",
    20: "resource",
    21: "variant",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    29: "int4",
    30: "uint4",
}


def dtype_name(number: int) -> str:
    """The name of a data type as TensorFlow prints it, for any number of the enum."""
    row = DTYPES.get(number)
    if row is not None:
        return row.name
    if number == DT_INVALID:
        return "INVALID"
    return _OTHER_NAMES.get(number, f"unknown dtype enum ({number})")


# Tag of the packed TensorProto field of the data types whose packed form is the tensor's own bytes.
PACKED_TAG = {1: b"\x2a", 2: b"\x32", 8: b"\x4a", 10: b"\x5a", 18: b"\x62"}
