"""What was running when a process ended, whatever has ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.flight_record import SERVABLES, THREADS, UNKNOWN, Recorder, create, path_of, read

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fd() -> Iterator[int]:
    """Of an empty record."""
    made = create()
    yield made
    os.close(made)


@pytest.fixture
def path(fd: int) -> str:
    return path_of(fd)


def test_what_runs_is_seen_and_nothing_else(fd: int, path: str) -> None:
    recorder = Recorder(path)
    assert read(fd) == frozenset()
    a, b = recorder.enter("a", 1), recorder.enter("b", 2**63 - 1)
    first, second, third = (recorder.slot() for _ in range(3))
    first.cell[0], second.cell[0], third.cell[0] = a, b, a
    assert read(fd) == {("a", 1), ("b", 2**63 - 1)}
    second.cell[0] = 0
    assert read(fd) == {("a", 1)}
    first.cell[0] = 0
    third.cell[0] = 0
    assert read(fd) == frozenset()


def test_before_it_is_begun_nothing_ran(fd: int) -> None:
    assert read(fd) == frozenset()


def test_a_record_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Recorder(str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["m", "\u00fcber/\U0001f600", "x" * 246, "\u00fc" * 123])
def test_names(fd: int, path: str, name: str) -> None:
    recorder = Recorder(path)
    slot = recorder.slot()
    slot.cell[0] = recorder.enter(name, 7)
    assert read(fd) == {(name, 7)}


def test_what_has_no_place_is_not_left_out(fd: int, path: str) -> None:
    recorder = Recorder(path)
    slot = recorder.slot()
    for long in ("x" * 247, "\u00fc" * 124, "x" * 1_000_000):
        slot.cell[0] = recorder.enter(long, 1)
        assert read(fd) == {UNKNOWN}
    numbers = [recorder.enter("m", version) for version in range(SERVABLES)]
    slot.cell[0] = numbers[-1]
    assert read(fd) == {("m", SERVABLES - 1)}
    slot.cell[0] = beyond = recorder.enter("m", SERVABLES)
    assert read(fd) == {UNKNOWN}
    # It has no number to give back; others have.
    recorder.leave(beyond)
    recorder.leave(0)
    slot.cell[0] = recorder.enter("m", SERVABLES)
    assert read(fd) == {UNKNOWN}
    recorder.leave(numbers[5])
    slot.cell[0] = recorder.enter("n", 1)
    assert read(fd) == {("n", 1)}


def test_a_thread_without_a_place_spoils_the_proof(fd: int, path: str) -> None:
    recorder = Recorder(path)
    number = recorder.enter("m", 1)
    slots = [recorder.slot() for _ in range(THREADS)]
    slots[0].cell[0] = number
    assert read(fd) == {("m", 1)}
    recorder.slot().cell[0] = number
    assert read(fd) == {("m", 1), UNKNOWN}


def test_places_of_threads_that_have_ended_are_taken_again(fd: int, path: str) -> None:
    recorder = Recorder(path)
    number = recorder.enter("m", 1)
    local = threading.local()

    def run() -> None:
        local.slot = recorder.slot()
        local.slot.cell[0] = number

    for _ in range(2 * THREADS):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    # Not even one that has ended in the middle of something is taken for one at work.
    assert read(fd) == frozenset()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_the_record_outlives_the_process(fd: int, path: str, number: signal.Signals) -> None:
    program = (
        "import os, sys\n"
        "from protos.flight_record import Recorder\n"
        "recorder = Recorder(sys.argv[1])\n"
        "slot = recorder.slot()\n"
        "slot.cell[0] = recorder.enter('m', 3)\n"
        f"os.kill(os.getpid(), {int(number)})\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT, check=False)
    assert ended.returncode == -number
    assert read(fd) == {("m", 3)}


def test_garbage_is_no_evidence(fd: int, path: str) -> None:
    Recorder(path)
    size = os.fstat(fd).st_size
    for content in (b"\xff" * size, os.urandom(size), b"\xff" * 100, b"\0" * size + b"\xff"):
        os.truncate(fd, 0)
        os.pwrite(fd, content, 0)
        assert read(fd) <= {UNKNOWN}
    os.pwrite(fd, b"\xff" * size, 0)
    assert read(fd) == {UNKNOWN}
