"""The log of control. Scripts and readiness probes grep it: texts that TensorFlow Serving also writes are its own."""

from __future__ import annotations

import logging

from protos import logs

LOGGER = logging.getLogger("tensormux.control")

_BARE = {"bare": True}


def setup(level: int = logging.INFO) -> None:
    """Send the log of this process to stderr; a second call changes only the level."""
    logs.setup(LOGGER, level)


def bare(text: str) -> None:
    """Write `text` as a line of its own, without time and place."""
    LOGGER.info("%s", text, extra=_BARE)
