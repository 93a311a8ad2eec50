"""What the file system says of one model, over several looks.

`look` does the I/O and runs in a thread; `ModelWatch` is pure and decides what to believe. A version that is missing
from one listing counts as gone only when a later look agrees, for a directory may be swapped or a mount hiccup just
then; a look that fails changes nothing. Version directories carry a stamp of their files: a new version waits until
its files have come to rest, and a load that failed is tried again when somebody has put other files there.

Rest is short for a directory that was put in its place as a whole, by renaming it or by a copy that has set its times
at the end: nothing but that has touched it after its last entry was added. One that is filled where it is may just be
between two files.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from control.model_config import ModelSettings
from control.notices import Folder
from control.storage import MODEL_FILES, Discovery, Version, base_of, list_versions, select
from protos.errors import ServingError

_MOST_STAMPED_FILES = 20_000
# Files that were last touched so long ago have settled. Younger ones have if they look the same at the next look, which
# then follows within `SETTLE_SECONDS`, and for `_REST_SECONDS` if the directory is filled in its place.
_OLD_SECONDS = 2.0
SETTLE_SECONDS = 0.05
_REST_SECONDS = 1.0
# Looks that agree that a version has gone are at least so far apart.
_APART_SECONDS = 0.5
# A directory that is written to for ever is taken as it is.
_LONGEST_SETTLING_SECONDS = 600.0


class Stamp(NamedTuple):
    """What a directory looks like.

    Attributes:
        digest: of names, sizes and times of its files.
        touched: when the last of them was, in seconds since the epoch.
        placed: something was done to the directory as a whole after its last entry had come.
    """

    digest: str
    touched: float
    placed: bool


class Settling(NamedTuple):
    """A version that is still being written.

    Attributes:
        digest: when it was last looked at.
        rests: when it was seen like that first.
        since: when it was seen first.
        growing: it is filled in its place.
    """

    digest: str
    rests: float
    since: float
    growing: bool


@dataclass(frozen=True, kw_only=True)
class Look:
    """What to look for.

    Attributes:
        settings: of the model.
        known: versions that workers have.
        paths: versions that are aspired now.
        stamp: versions to stamp anew.
        settling: versions that were being written at the last look; None to take all as they are.
        unfinished: versions that lacked files at the last look.
    """

    settings: ModelSettings
    known: frozenset[int]
    paths: Mapping[int, str]
    stamp: frozenset[int]
    settling: Mapping[int, Settling] | None = None
    unfinished: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What there was.

    Attributes:
        at: when that was, in seconds on the monotonic clock.
        settings: of the model.
        discovery: its versions.
        gone: versions that were aspired before, and whose directory is gone.
        stamps: digests of versions that are new or were to be stamped.
        settling: versions that are being written.
        unfinished: versions that lack files.
        folder: the base path.
        present: all versions that there are, wanted or not.
    """

    at: float
    settings: ModelSettings
    discovery: Discovery
    gone: frozenset[int]
    stamps: Mapping[int, str]
    settling: Mapping[int, Settling] = field(default_factory=dict)
    unfinished: frozenset[int] = frozenset()
    folder: Folder | None = None
    present: frozenset[int] = frozenset()


def look(request: Look, *, model_files: Collection[str] = MODEL_FILES) -> Sight:
    """List the base path of a model and select versions by its policy.

    Raises:
        ServingError: the base path is missing or cannot be listed.
    """
    base = base_of(request.settings)
    versions = list_versions(base, model_files, known=request.known)
    unfinished = frozenset(version.number for version in versions if not version.complete)
    new: dict[int, Stamp] = {}
    settling: dict[int, Settling] = {}
    discovery = select(request.settings, versions, known=request.known)
    # Whether a version has settled matters only when it is chosen, and choosing again may bring up another.
    believed = request.paths.keys() - (request.settling or {}).keys()
    while fresh := [v for v in discovery.versions if v.number not in believed and v.number not in new]:
        for version in fresh:
            now = new[version.number] = stamp(version.path)
            if request.settling is not None and version.number not in request.known:
                before = request.settling.get(version.number)
                growing = not now.placed or version.number in unfinished | request.unfinished
                waiting = _settling(now, before, time.time(), growing=growing)
                if waiting is not None:
                    settling[version.number] = waiting
        versions = [replace(v, complete=False, settled=False) if v.number in settling else v for v in versions]
        discovery = select(request.settings, versions, known=request.known)
    found = {version.number: version.path for version in discovery.versions}
    gone = frozenset(v for v, path in request.paths.items() if v not in found and not os.path.isdir(path))
    stamps = {v: (new.get(v) or stamp(path)).digest for v, path in found.items() if v in request.stamp or v in new}
    return Sight(
        at=time.monotonic(),
        settings=request.settings,
        discovery=discovery,
        gone=gone,
        stamps=stamps,
        settling=settling,
        unfinished=unfinished,
        folder=_folder(base),
        present=frozenset(version.number for version in versions),
    )


