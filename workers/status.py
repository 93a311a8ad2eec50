"""TensorFlow's exceptions as canonical errors."""

from __future__ import annotations

import tensorflow as tf

from protos.errors import Code, ServingError


def as_serving_error(error: BaseException) -> ServingError:
    """Any exception as a `ServingError`; TensorFlow's keep their code and message, others become INTERNAL."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ServingError(error.error_code, error.message)
    if isinstance(error, UnicodeDecodeError):
        # A kernel's message that quotes a client's bytes does not make it to a Python string; its code is lost, too.
        return ServingError(Code.INVALID_ARGUMENT, bytes(error.object).decode(errors="replace"))
    if isinstance(error, MemoryError):
        return ServingError(Code.RESOURCE_EXHAUSTED, "out of memory")
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
