"""`ModelServerConfig` as frozen, checked structures: which models to serve, from where, in which versions.

`read_models` checks a whole configuration before it returns any of it, so a bad entry never leaves half a change
behind. Error texts are TensorFlow Serving's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from protos.errors import Code, ServingError, invalid_argument
from protos.public import ModelConfig, ModelServerConfig

PLATFORMS = frozenset({"tensorflow"})

_URI = re.compile(r"[a-zA-Z][0-9a-zA-Z.]*://")
_MODEL_TYPE_UNSPECIFIED = 0
_MODEL_TYPE_TENSORFLOW = 1


@dataclass(frozen=True)
class Latest:
    """Serve the `count` highest versions."""

    count: int = 1


@dataclass(frozen=True)
class All:
    """Serve every version."""


@dataclass(frozen=True)
class Specific:
    """Serve these versions, as far as they exist; each is listed once, in the order of the configuration."""

    versions: tuple[int, ...] = ()


Policy = Latest | All | Specific


@dataclass(frozen=True)
class ModelSettings:
    """One entry of a configuration; `labels` maps a label to a version."""

    name: str
    base_path: str
    platform: str = "tensorflow"
    policy: Policy = Latest()
    labels: Mapping[str, int] = field(default_factory=dict)


Models = dict[str, ModelSettings]


def single_model(name: str, base_path: str) -> ModelServerConfig:
    """The configuration that --model_name and --model_base_path stand for."""
    config = ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def read_models(config: ModelServerConfig, current: Models | None) -> Models | None:
    """The models of `config` by name, in its order; None when it says nothing at all and nothing is to be done.

    Args:
        config: the new configuration; it replaces the current one as a whole.
        current: what is served now; None until a first configuration with content was applied.

    Raises:
        ServingError: FAILED_PRECONDITION when a server with models is given something else than a list of models;
            UNIMPLEMENTED for a `custom_model_config`; INVALID_ARGUMENT for a name listed twice, a path that is neither
            absolute nor a URI, a platform that is missing, given twice, unknown or changed, or a `logging_config`.
    """
    kind = config.WhichOneof("config")
    if current is not None and kind != "model_config_list":
        raise ServingError(
            Code.FAILED_PRECONDITION,
            "Cannot transition to requested config. "
            "It is only legal to transition from one ModelConfigList to another.",
        )
    if kind is None:
        return None
    if kind == "custom_model_config":
        raise ServingError(Code.UNIMPLEMENTED, "ModelServer does not yet support custom model config.")
    entries = list(config.model_config_list.config)
    _check_names(entries)
    for entry in entries:
        _check_base_path(entry)
    models = {entry.name: _settings(entry) for entry in entries}
    for settings in models.values():
        _check_platform(settings, current or {})
    for entry in entries:
        if entry.HasField("logging_config"):
            raise invalid_argument("No request-logger-creator provided.")
    return models


def _check_names(entries: list[ModelConfig]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise invalid_argument(f"Illegal to list model {entry.name} multiple times in config list")
        seen.add(entry.name)


def _check_base_path(entry: ModelConfig) -> None:
    if not entry.base_path.startswith("/") and not _URI.match(entry.base_path):
        raise invalid_argument(
            f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path}"
        )


def _check_platform(settings: ModelSettings, current: Models) -> None:
    name, platform = settings.name, settings.platform
    before = current.get(name)
    if before is not None and before.platform != platform:
        raise invalid_argument(
            f"Illegal to change a model's platform. For model {name} platform was {before.platform} "
            f"and new platform requested is {platform}"
        )
    if platform not in PLATFORMS:
        raise invalid_argument(f"Model {name} requests unsupported platform {platform}")


def _settings(entry: ModelConfig) -> ModelSettings:
    return ModelSettings(
        name=entry.name,
        base_path=entry.base_path,
        platform=_platform(entry),
        policy=_policy(entry),
        labels=dict(entry.version_labels),
    )


def _platform(entry: ModelConfig) -> str:
    """The platform, by its name or by the older enum."""
    both_or_neither = (
        "ModelServerConfig::model_type (deprecated) {} ModelServerConfig::model_platform, model name is {}"
    )
    if entry.model_type != _MODEL_TYPE_UNSPECIFIED:
        if entry.model_platform:
            raise invalid_argument("Illegal setting both " + both_or_neither.format("and", entry.name))
        if entry.model_type != _MODEL_TYPE_TENSORFLOW:
            raise invalid_argument(f"ModelServerConfig::model_type choice {entry.model_type} not supported.")
        return "tensorflow"
    if not entry.model_platform:
        raise invalid_argument("Illegal setting neither " + both_or_neither.format("nor", entry.name))
    return entry.model_platform


def _policy(entry: ModelConfig) -> Policy:
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return All()
    if kind == "specific":
        return Specific(tuple(dict.fromkeys(policy.specific.versions)))
    return Latest(policy.latest.num_versions or 1)
