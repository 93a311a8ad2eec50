"""Sessions of TensorFlow's C API: they do what the others do, leave Python's lock alone, and give everything back."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from protos.heap import give_back_freed_memory
from workers import c_session, saved_model
from workers.c_session import CSession
from workers.session import PreparedRun, PythonSession

CONFIG = config_pb2.ConfigProto()
MIB = 1 << 20
DOUBLE = config_pb2.CallableOptions(feed=["x:0"], fetch=["y:0"])


def graph(megabytes: int = 0) -> bytes:
    """Of y = x + x, and so much in a constant that is `c`, and `first`, its first value."""
    with tf.Graph().as_default() as made:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.add(x, x, name="y")
        if megabytes:
            values = np.arange(megabytes * MIB // 4, dtype=np.float32)
            tf.gather(tf.constant(values, name="c"), 0, name="first")
        return made.as_graph_def().SerializeToString()


def double(prepared: PreparedRun, *values: float) -> list[float]:
    return list(prepared([np.array(values, np.float32)])[0].tolist())


def test_a_run() -> None:
    session = CSession(graph(), CONFIG)
    assert double(session.make_callable(DOUBLE), 1.0, 2.5) == [2.0, 5.0]
    session.close()


def test_many_runs_at_once() -> None:
    session = CSession(graph(), CONFIG)
    prepared = session.make_callable(DOUBLE)
    wrong: list[Any] = []

    def run(number: float) -> None:
        for i in range(300):
            if (got := double(prepared, number, i)) != [2 * number, 2 * i]:
                wrong.append(got)

    threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert wrong == []
    session.close()


@pytest.mark.parametrize("damage", [lambda data: b"no graph", lambda data: data[:-7], lambda data: data + data])
def test_what_is_no_graph(damage: Callable[[bytes], bytes]) -> None:
    data = damage(graph())
    with pytest.raises(tf.errors.InvalidArgumentError):
        CSession(data, CONFIG)


def test_what_the_graph_does_not_have() -> None:
    session = CSession(graph(), CONFIG)
    with pytest.raises(tf.errors.OpError, match="nobody"):
        session.make_callable(config_pb2.CallableOptions(fetch=["nobody:0"]))
    session.close()


def test_nothing_runs_once_it_is_closed() -> None:
    session = CSession(graph(), CONFIG)
    prepared = session.make_callable(DOUBLE)
    session.close()
    assert session.closed
    with pytest.raises(tf.errors.OpError, match="closed"):
        double(prepared, 1.0)
    with pytest.raises(tf.errors.OpError, match="closed"):
        session.make_callable(DOUBLE)


def test_a_prepared_run_keeps_its_session() -> None:
    session = CSession(graph(), CONFIG)
    prepared, kept = session.make_callable(DOUBLE), weakref.ref(session)
    del session
    assert double(prepared, 4.0) == [8.0]
    del prepared
    assert kept() is None


@pytest.mark.parametrize("kind", ["c", "python"])
def test_the_collector_may_take_them_in_any_order(kind: str) -> None:
    made = []
    for first in (True, False):
        session = CSession(graph(), CONFIG) if kind == "c" else saved_model._open(graph(), CONFIG)
        assert isinstance(session, CSession if kind == "c" else PythonSession)
        pair = [session, session.make_callable(DOUBLE)]
        session.friends = pair if first else pair[::-1]
        made.append(weakref.ref(session))
        del session, pair
    gc.collect()
    assert [one() for one in made] == [None, None]


def test_pythons_lock_is_free_while_a_large_graph_comes_in() -> None:
    data = graph(megabytes=64)  # a tenth of a second, when the lock is held
    beats, begun, over = [], threading.Event(), threading.Event()

    def beat() -> None:
        while not over.is_set():
            beats.append(time.monotonic())
            begun.set()
            over.wait(0.001)

    thread = threading.Thread(target=beat)
    thread.start()
    assert begun.wait(60)
    imported = c_session._new_graph()
    before = time.monotonic()
    c_session._import(imported, data)
    after = time.monotonic()
    over.set()
    thread.join()
    c_session._delete_graph(imported)
    assert sum(before < beat < after for beat in beats) >= 10


def test_memory_comes_back() -> None:
    data, options = graph(megabytes=64), config_pb2.CallableOptions(fetch=["first:0"])

    def cycle() -> int:
        session = CSession(data, CONFIG)
        assert session.make_callable(options)([]) == [0.0]
        session.close()
        del session
        give_back_freed_memory()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    cycle()
    before = cycle()
    assert max(cycle() for _ in range(4)) < before + 32 * MIB
