"""Strict protobuf text format: the configuration files that an operator writes.

Unknown fields, fields set twice, two members of one oneof and syntax errors are refused. Comments, `field { }`,
`field: < >`, lists `[a, b]`, commas between fields, and `Any` written out as `[type.googleapis.com/pkg.Msg] { }` for
types of the public API are understood. Errors read as TensorFlow Serving's do.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from protos.errors import Code, ServingError, invalid_argument
from protos.pool import pool

# Ten thousand models take about 2 MiB.
MAX_FILE_BYTES = 64 << 20

_MessageT = TypeVar("_MessageT", bound=Message)

# How protobuf's parser quotes the line that it is at, and the rest of one in which a string doesn't end.
_QUOTED_LINE = re.compile(r"^'.*': ", re.DOTALL)
_QUOTED_REST = re.compile(r"(String missing ending quote): .*", re.DOTALL)

_CODES = {
    errno.ENOENT: Code.NOT_FOUND,
    errno.EACCES: Code.PERMISSION_DENIED,
    errno.EPERM: Code.PERMISSION_DENIED,
    errno.EINVAL: Code.INVALID_ARGUMENT,
    errno.ENAMETOOLONG: Code.INVALID_ARGUMENT,
    errno.ELOOP: Code.INVALID_ARGUMENT,
    errno.EISDIR: Code.FAILED_PRECONDITION,
    errno.ENOTDIR: Code.FAILED_PRECONDITION,
    errno.EMFILE: Code.RESOURCE_EXHAUSTED,
    errno.ENFILE: Code.RESOURCE_EXHAUSTED,
    errno.ENOMEM: Code.RESOURCE_EXHAUSTED,
}


def read_text_file(path: str, message_class: type[_MessageT]) -> _MessageT:
    """Read and parse a text-format file; white space and comments alone give an empty message.

    Never waits for a writer: only regular files (also behind links) are read.

    Raises:
        ServingError: NOT_FOUND, PERMISSION_DENIED and the like when the file can't be read; INVALID_ARGUMENT when it
            has no bytes at all, has more than `MAX_FILE_BYTES`, or as `parse_text` says.
    """
    try:
        data = _read(path)
    except OSError as error:
        code = _CODES.get(error.errno or 0, Code.UNKNOWN)
        raise ServingError(code, f"{path}; {os.strerror(error.errno or 0)}") from None
    return parse_text(message_class, data, path=path)


def _read(path: str) -> bytes:
    if "\0" in path:
        raise OSError(errno.EINVAL, "")
    # Opening a pipe for reading would otherwise wait until somebody writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, "")
        if not stat.S_ISREG(mode):
            raise ServingError(Code.FAILED_PRECONDITION, f"{path}; Not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise invalid_argument(f"{path}; Larger than {MAX_FILE_BYTES} bytes")
    if not data:
        raise OSError(errno.EINVAL, "")
    return data


def parse_text(message_class: type[_MessageT], text: str | bytes, *, path: str) -> _MessageT:
    """Parse `text`, which came from `path`, into a new message.

    What is wrong, and where (line and column count from 1), goes to stderr as one line.

    Raises:
        ServingError: INVALID_ARGUMENT `Invalid protobuf file: '<path>'`.
    """
    message = message_class()
    try:
        text_format.Parse(_decoded(text), message, descriptor_pool=pool)
    except text_format.ParseError as error:
        where, detail = _explain(error)
    except RecursionError:
        where, detail = "", "Nested too deeply."
    except ValueError as error:
        # Such as an escape sequence that is no character.
        where, detail = "", str(error)
    else:
        return message
    detail = " ".join(detail.split())
    print(f"Error parsing text-format {message.DESCRIPTOR.full_name}: {where}{detail}", file=sys.stderr)
    raise invalid_argument(f"Invalid protobuf file: '{path}'")


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        before = text[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise text_format.ParseError("Not UTF-8.", line, column) from None


def _explain(error: text_format.ParseError) -> tuple[str, str]:
    """The position as a prefix, empty if the parser gave none, and what is wrong there.

    Lines that the parser quotes are left out: a line of a TLS configuration can be a private key.
    """
    line, column = error.GetLine(), error.GetColumn()
    detail = str(error)
    if line is None:
        return "", detail
    detail = detail.removeprefix(f"{line}:{column} : " if column is not None else f"{line} : ")
    detail = _QUOTED_LINE.sub("", detail)
    return f"{line}:{column or 1}: ", _QUOTED_REST.sub(r"\1.", detail)
