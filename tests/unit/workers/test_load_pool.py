"""The threads on which versions are loaded: which configurations get them, and that they alone have low priority."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorflow.core.protobuf import config_pb2

from bench.server import ROOT
from workers import load_pool

THREADS = 3

# Loads and runs a model in a process of its own: pools are the process's, and are made once.
PROGRAM = """
import collections, glob, json, os, sys
from pathlib import Path
import numpy as np
from workers import load_pool, servable
from workers.run_mode import Lane

def threads():
    ids = [int(path.rsplit("/", 1)[1]) for path in glob.glob("/proc/self/task/*")]
    return {id: (os.getpriority(os.PRIO_PROCESS, id), os.sched_getscheduler(id) == os.SCHED_BATCH) for id in ids}

def ticks(ids):
    return sum(sum(map(int, Path(f"/proc/self/task/{id}/schedstat").read_text().split()[:1])) for id in ids)

config = load_pool.with_pool(b"", int(sys.argv[2]))
load_pool.start(config)
before = threads()
low = [id for id, how in before.items() if how != (os.getpriority(os.PRIO_PROCESS, 0), False)]
used = ticks(low)
loaded = servable.load(sys.argv[1], tags=("serve",), session_config=config)
used = ticks(low) - used
runs = [loaded.prepared("serving_default", ()).run(lane, [np.array([2.0], np.float32)])[0].tolist() for lane in Lane]
loaded.close()
usual = os.getpriority(os.PRIO_PROCESS, 0)
print(json.dumps([usual, sorted(collections.Counter(before.values()).items()), used, runs, threads() == before]))
"""


def config(**fields: Any) -> bytes:
    return config_pb2.ConfigProto(**fields).SerializeToString()


def pools(data: bytes) -> list[tuple[str, int]]:
    made = config_pb2.ConfigProto.FromString(data).session_inter_op_thread_pool
    return [(pool.global_name, pool.num_threads) for pool in made]


def own_pool(name: str) -> Any:
    return config_pb2.ThreadPoolOptionProto(global_name=name, num_threads=2)


@pytest.mark.parametrize(
    ("given", "expected", "index"),
    [
        ({}, [("tensormux", 0), ("tensormux_load", THREADS)], 1),
        ({"inter_op_parallelism_threads": 4}, [("tensormux", 0), ("tensormux_load", THREADS)], 1),
        ({"session_inter_op_thread_pool": [own_pool("a")]}, [("a", 2), ("tensormux_load", THREADS)], 1),
        (
            {"session_inter_op_thread_pool": [own_pool("a"), own_pool("b")]},
            [("a", 2), ("b", 2), ("tensormux_load", 3)],
            2,
        ),
        ({"inter_op_parallelism_threads": -1}, [], -1),
        ({"use_per_session_threads": True}, [], -1),
    ],
)
def test_which_sessions_have_the_pool(given: dict[str, Any], expected: list[tuple[str, int]], index: int) -> None:
    made = load_pool.with_pool(config(allow_soft_placement=True, **given), THREADS)
    assert pools(made) == expected
    message = config_pb2.ConfigProto.FromString(made)
    assert load_pool.index(message) == index
    assert message.allow_soft_placement


def test_sessions_without_it_load_in_the_calling_thread() -> None:
    assert load_pool.index(config_pb2.ConfigProto()) == -1
    assert load_pool.index(config_pb2.ConfigProto(session_inter_op_thread_pool=[own_pool("a")])) == -1


def test_only_its_threads_have_low_priority_and_they_load(model_path: Callable[[str], Path]) -> None:
    command = [sys.executable, "-c", PROGRAM, str(model_path("half_plus_two")), str(THREADS)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    usual, threads, used, runs, unchanged = json.loads(done.stdout.splitlines()[-1])
    low = [min(19, usual + load_pool.NICENESS), True]
    assert [count for how, count in threads if how == low] == [THREADS]
    assert {tuple(how) for how, _ in threads} == {(usual, False), tuple(low)}
    assert used > 0
    assert runs == [[3.0]] * 3
    assert unchanged
