"""A child ends with its parent, whatever ended the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protos.orphan import ENV_PARENT_PID, die_with_parent
from tests.loops import wait_until

_ROOT = Path(__file__).parents[3]

_CHILD = """
import os, sys, time
from protos.orphan import die_with_parent
die_with_parent(os.environ)
print(os.getpid(), flush=True)
time.sleep(60)
"""
# Starts the child and hands its output on; lives until it is killed.
_PARENT = """
import os, subprocess, sys, time
env = dict(os.environ, TENSORMUX_PARENT_PID=str(os.getpid()))
subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=env)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux'")
def test_child_dies_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT, _CHILD], stdout=subprocess.PIPE, cwd=_ROOT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            assert alive(child)
            parent.send_signal(signal.SIGKILL)
            wait_until(lambda: not alive(child))
        finally:
            parent.kill()
            if alive(child):
                os.kill(child, signal.SIGKILL)


def test_nothing_happens_without_the_variable() -> None:
    die_with_parent({})
    die_with_parent({ENV_PARENT_PID: ""})


def test_a_parent_that_has_gone_already_ends_the_child() -> None:
    code = f"from protos.orphan import die_with_parent; die_with_parent({{'{ENV_PARENT_PID}': '1'}}); print('lives')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, timeout=20)
    assert result.returncode == 1
    assert "the parent process 1 has ended" in result.stderr
    assert not result.stdout


def test_a_variable_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError):
        die_with_parent({ENV_PARENT_PID: "x"})
