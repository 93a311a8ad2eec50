"""A TensorFlow session with its graph, as servables use it: what it can run is prepared once, then run many times."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import ops


class Session:
    """A session that has its graph.

    Args:
        handle: what TensorFlow's wrappers take as a `TF_Session`.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing can be run or prepared any more."""
        return self._closed

    def make_callable(self, options: Any) -> PreparedRun:
        """Have TensorFlow prepare a run, which optimizes the graph for it.

        Args:
            options: a `CallableOptions`.

        Raises:
            tf.errors.OpError: the graph has no such path.
        """
        buffer = pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            return PreparedRun(self, pywrap_tf_session.TF_SessionMakeCallable(self.handle, buffer))
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)

    def close(self) -> None:
        """Free what the session has; nothing can be run or prepared after it."""
        self._closed = True


class PreparedRun:
    """A run that TensorFlow has prepared: arrays in, arrays out, in the order that the options named them."""

    __slots__ = ("_handle", "_key", "_session")

    def __init__(self, session: Session, key: int) -> None:
        self._session = session
        self._handle = session.handle
        self._key = key

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """Run it; Python's lock is free meanwhile.

        Raises:
            tf.errors.OpError: what a kernel said.
        """
        outputs: list[Any] = _run(self._handle, self._key, arrays, None)
        return outputs

    def __del__(self) -> None:
        # The collector may have come to the session first.
        if not self._session.closed:
            with contextlib.suppress(tf.errors.OpError):
                pywrap_tf_session.TF_SessionReleaseCallable(self._handle, self._key)


_run = pywrap_tf_session.TF_SessionRunCallable


class PythonSession(Session):
    """One whose graph is a Python object, too.

    Args:
        session: a `tf.compat.v1.Session` for nobody else.
    """

    def __init__(self, session: Any) -> None:
        super().__init__(session._session)
        self._owner = session

    @property
    def closed(self) -> bool:
        """See `Session`."""
        return bool(self._owner._closed)

    def make_callable(self, options: Any) -> PreparedRun:
        """See `Session`."""
        self._owner._extend_graph()  # nothing, after the first time
        return super().make_callable(options)

    def close(self) -> None:
        """Free session and graph at once, not at the next run of Python's collector."""
        graph = self._owner.graph
        self._owner.close()
        ops.dismantle_graph(graph)
