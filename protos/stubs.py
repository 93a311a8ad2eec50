"""Text of `public.pyi`: Python types of the public messages, made from their descriptors.

The classes that protobuf makes at run time have attributes that no type checker can see; the stub spells them
out: scalars as plain attributes, messages as read-only properties, repeated and map fields as protobuf's
containers, values of nested enums on the class. Enum fields are plain `int`.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Sequence

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)

from protos.packages import ALIASES, PACKAGES

_F = FieldDescriptorProto
_FLOATS = frozenset({_F.TYPE_DOUBLE, _F.TYPE_FLOAT})
_MESSAGES = frozenset({_F.TYPE_MESSAGE, _F.TYPE_GROUP})

# Names are spelled with their module or an underscore, since fields are called `type`, `list`, `property`, `bytes`.
_HEAD = '''\
"""Types of `protos.public`. Written by `python -m protos.build`; do not edit."""

# ruff: noqa
# fmt: off

import builtins as _b
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Final as _Final

from google.protobuf.descriptor import Descriptor as _Descriptor
from google.protobuf.descriptor_pool import DescriptorPool as _DescriptorPool
from google.protobuf.internal.containers import (
    MessageMap as _MessageMap,
    RepeatedCompositeFieldContainer as _Messages,
    RepeatedScalarFieldContainer as _Scalars,
    ScalarMap as _ScalarMap,
)
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper as _Enum
from google.protobuf.internal.well_known_types import Any as _AnyMethods
from google.protobuf.message import Message as _Message

pool: _Final[_DescriptorPool]

def message_class(full_name: _b.str) -> _b.type[_Message]: ...
'''


def stub_text(files: FileDescriptorSet) -> str:
    """The whole stub.

    Raises:
        ValueError: two messages or enums share a short name, or are in a package that `public` doesn't search.
    """
    names: dict[str, str] = {}
    searched = [file for file in files.file if file.package not in ALIASES]
    for file in searched:
        for name in (*(m.name for m in file.message_type), *(e.name for e in file.enum_type)):
            full_name = f"{file.package}.{name}"
            if file.package not in PACKAGES:
                raise ValueError(f"{full_name} is in a package that protos.public doesn't search")
            if name in names:
                raise ValueError(f"{full_name} and {names[name]} have the same short name")
            names[name] = full_name
    packages = sorted({file.package for file in searched}, key=len, reverse=True)
    lines = [_HEAD]
    for file in searched:
        lines.append(f"# {file.name}\n")
        for enum in file.enum_type:
            lines += [*_enum(enum, ""), ""]
        for message in file.message_type:
            lines += [*_Stub(packages).message(message, f".{file.package}", ""), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _enum(enum: EnumDescriptorProto, indent: str) -> Iterator[str]:
    yield f"{indent}class _{enum.name}(_Enum):"
    for value in enum.value:
        yield f"{indent}    {value.name}: _b.int"
    yield f"{indent}{enum.name}: {'_ClassVar' if indent else '_Final'}[_{enum.name}]"


class _Stub:
    """Writes message classes; knows the packages, so as to tell them from outer messages in a full name."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._prefixes = [f".{package}." for package in packages]

    def message(self, message: DescriptorProto, scope: str, indent: str) -> Iterator[str]:
        full_name = f"{scope}.{message.name}"
        entries = {f"{full_name}.{n.name}": n for n in message.nested_type if n.options.map_entry}
        bases = "_Message, _AnyMethods" if full_name == ".google.protobuf.Any" else "_Message"
        yield f"{indent}class {message.name}({bases}):"
        inner = indent + "    "
        yield f"{inner}DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]"
        for enum in message.enum_type:
            yield from _enum(enum, inner)
            for value in enum.value:
                yield f"{inner}{value.name}: _ClassVar[_b.int]"
        for nested in message.nested_type:
            if not nested.options.map_entry:
                yield from self.message(nested, full_name, inner)
        parameters = []
        for field in message.field:
            # Python can reach such a field with getattr only.
            if keyword.iskeyword(field.name):
                continue
            entry = entries.get(field.type_name)
            type_name = self._type(field)
            if entry is not None:
                key, value_type = (self._type(part) for part in entry.field)
                kind = "_MessageMap" if entry.field[1].type in _MESSAGES else "_ScalarMap"
                annotation, parameter = f"{kind}[{key}, {value_type}]", f"_Mapping[{key}, {value_type}]"
            elif field.label == _F.LABEL_REPEATED:
                kind = "_Messages" if field.type in _MESSAGES else "_Scalars"
                annotation, parameter = f"{kind}[{type_name}]", f"_Iterable[{type_name}]"
            elif field.type in _MESSAGES:
                annotation = parameter = type_name
            else:
                yield f"{inner}{field.name}: {type_name}"
                annotation, parameter = "", type_name
            if annotation:
                yield f"{inner}@_b.property"
                yield f"{inner}def {field.name}(self) -> {annotation}: ..."
            parameters.append(f"{field.name}: {parameter} | None = ...")
        arguments = f", *, {', '.join(parameters)}" if parameters else ""
        yield f"{inner}def __init__(self{arguments}) -> None: ..."

    def _type(self, field: FieldDescriptorProto) -> str:
        if field.type in _MESSAGES:
            prefix = next(p for p in self._prefixes if field.type_name.startswith(p))
            return field.type_name[len(prefix) :]
        if field.type in _FLOATS:
            return "_b.float"
        if field.type == _F.TYPE_BOOL:
            return "_b.bool"
        if field.type == _F.TYPE_STRING:
            return "_b.str"
        if field.type == _F.TYPE_BYTES:
            return "_b.bytes"
        return "_b.int"
