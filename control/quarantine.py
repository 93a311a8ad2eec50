"""What follows when a version ends workers that run it (`control.blame`): it is barred, unless that helps nobody.

No I/O; the clock is passed in. Guarantees:

- A crash beside which a version was being loaded that was never good says nothing about what was running: that version
  is the likelier cause, and has its strike.
- A version is barred on all workers at once. What came under suspicion through its crashes while it was being loaded
  is cleared.
- It stays only if it belongs to the one model that is configured, and that has no other version to serve: it harms
  nobody else. That is said once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from control.blame import Blame, why
from control.catalog import Board, Key
from control.good import GoodVersions
from control.log import LOGGER
from control.strikes import Strikes
from control.watch import ModelWatch
from protos.flight_record import UNKNOWN

# Versions that one line of the log names.
_MOST_LISTED = 8


class Verdict(NamedTuple):
    """What is held against versions now that a worker has ended.

    Attributes:
        suspects: may be why it ended.
        barred: from now on.
        cleared: were suspected wrongly of having ended workers that loaded them, and should be tried again.
    """

    suspects: Collection[Key] = ()
    barred: Collection[Key] = ()
    cleared: Collection[Key] = ()


class Quarantine:
    """Bars versions on the board.

    Args:
        crashes: how often a version may end a worker that runs it; 0 always.
        board, strikes, good: of the manager.
    """

    def __init__(self, crashes: int, board: Board, strikes: Strikes, good: GoodVersions) -> None:
        self._blame = Blame(crashes)
        self._board = board
        self._strikes = strikes
        self._good = good
        self._spared: set[Key] = set()
        # What a worker was loading when it left, by name, until its process has ended.
        self._left_loading: dict[str, Collection[Key]] = {}

    def left(self, name: str, loading: Collection[Key]) -> None:
        """The worker in a slot is lost, and was loading these."""
        self._left_loading[name] = loading

    def ended(
        self, name: str, running: Collection[Key], *, now: float, evidence: bool, watches: Mapping[str, ModelWatch]
    ) -> Verdict:
        """The process of the worker that was in a slot is gone.

        Args:
            name: of the slot.
            running: what it was running when it ended.
            now: in seconds on a clock that does not go back.
            evidence: it has ended because of something that it did.
            watches: all models that are configured.
        """
        loading = self._left_loading.pop(name, ())
        if running:
            LOGGER.error("%s ended while it was running %s", name, _listed(running))
        if not evidence or not all(self._strikes.is_proven(key) or self._good.has(*key) for key in loading):
            return Verdict()
        barred: set[Key] = set()
        cleared: set[Key] = set()
        for key, count in self._blame.crashed(now, running, loading).items():
            if key[0] in watches and key[1] not in self._board.barred(key[0]) and self._bar(key, count, watches):
                barred.add(key)
                cleared |= {other for other in self._blame.explain(key) if self._strikes.is_struck(other)}
        cleared = {(name, version) for name, version in cleared if version not in self._board.barred(name)}
        return Verdict(set(running) - {UNKNOWN}, barred, cleared)

    def _bar(self, key: Key, count: int, watches: Mapping[str, ModelWatch]) -> bool:
        name, version = key
        text = "Servable {name: %s version: %d} ended the worker %d times while it ran: "
        if len(watches) == 1 and not self._has_another(key, watches[name]):
            if key not in self._spared:
                self._spared.add(key)
                LOGGER.error(text + "it stays, for there is nothing else to serve", name, version, count)
            return False
        LOGGER.error(text + "it is served no more", name, version, count)
        self._board.bar(key, why(key, count))
        return True

    def _has_another(self, key: Key, watch: ModelWatch) -> bool:
        name, version = key
        barred = {*self._board.barred(name), version}
        if any(self._strikes.is_proven((name, other)) for other in watch.versions.keys() - barred):
            return True
        return self._good.last(name, barred=barred, present=watch.present) is not None

    def pointless(self, watches: Mapping[str, ModelWatch]) -> list[Key]:
        """What need not be barred any more, since its model is the only one by now and has nothing else to serve."""
        if len(watches) != 1:
            return []
        ((name, watch),) = watches.items()
        keys = [(name, version) for version in self._board.barred(name) if version in watch.versions]
        return [key for key in keys if not self._has_another(key, watch)]

    def forget(self, key: Key) -> None:
        """The version has other files, or is no longer wanted."""
        self._blame.forget(key)
        self._spared.discard(key)


def _listed(keys: Collection[Key]) -> str:
    """Some of them, for people."""
    texts = [f"servable {{name: {name} version: {version}}}" if name else "others" for name, version in sorted(keys)]
    more = len(texts) - _MOST_LISTED
    return ", ".join(texts[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
