"""`--grpc_channel_arguments`: settings of the gRPC C++ library, `name=value,name=value`.

What has a meaning here is honoured; the log names the rest.

Read as TensorFlow Serving reads them: items are separated by commas, a name from its value by the first `=`, what
follows a second `=` is dropped, and of equal names the last counts. Names, ranges and defaults are the library's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protos.configs import GrpcConfig

_INT_MAX = (1 << 31) - 1
_INTEGER = re.compile(r"\s*[-+]?[0-9]{1,20}\s*")
_FLAG = "--grpc_channel_arguments"


@dataclass(frozen=True, kw_only=True)
class ChannelArguments:
    """What was asked for.

    Attributes:
        max_streams, max_message_bytes: None when not given.
        complaints: lines for the log, at error level: what will not be done.
        notes: lines for the log, at info level.
    """

    grpc: GrpcConfig
    max_streams: int | None
    max_message_bytes: int | None
    complaints: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Argument:
    """One that is honoured: where it goes, its range, and what its number means there."""

    field: str
    lowest: int
    highest: int = _INT_MAX
    meaning: Callable[[int], int | float] = int


def _seconds(never: float) -> Callable[[int], float]:
    """Milliseconds to seconds; the largest number is the library's "never"."""
    return lambda ms: never if ms == _INT_MAX else ms / 1000


_HONOURED = {
    "grpc.max_connection_age_ms": _Argument("max_age_seconds", 1, meaning=_seconds(0.0)),
    "grpc.max_connection_age_grace_ms": _Argument("age_grace_seconds", 0, meaning=_seconds(-1.0)),
    "grpc.max_connection_idle_ms": _Argument("idle_seconds", 1, meaning=_seconds(0.0)),
    "grpc.keepalive_time_ms": _Argument("keepalive_seconds", 1, meaning=_seconds(0.0)),
    "grpc.keepalive_timeout_ms": _Argument("keepalive_timeout_seconds", 0, meaning=lambda ms: ms / 1000),
    "grpc.max_send_message_length": _Argument("max_send_bytes", -1),
    "grpc.max_metadata_size": _Argument("max_metadata_bytes", 1),
    "grpc.http2.max_frame_size": _Argument("max_frame_bytes", 1 << 14, (1 << 24) - 1),
    "grpc.max_concurrent_streams": _Argument("max_streams", 1),
    "grpc.max_receive_message_length": _Argument(
        "max_message_bytes", -1, meaning=lambda size: size if size >= 0 else _INT_MAX
    ),
}
# What these ask for with 1 is how it is.
_ALWAYS = ("grpc.so_reuseport", "grpc.so_reuseaddr", "grpc.keepalive_permit_without_calls")


def parse_channel_arguments(text: str) -> ChannelArguments:
    """What `text` asks for; nothing in it keeps the server from starting."""
    complaints: list[str] = []
    notes: list[str] = []
    given: dict[str, str] = {}
    for item in text.split(",") if text else ():
        name, separator, rest = item.partition("=")
        if separator:
            given[name] = rest.split("=", 1)[0]
        else:
            complaints.append(f"{_FLAG}: ignored '{item}', which is not name=value")
    values: dict[str, Any] = {}
    for name, value in given.items():
        argument = _HONOURED.get(name)
        number = _int32(value)
        if name in _ALWAYS:
            if number == 1:
                notes.append(f"{_FLAG}: {name} is always so")
            else:
                complaints.append(f"{_FLAG}: {name} cannot be turned off, ignored '{value}'")
        elif argument is None:
            complaints.append(f"{_FLAG}: {name} has no effect in tensormux")
        elif number is None or not argument.lowest <= number <= argument.highest:
            limits = f"from {argument.lowest} to {argument.highest}"
            complaints.append(f"{_FLAG}: {name} must be a whole number {limits}, ignored '{value}'")
        else:
            values[argument.field] = argument.meaning(number)
    max_streams = values.pop("max_streams", None)
    max_message_bytes = values.pop("max_message_bytes", None)
    return ChannelArguments(
        grpc=GrpcConfig(**values),
        max_streams=None if max_streams is None else int(max_streams),
        max_message_bytes=None if max_message_bytes is None else int(max_message_bytes),
        complaints=tuple(complaints),
        notes=tuple(notes),
    )


def _int32(text: str) -> int | None:
    if _INTEGER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if -_INT_MAX - 1 <= number <= _INT_MAX else None
