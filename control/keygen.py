"""`python -m control.keygen [FILE]`: a new CURVE key pair for a deployment whose processes talk over `tcp://`.

Prints two lines that fit a `.env` file of docker compose; a key may contain `$` and `#`, hence the quotes. With FILE,
writes them there instead, readable by this user only, unless the file exists already: then it is checked and left as
it is. Processes find such a file through TENSORMUX_CURVE_KEY_FILE.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

import zmq

from protos.channel import ENV_CURVE_FILE, ENV_CURVE_PUBLIC, ENV_CURVE_SECRET, Curve


def new_pair() -> str:
    """The two lines of a new pair."""
    public, secret = zmq.curve_keypair()
    return f"{ENV_CURVE_PUBLIC}='{public.decode()}'\n{ENV_CURVE_SECRET}='{secret.decode()}'\n"


def ensure(path: Path) -> bool:
    """Make `path` hold a pair; False if it already did. Appears complete or not at all.

    Raises:
        ValueError: the file is there and holds no pair.
        OSError: it cannot be written.
    """
    if path.exists():
        Curve.from_env({ENV_CURVE_FILE: str(path)})
        return False
    unfinished = path.with_name(f"{path.name}.unfinished-{os.getpid()}")
    try:
        # The mode counts from the start: nobody else may open the file before it is complete.
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new_pair())
        # Unlike a rename, a link never replaces what another process has put there meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
            return True
    finally:
        unfinished.unlink(missing_ok=True)
    Curve.from_env({ENV_CURVE_FILE: str(path)})
    return False


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m control.keygen", description="Makes a CURVE key pair.")
    parser.add_argument("file", type=Path, nargs="?", help="write the pair here unless the file exists")
    path: Path | None = parser.parse_args(argv).file
    if path is None:
        print(new_pair(), end="")
        return
    try:
        made = ensure(path)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{path}: {'a new key pair' if made else 'has a key pair already'}")


if __name__ == "__main__":
    main()
