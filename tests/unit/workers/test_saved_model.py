"""Reading a SavedModel: the short way for what is usual, TensorFlow's loader for the rest, and what is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.saved_model import loader_impl

from protos.errors import Code, ServingError
from workers import saved_model, servable
from workers.run_mode import Lane


@pytest.fixture(params=["small graph", "large graph"], autouse=True)
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether all graphs count as large, or none does: they have sessions of another kind."""
    is_large = bool(request.param == "large graph")
    monkeypatch.setattr(saved_model, "SMALL_GRAPH", 0 if is_large else 1 << 30)
    return is_large


@pytest.fixture
def version(model_path: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of half_plus_two."""
    return Path(shutil.copytree(model_path("half_plus_two"), tmp_path / "1"))


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Paths that TensorFlow's loader was asked for."""
    asked: list[str] = []
    loader = loader_impl.SavedModelLoader

    def note(path: str) -> Any:
        asked.append(path)
        return loader(path)

    monkeypatch.setattr(loader_impl, "SavedModelLoader", note)
    yield asked


def answer(version: Path, signature: str = "serving_default", *inputs: Any) -> list[Any]:
    """The first output of a model for x = 2, or for `inputs`."""
    loaded = servable.load(str(version), tags=("serve",), session_config=b"")
    try:
        arrays = inputs or (np.array([2.0], np.float32),)
        return list(loaded.prepared(signature, ()).run(Lane.CALLER, arrays)[0].tolist())
    finally:
        loaded.close()


def edit(version: Path, change: Callable[[SavedModel], None]) -> SavedModel:
    file = version / "saved_model.pb"
    message = SavedModel.FromString(file.read_bytes())
    change(message)
    file.write_bytes(message.SerializeToString())
    return message


def test_the_usual_form_does_not_need_tensorflows_loader(version: Path, long_way: list[str]) -> None:
    assert answer(version) == [3.0]
    assert long_way == []


def test_a_graph_in_two_pieces(version: Path, long_way: list[str]) -> None:
    file = version / "saved_model.pb"
    (meta_graph,) = SavedModel.FromString(file.read_bytes()).meta_graphs
    half = len(meta_graph.graph_def.node) // 2
    first, second = type(meta_graph)(), type(meta_graph)()
    first.CopyFrom(meta_graph)
    del first.graph_def.node[half:]
    second.graph_def.node.extend(meta_graph.graph_def.node[half:])
    data = first.SerializeToString() + second.SerializeToString()
    size = len(data)
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    file.write_bytes(b"\x08\x01\x12" + bytes(length) + bytes([size]) + data)
    assert answer(version) == [3.0]
    assert long_way == []


def test_the_text_form(version: Path, long_way: list[str]) -> None:
    file = version / "saved_model.pb"
    (version / "saved_model.pbtxt").write_text(str(SavedModel.FromString(file.read_bytes())))
    file.unlink()
    assert answer(version) == [3.0]
    assert long_way == [str(version)]


def test_an_attribute_that_only_newer_versions_know(version: Path) -> None:
    def change(message: SavedModel) -> None:
        meta_graph = message.meta_graphs[0]
        node = next(node for node in meta_graph.graph_def.node if node.op == "Identity")
        node.attr["invented"].b = False
        op = next(op for op in meta_graph.meta_info_def.stripped_op_list.op if op.name == "Identity")
        op.attr.add(name="invented", type="bool").default_value.b = False

    edit(version, change)
    assert answer(version) == [3.0]


def test_an_operation_that_is_not_there(version: Path, long_way: list[str]) -> None:
    def change(message: SavedModel) -> None:
        next(node for node in message.meta_graphs[0].graph_def.node if node.op == "Identity").op = "NoSuchThing"

    edit(version, change)
    with pytest.raises(ServingError) as caught:
        answer(version)
    assert "NoSuchThing" in caught.value.message
    assert long_way == [str(version)]


def test_tables_are_filled_from_assets_wherever_the_version_is(tmp_path: Path, long_way: list[str]) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a\nb\nc\n")

    class Words(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            index = tf.lookup.TextFileIndex
            lines = tf.lookup.TextFileInitializer(str(words), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
            self.table = tf.lookup.StaticHashTable(lines, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
        def number(self, word: Any) -> dict[str, Any]:
            return {"number": self.table.lookup(word)}

    module = Words()
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": module.number})
    words.unlink()
    (tmp_path / "1").rename(tmp_path / "2")
    assert answer(tmp_path / "2", "serving_default", np.array([b"c", b"x"], object)) == [2, -1]
    assert long_way == []


def test_more_than_one_init_operation(version: Path) -> None:
    def change(message: SavedModel) -> None:
        meta_graph = message.meta_graphs[0]
        meta_graph.signature_def.pop("__saved_model_init_op", None)
        meta_graph.collection_def["saved_model_main_op"].node_list.value.extend(["a", "b"])

    edit(version, change)
    with pytest.raises(ServingError) as caught:
        answer(version)
    assert caught.value.code == Code.FAILED_PRECONDITION


def test_an_empty_file(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ServingError) as caught:
        answer(version)
    assert caught.value.code == Code.NOT_FOUND  # it has no MetaGraph with any tags


@pytest.fixture(scope="module")
def small_file(model_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A directory for a saved_model.pb, and the bytes of a good one."""
    return tmp_path_factory.mktemp("damaged"), (model_path("half_plus_two") / "saved_model.pb").read_bytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_damaged_is_told_from_what_has_other_tags(small_file: tuple[Path, bytes], data: Any) -> None:
    """The short way reads a damaged file as TensorFlow's loader does, or leaves it to that."""
    folder, good = small_file
    position = data.draw(st.integers(0, len(good) - 1))
    length = data.draw(st.integers(0, len(good)))
    bad = bytearray(good[:length])
    if position < len(bad):
        bad[position] ^= data.draw(st.integers(1, 255))
    (folder / "saved_model.pb").write_bytes(bytes(bad))
    try:
        parts = saved_model._read(str(folder), ["serve"])
    except saved_model._Unusual:
        return
    except ServingError as error:
        assert error.code == Code.NOT_FOUND
        return
    assert list(parts.meta_graph.meta_info_def.tags) == ["serve"]
    assert not parts.meta_graph.HasField("graph_def")
    assert len(parts.graph) <= len(bad)
