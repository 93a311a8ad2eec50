"""Log lines in TensorFlow's format, on stderr: `2026-01-31 12:00:00.123456: I control/manager.py:42] text`.

Scripts and readiness probes grep these lines, so the texts that TensorFlow Serving also writes are kept letter by
letter. One line is one `write`, so lines of several processes don't mix.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

LOGGER = logging.getLogger("tensormux.control")

_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}
_BARE = {"bare": True}


class TensorFlowFormatter(logging.Formatter):
    """Formats a record as TensorFlow would; a record with `bare` set is its text alone."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        if getattr(record, "bare", False):
            return text
        seconds = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1_000_000)
        path = Path(record.pathname)
        letter = _LETTERS.get(record.levelno, "I")
        return f"{seconds}.{micros:06d}: {letter} {path.parent.name}/{path.name}:{record.lineno}] {text}"


def setup(level: int = logging.INFO) -> None:
    """Send the log of this process to stderr; a second call changes only the level."""
    # A log that cannot be written (a closed pipe) must not end the server, nor fill a traceback per line.
    logging.raiseExceptions = False
    LOGGER.setLevel(level)
    if not LOGGER.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(TensorFlowFormatter())
        LOGGER.addHandler(handler)
        LOGGER.propagate = False


def bare(text: str) -> None:
    """Write `text` as a line of its own, without time and place."""
    LOGGER.info("%s", text, extra=_BARE)
