"""A loaded SavedModel: its session, signatures and prepared callables.

As TensorFlow Serving does, a SavedModel is loaded by tags into one `Session`; a request runs the graph from a
signature's input tensors to its output tensors. Each combination of signature and wanted outputs gets a prepared
callable, many times cheaper than `Session.run`, and checked less: shapes are the graph's business only, which is
what lets a `[3]` into a `[-1, 1]` signature.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from protos import public
from protos.dtypes import DT_STRING, dtype_name
from protos.errors import Code, ServingError, invalid_argument
from protos.heap import giving_back
from protos.messages import SIGNATURE_SEPARATOR
from workers import flight, low_priority, saved_model
from workers.flight import here
from workers.run_mode import Lane, RunModes
from workers.status import as_serving_error

# Callables kept for one version; clients can ask for any subset of outputs, so there must be a bound.
_MAX_PREPARED = 128
_INIT_SIGNATURES = frozenset({"__saved_model_init_op", "__saved_model_train_op"})


class Prepared:
    """One signature with one choice of outputs, ready to run.

    `run` takes the inputs in sorted alias order and gives the outputs in the order asked for. It may be called from
    several threads.
    """

    __slots__ = (
        "input_dtypes",
        "input_names",
        "key",
        "mark",
        "modes",
        "_feed",
        "_fetch",
        "_positions",
        "_session",
        "_lock",
        "_run",
    )

    def __init__(self, session: Any, signature: Any, outputs: Sequence[int]) -> None:
        aliases = sorted(signature.inputs)
        self.input_dtypes: list[int] = [signature.inputs[alias].dtype for alias in aliases]
        self.input_names: list[str] = [signature.inputs[alias].name for alias in aliases]
        every = sorted(signature.outputs)
        try:
            wanted = (
                [signature.outputs[every[i]].name for i in outputs]
                if outputs
                else [signature.outputs[alias].name for alias in every]
            )
        except IndexError:
            raise ServingError(
                Code.INTERNAL, "a front end asked for an output that the signature does not have"
            ) from None
        self._feed = self.input_names
        self._fetch = sorted(set(wanted))
        self._positions = [self._fetch.index(name) for name in wanted]
        if self._positions == list(range(len(self._fetch))):
            self._positions = []
        # Requests with the same key may share a batch.
        self.key = (tuple(self.input_names), tuple(wanted))
        self.modes = RunModes()
        # Of the version, in the flight record.
        self.mark = 0
        self._session = session
        self._lock = threading.Lock()
        self._run: list[Callable[[Sequence[Any]], list[Any]] | None] = [None, None]

    def prepare(self, *, pool: bool) -> Callable[[Sequence[Any]], list[Any]]:
        """The callable of one lane, made on first use (TensorFlow optimizes the graph then).

        Raises:
            tf.errors.OpError: the graph has no such path.
        """
        with self._lock:
            run = self._run[pool]
            if run is None:
                options = config_pb2.CallableOptions(feed=self._feed, fetch=self._fetch)
                # -1: ops run in the calling thread, sparing a cheap graph all hops between threads.
                options.run_options.inter_op_thread_pool = 0 if pool else -1
                run = self._run[pool] = self._session.make_callable(options)
            return run

    def refuse(self, dtypes: Sequence[int]) -> NoReturn:
        """Say why inputs of these types cannot be fed.

        Raises:
            ServingError: INVALID_ARGUMENT with TensorFlow's text for a wrong type.
        """
        for i, (got, expected) in enumerate(zip(dtypes, self.input_dtypes, strict=False)):
            if got != expected:
                raise invalid_argument(
                    f"Expects arg[{i}] to be {dtype_name(expected)} but {dtype_name(got)} is provided"
                )
        raise ServingError(Code.INTERNAL, "a front end sent another number of inputs than the signature has")

    def run(self, lane: Lane, arrays: Sequence[np.ndarray]) -> list[Any]:
        """Run the graph.

        Raises:
            tf.errors.OpError: what a kernel said.
        """
        cell = here.cell
        cell[0] = self.mark
        try:
            run = self._run[lane == Lane.POOL] or self.prepare(pool=lane == Lane.POOL)
            outputs = run(arrays)
        finally:
            cell[0] = 0
        return [outputs[i] for i in self._positions] if self._positions else outputs


class Spread(Prepared):
    """Takes one input and feeds it to every input tensor of the signature."""

    __slots__ = ()

    def __init__(self, session: Any, signature: Any, outputs: Sequence[int]) -> None:
        super().__init__(session, signature, outputs)
        # What is fed are strings; a tensor that takes no strings is what `refuse` is to find.
        self.input_dtypes = [next((dtype for dtype in self.input_dtypes if dtype != DT_STRING), DT_STRING)]
        self.input_names = self._feed[:1]
        # Not the queue of a signature that has these inputs: its requests bring a tensor for each.
        self.key = ((SIGNATURE_SEPARATOR, *self._feed), self.key[1])

    def run(self, lane: Lane, arrays: Sequence[np.ndarray]) -> list[Any]:
        """Run the graph.

        Raises:
            tf.errors.OpError: what a kernel said.
        """
        return super().run(lane, [arrays[0]] * len(self._feed))


class Servable:
    """One loaded version of a model. `close` frees what it took."""

    def __init__(self, session: Any, meta_graph: Any) -> None:
        self._session = session
        # Copies: a part of a message keeps all of it alive, here the graph with its constants.
        self._signatures = {name: copy.deepcopy(definition) for name, definition in meta_graph.signature_def.items()}
        self._prepared: dict[tuple[str, tuple[int, ...]], Prepared] = {}
        self._mark = 0

    def record_as(self, mark: int) -> None:
        """Let what runs be seen in the flight record under this mark, which goes with the version."""
        self._mark = mark
        for prepared in self._prepared.values():
            prepared.mark = mark

    def prepared(self, signature: str, outputs: tuple[int, ...]) -> Prepared:
        """The prepared callable for a signature's outputs at the given positions of their sorted aliases.

        `signature` may name several to be run as one, see `messages.Infer`.

        Raises:
            ServingError: FAILED_PRECONDITION, no such signature.
        """
        key = (signature, outputs)
        prepared = self._prepared.get(key)
        if prepared is None:
            definition = self._signatures.get(signature)
            if definition is None:
                definition = joined(self._signatures, signature)
            spread = len(definition.inputs) > 1 and signature not in self._signatures
            prepared = (Spread if spread else Prepared)(self._session, definition, outputs)
            prepared.mark = self._mark
            if len(self._prepared) >= _MAX_PREPARED and (outputs or signature not in self._signatures):
                # Choices of outputs or signatures make room for each other; whole signatures stay.
                chosen = next((old for old in self._prepared if old[1] or old[0] not in self._signatures), None)
                if chosen is not None:
                    del self._prepared[chosen]
            self._prepared[key] = prepared
        return prepared

    def prepare_all(self) -> None:
        """Make the callable of every signature, so that no request waits for it; broken signatures wait for one."""
        low_priority.run(self._prepare_all)

    def _prepare_all(self) -> None:
        for name, definition in self._signatures.items():
            if name in _INIT_SIGNATURES or not definition.outputs:
                continue
            try:
                self.prepared(name, ()).prepare(pool=False)
            except (tf.errors.OpError, ValueError):
                continue  # the first request that uses this signature gets the error

    def signature_map(self) -> bytes:
        """All signatures as a serialized `tensorflow.serving.SignatureDefMap`."""
        message = public.SignatureDefMap()
        for name, definition in self._signatures.items():
            message.signature_def[name].MergeFromString(definition.SerializeToString())
        return message.SerializeToString()

    def close(self) -> None:
        """Free the session with its variables and resources."""
        flight.leave(self._mark)
        self._mark = 0
        with giving_back():
            self._prepared.clear()
            self._session.close()
            self._session = None


def joined(signatures: Mapping[str, Any], names: str) -> Any:
    """One definition in place of the signatures whose names `SIGNATURE_SEPARATOR` joins.

    Its inputs are their distinct input tensors, all to be fed alike; its outputs, in sorted order, those of the first
    signature in sorted order, then those of the next.

    Raises:
        ServingError: FAILED_PRECONDITION, one of the signatures is not there.
    """
    whole = meta_graph_pb2.SignatureDef()
    for i, name in enumerate(names.split(SIGNATURE_SEPARATOR)):
        definition = signatures.get(name)
        if definition is None:
            raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        for info in definition.inputs.values():
            whole.inputs[info.name].CopyFrom(info)
        for alias, info in definition.outputs.items():
            whole.outputs[f"{i:06}{SIGNATURE_SEPARATOR}{alias}"].CopyFrom(info)
    return whole


def load(path: str, *, tags: Sequence[str], session_config: bytes) -> Servable:
    """Load the SavedModel in directory `path`.

    Raises:
        ServingError: NOT_FOUND (no SavedModel, no such tags), UNIMPLEMENTED (a legacy bundle), DATA_LOSS (an unreadable
            one), or what TensorFlow said.
    """
    _check_files(path)
    try:
        config = config_pb2.ConfigProto.FromString(session_config)
        session, meta_graph = saved_model.load(path, tags, config)
        try:
            servable = Servable(session, meta_graph)
            servable.prepare_all()
        except BaseException:
            session.close()
            raise
        return servable
    except Exception as error:
        raise as_serving_error(error) from error


def _check_files(path: str) -> None:
    names = set(os.listdir(path)) if os.path.isdir(path) else set()
    if not names & {"saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"}:
        if "export.meta" in names:
            raise ServingError(Code.UNIMPLEMENTED, "Session Bundle is deprecated and removed.")
        raise ServingError(
            Code.NOT_FOUND,
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`saved_model.pb`)\nSpecified file path: {path}",
        )
