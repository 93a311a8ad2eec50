"""TensorFlow's threads that read variables and fill tables: of lower priority than those that serve.

They are a thread pool of TensorFlow's own, beside the one that serves, and the operations of a load run there. The
Python thread that waits for them keeps its priority, because of the lock that all Python threads share: whoever lets go
of it for another thread waits until that one has taken it, so a thread that gets no CPU would hold up everybody. The
threads of the pool never want that lock.

Linux has a priority for each thread, and threads inherit that of the one that makes them: the pool is made by a thread
that has lowered its own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

# Added to what the process has, as `nice` does; 19 is the least priority.
NICENESS = 10
_LEAST = 19
_NAME = "tensormux_load"
_SERVING_NAME = "tensormux"
# `RunOptions.inter_op_thread_pool`: operations run in the calling thread.
_CALLER = -1


def with_pool(session_config: bytes, threads: int) -> bytes:
    """A serialized `ConfigProto` that has the pool, too: all sessions of the process share it.

    Where operations are to run in the calling thread (`inter_op_parallelism_threads` below 0) nothing is added.
    """
    config = config_pb2.ConfigProto.FromString(session_config)
    if config.inter_op_parallelism_threads >= 0 and not config.use_per_session_threads:
        pools = config.session_inter_op_thread_pool
        if not pools:  # what would be used without any
            pools.add(global_name=_SERVING_NAME)
        pools.add(global_name=_NAME, num_threads=threads)
    return config.SerializeToString()


def index(config: Any) -> int:
    """The pool's number for `RunOptions.inter_op_thread_pool`; the calling thread where a `ConfigProto` has no pool."""
    pools = config.session_inter_op_thread_pool
    return len(pools) - 1 if pools and pools[-1].global_name == _NAME else _CALLER


def start(session_config: bytes) -> None:
    """Make TensorFlow's thread pools, and its devices, which the first session of a process brings along.

    Raises:
        tf.errors.OpError: they cannot be made like that.
    """
    config = config_pb2.ConfigProto.FromString(session_config)
    serving = config_pb2.ConfigProto()
    serving.CopyFrom(config)
    has_pool = index(config) != _CALLER
    if has_pool:
        del serving.session_inter_op_thread_pool[-1]
    tf.compat.v1.Session(graph=tf.Graph(), config=serving).close()
    if has_pool:
        thread = threading.Thread(target=_make_low, args=(config,), name="load-pool")
        thread.start()
        thread.join()


def _make_low(config: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):
        thread = threading.get_native_id()
        usual = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(_LEAST, usual + NICENESS))
        # Nor does it interrupt others when it has something to do.
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
    tf.compat.v1.Session(graph=tf.Graph(), config=config).close()
