"""Which versions of a model are on disk, and which of them its policy asks for.

`list_versions` does the one directory listing; `select` is the pure rule on top. Rules are TensorFlow Serving's, with
three deliberate differences: a negative number or something that isn't a directory is no version, of two directories
with one number the last in byte order counts under every policy, and a version that lacks files yet (being copied)
is passed over, as long as a complete one can take its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from control.model_config import All, ModelSettings, Policy, Specific
from protos.errors import Code, ServingError, invalid_argument

MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
TFLITE_FILE = "model.tflite"

_VARIABLES = "variables"
_SHARD = re.compile(r"variables\.data-[0-9]{5}-of-([0-9]{5})")
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]{1,64})[ \t\n\v\f\r]*")
_LARGEST = (1 << 63) - 1
_ERRORS = {
    FileNotFoundError: Code.NOT_FOUND,
    PermissionError: Code.PERMISSION_DENIED,
    NotADirectoryError: Code.FAILED_PRECONDITION,
}


@dataclass(frozen=True)
class Version:
    """A version directory.

    Attributes:
        complete: it holds a model file, and no part of its variables is missing.
        settled: nobody seems to be writing into it.
    """

    number: int
    path: str
    complete: bool = True
    settled: bool = True


@dataclass(frozen=True)
class Discovery:
    """The versions a model should have now, most wanted first, and what people should hear about it.

    A version that is not `complete` is there because no complete one could take its place. It is to be treated as
    wanted but not loadable, so that older versions stay; only at the first load of a model, when there is nothing else
    to serve, is loading it (which fails with a clear error) better than waiting.
    """

    versions: tuple[Version, ...]
    warnings: tuple[str, ...] = ()


def base_of(settings: ModelSettings) -> str:
    """The directory that holds a model's versions.

    Raises:
        ServingError: INVALID_ARGUMENT when it is missing; UNIMPLEMENTED when it is a URI other than `file://`.
    """
    base_path = local_path(settings.base_path)
    if not os.path.exists(base_path):
        raise invalid_argument(
            f"Could not find base path {settings.base_path} for servable {settings.name} "
            f"with error NOT_FOUND: {settings.base_path} not found"
        )
    return base_path


def local_path(base_path: str) -> str:
    """`base_path` without `file://`.

    Raises:
        ServingError: UNIMPLEMENTED for any other scheme.
    """
    scheme, separator, rest = base_path.partition("://")
    if not separator or "/" in scheme:
        return base_path
    if scheme == "file":
        return rest
    raise ServingError(Code.UNIMPLEMENTED, f"File system scheme '{scheme}' not implemented (file: '{base_path}')")


def list_versions(
    base_path: str, model_files: Collection[str] = MODEL_FILES, *, known: Collection[int] = ()
) -> list[Version]:
    """All version directories right under `base_path`, by name in byte order.

    Args:
        base_path: of the model.
        model_files: names of which a version needs one.
        known: versions that count as complete without looking.

    Raises:
        ServingError: the directory cannot be listed.
    """
    try:
        with os.scandir(base_path) as entries:
            found = [(entry.name, number) for entry in entries if (number := parse_version(entry.name)) is not None]
    except OSError as error:
        code = _ERRORS.get(type(error), Code.UNKNOWN)
        raise ServingError(code, f"{base_path}; {error.strerror}") from error
    versions = []
    for name, number in sorted(found, key=lambda item: os.fsencode(item[0])):
        path = os.path.join(base_path, name)
        if os.path.isdir(path):
            versions.append(Version(number, path, number in known or _is_complete(path, model_files)))
    return versions


def _is_complete(path: str, model_files: Collection[str]) -> bool:
    found = [file for file in model_files if os.path.exists(os.path.join(path, file))]
    if not found or found == [TFLITE_FILE]:
        return bool(found)
    try:
        parts = [name for name in os.listdir(os.path.join(path, _VARIABLES)) if name.startswith(f"{_VARIABLES}.")]
    except OSError:  # none; or if they can only not be listed, then loading will tell
        return True
    shards = [match for name in parts if (match := _SHARD.fullmatch(name))]
    # A model without variables may have the directory.
    return not parts or (f"{_VARIABLES}.index" in parts and len(shards) == max((int(s[1]) for s in shards), default=-1))


def parse_version(name: str) -> int | None:
    """The version that a directory's name stands for, or None.

    The whole name must be a decimal number from 0 to 2**63 - 1; leading zeros, a sign, and ASCII white space around it
    are allowed.
    """
    match = _NUMBER.fullmatch(name)
    if match is None:
        return None
    number = int(match[1])
    return number if 0 <= number <= _LARGEST else None


def select(settings: ModelSettings, found: Iterable[Version], *, known: Collection[int] = ()) -> Discovery:
    """Apply a model's policy to the directories in `found`, which are sorted by name.

    `known` versions are already loaded, loading or failed: they count as complete whatever is left of them.

    Latest(n): the n highest complete versions, highest first, and only if there are fewer, incomplete ones. All: every
    version, in the order of `found`. Specific: those that exist, in the order of the configuration.
    """
    warnings: list[str] = []
    by_number: dict[int, Version] = {}
    for version in found:
        earlier = by_number.pop(version.number, None)
        if earlier is not None:
            warnings.append(
                f"Duplicate version directories detected. Version {version.number} will be loaded from "
                f"{version.path}, {earlier.path} will be ignored."
            )
        if version.number in known:
            version = Version(version.number, version.path)
        by_number[version.number] = version
    if isinstance(settings.policy, Specific):
        chosen = _specific(settings, settings.policy, by_number, warnings)
    else:
        if not by_number:
            warnings.append(
                f"No versions of servable {settings.name} found under base path {settings.base_path}. "
                "Did you forget to name your leaf directory as a number (eg. '/1/')?"
            )
        chosen = _by_rank(settings.policy, by_number.values())
    return Discovery(tuple(chosen), tuple(warnings))


def _by_rank(policy: Policy, versions: Collection[Version]) -> list[Version]:
    if isinstance(policy, All):
        return list(versions)
    assert not isinstance(policy, Specific)
    best = sorted(versions, key=lambda version: (version.complete, version.number), reverse=True)[: policy.count]
    return sorted(best, key=lambda version: version.number, reverse=True)


def _specific(
    settings: ModelSettings, policy: Specific, by_number: dict[int, Version], warnings: list[str]
) -> list[Version]:
    if not policy.versions:
        warnings.append(f"No specific versions requested for servable {settings.name}.")
    for number in policy.versions:
        if number not in by_number:
            warnings.append(
                f"Version {number} of servable {settings.name}, which was requested to be served as a 'specific' "
                "version in the servable's version policy, was not found in the file system"
            )
    return [by_number[number] for number in policy.versions if number in by_number]
