"""CPU time and memory of a tree of processes, from /proc (Linux).

A snapshot is taken before and after a run; the difference is what the run cost. A process that ended between the two
took its times with it, so `cpu_between` refuses to give a number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MODULE = re.compile(rb"\0-m\0(control|frontend|workers)(?:\0|\.__main__\0|$)")
_ROLES = {b"control": "control", b"frontend": "frontend", b"workers": "worker"}


class ProcessEnded(RuntimeError):
    """A process of the server ended while it was measured."""


class Stat(NamedTuple):
    """Fields of /proc/<pid>/stat: state letter, parent, CPU ticks (user + system), start in ticks since boot."""

    state: str
    parent: int
    ticks: int
    started: int


class Usage(NamedTuple):
    """One process at one time; `ticks` as in `Stat`."""

    role: str
    ticks: int


def parse_stat(text: str) -> Stat:
    """Read one /proc/<pid>/stat; the command in it may contain spaces and parentheses."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        state=fields[0], parent=int(fields[1]), ticks=int(fields[11]) + int(fields[12]), started=int(fields[19])
    )


def read_stat(pid: int) -> Stat | None:
    """The stat of a process, None when there is none or it has ended and only waits for its parent's notice."""
    try:
        stat = parse_stat((PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat.state in "ZX" else stat


def role_of(command_line: bytes) -> str:
    """The role of a process of ours by its command line (NUL-separated); the program's name for others."""
    found = _MODULE.search(command_line)
    if found:
        return _ROLES[found[1]]
    return os.path.basename(command_line.split(b"\0", 1)[0]).decode(errors="replace") or "unknown"


def tree(roots: Iterable[int], parents: Mapping[int, int]) -> set[int]:
    """The roots and all their descendants, `parents` being pid -> parent of every process."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = [pid for pid in roots if pid in parents]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return found


def live_tree(roots: Iterable[int]) -> dict[int, Stat]:
    """The stats of the roots and all their descendants that live now."""
    stats = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))):
            stats[int(entry.name)] = stat
    return {pid: stats[pid] for pid in sorted(tree(roots, {pid: stat.parent for pid, stat in stats.items()}))}


def snapshot(roots: Iterable[int]) -> dict[int, Usage]:
    """CPU time so far of each process of the trees below `roots`."""
    usage = {}
    for pid, stat in live_tree(roots).items():
        try:
            usage[pid] = Usage(role_of((PROC / str(pid) / "cmdline").read_bytes()), stat.ticks)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return usage


def cpu_between(before: Mapping[int, Usage], after: Mapping[int, Usage]) -> dict[str, float]:
    """CPU seconds of each role between two snapshots; processes that are new count from their start.

    Raises:
        ProcessEnded: a process of `before` isn't in `after`.
    """
    ended = [f"{usage.role} {pid}" for pid, usage in before.items() if pid not in after]
    if ended:
        raise ProcessEnded(f"ended during the run: {', '.join(ended)}")
    seconds: dict[str, float] = {}
    for pid, usage in after.items():
        ticks = usage.ticks - (before[pid].ticks if pid in before else 0)
        seconds[usage.role] = seconds.get(usage.role, 0.0) + ticks / TICKS_PER_SECOND
    return seconds


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process now, and at most so far, in MB (10^6 bytes).

    Raises:
        ProcessEnded: there is no such process.
    """
    try:
        status = (PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessEnded(f"process {pid} ended") from None
    values = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    if len(values) != 2:
        raise ProcessEnded(f"process {pid} ended")
    return int(values["VmRSS"]) * 1024 / 1e6, int(values["VmHWM"]) * 1024 / 1e6
