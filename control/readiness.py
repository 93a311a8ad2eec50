"""How far each model has come, and what a start or a reload makes of that.

A model is ready when one of its versions is available, whichever; it has failed when all versions that it should have
have failed. TensorFlow Serving gives up as soon as the highest finished version failed; here any other that is wanted
may take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from control.manager import Manager
from protos.errors import Code, ServingError
from protos.messages import State

_Asker = TypeVar("_Asker")


class Progress(Enum):
    """How far a model has come."""

    READY = "ready"
    LOADING = "loading"
    FAILED = "failed"
    # Looked for, without finding a version.
    MISSING = "missing"
    # Not looked for yet.
    UNKNOWN = "unknown"
    # No longer configured.
    REMOVED = "removed"


@dataclass(frozen=True)
class Outcome:
    """`progress`, and unless it is going well, `text`: which servable failed, and why, in upstream's form."""

    progress: Progress
    text: str = ""


def outcome(manager: Manager, name: str) -> Outcome:
    """How far `name` has come, as of the manager's last refresh."""
    watch = manager.watch(name)
    entries = manager.versions(name)
    if watch is None:
        return Outcome(
            Progress.REMOVED, f"{{{{name: {name}}} due to error: CANCELLED: a later reload removed the model}}"
        )
    if any(entry.state == State.AVAILABLE for entry in entries):
        return Outcome(Progress.READY)
    ended = [entry for entry in entries if entry.version in watch.versions and entry.state == State.END]
    if ended and len(ended) == len(watch.versions):
        worst = ended[0]
        error = ServingError(worst.code, worst.message)
        return Outcome(Progress.FAILED, f"{{{{name: {name} version: {worst.version}}} due to error: {error}}}")
    if watch.versions:
        return Outcome(Progress.LOADING)
    if watch.error is None and not watch.observed:
        return Outcome(Progress.UNKNOWN)
    missing = watch.error or ServingError(
        Code.NOT_FOUND, f"No versions of servable {name} found under base path {watch.settings.base_path}"
    )
    return Outcome(Progress.MISSING, f"{{{{name: {name}}} due to error: {missing}}}")


def unavailable(kind: str, outcomes: Collection[Outcome]) -> ServingError:
    """The error that names all of `outcomes`; `kind` is `servable(s)` for a start, `model(s)` for a reload."""
    listed = "".join(f"{outcome.text}, " for outcome in outcomes)
    return ServingError(Code.UNKNOWN, f"{len(outcomes)} {kind} did not become available: {{{listed}}}")


class InitialLoad:
    """Whether the server may open its doors for the first time."""

    def __init__(self, deadline: float | None) -> None:
        """`deadline` on the clock that `check` is given; None waits for ever."""
        self._deadline = deadline
        self.serving = False

    def check(self, manager: Manager, now: float) -> None:
        """Set `serving` once every configured model is ready; it stays set.

        Raises:
            ServingError: UNKNOWN when a model has failed and no other is still loading; DEADLINE_EXCEEDED.
        """
        if self.serving:
            return
        outcomes = {name: outcome(manager, name) for name in manager.configured}
        waiting = [name for name, one in outcomes.items() if one.progress is not Progress.READY]
        if not waiting:
            self.serving = True
            return
        failed = [one for one in outcomes.values() if one.progress is Progress.FAILED]
        busy = any(one.progress in (Progress.LOADING, Progress.UNKNOWN) for one in outcomes.values())
        if failed and not busy:
            raise unavailable("servable(s)", failed)
        if self._deadline is not None and now >= self._deadline:
            raise ServingError(
                Code.DEADLINE_EXCEEDED, f"Not available within --start_timeout_seconds: {', '.join(sorted(waiting))}"
            )


@dataclass
class _Waiting(Generic[_Asker]):
    asker: _Asker
    request_id: int
    names: list[str]
    deadline: float


@dataclass
class Reloads(Generic[_Asker]):
    """Reloads that were applied and wait for their new models.

    A model without any version on disk is reported as missing instead of being waited for; it stays configured and is
    served as soon as it appears.
    """

    answer: Callable[[_Asker, int, ServingError | None], None]
    limit_seconds: float = 600.0
    most: int = 1_000
    _waiting: list[_Waiting[_Asker]] = field(default_factory=list)

    def add(self, asker: _Asker, request_id: int, names: Iterable[str], now: float) -> None:
        """Answer `asker` once all of `names` are available, or it is clear that they won't be.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, too many wait already.
        """
        if len(self._waiting) >= self.most:
            raise ServingError(Code.RESOURCE_EXHAUSTED, f"{self.most} reloads wait for their models already")
        self._waiting.append(_Waiting(asker, request_id, list(names), now + self.limit_seconds))

    def check(self, manager: Manager, now: float) -> None:
        """Answer those that are decided."""
        undecided = []
        for waiting in self._waiting:
            outcomes = [outcome(manager, name) for name in waiting.names]
            bad = [one for one in outcomes if one.text]
            if any(one.progress in (Progress.LOADING, Progress.UNKNOWN) for one in outcomes):
                if now < waiting.deadline:
                    undecided.append(waiting)
                    continue
                error: ServingError | None = ServingError(
                    Code.DEADLINE_EXCEEDED,
                    f"The configuration is in force, but its new models did not become available in "
                    f"{self.limit_seconds:.0f} s; they go on loading",
                )
            else:
                error = unavailable("model(s)", bad) if bad else None
            self.answer(waiting.asker, waiting.request_id, error)
        self._waiting = undecided

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def forget(self, asker: _Asker) -> None:
        """Whoever asked is gone."""
        self._waiting = [waiting for waiting in self._waiting if waiting.asker != asker]
