"""Which versions of each model were good, that is wanted and available: what workers go back to. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Collection

_MOST = 8


class GoodVersions:
    """A short history for each model, the latest last."""

    def __init__(self) -> None:
        self._history: dict[str, list[int]] = {}

    def note(self, name: str, aspired: Collection[int], ready: Collection[int]) -> None:
        """These versions of a model are wanted, and these available."""
        history = self._history.setdefault(name, [])
        both = set(ready).intersection(aspired)
        if both:
            best = max(both)
        elif ready and not history:
            best = max(ready)
        else:
            return
        if history[-1:] != [best]:
            self._history[name] = [*(version for version in history if version != best), best][-_MOST:]

    def last(self, name: str, *, barred: Collection[int], present: Collection[int]) -> int | None:
        """The last one that is not barred.

        Args:
            name: of the model.
            barred: versions that must not be loaded.
            present: versions that are on disk. That of the very last one is tried to be loaded without asking: a look
                at the disk may be older than the version.
        """
        history = self._history.get(name, [])
        for version in reversed(history):
            if version not in barred and (version == history[-1] or version in present):
                return version
        return None

    def forget(self, name: str) -> None:
        """The model is no longer configured."""
        self._history.pop(name, None)

    def has(self, name: str, version: int) -> bool:
        """The version was good once."""
        return version in self._history.get(name, ())