def _folder(path: str) -> Folder | None:
    try:
        facts = os.stat(path)
    except OSError:  # it has just gone
        return None
    return Folder(path, facts.st_dev, facts.st_ino)


def _settling(now: Stamp, before: Settling | None, at: float, *, growing: bool) -> Settling | None:
    """What to remember of a version until the next look, None when it has settled."""
    if at - now.touched > _OLD_SECONDS:
        return None
    if before is None:
        return Settling(now.digest, at, at, growing)
    if at - before.since > _LONGEST_SETTLING_SECONDS:
        return None
    if before.digest != now.digest:
        return Settling(now.digest, at, before.since, growing=True)
    if before.growing and 0 <= at - before.rests < _REST_SECONDS:
        return before
    return None


def stamp(path: str) -> Stamp:
    """Changes when any file under `path` is written; of very many files only the first are looked at."""
    digest = hashlib.blake2b(digest_size=16)
    touched, placed = 0.0, False
    left = _MOST_STAMPED_FILES
    for folder, folders, files in os.walk(path):
        folders.sort()
        for full in [folder, *(os.path.join(folder, file) for file in sorted(files))]:
            try:
                facts = os.stat(full)
            except OSError:
                continue
            # Unlike the time of modification, that of change cannot be set by whoever copies.
            touched = max(touched, facts.st_ctime)
            if full == path:
                placed = facts.st_ctime_ns != facts.st_mtime_ns
            if full != folder:
                text = f"{full}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ino}\n"
                digest.update(text.encode(errors="replace"))
            left -= 1
            if left == 0:
                return Stamp(digest.hexdigest(), touched, placed)
    return Stamp(digest.hexdigest(), touched, placed)


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
        present: all versions that were on disk then, wanted or not.
    """

    settings: ModelSettings
    periodic: bool
    observed: bool = False
    error: ServingError | None = None
    versions: dict[int, Version] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    present: frozenset[int] = frozenset()
    _paths: dict[int, str] = field(default_factory=dict)
    # Since when.
    _missing: Mapping[int, float] = field(default_factory=dict)
    _trust_next: bool = False
    _stamps: dict[int, _Stamps] = field(default_factory=dict)
    _settling: Mapping[int, Settling] = field(default_factory=dict)
    _unfinished: frozenset[int] = frozenset()

    @property
    def settling(self) -> bool:
        """Some version is still being written: it is worth looking again soon."""
        return bool(self._settling)

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
            settling=self._settling if self.periodic else None,
            unfinished=self._unfinished,
        )

    def saw(self, sight: Sight) -> list[int]:
        """Take in a look; returns the versions whose files have changed since they were tried."""
        if (sight.settings.base_path, sight.settings.policy) != (self.settings.base_path, self.settings.policy):
            return []
        self.error = None
        self._settling = sight.settling
        new = sorted(sight.unfinished - self._unfinished)
        self._unfinished = sight.unfinished
        self.warnings = sight.discovery.warnings + tuple(
            f"Version {version} of servable {self.settings.name} lacks files: it is passed over as long as another can "
            "take its place"
            for version in new
        )
        changed = [version for version, now in sight.stamps.items() if self._stamped(version, now)]
        self._missing = {version: self._missing.get(version, sight.at) for version in sight.gone}
        unsure = any(sight.at - since < _APART_SECONDS for since in self._missing.values())
        if unsure and self.periodic and not self._trust_next:
            return changed
        self._trust_next = False
        self.observed = True
        self.present = sight.present
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
