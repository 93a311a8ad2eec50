"""The `tensormux` command, also installed as `tensorflow_model_server`: starts and supervises a whole server.

stdout carries what TensorFlow's model server prints there (usage, versions, `unknown argument: ...`, `Failed to start
server. Error: ...`) and nothing else; the log goes to stderr.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from control import flags, log
from control.app import FAILURE, App
from control.startup import prepare
from protos.errors import ServingError


def main() -> None:
    """Run with this process's arguments and environment, and exit."""
    program = Path(sys.argv[0]).name
    sys.exit(run(sys.argv[1:], os.environ, program="tensormux" if program == "__main__.py" else program))


def run(argv: Sequence[str], env: Mapping[str, str], *, program: str = "tensormux") -> int:
    """Serve until told to stop; returns 0 after an orderly stop, 255 if the server could not start."""
    log.setup()
    try:
        options = flags.parse(argv, env, program=program)
    except flags.FlagExit as end:
        print(end.stdout, end="", flush=True)
        print(end.stderr, end="", flush=True, file=sys.stderr)
        return end.status
    if options.unknown_arguments:
        print(flags.unknown_arguments_text(options, program=program), end="", flush=True)
    try:
        startup = prepare(options, env)
        for line in startup.complaints:
            log.LOGGER.error("%s", line)
        for line in startup.notes:
            log.LOGGER.info("%s", line)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(App(options, startup, env).run())
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        return FAILURE


if __name__ == "__main__":
    main()
