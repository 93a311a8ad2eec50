"""`python -m frontend`: one front end process, told by its environment where control is (see `protos.channel`)."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys

import uvloop

from frontend.server import Server
from protos import logs
from protos.channel import ENV_CONTROL, ENV_NAME, Channel, Curve, new_incarnation
from protos.heap import keep_freed_memory
from protos.orphan import die_with_parent


def main() -> None:
    """Run a front end until it is told to stop."""
    env = os.environ
    die_with_parent(env)
    keep_freed_memory()
    # Each connection is an open file. A shell's soft limit is for programs that use select(); the hard one is meant.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Ctrl-C reaches the whole process group; control alone decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = env.get(ENV_CONTROL, "")
    if not control:
        sys.exit(f"a front end needs {ENV_CONTROL} in its environment")
    logs.setup(logging.getLogger("tensormux.frontend"), name=os.environ.get(ENV_NAME, ""))
    try:
        curve = Curve.from_env(env)
    except ValueError as error:
        sys.exit(str(error))
    channel = Channel(curve)
    incarnation = new_incarnation()
    # Requests make no cycles: what the collector walks are long-lived tables, so it need not run often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)

    async def serve() -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        server = Server(
            loop,
            channel,
            control=control,
            name=env.get(ENV_NAME, "") or f"frontend-{incarnation}",
            incarnation=incarnation,
        )
        loop.add_signal_handler(signal.SIGTERM, server.stop)
        await server.run()

    uvloop.run(serve())
    channel.close()


if __name__ == "__main__":
    main()
