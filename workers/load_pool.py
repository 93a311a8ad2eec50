"""TensorFlow's threads that read variables and fill tables: of lower priority than those that serve.

They are thread pools of TensorFlow's own, beside the one that serves, and the operations of a load run there. The
Python thread that waits for them keeps its priority, because of the lock that all Python threads share: whoever lets go
of it for another thread waits until that one has taken it, so a thread that gets no CPU would hold up everybody. The
threads of a pool never want that lock.

Each pool has one thread, and a load has a pool to itself: one that hangs, with however many operations, keeps no other
waiting. Threads inherit the priority of the one that makes them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from workers import low_priority

_NAME = "tensormux_load_"
_SERVING_NAME = "tensormux"
# `RunOptions.inter_op_thread_pool`: operations run in the calling thread.
_CALLER = -1

_lock = threading.Lock()
# Numbers of the pools that loads have.
_taken: set[int] = set()
_leaves_room = False


def with_pools(session_config: bytes, loads: int) -> bytes:
    """A serialized `ConfigProto` that has pools for so many loads, too: all sessions of the process share them.

    Nothing is added where operations are to run in the calling thread (`inter_op_parallelism_threads` or
    TF_NUM_INTEROP_THREADS below 0), or sessions have threads of their own.
    """
    config = config_pb2.ConfigProto.FromString(session_config)
    threads = config.inter_op_parallelism_threads or _environment()
    if threads >= 0 and not config.use_per_session_threads:
        pools = config.session_inter_op_thread_pool
        if not pools:  # what would be used without any
            pools.add(global_name=_SERVING_NAME)
        for number in range(loads):
            pools.add(global_name=f"{_NAME}{number}", num_threads=1)
    return config.SerializeToString()


def _environment() -> int:
    try:
        return int(os.environ.get("TF_NUM_INTEROP_THREADS", "0"))
    except ValueError:
        return 0


def _numbers(config: Any) -> list[int]:
    """Those of the pools for loads, for `RunOptions.inter_op_thread_pool`."""
    pools = config.session_inter_op_thread_pool
    return [number for number, pool in enumerate(pools) if pool.global_name.startswith(_NAME)]


@contextlib.contextmanager
def taken(config: Any) -> Iterator[int]:
    """A pool that no other load has, by its number in a `ConfigProto`; the calling thread where there is none."""
    with _lock:
        number = next((number for number in _numbers(config) if number not in _taken), _CALLER)
        if number != _CALLER:
            _taken.add(number)
    try:
        yield number
    finally:
        with _lock:
            _taken.discard(number)


def start(session_config: bytes) -> None:
    """Make TensorFlow's thread pools, and its devices, which the first session of a process brings along.

    Raises:
        tf.errors.OpError: they cannot be made like that.
    """
    config = config_pb2.ConfigProto.FromString(session_config)
    numbers = _numbers(config)
    serving = config_pb2.ConfigProto()
    serving.CopyFrom(config)
    if numbers:
        del serving.session_inter_op_thread_pool[numbers[0] :]
    _make(serving)
    if numbers:
        low_priority.run(_make, config)


def leave_room() -> None:
    """Keep the pools' threads, and those that they make, to half of the CPUs that the process may use from now on.

    Priority is not enough for those that serve. The kernel zeroes memory that is new to the process, 2 MB at a time,
    and where it doesn't preempt itself (PREEMPT_NONE) whoever wakes up on that CPU waits: a fraction of a millisecond,
    but 4 and more on a virtual machine whose host has to find that memory first. They find another CPU then.

    Python's threads of low priority may go everywhere: when one has the lock that all share, it must get on.
    """
    global _leaves_room
    if _leaves_room:
        return
    _leaves_room = True
    with contextlib.suppress(OSError, AttributeError):
        process = os.getpid()
        cpus = sorted(os.sched_getaffinity(process))
        if len(cpus) == 1:
            return
        usual = os.getpriority(os.PRIO_PROCESS, process)
        of_python = {thread.native_id for thread in threading.enumerate()}
        for thread in set(map(int, os.listdir("/proc/self/task"))) - of_python:
            with contextlib.suppress(OSError):  # it has ended
                if os.getpriority(os.PRIO_PROCESS, thread) > usual:
                    os.sched_setaffinity(thread, cpus[(len(cpus) + 1) // 2 :])


def _make(config: Any) -> None:
    tf.compat.v1.Session(graph=tf.Graph(), config=config).close()
