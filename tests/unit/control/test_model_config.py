from collections.abc import Callable

import pytest

from control.model_config import All, Latest, Models, ModelSettings, Policy, Specific, read_models, single_model
from protos.errors import Code, ServingError
from protos.public import ModelConfig, ModelServerConfig


def config(*entries: ModelConfig) -> ModelServerConfig:
    server = ModelServerConfig()
    server.model_config_list.SetInParent()
    server.model_config_list.config.extend(entries)
    return server


def entry(name: str = "m", base_path: str = "/models/m", *, platform: str = "tensorflow", kind: int = 0) -> ModelConfig:
    model = ModelConfig(name=name, base_path=base_path, model_platform=platform)
    model.model_type = kind
    return model


def custom() -> ModelServerConfig:
    server = ModelServerConfig()
    server.custom_model_config.SetInParent()
    return server


CURRENT: Models = {"m": ModelSettings("m", "/models/m")}


def test_single_model() -> None:
    assert read_models(single_model("half", "/models/half"), None) == {"half": ModelSettings("half", "/models/half")}


def test_models_keep_their_order_and_replace_the_current_ones() -> None:
    models = read_models(config(entry("b"), entry("a", "gs://bucket/a")), CURRENT)
    assert models is not None
    assert list(models) == ["b", "a"]
    assert models["a"].base_path == "gs://bucket/a"


def test_an_unset_config_says_nothing_and_an_empty_list_says_no_models() -> None:
    assert read_models(ModelServerConfig(), None) is None
    assert read_models(config(), None) == {}
    assert read_models(config(), CURRENT) == {}
    assert read_models(config(entry()), {}) == {"m": ModelSettings("m", "/models/m")}


def test_labels() -> None:
    model = entry()
    model.version_labels["stable"] = 42
    model.version_labels["canary"] = 43
    models = read_models(config(model), None)
    assert models is not None
    assert models["m"].labels == {"stable": 42, "canary": 43}


def unset(model: ModelConfig) -> None:
    pass


def latest(count: int) -> Callable[[ModelConfig], None]:
    def apply(model: ModelConfig) -> None:
        model.model_version_policy.latest.SetInParent()
        model.model_version_policy.latest.num_versions = count

    return apply


def every(model: ModelConfig) -> None:
    model.model_version_policy.all.SetInParent()


def specific(*versions: int) -> Callable[[ModelConfig], None]:
    def apply(model: ModelConfig) -> None:
        model.model_version_policy.specific.SetInParent()
        model.model_version_policy.specific.versions.extend(versions)

    return apply


@pytest.mark.parametrize(
    ("apply", "policy"),
    [
        (unset, Latest(1)),
        (latest(0), Latest(1)),
        (latest(3), Latest(3)),
        (every, All()),
        (specific(), Specific()),
        (specific(5, 3, 5), Specific((5, 3))),
    ],
)
def test_version_policy(apply: Callable[[ModelConfig], None], policy: Policy) -> None:
    model = entry()
    apply(model)
    models = read_models(config(model), None)
    assert models is not None
    assert models["m"].policy == policy


def test_the_older_enum_names_the_platform_too() -> None:
    models = read_models(config(entry(platform="", kind=1)), CURRENT)
    assert models is not None
    assert models["m"].platform == "tensorflow"


@pytest.mark.parametrize("name", ["", " ", "a/b:c", "ä\n"])
def test_a_name_may_be_anything(name: str) -> None:
    assert read_models(config(entry(name)), None) == {name: ModelSettings(name, "/models/m")}


def test_two_models_may_share_a_base_path() -> None:
    models = read_models(config(entry("a", "/models/m"), entry("b", "/models/m")), None)
    assert models is not None
    assert {settings.base_path for settings in models.values()} == {"/models/m"}


@pytest.mark.parametrize("path", ["/", "/models/m", "gs://bucket/m", "s3://b", "file:///models/m"])
def test_base_path_that_is_accepted(path: str) -> None:
    assert read_models(config(entry(base_path=path)), None) == {"m": ModelSettings("m", path)}


CANNOT_TRANSITION = (
    "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another."
)
NOT_ABSOLUTE = "Expected model m to have an absolute path or URI; got base_path()="


@pytest.mark.parametrize(
    ("server", "current", "code", "message"),
    [
        (custom(), None, Code.UNIMPLEMENTED, "ModelServer does not yet support custom model config."),
        (custom(), CURRENT, Code.FAILED_PRECONDITION, CANNOT_TRANSITION),
        (ModelServerConfig(), CURRENT, Code.FAILED_PRECONDITION, CANNOT_TRANSITION),
        (
            config(entry(), entry("n"), entry(base_path="/other")),
            None,
            Code.INVALID_ARGUMENT,
            "Illegal to list model m multiple times in config list",
        ),
        (config(entry(base_path="models/m")), None, Code.INVALID_ARGUMENT, NOT_ABSOLUTE + "models/m"),
        (config(entry("n"), entry(base_path="")), None, Code.INVALID_ARGUMENT, NOT_ABSOLUTE),
        (config(entry(base_path="1s://m")), None, Code.INVALID_ARGUMENT, NOT_ABSOLUTE + "1s://m"),
        (
            config(entry(kind=1)),
            None,
            Code.INVALID_ARGUMENT,
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
            "model name is m",
        ),
        (
            config(entry(platform="")),
            None,
            Code.INVALID_ARGUMENT,
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            "model name is m",
        ),
        (
            config(entry(platform="", kind=2)),
            None,
            Code.INVALID_ARGUMENT,
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (
            config(entry("n", platform="other")),
            CURRENT,
            Code.INVALID_ARGUMENT,
            "Model n requests unsupported platform other",
        ),
        (
            config(entry(platform="other")),
            CURRENT,
            Code.INVALID_ARGUMENT,
            "Illegal to change a model's platform. "
            "For model m platform was tensorflow and new platform requested is other",
        ),
    ],
)
def test_config_that_is_refused(server: ModelServerConfig, current: Models | None, code: Code, message: str) -> None:
    with pytest.raises(ServingError) as refused:
        read_models(server, current)
    assert (refused.value.code, refused.value.message) == (code, message)


def test_request_logging_is_refused() -> None:
    model = entry()
    model.logging_config.sampling_config.sampling_rate = 0.5
    with pytest.raises(ServingError, match="^INVALID_ARGUMENT: No request-logger-creator provided.$"):
        read_models(config(model), None)
