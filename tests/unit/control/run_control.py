"""The real control process with `fake_peer.py` as its children and short waiting times; arguments are its flags."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from control import children, flags, log
from control.app import App, Limits
from control.startup import prepare
from control.supervisor import Backoff
from protos.errors import ServingError


def main() -> int:
    log.setup()
    peer = str(Path(__file__).with_name("fake_peer.py"))
    children._module = lambda name: (sys.executable, peer)
    silence = float(os.environ.get("TEST_SILENCE", "30"))
    limits = Limits(
        tick=0.05,
        register=float(os.environ.get("TEST_REGISTER", "30")),
        silence=silence,
        stop_slack=float(os.environ.get("TEST_SLACK", "5")),
        backoff=Backoff(first=0.05, longest=0.2, stable_after=30.0),
    )
    options = flags.parse(sys.argv[1:], {})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(App(options, prepare(options, os.environ), os.environ, limits=limits).run())
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        return 255


if __name__ == "__main__":
    sys.exit(main())
