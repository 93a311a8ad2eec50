"""Log lines as TensorFlow writes them."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from protos.logs import TensorFlowFormatter

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: ([IWEF]) control/manager\.py:42\] (.*)", re.DOTALL)


def record(level: int, text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("tensormux", level, "/somewhere/control/manager.py", 42, text, arguments, None)


@pytest.mark.parametrize(
    ("level", "letter"), [(logging.INFO, "I"), (logging.WARNING, "W"), (logging.ERROR, "E"), (logging.CRITICAL, "F")]
)
def test_a_line_has_time_letter_place_and_text(level: int, letter: str) -> None:
    match = LINE.fullmatch(TensorFlowFormatter().format(record(level, "%s of %d", "one", 2)))
    assert match is not None
    assert match.groups() == (letter, "one of 2")


def test_a_bare_record_is_its_text() -> None:
    made = record(logging.INFO, "[evhttp_server.cc : 245] text")
    made.bare = True
    assert TensorFlowFormatter().format(made) == "[evhttp_server.cc : 245] text"


def test_an_exception_follows_its_line() -> None:
    made = record(logging.ERROR, "failed")
    try:
        raise ValueError("a bug")
    except ValueError:
        made.exc_info = sys.exc_info()
    lines = TensorFlowFormatter().format(made).splitlines()
    assert lines[0].endswith("] failed")
    assert lines[-1] == "ValueError: a bug"


def test_a_line_of_a_named_process_bears_its_name() -> None:
    line = TensorFlowFormatter("worker-1").format(record(logging.INFO, "text"))
    assert line.endswith(": I worker-1 control/manager.py:42] text")
