"""What the front end knows of models: the catalog that control broadcasts, made ready for look-ups.

Resolving a model, version or label, and signature takes no hop and, for what was asked before, one dictionary
look-up. A new snapshot replaces everything at once, so a request sees either the old state or the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from protos import messages
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import State
from protos.response_view import model_spec_field, output_key
from protos.signature import DEFAULT_SIGNATURE, Signature, read_signatures
from protos.tensor_view import Target

if TYPE_CHECKING:
    from frontend.link import Link

# Resolved targets kept for one snapshot; beyond it they are resolved anew (clients choose signature names).
_MAX_ROUTES = 4096
# States that lead to AVAILABLE.
_COMING = (State.START, State.LOADING)


class Version:
    """One version of a model.

    Attributes:
        links: the workers on which it is AVAILABLE.
        lost: it was served, the last worker that had it has gone, and another is about to load it.
    """

    __slots__ = ("model", "version", "state", "code", "message", "links", "lost", "signature_bytes", "_signatures")

    def __init__(self, model: str, entry: messages.VersionEntry, links: list[Link]) -> None:
        self.model = model
        self.version = entry.version
        self.state = entry.state
        self.code = entry.code
        self.message = entry.message
        self.links = links
        self.lost = False
        self.signature_bytes = entry.signatures
        self._signatures: dict[str, Signature] | None = None

    @property
    def available(self) -> bool:
        """Some worker can serve it."""
        return self.state == State.AVAILABLE and bool(self.links)

    @property
    def signatures(self) -> dict[str, Signature]:
        """Its signatures by name."""
        if self._signatures is None:
            self._signatures = _signatures(self.signature_bytes)
        return self._signatures


_parsed: dict[bytes, dict[str, Signature]] = {}


def _signatures(data: bytes) -> dict[str, Signature]:
    """Parsed once for each distinct set of signatures, not with every snapshot."""
    known = _parsed.get(data)
    if known is None:
        if len(_parsed) >= _MAX_ROUTES:
            _parsed.clear()
        known = _parsed[data] = read_signatures(data)
    return known


class Route:
    """A resolved target: where a request goes, and what its answer repeats.

    Attributes:
        output_keys, spec_field: pieces of a serialized PredictResponse (see `protos.tensor_view`).
    """

    __slots__ = ("version", "signature", "output_keys", "spec_field")

    def __init__(self, version: Version, signature: Signature) -> None:
        self.version = version
        self.signature = signature
        self.output_keys = tuple(output_key(alias) for alias in signature.outputs)
        self.spec_field = model_spec_field(name=version.model, version=version.version, signature=signature.name)


class Model:
    """The versions of a model by number, and its labels.

    Attributes:
        latest: the highest version that at least half as many workers have as have any other. While workers switch one
            after another, requests would else all go to the first that is through.
        awaited: it was served until a worker was lost, or a version turned out to be bad, and is about to be again.
    """

    __slots__ = ("name", "versions", "labels", "latest", "awaited")

    def __init__(self, name: str, versions: Iterable[Version], labels: dict[str, int]) -> None:
        self.name = name
        self.versions = {version.version: version for version in versions}
        self.labels = labels
        available = [v for v in self.versions.values() if v.available]
        most = max((len(v.links) for v in available), default=0)
        self.latest = max((v for v in available if 2 * len(v.links) >= most), key=lambda v: v.version, default=None)
        self.awaited = False

    def follow(self, before: Model) -> None:
        """Take from the snapshot before what was lost since."""
        failed = False
        for number in before.versions.keys() & self.versions.keys():
            old, new = before.versions[number], self.versions[number]
            was_served = old.state == State.AVAILABLE or old.lost
            new.lost = was_served and new.state in _COMING
            failed |= was_served and new.code != 0
        if self.latest is None and any(version.state in _COMING for version in self.versions.values()):
            self.awaited = before.awaited or failed or any(version.lost for version in self.versions.values())


class Catalog:
    """One snapshot, and of the one `before` it what was lost since.

    The messages of the errors raised here are those of TensorFlow Serving, which cannot lose a worker: only UNAVAILABLE
    is ours.
    """

    __slots__ = ("models", "_routes")

    def __init__(self, models: Iterable[Model] = (), before: Catalog | None = None) -> None:
        self.models = {model.name: model for model in models}
        self._routes: dict[Target, Route] = {}
        if before is not None:
            for name in before.models.keys() & self.models.keys():
                self.models[name].follow(before.models[name])

    def resolve(self, target: Target) -> Version:
        """The version that a request is for.

        Raises:
            ServingError: INVALID_ARGUMENT (no name, unknown label), NOT_FOUND, UNAVAILABLE (a label before there were
                any models; served until its worker was lost, and soon again).
        """
        name, number, label, _ = target
        if not name:
            raise invalid_argument("ModelSpec has no name specified.")
        model = self.models.get(name)
        if label is not None:
            if not self.models:
                raise ServingError(Code.UNAVAILABLE, f"Model labels does not init yet.{label}")
            labelled = model.labels.get(label) if model is not None else None
            if labelled is None:
                raise invalid_argument(f"Unrecognized servable version label: {label}")
            number = labelled
        if number is None:
            if model is None or model.latest is None:
                raise _not_served(f"Latest({name})", lost=model is not None and model.awaited)
            return model.latest
        version = model.versions.get(number) if model is not None else None
        if version is None or not version.available:
            raise _not_served(f"Specific({name}, {number})", lost=version is not None and version.lost)
        return version

    def route(self, target: Target) -> Route:
        """The version and signature that a request is for; `serving_default` when it names no signature.

        Raises:
            ServingError: as `resolve`, and FAILED_PRECONDITION for an unknown signature.
        """
        route = self._routes.get(target)
        if route is not None:
            return route
        version = self.resolve(target)
        name = target.signature or DEFAULT_SIGNATURE
        signature = version.signatures.get(name)
        if signature is None:
            raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        route = Route(version, signature)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[target] = route
        return route

    def statuses(self, name: str, number: int | None) -> list[Version]:
        """The versions that GetModelStatus tells of: one, or all ever seen, in descending order.

        Raises:
            ServingError: NOT_FOUND.
        """
        model = self.models.get(name)
        if number is not None:
            version = model.versions.get(number) if model is not None else None
            if version is None:
                raise ServingError(Code.NOT_FOUND, f"Could not find version {number} of model {name}")
            return [version]
        if model is None or not model.versions:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return sorted(model.versions.values(), key=lambda v: v.version, reverse=True)


def _not_served(request: str, *, lost: bool) -> ServingError:
    if lost:
        return ServingError(
            Code.UNAVAILABLE, f"Servable not available for request: {request}: its worker was lost and starts again"
        )
    return ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")
