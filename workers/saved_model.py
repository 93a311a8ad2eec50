"""Reads a SavedModel into a session while others are being served: without holding Python's lock for long.

TensorFlow's own loader for Python makes Python objects of the whole graph, several times over, and holds the lock
while it does: with a large graph nothing else happens in the process for seconds. Here the graph's bytes are cut out of
the file and handed to TensorFlow as they are; only what is around the graph is parsed. What cannot be read that way
(the text form, a graph that needs the Python loader's repairs) goes through TensorFlow's loader.

What takes long gives way to those that serve: variables are restored, and tables filled, on threads of low priority
(`load_pool`), and graphs are read and prepared on such (`low_priority`).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import c_api_util
from tensorflow.python.saved_model import loader_impl

from protos.errors import Code, ServingError
from workers import load_pool, low_priority
from workers.c_session import CSession
from workers.session import PythonSession, Session

_INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_META_GRAPHS = 2  # field of SavedModel
# Bytes of a GraphDef. Up to this, importing one holds Python's lock for milliseconds at most, and TensorFlow's wrappers
# are a little faster with sessions that they have made.
SMALL_GRAPH = 64 << 10
_META_INFO, _GRAPH, _OBJECT_GRAPH = 1, 2, 7  # fields of MetaGraphDef

Span = tuple[int, int]


class _Unusual(Exception):
    """Not for the short way."""


class _Parts(NamedTuple):
    """A MetaGraphDef: everything but its graph, and the bytes of that."""

    meta_graph: Any
    graph: bytes


def load(path: str, tags: Sequence[str], config: Any) -> tuple[Session, Any]:
    """Load the MetaGraph with exactly these tags of the SavedModel at `path`.

    Args:
        path: a directory with a saved_model file.
        tags: in any order.
        config: the session's `ConfigProto`.

    Returns:
        The session, and the `MetaGraphDef`, mostly without its graph. On an error the session is closed.

    Raises:
        ServingError: NOT_FOUND (no such tags), DATA_LOSS (unreadable), FAILED_PRECONDITION (several init operations),
            INTERNAL (no variables).
        tf.errors.OpError: what TensorFlow said.
    """
    try:
        parts = _read(path, tags)
        session = _open(parts.graph, config)
    except _Unusual:
        return _load_the_long_way(path, tags, config)
    meta_graph = parts.meta_graph
    del parts  # the graph's bytes: as large as the graph
    try:
        with load_pool.taken(config) as pool:
            _restore(session, meta_graph, path, pool)
            _initialize(session, meta_graph, path, pool)
    except BaseException:
        session.close()
        raise
    return session, meta_graph


# --- reading -------------------------------------------------------------------------------------------------------


def _read(path: str, tags: Sequence[str]) -> _Parts:
    try:
        with open(os.path.join(path, "saved_model.pb"), "rb") as file, _mapped(file.fileno()) as data:
            return _find(file.fileno(), data, tags)
    except FileNotFoundError:
        raise _Unusual from None


def _mapped(file: int) -> mmap.mmap:
    try:
        return mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise _Unusual from None  # it is empty


def _find(file: int, data: mmap.mmap, tags: Sequence[str]) -> _Parts:
    found = False
    for number, (start, stop), _ in _fields(data, 0, len(data)):
        if number != _META_GRAPHS:
            continue
        found = True
        fields = _fields(data, start, stop)
        # Parts of one message in two places count as one: so it is with their bytes put together.
        rest = b"".join([data[slice(*whole)] for inner, _, whole in fields if inner not in (_GRAPH, _OBJECT_GRAPH)])
        try:
            meta_graph = meta_graph_pb2.MetaGraphDef.FromString(rest)
        except DecodeError:
            raise _Unusual from None
        if set(meta_graph.meta_info_def.tags) == set(tags):
            graph = [_pread(file, span) for inner, span, _ in fields if inner == _GRAPH]
            return _Parts(meta_graph, graph[0] if len(graph) == 1 else b"".join(graph))
    if not found:
        raise _Unusual
    raise no_such_tags(tags)


def _pread(file: int, span: Span) -> bytes:
    """The bytes of a graph. Reading lets others run, unlike copying from the mapped file."""
    size = span[1] - span[0]
    large = size > SMALL_GRAPH
    data: bytes = low_priority.run(os.pread, file, size, span[0]) if large else os.pread(file, size, span[0])
    if len(data) != size:
        raise _Unusual
    return data


def no_such_tags(tags: Sequence[str]) -> ServingError:
    """What to say when no MetaGraph has these tags."""
    return ServingError(
        Code.NOT_FOUND,
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect available tag-sets "
        "in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    )


def _fields(data: mmap.mmap, position: int, end: int) -> list[tuple[int, Span, Span]]:
    """Number, content and whole extent of each length-delimited field of the message in data[position:end]."""
    fields = []
    while position < end:
        begin = position
        tag, position = _varint(data, position, end)
        if tag & 7 == 0:
            _, position = _varint(data, position, end)
            fields.append((0, (begin, begin), (begin, position)))
            continue
        if tag & 7 != 2:
            raise _Unusual
        size, position = _varint(data, position, end)
        if position + size > end:
            raise _Unusual
        fields.append((tag >> 3, (position, position + size), (begin, position + size)))
        position += size
    return fields


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, position
    raise _Unusual


def _open(graph: bytes, config: Any) -> Session:
    """A session on a serialized GraphDef, without Python objects for its operations."""
    try:
        if len(graph) > SMALL_GRAPH:
            return CSession(graph, config)
        python_graph = tf.Graph()
        _import(python_graph, graph)
        return PythonSession(tf.compat.v1.Session(graph=python_graph, config=config))
    except tf.errors.OpError:
        # Attributes that newer versions of TensorFlow wrote, for example, are taken out by the other loader.
        raise _Unusual from None


def _import(into: Any, graph: bytes) -> None:
    options = c_api_util.ScopedTFImportGraphDefOptions()
    buffer = pywrap_tf_session.TF_NewBufferFromString(graph)
    try:
        with into._c_graph.get() as c_graph:
            results = pywrap_tf_session.TF_GraphImportGraphDefWithResults(c_graph, buffer, options.options)
        c_api_util.ScopedTFImportGraphDefResults(results)
    finally:
        pywrap_tf_session.TF_DeleteBuffer(buffer)


# --- state ---------------------------------------------------------------------------------------------------------


def _run(session: Session, target: str, feeds: dict[str, str], pool: int) -> None:
    """Run an operation, feeding strings."""
    options = config_pb2.CallableOptions(feed=list(feeds), target=[target.partition(":")[0]])
    options.run_options.inter_op_thread_pool = pool
    values = [np.array(value.encode(), dtype=object) for value in feeds.values()]
    low_priority.run(session.make_callable, options)(values)


def _restore(session: Session, meta_graph: Any, path: str, pool: int) -> None:
    saver = meta_graph.saver_def
    if not saver.restore_op_name:
        return
    prefix = os.path.join(path, "variables", "variables")
    if not os.path.exists(f"{prefix}.index"):
        raise ServingError(Code.INTERNAL, f"The variables of the SavedModel are not a valid checkpoint: {prefix}")
    _run(session, saver.restore_op_name, {saver.filename_tensor_name: prefix}, pool)


def _initialize(session: Session, meta_graph: Any, path: str, pool: int) -> None:
    target = _init_operation(meta_graph)
    if target:
        assets = {asset.tensor_info.name: os.path.join(path, "assets", asset.filename) for asset in _assets(meta_graph)}
        _run(session, target, assets, pool)


def _init_operation(meta_graph: Any) -> str:
    if _INIT_SIGNATURE in meta_graph.signature_def:
        for info in meta_graph.signature_def[_INIT_SIGNATURE].outputs.values():
            return str(info.name)
    for collection in _INIT_COLLECTIONS:
        if collection in meta_graph.collection_def:
            names = meta_graph.collection_def[collection].node_list.value
            if len(names) != 1:
                raise ServingError(
                    Code.FAILED_PRECONDITION, f"Expected exactly one SavedModel init op. Found {len(names)}."
                )
            return str(names[0])
    return ""


def _assets(meta_graph: Any) -> list[Any]:
    if meta_graph.asset_file_def:
        return list(meta_graph.asset_file_def)
    assets = []
    if "saved_model_assets" in meta_graph.collection_def:
        for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
            asset = meta_graph_pb2.AssetFileDef()
            packed.Unpack(asset)
            assets.append(asset)
    return assets


# --- the long way --------------------------------------------------------------------------------------------------


def _load_the_long_way(path: str, tags: Sequence[str], config: Any) -> tuple[Session, Any]:
    try:
        loader = loader_impl.SavedModelLoader(path)
    except OSError as error:
        raise ServingError(Code.DATA_LOSS, str(error)) from None
    if not any(set(graph.meta_info_def.tags) == set(tags) for graph in loader.saved_model.meta_graphs):
        raise no_such_tags(tags)
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    try:
        # Its `load` would parse the file a second time.
        saver, _ = loader.load_graph(session.graph, list(tags))
        loader.restore_variables(session, saver)
        loader.run_init_ops(session, list(tags))
    except BaseException:
        PythonSession(session).close()
        raise
    return PythonSession(session), loader.get_meta_graph_def_from_tags(list(tags))
