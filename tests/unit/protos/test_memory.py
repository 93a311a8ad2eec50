from __future__ import annotations

import os
import resource
from pathlib import Path

from protos.memory import ResidentMemory


def resident() -> int:
    """What /proc/self/status says."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def test_it_tells_resident_bytes_and_follows_them() -> None:
    memory = ResidentMemory()
    assert abs(memory.read() - resident()) < 8 << 20
    before = memory.read()
    block = bytearray(os.urandom(32 << 20))
    assert memory.read() - before > len(block) // 2


def test_it_works_when_no_more_files_may_be_opened() -> None:
    memory = ResidentMemory()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert memory.read() > 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
