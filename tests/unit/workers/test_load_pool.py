"""The threads on which versions are loaded: which configurations get them, and that they alone have low priority."""

from __future__ import annotations

import contextlib
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
from workers import load_pool, low_priority

THREADS = 3

# Loads and runs a model in a process of its own: pools are the process's, and are made once.
PROGRAM = """
import collections, glob, json, os, sys, threading, time
from pathlib import Path
import numpy as np
from workers import load_pool, low_priority, servable
from workers.run_mode import Lane

def threads():
    ids = [int(path.rsplit("/", 1)[1]) for path in glob.glob("/proc/self/task/*")]
    return {id: (os.getpriority(os.PRIO_PROCESS, id), os.sched_getscheduler(id) == os.SCHED_BATCH) for id in ids}

def ticks(ids):
    return sum(sum(map(int, Path(f"/proc/self/task/{id}/schedstat").read_text().split()[:1])) for id in ids)

def wait_until(condition):
    # Threads end a moment after they were joined.
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)

usual = os.getpriority(os.PRIO_PROCESS, 0)
low = lambda: [id for id, how in threads().items() if how != (usual, False)]
config = load_pool.with_pools(b"", int(sys.argv[2]))
load_pool.start(config)
wait_until(lambda: len(low()) == int(sys.argv[2]))
before, ids = threads(), low()
used = ticks(ids)
loaded = servable.load(sys.argv[1], tags=("serve",), session_config=config)
used = ticks(ids) - used
runs = [loaded.prepared("serving_default", ()).run(lane, [np.array([2.0], np.float32)])[0].tolist() for lane in Lane]
loaded.close()
wait_until(lambda: threads() == before)
unchanged = threads() == before

def keeps_lock():
    ready.set()
    done.wait(10)

ready, done = threading.Event(), threading.Event()
python = threading.Thread(target=low_priority.run, args=(keeps_lock,))
python.start()
ready.wait(10)
every = len(os.sched_getaffinity(0))
load_pool.leave_room()
load_pool.leave_room()
cpus = {id: len(os.sched_getaffinity(id)) for id in threads()}
restricted = sorted(id for id, count in cpus.items() if count < every)
done.set()
python.join(10)
room = [restricted == sorted(ids), every, min(cpus.values())]
print(json.dumps([usual, sorted(collections.Counter(before.values()).items()), used, runs, unchanged, room]))
"""


def config(**fields: Any) -> bytes:
    return config_pb2.ConfigProto(**fields).SerializeToString()


def pools(data: bytes) -> list[tuple[str, int]]:
    made = config_pb2.ConfigProto.FromString(data).session_inter_op_thread_pool
    return [(pool.global_name, pool.num_threads) for pool in made]


def own_pool(name: str) -> Any:
    return config_pb2.ThreadPoolOptionProto(global_name=name, num_threads=2)


LOADS = [(f"tensormux_load_{number}", 1) for number in range(THREADS)]


@pytest.mark.parametrize(
    ("given", "expected", "first"),
    [
        ({}, [("tensormux", 0), *LOADS], 1),
        ({"inter_op_parallelism_threads": 4}, [("tensormux", 0), *LOADS], 1),
        ({"session_inter_op_thread_pool": [own_pool("a")]}, [("a", 2), *LOADS], 1),
        ({"session_inter_op_thread_pool": [own_pool("a"), own_pool("b")]}, [("a", 2), ("b", 2), *LOADS], 2),
        ({"inter_op_parallelism_threads": -1}, [], -1),
        ({"use_per_session_threads": True}, [], -1),
    ],
)
def test_which_sessions_have_pools(given: dict[str, Any], expected: list[tuple[str, int]], first: int) -> None:
    made = load_pool.with_pools(config(allow_soft_placement=True, **given), THREADS)
    assert pools(made) == expected
    message = config_pb2.ConfigProto.FromString(made)
    assert message.allow_soft_placement
    with load_pool.taken(message) as number:
        assert number == first


@pytest.mark.parametrize(("variable", "given", "has_pools"), [("-1", 0, False), ("-1", 2, True), ("4", 0, True)])
def test_threads_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, given: int, has_pools: bool
) -> None:
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", variable)
    made = load_pool.with_pools(config(inter_op_parallelism_threads=given), THREADS)
    assert bool(pools(made)) == has_pools


def test_each_load_has_a_pool_to_itself_while_there_are_any() -> None:
    message = config_pb2.ConfigProto.FromString(load_pool.with_pools(b"", THREADS))
    with contextlib.ExitStack() as stack:
        numbers = [stack.enter_context(load_pool.taken(message)) for _ in range(THREADS + 2)]
        assert numbers == [1, 2, 3, -1, -1]
    with load_pool.taken(message) as number:
        assert number == 1


def test_sessions_without_pools_load_in_the_calling_thread() -> None:
    for message in (config_pb2.ConfigProto(), config_pb2.ConfigProto(session_inter_op_thread_pool=[own_pool("a")])):
        with load_pool.taken(message) as number:
            assert number == -1


def test_only_its_threads_have_low_priority_and_they_load(model_path: Callable[[str], Path]) -> None:
    command = [sys.executable, "-c", PROGRAM, str(model_path("half_plus_two")), str(THREADS)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    usual, threads, used, runs, unchanged, (only_pools, every, half) = json.loads(done.stdout.splitlines()[-1])
    low = [min(19, usual + low_priority.NICENESS), True]
    assert [count for how, count in threads if how == low] == [THREADS]
    assert {tuple(how) for how, _ in threads} == {(usual, False), tuple(low)}
    assert used > 0
    assert runs == [[3.0]] * 3
    assert unchanged
    # Once something is served, the pools' threads, and no others, keep to half of the CPUs.
    assert half == max(1, every // 2)
    assert only_pools == (every > 1)
