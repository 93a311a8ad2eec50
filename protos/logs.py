"""Log lines in TensorFlow's format, on stderr: `2026-01-31 12:00:00.123456: I control/manager.py:42] text`.

All processes write them alike. One line is one `write`, so lines of several processes don't mix.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class TensorFlowFormatter(logging.Formatter):
    """Formats a record as TensorFlow would; a record with `bare` set is its text alone.

    Lines of the process `name` (of a worker, say) bear it before the place in the source.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self._name = f"{name} " if name else ""

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
        return f"{seconds}.{micros:06d}: {letter} {self._name}{path.parent.name}/{path.name}:{record.lineno}] {text}"


def setup(logger: logging.Logger, level: int = logging.INFO, *, name: str = "") -> None:
    """Send what `logger` gets to stderr, as of the process `name`; a second call changes only the level."""
    # A log that cannot be written (a closed pipe) must not end the server, nor fill a traceback per line.
    logging.raiseExceptions = False
    logger.setLevel(level)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(TensorFlowFormatter(name))
        logger.addHandler(handler)
        logger.propagate = False
