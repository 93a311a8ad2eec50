"""grpc.reflection: v1 and v1alpha, which differ in their names only. Answers from the descriptors of `protos`.

`list_services` names what is registered; files and symbols are those of the whole public API. A file is answered with
everything that it imports, directly or not, after it: each answer is complete in itself, as with gRPC's C++ server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from frontend.grpc.streaming import StreamingCall, StreamingMethod
from protos import public
from protos.errors import Code, ServingError, invalid_argument

# Beyond this a name is nobody's; an answer repeats it.
_MAX_REQUEST_BYTES = 64 << 10

PATHS = tuple(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo".encode() for version in ("v1", "v1alpha")
)


class Reflection:
    """The service.

    Args:
        paths: gives the paths of all methods that are registered, when asked.
        files: gives serialized FileDescriptorProtos, each with all that it imports, at the first question.
    """

    def __init__(self, paths: Callable[[], Sequence[bytes]], files: Callable[[], Sequence[bytes]]) -> None:
        self._paths = paths
        self._files = files

    @cached_property
    def index(self) -> Index:
        """What is where."""
        return Index(self._files())

    def method(self) -> StreamingMethod:
        """The handler of both PATHS."""
        return StreamingMethod(lambda call: _Dialogue(self, call), max_message_bytes=_MAX_REQUEST_BYTES)

    def services(self) -> list[str]:
        """Full names of the services that are registered, sorted."""
        return sorted({path.decode().split("/")[1] for path in self._paths()})


class Index:
    """Files, symbols and extensions by name."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self._serialized: dict[str, bytes] = {}
        self._imports: dict[str, Sequence[str]] = {}
        self._symbols: dict[str, str] = {}
        self._messages: set[str] = set()
        self._extensions: dict[str, dict[int, str]] = {}
        for data in files:
            file = FileDescriptorProto.FromString(data)
            self._serialized[file.name] = data
            self._imports[file.name] = tuple(file.dependency)
            self._add(file)

    def closure(self, file: str) -> list[bytes]:
        """`file`, and then what it imports, directly or not.

        Raises:
            ServingError: NOT_FOUND.
        """
        if file not in self._serialized:
            raise _not_found("file", file)
        found = {file: None}
        waiting = [file]
        while waiting:
            for imported in self._imports[waiting.pop()]:
                if imported not in found:
                    found[imported] = None
                    waiting.append(imported)
        return [self._serialized[name] for name in found]

    def file_of_symbol(self, name: str) -> str:
        """Where a message, field, enum, value, service, method or extension is declared.

        Raises:
            ServingError: NOT_FOUND.
        """
        file = self._symbols.get(name)
        if file is None:
            raise _not_found("symbol", name)
        return file

    def file_of_extension(self, message: str, number: int) -> str:
        """Where an extension of `message` is declared.

        Raises:
            ServingError: NOT_FOUND.
        """
        file = self._extensions.get(message, {}).get(number)
        if file is None:
            raise _not_found("extension", f"{message} {number}")
        return file

    def extensions(self, message: str) -> list[int]:
        """Numbers of all extensions of `message`, sorted.

        Raises:
            ServingError: NOT_FOUND, there is no such message.
        """
        if message not in self._messages:
            raise _not_found("message", message)
        return sorted(self._extensions.get(message, ()))

    def _add(self, file: FileDescriptorProto) -> None:
        scope = f"{file.package}." if file.package else ""
        for message in file.message_type:
            self._add_message(file.name, scope, message)
        for enum in file.enum_type:
            self._symbols[scope + enum.name] = file.name
            # A value is a sibling of its enum (C++ scoping).
            self._symbols |= {scope + value.name: file.name for value in enum.value}
        for service in file.service:
            self._symbols[scope + service.name] = file.name
            self._symbols |= {f"{scope}{service.name}.{method.name}": file.name for method in service.method}
        self._add_extensions(file.name, scope, file.extension)

    def _add_message(self, file: str, scope: str, message: DescriptorProto) -> None:
        name = scope + message.name
        self._messages.add(name)
        self._symbols[name] = file
        inner = f"{name}."
        self._symbols |= {inner + part: file for part in _parts(message)}
        for nested in message.nested_type:
            self._add_message(file, inner, nested)
        self._add_extensions(file, inner, message.extension)

    def _add_extensions(self, file: str, scope: str, extensions: Sequence[FieldDescriptorProto]) -> None:
        for extension in extensions:
            self._symbols[scope + extension.name] = file
            self._extensions.setdefault(extension.extendee.lstrip("."), {})[extension.number] = file


def _parts(message: DescriptorProto) -> Iterator[str]:
    for field in message.field:
        yield field.name
    for oneof in message.oneof_decl:
        yield oneof.name
    for enum in message.enum_type:
        yield enum.name
        for value in enum.value:
            yield value.name


def _not_found(kind: str, name: str) -> ServingError:
    return ServingError(Code.NOT_FOUND, f"no {kind} {name}")


class _Dialogue:
    """One call: an answer for each question, in order."""

    def __init__(self, reflection: Reflection, call: StreamingCall) -> None:
        self._reflection = reflection
        self._call = call

    def on_message(self, message: bytes) -> None:
        try:
            request = public.ServerReflectionRequest.FromString(message)
        except DecodeError:
            raise invalid_argument("Failed to parse ServerReflectionRequest") from None
        answer = public.ServerReflectionResponse(valid_host=request.host, original_request=request)
        try:
            self._fill(answer, request)
        except ServingError as error:
            answer.error_response.error_code = error.code
            answer.error_response.error_message = error.message
        self._call.send(answer.SerializeToString())

    def _fill(self, answer: public.ServerReflectionResponse, request: public.ServerReflectionRequest) -> None:
        index = self._reflection.index
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            for name in self._reflection.services():
                answer.list_services_response.service.add(name=name)
            return
        if kind == "all_extension_numbers_of_type":
            name = request.all_extension_numbers_of_type
            numbers = index.extensions(name)
            answer.all_extension_numbers_response.base_type_name = name
            answer.all_extension_numbers_response.extension_number.extend(numbers)
            return
        if kind == "file_by_filename":
            file = request.file_by_filename
        elif kind == "file_containing_symbol":
            file = index.file_of_symbol(request.file_containing_symbol)
        elif kind == "file_containing_extension":
            extension = request.file_containing_extension
            file = index.file_of_extension(extension.containing_type, extension.extension_number)
        else:
            raise ServingError(Code.UNIMPLEMENTED, "the request asks for nothing that is known here")
        answer.file_descriptor_response.file_descriptor_proto.extend(index.closure(file))

    def on_half_close(self) -> None:
        self._call.finish()

    def on_drain(self) -> None:
        return  # nothing to be said in addition

    def on_end(self) -> None:
        return  # nothing is held but by the call
