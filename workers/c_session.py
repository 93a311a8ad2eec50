"""Sessions made through TensorFlow's C API, for large graphs: Python's lock is free all the while.

TensorFlow's Python package holds the lock while it imports a graph, about 2 s for each GB of constants, and nothing
else happens in the process meanwhile. Functions called through ctypes don't have it. What they make is used as if the
package had made it: its wrappers, which are pybind11's, ask an object that is none of theirs for the pointer in it, by
a method that pybind11 has for exchange between modules that were built apart (its documentation calls it a conduit).
That costs a run about half a microsecond, which a large graph doesn't notice; small ones are imported the other way.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Any

import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import errors_impl

from workers import low_priority
from workers.session import PreparedRun, Session

_Pointer = ctypes.c_void_p
_library = ctypes.CDLL(os.path.join(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2"))


class _Buffer(ctypes.Structure):
    """`TF_Buffer` of tensorflow/c/tf_buffer.h."""

    _fields_ = (("data", _Pointer), ("length", ctypes.c_size_t), ("data_deallocator", _Pointer))


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_library, name)
    function.restype = result
    function.argtypes = arguments
    return function


# All of tensorflow/c/c_api.h and tf_status.h.
_new_status = _function("TF_NewStatus", _Pointer)
_delete_status = _function("TF_DeleteStatus", None, _Pointer)
_code = _function("TF_GetCode", ctypes.c_int, _Pointer)
_message = _function("TF_Message", ctypes.c_char_p, _Pointer)
_new_graph = _function("TF_NewGraph", _Pointer)
_delete_graph = _function("TF_DeleteGraph", None, _Pointer)
_new_import_options = _function("TF_NewImportGraphDefOptions", _Pointer)
_delete_import_options = _function("TF_DeleteImportGraphDefOptions", None, _Pointer)
_import_graph = _function("TF_GraphImportGraphDef", None, *[_Pointer] * 4)
_new_session_options = _function("TF_NewSessionOptions", _Pointer)
_delete_session_options = _function("TF_DeleteSessionOptions", None, _Pointer)
_set_config = _function("TF_SetConfig", None, _Pointer, ctypes.c_char_p, ctypes.c_size_t, _Pointer)
_new_session = _function("TF_NewSession", *[_Pointer] * 4)
_close_session = _function("TF_CloseSession", None, _Pointer, _Pointer)
_delete_session = _function("TF_DeleteSession", None, _Pointer, _Pointer)

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (_Pointer, ctypes.c_char_p, _Pointer)


class _Status:
    """A `TF_Status`, checked at the end of a `with` block that nothing else has ended."""

    def __enter__(self) -> int:
        self._pointer: int = _new_status()
        return self._pointer

    def __exit__(self, kind: Any, *_: object) -> None:
        code, message = _code(self._pointer), _message(self._pointer)
        _delete_status(self._pointer)
        if code and kind is None:
            text = message.decode(errors="replace")
            raise errors_impl.exception_type_from_error_code(code)(None, None, text)


class _Handle:
    """A `TF_Session` for the wrappers."""

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer
        self._capsule = _new_capsule(pointer, None, None)

    def _pybind11_conduit_v1_(self, platform: bytes, type_info: Any, kind: bytes) -> Any:
        return self._capsule


class CSession(Session):
    """A session on a graph that no Python object knows.

    Args:
        graph: a serialized GraphDef, not needed any longer than this takes.
        config: a `ConfigProto`.

    Raises:
        tf.errors.OpError: what TensorFlow said of the graph or the configuration.
    """

    def __init__(self, graph: bytes, config: Any) -> None:
        imported = _new_graph()
        try:
            low_priority.run(_import, imported, graph)
            super().__init__(_Handle(_open(imported, config.SerializeToString())))
        finally:
            _delete_graph(imported)  # once the session is deleted, if there is one
        low_priority.run(pywrap_tf_session.ExtendSession, self.handle)

    def make_callable(self, options: Any) -> PreparedRun:
        """See `Session`. Optimizing the graph may take minutes, so it gives way even when a request waits for it."""
        prepared: PreparedRun = low_priority.run(super().make_callable, options)
        return prepared

    def close(self) -> None:
        """See `Session`. Its memory is freed when no prepared run is left."""
        super().close()
        with _Status() as status:
            _close_session(self.handle.pointer, status)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._closed = True
            with contextlib.suppress(tf.errors.OpError), _Status() as status:
                _delete_session(self.handle.pointer, status)


def _import(into: int, graph: bytes) -> None:
    buffer = _Buffer(ctypes.cast(ctypes.c_char_p(graph), _Pointer), len(graph), None)
    options = _new_import_options()
    try:
        with _Status() as status:
            _import_graph(into, ctypes.byref(buffer), options, status)
    finally:
        _delete_import_options(options)


def _open(graph: int, config: bytes) -> int:
    options = _new_session_options()
    try:
        with _Status() as status:
            _set_config(options, config, len(config), status)
        with _Status() as status:
            session: int = _new_session(graph, options, status)
        return session
    finally:
        _delete_session_options(options)
