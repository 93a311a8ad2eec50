"""Parses the command line exactly as TensorFlow's flag library does, and the environment for our own flags.

Syntax: `--name=value` only; a bool may stand alone; the last occurrence wins; `--` ends the flags. Nothing here prints
or exits: what to print and the exit status travel in `FlagExit`.
"""

from __future__ import annotations

import importlib.metadata
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from control.options import FLAGS, Flag, Options

ENV_PREFIX = "TENSORMUX_"
FAILURE = 255

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BITS = {"int32": 32, "int64": 64}
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class FlagExit(Exception):
    """The process should write `stdout` and `stderr` and exit with `status` instead of starting."""

    def __init__(self, status: int, *, stdout: str = "", stderr: str = "") -> None:
        super().__init__(status, stdout, stderr)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


def parse(argv: Sequence[str], env: Mapping[str, str], *, program: str = "tensormux") -> Options:
    """The options of this command line (without the program's name) and environment; a flag beats the environment.

    Arguments that no flag takes end up in `Options.unknown_arguments`; the caller prints `unknown_arguments_text` and
    starts anyway. Without any of --model_name, --model_base_path and --model_config_file, the variables `MODEL_NAME`
    and `MODEL_BASE_PATH` of TensorFlow Serving's image name the one model.

    Raises:
        FlagExit: bad value (255), --help (255), --version (0), unknown arguments with --strict_flags (255).
    """
    values: dict[str, Any] = {}
    unknown: list[str] = []
    problems: list[str] = []
    for name, text in _own_flags_of(env):
        _set(values, problems, FLAGS[name], text, f" (from {ENV_PREFIX}{name.upper()})")
    for position, argument in enumerate(argv):
        if argument == "--":
            unknown.extend(argv[position + 1 :])
            break
        name, equals, text = argument[2:].partition("=")
        flag = FLAGS.get(name) if argument.startswith("--") else None
        if flag is None or (not equals and flag.type != "bool"):
            unknown.append(argument)
        else:
            _set(values, problems, flag, text if equals else "true")
    if problems:
        raise FlagExit(FAILURE, stdout=usage(program), stderr="".join(f"{line}\n" for line in problems))
    if unknown and unknown[0] == "--help":
        raise FlagExit(FAILURE, stdout=usage(program))
    if values.get("version"):
        raise FlagExit(0, stdout=version_text())
    values.update(_model_of(env, values))
    options = Options(**values, given=frozenset(values), unknown_arguments=tuple(unknown))
    if unknown and options.strict_flags:
        raise FlagExit(FAILURE, stdout=unknown_arguments_text(options, program=program))
    return options


def docker_arguments(env: Mapping[str, str], argv: Sequence[str]) -> list[str]:
    """The arguments that the entry point of TensorFlow Serving's image makes of its environment and arguments.

    The caller's arguments come last, so they override; unset variables are what the image sets.
    """
    base_path, name = _image_variables(env)
    return [
        "--port=8500",
        "--rest_api_port=8501",
        f"--model_name={name}",
        f"--model_base_path={base_path}/{name}",
        *argv,
    ]


def usage(program: str = "tensormux") -> str:
    """One line for each flag, with its default as it would be written, its type and what it does."""
    lines = [f"usage: {program}", "Flags:"]
    for flag in FLAGS.values():
        value = str(flag.default).lower() if flag.type == "bool" else str(flag.default)
        if flag.type == "string":
            value = f'"{value}"'
        lines.append(f"\t{f'--{flag.name}={value}':<48}\t{flag.type}\t{flag.help}")
    return "\n".join(lines) + "\n"


def version_text() -> str:
    """What --version prints: our version and that of the installed TensorFlow, found without importing it."""
    library = _installed("tensorflow") or _installed("tensorflow-cpu") or "not installed"
    return f"TensorFlow ModelServer: {_installed('tensormux') or 'unknown'}\nTensorFlow Library: {library}\n"


def unknown_arguments_text(options: Options, *, program: str = "tensormux") -> str:
    """What stdout gets when there are unknown arguments: the first of them, then the usage."""
    return f"unknown argument: {options.unknown_arguments[0]}\n{usage(program)}"


def _own_flags_of(env: Mapping[str, str]) -> list[tuple[str, str]]:
    # An empty variable counts as unset: that is what compose files make of a variable nobody defined.
    named = ((name, env.get(ENV_PREFIX + name.upper(), "")) for name, flag in FLAGS.items() if flag.own)
    return [(name, text) for name, text in named if text]


def _set(values: dict[str, Any], problems: list[str], flag: Flag, text: str, origin: str = "") -> None:
    value = _interpret(flag, text)
    if value is None:
        problems.append(f"Couldn't interpret value {text} for flag {flag.name}.{origin}")
    else:
        values[flag.name] = value


def _interpret(flag: Flag, text: str) -> bool | int | float | str | None:
    if flag.type == "string":
        return text
    if flag.type == "bool":
        return _BOOLS.get(text.lower())
    if flag.type == "float":
        number = float(text) if _FLOAT.fullmatch(text) else math.inf
        return number if math.isfinite(number) else None
    # Python refuses to read thousands of digits, and nothing beyond 64 bits could be meant.
    if not _INTEGER.fullmatch(text) or len(text) > 64:
        return None
    whole = int(text)
    limit = 1 << (_BITS[flag.type] - 1)
    return whole if -limit <= whole < limit else None


def _model_of(env: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    if {"model_name", "model_base_path", "model_config_file"} & values.keys():
        return {}
    if not env.get("MODEL_NAME") and not env.get("MODEL_BASE_PATH"):
        return {}
    base_path, name = _image_variables(env)
    return {"model_name": name, "model_base_path": f"{base_path}/{name}"}


def _image_variables(env: Mapping[str, str]) -> tuple[str, str]:
    return env.get("MODEL_BASE_PATH") or "/models", env.get("MODEL_NAME") or "model"


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
