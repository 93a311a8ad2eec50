"""Which versions are under suspicion because workers ended while they loaded them. No I/O and no clock.

- A version has failed on a worker that ended `STRIKES` times while it loaded it. One that was never available anywhere
  has failed on all workers when they ended so many times altogether.
- Whatever a worker was loading when it ended is a suspect until loading it has come to an end in order.
"""

from __future__ import annotations

from collections.abc import Collection

from control.catalog import Ended, Key
from protos.errors import Code

STRIKES = 2


class Strikes:
    """Counts them, by the name of the worker's slot and the version."""

    def __init__(self) -> None:
        self._strikes: dict[tuple[str, Key], int] = {}
        # Versions that were available on some worker since they are wanted.
        self._proven: set[Key] = set()

    def crashed(self, name: str, loading: Collection[Key]) -> None:
        """The worker in a slot has ended while it was loading these."""
        for key in loading:
            self._strikes[name, key] = self._strikes.get((name, key), 0) + 1

    def closed(self, name: str) -> None:
        """No worker will come back to the slot."""
        self._strikes = {struck: n for struck, n in self._strikes.items() if struck[0] != name or n >= STRIKES}

    def prove(self, key: Key) -> None:
        """A worker has the version."""
        self._proven.add(key)

    def is_proven(self, key: Key) -> bool:
        """Some worker had the version since it is wanted, with the files that there are."""
        return key in self._proven

    def acquit(self, key: Key) -> bool:
        """Loading `key` has come to an end, and the worker is still there; tells whether it was a suspect."""
        cleared = [struck for struck, n in self._strikes.items() if struck[1] == key and n < STRIKES]
        for struck in cleared:
            del self._strikes[struck]
        return bool(cleared)

    def forget(self, key: Key) -> None:
        """The version has other files, or is no longer wanted."""
        self._proven.discard(key)
        self.clear(key)

    def clear(self, key: Key) -> None:
        """It was not the version that workers ended over."""
        self._strikes = {struck: n for struck, n in self._strikes.items() if struck[1] != key}

    def deadly(self, name: str, key: Key) -> bool:
        """The worker in a slot must not try the version again."""
        if key in self._proven:
            return self._strikes.get((name, key), 0) >= STRIKES
        return sum(n for (_, struck), n in self._strikes.items() if struck == key) >= STRIKES

    def all_deadly(self, name: str) -> dict[Key, Ended]:
        """What the worker in a slot must not try, and why."""
        return {key: why(key) for _, key in self._strikes if self.deadly(name, key)}

    def suspects(self, name: str) -> list[Key]:
        """What the worker in a slot may try, but only one at a time."""
        found = {key for at, key in self._strikes if at == name or key not in self._proven}
        return sorted(key for key in found if not self.deadly(name, key))

    def is_struck(self, key: Key) -> bool:
        """A worker ended over the version."""
        return any(struck == key for _, struck in self._strikes)

    def models(self) -> set[str]:
        """Models with a version that workers ended over."""
        return {key[0] for _, key in self._strikes}


def why(key: Key) -> Ended:
    """What people read of a version that is not tried any more."""
    return Ended(
        Code.INTERNAL, f"Loading servable {{name: {key[0]} version: {key[1]}}} ended the worker {STRIKES} times"
    )
