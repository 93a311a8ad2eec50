"""How a JSON value is printed inside an error message.

The layout is the one TensorFlow Serving's clients know: 4 spaces a level, one member of an object a line, arrays on
one line. A message must stay short whatever the client sent, so printing stops at the first event (key, scalar,
opening or closing bracket) that starts when 256 bytes or more are written: the tail, closing brackets included, is
missing then. One long string is not cut. NaN and infinities also end the text, where they would have been printed.
"""

from __future__ import annotations

import math

_STOP_BYTES = 256

_ESCAPES = {i: f"\\u{i:04X}" for i in range(0x20)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


def render(value: object) -> str:
    """The text of a parsed JSON value (dict, list, str, int, float, bool, None).

    Bytes of strings that were no UTF-8 are lone surrogates in the result, as they are in `value`.
    """
    writer = _Writer()
    writer.value(value, 0)
    return "".join(writer.parts)


class _Writer:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._size = 0

    def _put(self, text: str) -> None:
        self.parts.append(text)
        self._size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))

    def _event(self, separator: str, text: str) -> bool:
        """Print what one event adds, or False when printing has ended."""
        if self._size >= _STOP_BYTES:
            return False
        self._put(separator + text)
        return True

    def value(self, value: object, level: int, separator: str = "") -> bool:
        """Print `value` inside `level` enclosing containers; False when printing has ended.

        Every level prints at least one byte before the next, so that recursion ends by the stop rule.
        """
        if isinstance(value, dict):
            return self._object(value, level, separator)
        if isinstance(value, list):
            return self._array(value, level, separator)
        text = _scalar(value)
        return self._event(separator, text) and text != ""

    def _object(self, members: dict[str, object], level: int, separator: str) -> bool:
        if not self._event(separator, "{"):
            return False
        line = "\n" + "    " * (level + 1)
        comma = ""
        for key, value in members.items():
            if not self._event(comma + line, _quote(key)) or not self.value(value, level + 1, ": "):
                return False
            comma = ","
        return self._event("\n" + "    " * level if members else "", "}")

    def _array(self, elements: list[object], level: int, separator: str) -> bool:
        if not self._event(separator, "["):
            return False
        comma = ""
        for element in elements:
            if not self.value(element, level + 1, comma):
                return False
            comma = ", "
        return self._event("", "]")


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _scalar(value: object) -> str:
    """The text of a scalar; empty for a number that JSON cannot express."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, float):
        return _double(value) if math.isfinite(value) else ""
    return str(value)


def _double(value: float) -> str:
    """Shortest digits that read back to `value`; plain from 1e-6 up to 1e21, `1.5e-7` and `1e30` outside."""
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0.0"
    # value = 0.digits * 10**point
    point = len(digits) - len(fraction) + int(exponent or "0")
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point].ljust(point, '0')}.{digits[point:] or '0'}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' if len(digits) > 1 else ''}{digits[1:]}e{point - 1}"
