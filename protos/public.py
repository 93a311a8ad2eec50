"""Every public message and enum by its short name: `public.PredictRequest`, `public.TensorProto`, `public.Any`.

A name is looked up in the private pool (see `protos.pool`) at its first use and is a plain attribute from then on.
Types for people and mypy are in `public.pyi`, which `python -m protos.build` writes.
"""

from __future__ import annotations

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

from protos.packages import PACKAGES
from protos.pool import enum_wrapper, message_class, pool

__all__ = ["message_class", "pool"]


def __getattr__(name: str) -> type[Message] | EnumTypeWrapper:
    if not name.startswith("_"):
        for package in PACKAGES:
            full_name = f"{package}.{name}"
            for find in (message_class, enum_wrapper):
                try:
                    found = find(full_name)
                except KeyError:
                    continue
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no message or enum {name!r}")
