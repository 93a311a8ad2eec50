"""The entry point of the container image: what `docker run IMAGE [ARGUMENTS]` starts.

Without arguments, or when the first one is a flag, a whole server starts like in TensorFlow Serving's image: on ports
8500 and 8501, with the model that MODEL_NAME and MODEL_BASE_PATH name; the caller's flags come last, so they override.
Anything else is a command and is started as it stands (`docker run IMAGE python -m workers`). Either way it takes this
process's place, so that signals reach it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from control.flags import docker_arguments

# What a shell says of a command that it cannot find, or not start.
NOT_FOUND = 127
NOT_STARTED = 126


def command(env: Mapping[str, str], argv: Sequence[str]) -> list[str]:
    """The command line for the container's arguments (without the program's name)."""
    if argv and not argv[0].startswith("-"):
        return list(argv)
    # -P: a folder called `control` where the container was started must not be taken for ours.
    return [sys.executable, "-P", "-m", "control", *docker_arguments(env, argv)]


def main() -> None:
    """Become that command; exits with 127 or 126 like a shell when it cannot be started."""
    line = command(os.environ, sys.argv[1:])
    try:
        os.execvp(line[0], line)
    except OSError as error:
        print(f"cannot start {line[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_STARTED)


if __name__ == "__main__":
    main()
