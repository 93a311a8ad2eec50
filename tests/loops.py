"""Event loops for tests: run coroutines on uvloop or asyncio, and wait for conditions with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def run(main: Coroutine[Any, Any, T], *, loop: str = "uvloop", seconds: float = 15.0) -> T:
    """Run `main` to its end on a fresh loop; what a callback raised, and nobody caught, fails the test."""
    complaints: list[str] = []

    def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    async def bounded() -> T:
        asyncio.get_running_loop().set_exception_handler(complain)
        return await asyncio.wait_for(main, seconds)

    with asyncio.Runner(loop_factory=FACTORIES[loop]) as runner:
        result = runner.run(bounded())
    assert not complaints, complaints
    return result


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Let the loop run until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.002)


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """The same without a loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)
