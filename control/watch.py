"""What the file system says of one model, over several looks.

`look` does the I/O and runs in a thread; `ModelWatch` is pure and decides what to believe. A version that is missing
from one listing counts as gone only when the next look agrees, for a directory may be swapped or a mount hiccup just
then; a look that fails changes nothing. Version directories carry a stamp of their files, so that a load that failed is
tried again when somebody has put other files there, and only once these have come to rest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from control.model_config import ModelSettings
from control.storage import Discovery, Version, discover
from protos.errors import ServingError

_MOST_STAMPED_FILES = 20_000


@dataclass(frozen=True, kw_only=True)
class Look:
    """What to look for: a model, versions that workers have (`known`), paths aspired now, versions to stamp anew."""

    settings: ModelSettings
    known: frozenset[int]
    paths: Mapping[int, str]
    stamp: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What there was: versions, those aspired before whose directory is gone, and stamps."""

    settings: ModelSettings
    discovery: Discovery
    gone: frozenset[int]
    stamps: Mapping[int, str]


def look(request: Look) -> Sight:
    """List the base path of a model and select versions by its policy.

    Raises:
        ServingError: the base path is missing or cannot be listed.
    """
    discovery = discover(request.settings, known=request.known)
    found = {version.number: version.path for version in discovery.versions}
    gone = frozenset(v for v, path in request.paths.items() if v not in found and not os.path.isdir(path))
    stamps = {v: stamp(path) for v, path in found.items() if v in request.stamp or v not in request.paths}
    return Sight(settings=request.settings, discovery=discovery, gone=gone, stamps=stamps)


def stamp(path: str) -> str:
    """A digest of names, sizes and times of all files under `path`; changes when any of them is written."""
    digest = hashlib.blake2b(digest_size=16)
    left = _MOST_STAMPED_FILES
    for folder, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            full = os.path.join(folder, file)
            try:
                facts = os.stat(full)
            except OSError:
                continue
            digest.update(f"{full}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ino}\n".encode(errors="replace"))
            left -= 1
            if left == 0:
                return digest.hexdigest()
    return digest.hexdigest()


@dataclass
class _Stamps:
    tried: str
    latest: str


@dataclass
class ModelWatch:
    """Versions of one model to be believed in.

    Attributes:
        observed: at least one look has succeeded; before that nothing is known.
        error: why the last look failed, None when it did not.
        versions: what the policy asks for now.
        warnings: of the last look.
    """

    settings: ModelSettings
    periodic: bool
    observed: bool = False
    error: ServingError | None = None
    versions: dict[int, Version] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    _paths: dict[int, str] = field(default_factory=dict)
    _missing: frozenset[int] = frozenset()
    _trust_next: bool = False
    _stamps: dict[int, _Stamps] = field(default_factory=dict)

    def reconfigure(self, settings: ModelSettings) -> bool:
        """Take over new settings; tells whether another look is due for them."""
        if settings == self.settings:
            return False
        due = (settings.base_path, settings.policy) != (self.settings.base_path, self.settings.policy)
        self.settings = settings
        self._trust_next = self._trust_next or due
        return due

    def request(self, *, known: Collection[int], failed: Collection[int]) -> Look:
        """What to look for next, given the versions that workers know, and those that failed."""
        return Look(
            settings=self.settings,
            known=frozenset(known),
            paths={version.number: version.path for version in self.versions.values()},
            stamp=frozenset(failed),
        )

    def saw(self, sight: Sight) -> list[int]:
        """Take in a look; returns the versions whose files have changed since they were tried."""
        if (sight.settings.base_path, sight.settings.policy) != (self.settings.base_path, self.settings.policy):
            return []
        self.error = None
        self.warnings = sight.discovery.warnings
        changed = [version for version, now in sight.stamps.items() if self._stamped(version, now)]
        unsure = sight.gone - self._missing
        self._missing = sight.gone
        if unsure and self.periodic and not self._trust_next:
            return changed
        self._trust_next = False
        self.observed = True
        self.versions = {version.number: version for version in sight.discovery.versions}
        self._paths.update({version.number: version.path for version in sight.discovery.versions})
        for version in self._stamps.keys() - self.versions.keys():
            del self._stamps[version]
        return changed

    def _stamped(self, version: int, now: str) -> bool:
        known = self._stamps.get(version)
        if known is None:
            self._stamps[version] = _Stamps(now, now)
            return False
        at_rest = known.latest == now
        known.latest = now
        if at_rest and known.tried != now:
            known.tried = now
            return True
        return False

    def failed(self, error: ServingError) -> None:
        """A look has failed: everything stays as it is."""
        self.error = error

    def path(self, version: int) -> str:
        """The directory of a version; for one that was never seen here, the one it would have."""
        return self._paths.get(version) or os.path.join(self.settings.base_path, str(version))
