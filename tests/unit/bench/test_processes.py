import os
import subprocess
import sys

import pytest

from bench import processes
from bench.processes import Stat, Usage

TICK = 1 / processes.TICKS_PER_SECOND


def test_stat_of_a_process_with_an_awkward_name():
    text = "5312 (a) R (b c)) S 5303 5303 2836 0 -1 4194304 100 0 0 0 21 4 7 9 20 0 1 0 89222 3133440 380\n"
    assert processes.parse_stat(text) == Stat("S", parent=5303, ticks=25, started=89222)


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (["/usr/bin/python3", "-m", "control", "--port=1"], "control"),
        (["python", "-X", "utf8", "-m", "frontend"], "frontend"),
        (["python", "-m", "workers.__main__", "x"], "worker"),
        (["python", "-m", "frontend_of_another"], "python"),
        (["/usr/bin/tensorflow_model_server", "--port=1", "control"], "tensorflow_model_server"),
        ([""], "unknown"),
    ],
)
def test_roles(arguments, role):
    assert processes.role_of("".join(f"{word}\0" for word in arguments).encode()) == role


def test_tree_of_descendants():
    parents = {1: 0, 10: 1, 11: 10, 12: 10, 13: 12, 20: 1, 21: 20}
    assert processes.tree([10], parents) == {10, 11, 12, 13}
    assert processes.tree([12, 20, 10], parents) == {10, 11, 12, 13, 20, 21}
    assert processes.tree([99], parents) == set()


def test_cpu_is_summed_by_role():
    before = {1: Usage("control", 5), 2: Usage("frontend", 100), 3: Usage("frontend", 10)}
    after = {1: Usage("control", 5), 2: Usage("frontend", 130), 3: Usage("frontend", 20), 4: Usage("worker", 7)}
    assert processes.cpu_between(before, after) == pytest.approx(
        {"control": 0, "frontend": 40 * TICK, "worker": 7 * TICK}
    )


def test_a_process_that_ended_spoils_the_sum():
    with pytest.raises(processes.ProcessEnded, match="worker 3"):
        processes.cpu_between({3: Usage("worker", 5), 4: Usage("worker", 1)}, {4: Usage("worker", 9)})


def test_a_real_child_is_seen_until_it_ends():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        usage = processes.snapshot([os.getpid()])
        assert {os.getpid(), child.pid} <= usage.keys()
        now, peak = processes.memory_mb(child.pid)
        assert 0 < now <= peak
        child.communicate(b"\n")
    assert child.pid not in processes.snapshot([os.getpid()])
    assert processes.read_stat(child.pid) is None
    with pytest.raises(processes.ProcessEnded):
        processes.memory_mb(child.pid)
