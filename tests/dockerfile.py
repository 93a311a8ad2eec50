"""Reads the Dockerfile as far as tests need it: the instructions of its last stage."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


class Dockerfile:
    """`stages`: for each FROM the list of (instruction, rest of the line), with continued lines joined."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        self.stages: list[list[tuple[str, str]]] = []
        for logical in re.split(r"(?<!\\)\n", "\n".join(lines)):
            instruction, _, rest = re.sub(r"\\\n\s*", "", logical).partition(" ")
            if instruction == "FROM":
                self.stages.append([])
            self.stages[-1].append((instruction, rest.strip()))

    def last(self, instruction: str) -> list[str]:
        """What follows `instruction` in the last stage, each time that it occurs."""
        return [rest for name, rest in self.stages[-1] if name == instruction]

    def env(self) -> dict[str, str]:
        """ENV of the last stage, not expanded."""
        pairs = (word.partition("=") for rest in self.last("ENV") for word in shlex.split(rest))
        return {name: value for name, _, value in pairs}

    def entrypoint(self) -> list[str]:
        """ENTRYPOINT of the last stage, which must have the exec form."""
        (line,) = self.last("ENTRYPOINT")
        words = json.loads(line)
        assert isinstance(words, list)
        return words


def load() -> Dockerfile:
    """The repository's."""
    return Dockerfile((REPOSITORY / "Dockerfile").read_text())
