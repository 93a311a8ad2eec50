"""Serialized PredictRequests in every form that the wire allows, and damaged ones; all from a seed.

A writer of its own, not protobuf's: the order of fields, packing, padding of varints, repeated submessages and
unknown fields are up to chance here, while protobuf writes one form only.
"""

from __future__ import annotations

import struct
from random import Random

from protos.dtypes import DT_BOOL, DT_STRING, DTYPES

_FIELD_NUMBERS = {
    "float_val": 5,
    "double_val": 6,
    "int_val": 7,
    "string_val": 8,
    "scomplex_val": 9,
    "int64_val": 10,
    "bool_val": 11,
    "dcomplex_val": 12,
    "half_val": 13,
    "uint32_val": 16,
    "uint64_val": 17,
}
_FLOATS = (0.0, -0.0, 1.5, -2.25, 3e38, 1e-40, float("inf"), float("-inf"), float("nan"))
_INTS = (0, 1, 2, 127, 128, 255, 256, 300, 65535, 65536, 2**31 - 1, -1, -128, -129, -(2**31))
_WORDS = ("x", "y", "serving_default", "", "länge", "a" * 130, "m")
_OTHER_DTYPES = (0, 11, 20, 21, 24, 101, 9999)


def varint(value: int, padding: int = 0) -> bytes:
    """`value` (negative as its 64-bit two's complement) with so many superfluous bytes at the end."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


class WireWriter:
    """Writes messages by the numbers of `rng`; `plain` of them in the one form that protobuf itself writes."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def number(self, value: int) -> bytes:
        return varint(value, self.rng.randint(1, 2) if self.chance(0.03) else 0)

    def tag(self, field: int, wire_type: int) -> bytes:
        return self.number(field << 3 | wire_type)

    def block(self, field: int, data: bytes) -> bytes:
        return self.tag(field, 2) + self.number(len(data)) + data

    def text(self, field: int, text: str) -> bytes:
        return self.block(field, b"\xff\xfe" if self.chance(0.01) else text.encode())

    def unknown(self) -> bytes:
        field = self.rng.choice((19, 100, 5000))
        kind = self.rng.randrange(5)
        if kind == 0:
            return self.tag(field, 0) + self.number(self.rng.choice(_INTS))
        if kind == 1:
            return self.tag(field, 1) + bytes(8)
        if kind == 2:
            return self.block(field, b"\x08\x01")
        if kind == 3:
            return self.tag(field, 3) + self.tag(1, 0) + b"\x05" + self.tag(field, 4)
        return self.tag(field, 5) + bytes(4)

    def join(self, parts: list[bytes], *, disorder: float = 0.15) -> bytes:
        if self.chance(disorder):
            self.rng.shuffle(parts)
        if self.chance(0.05):
            parts.insert(self.rng.randint(0, len(parts)), self.unknown())
        return b"".join(parts)

    # --- tensors ---------------------------------------------------------------------------------------------------

    def tensor(self, number: int = 0) -> bytes:
        """A tensor of data type `number`, 0 for any; rarely of another one."""
        rng = self.rng
        row = DTYPES[number or rng.choice(list(DTYPES))]
        dtype = rng.choice(_OTHER_DTYPES) if self.chance(0.03) else row.number
        dims = [rng.choice((1, 1, 2, 3, 5)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        if self.chance(0.1):
            dims.append(rng.choice((0, 40, 300)))
        count = 1
        for size in dims:
            count *= size
        if self.chance(0.02):
            dims.append(rng.choice((-1, 2**31, 2**62, 2**62)))
        if self.chance(0.01):
            dims = rng.choice(([1] * 254, [1] * 255, [2**40, 2**40, 0], [0, 2**40, 2**40], [2**41]))
        parts = [self.tag(1, 0) + self.number(dtype)] if dtype or self.chance(0.5) else []
        if dims or self.chance(0.8):
            parts.extend(self.shape(dims))
        if self.chance(0.05):
            parts.append(self.tag(3, 0) + self.number(7))
        how = rng.random()
        if how < 0.3:
            parts.append(self.block(4, self.content(row.number, row.size, count)))
        if how > 0.25 or self.chance(0.05):
            field = rng.choice(list(_FIELD_NUMBERS)) if self.chance(0.05) else row.field
            parts.extend(self.values(field, count * 2 if "complex" in field else count))
        return self.join(parts, disorder=0.1)

    def shape(self, dims: list[int]) -> list[bytes]:
        encoded = []
        for size in dims:
            dim = [self.tag(1, 0) + self.number(size)] if size or self.chance(0.5) else []
            if self.chance(0.05):
                dim.append(self.text(2, self.rng.choice(_WORDS)))
            if self.chance(0.02):
                dim.insert(0, self.tag(1, 0) + b"\x09")
            encoded.append(self.block(2, self.join(dim)))
        if self.chance(0.04):
            encoded.append(self.tag(3, 0) + b"\x01")
        if len(encoded) > 1 and self.chance(0.1):  # two submessages, which a reader merges
            return [self.block(2, b"".join(encoded[:1])), self.block(2, b"".join(encoded[1:]))]
        return [self.block(2, self.join(encoded, disorder=0.03))]

    def content(self, dtype: int, size: int, count: int) -> bytes:
        rng = self.rng
        if dtype == DT_STRING:
            items = [rng.randbytes(rng.choice((0, 1, 3, 130))) for _ in range(count)]
            data = b"".join([self.number(len(item)) for item in items]) + b"".join(items)
        elif dtype == DT_BOOL and self.chance(0.9):
            data = bytes(rng.choice((0, 1)) for _ in range(count))
        else:
            data = rng.randbytes(count * size)
        if self.chance(0.1):
            data = rng.choice((data[:-1], data + b"\0", b""))
        return data

    def values(self, field: str, count: int) -> list[bytes]:
        rng = self.rng
        if self.chance(0.25):
            count = max(0, rng.choice((0, 1, count - 1, count + 1, count * 2, count // 2)))
        if not count:
            return [self.block(_FIELD_NUMBERS[field], b"")] if self.chance(0.3) and field != "string_val" else []
        number = _FIELD_NUMBERS[field]
        if field == "string_val":
            return [self.block(number, rng.randbytes(rng.choice((0, 1, 3, 130)))) for _ in range(count)]
        if field in ("float_val", "scomplex_val"):
            wire_type, items = 5, [struct.pack("<f", rng.choice(_FLOATS)) for _ in range(count)]
        elif field in ("double_val", "dcomplex_val"):
            wire_type, items = 1, [struct.pack("<d", rng.choice(_FLOATS)) for _ in range(count)]
        else:
            wire_type, items = 0, [self.number(rng.choice(_INTS)) for _ in range(count)]
        if self.chance(0.75):
            return [self.block(number, b"".join(items))]
        parts = []
        while items:  # runs, each packed or not
            size = rng.randint(1, len(items))
            run, items = items[:size], items[size:]
            if self.chance(0.5):
                parts.append(self.block(number, b"".join(run)))
            else:
                parts.extend(self.tag(number, wire_type) + item for item in run)
        return parts

    # --- requests --------------------------------------------------------------------------------------------------

    def model_spec(self) -> bytes:
        rng = self.rng
        parts = [self.text(1, rng.choice(_WORDS))] if self.chance(0.9) else []
        if self.chance(0.4):
            version = rng.choice((0, 1, 123, 2**62, -5))
            parts.append(self.block(2, self.tag(1, 0) + self.number(version) if self.chance(0.9) else b""))
        if self.chance(0.2):
            parts.append(self.text(4, rng.choice(_WORDS)))
        if self.chance(0.5):
            parts.append(self.text(3, rng.choice(_WORDS)))
        return self.join(parts)

    def entry(self) -> bytes:
        parts = [self.text(1, self.rng.choice(_WORDS))] if self.chance(0.95) else []
        parts += [self.block(2, self.tensor()) for _ in range(2 if self.chance(0.03) else 1)]
        if self.chance(0.03):
            parts.pop()
        return self.join(parts, disorder=0.05)

    def request(self) -> bytes:
        rng = self.rng
        parts = [self.block(1, self.model_spec()) for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 2)))]
        parts += [self.block(2, self.entry()) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
        parts += [self.text(3, rng.choice(_WORDS)) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
        if self.chance(0.05):
            parts.append(self.block(rng.choice((4, 5, 6)), b""))
        return self.join(parts)

    def damaged(self, data: bytes) -> bytes:
        """`data` cut short, or with a byte changed, left out or put in."""
        if not data:
            return self.rng.randbytes(3)
        at = self.rng.randrange(len(data))
        return self.rng.choice(
            (
                data[:at],
                data[:at] + self.rng.randbytes(1) + data[at + 1 :],
                data[:at] + data[at + 1 :],
                data[:at] + self.rng.randbytes(1) + data[at:],
                data[:at] + bytes([data[at] ^ (1 << self.rng.randrange(8))]) + data[at + 1 :],
            )
        )
