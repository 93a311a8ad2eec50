"""Which version a ModelSpec means, GetModelStatus, GetModelMetadata and HandleReloadConfigRequest, row by row.

The server starts with an empty configuration; the tests run in order, and each tells by RPC what should be served.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from tests import bad_models
from tests.e2e.clients import CALL_SECONDS, Grpc, grpc_client, predict_request, raises, set_spec
from tests.e2e.load import Load
from tests.e2e.server import Server, eventually, started

RELOAD_SECONDS = 30.0
NOT_READABLE = "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
REQUEST_COUNT = "/tensorflow/serving/request_count"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Path:
    """Base paths: `two` has versions 1, 3 (three) and 4, which does not load; `one` has version 7 only."""
    root = tmp_path_factory.mktemp("rows")
    for name, version, model in (
        ("two", 1, "half_plus_two"),
        ("two", 3, "half_plus_three"),
        ("two", 4, "unloadable"),
        ("one", 7, "half_plus_three"),
    ):
        shutil.copytree(model_path(model), root / name / str(version))
    return root


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    (folder / "empty.config").write_text("# nothing yet\n")
    flags = (
        f"--model_config_file={folder}/empty.config",
        "--allow_version_labels_for_unavailable_models",
        "--max_num_load_retries=0",
        "--num_frontends=1",
    )
    with started(folder / "server", *flags) as running:
        yield running


@pytest.fixture(scope="module")
def rpc(server: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        yield client


def model(name: str, base_path: Path, *, labels: dict[str, int] | None = None, **more: Any) -> Any:
    """A ModelConfig; of platform `tensorflow` unless `more` says otherwise."""
    platform = {} if {"model_type", "model_platform"} & more.keys() else {"model_platform": "tensorflow"}
    return model_server_config_pb2.ModelConfig(
        name=name, base_path=str(base_path), version_labels=labels, **platform, **more
    )


def reload(rpc: Grpc, *models: Any, metric_names: tuple[str, ...] = (), timeout: float = RELOAD_SECONDS) -> Any:
    """HandleReloadConfigRequest of these ModelConfigs."""
    request = model_management_pb2.ReloadConfigRequest(metric_names=metric_names)
    request.config.model_config_list.SetInParent()
    request.config.model_config_list.config.extend(models)
    return rpc.models.HandleReloadConfigRequest(request, timeout=timeout)


ALL: dict[str, Any] = {"model_version_policy": {"all": {}}}


def two(folder: Path, **labels: int) -> Any:
    """Both good versions of `two`, and labels: `` and `gone` besides those given."""
    policy = {"model_version_policy": {"specific": {"versions": [1, 3]}}}
    return model("two", folder / "two", labels={"": 1, "gone": 9, **labels}, **policy)


def serve_two(rpc: Grpc, folder: Path, **labels: int) -> None:
    """Reload `two`, and wait until both of its versions are there: a reload waits for one of each model."""
    reload(rpc, two(folder, **labels))
    eventually(lambda: rpc.status("two") == {3: ("AVAILABLE", 0), 1: ("AVAILABLE", 0)}, within=RELOAD_SECONDS)


# --- before there is anything ----------------------------------------------------------------------------------------


def test_an_empty_configuration_serves_nothing(server: Server, rpc: Grpc) -> None:
    assert "Taking no action for empty config." in server.log
    with raises("UNAVAILABLE", "Model labels does not init yet.stable"):
        rpc.predict("two", {}, label="stable")
    with raises("NOT_FOUND", "Servable not found for request: Latest(two)"):
        rpc.predict("two", {})
    with raises("NOT_FOUND", "Servable not found for request: Specific(two, 1)"):
        rpc.predict("two", {}, version=1)


def test_a_reload_returns_when_its_models_are_available(rpc: Grpc, folder: Path) -> None:
    answer = reload(rpc, two(folder, one=1), model("one", folder / "one"))
    assert answer.HasField("status")
    assert answer == model_management_pb2.ReloadConfigResponse(status={})
    assert ("AVAILABLE", 0) in rpc.status("two").values()
    assert rpc.status("one") == {7: ("AVAILABLE", 0)}
    eventually(lambda: rpc.status("two") == {3: ("AVAILABLE", 0), 1: ("AVAILABLE", 0)}, within=RELOAD_SECONDS)


# --- resolution ------------------------------------------------------------------------------------------------------

NO_NAME = ("INVALID_ARGUMENT", "ModelSpec has no name specified.")
RESOLUTION: list[tuple[str, dict[str, Any], int | tuple[str, str]]] = [
    ("two", {}, 3),
    ("two", {"version": 1}, 1),
    ("two", {"version": 3}, 3),
    ("two", {"label": "one"}, 1),
    ("two", {"label": ""}, 1),
    ("one", {}, 7),
    ("", {}, NO_NAME),
    ("", {"version": 1}, NO_NAME),
    ("", {"label": "one"}, NO_NAME),
    ("two", {"version": 0}, ("NOT_FOUND", "Servable not found for request: Specific(two, 0)")),
    ("two", {"version": 2}, ("NOT_FOUND", "Servable not found for request: Specific(two, 2)")),
    ("two", {"version": -1}, ("NOT_FOUND", "Servable not found for request: Specific(two, -1)")),
    (
        "two",
        {"version": 2**63 - 1},
        ("NOT_FOUND", "Servable not found for request: Specific(two, 9223372036854775807)"),
    ),
    ("two", {"label": "gone"}, ("NOT_FOUND", "Servable not found for request: Specific(two, 9)")),
    ("two", {"label": "nobody"}, ("INVALID_ARGUMENT", "Unrecognized servable version label: nobody")),
    ("two", {"label": "One"}, ("INVALID_ARGUMENT", "Unrecognized servable version label: One")),
    ("one", {"label": ""}, ("INVALID_ARGUMENT", "Unrecognized servable version label: ")),
    ("nobody", {"label": "one"}, ("INVALID_ARGUMENT", "Unrecognized servable version label: one")),
    ("nobody", {}, ("NOT_FOUND", "Servable not found for request: Latest(nobody)")),
    ("nobody", {"version": 1}, ("NOT_FOUND", "Servable not found for request: Specific(nobody, 1)")),
    ("Two", {}, ("NOT_FOUND", "Servable not found for request: Latest(Two)")),
    (" two", {}, ("NOT_FOUND", "Servable not found for request: Latest( two)")),
]


@pytest.mark.parametrize(("name", "spec", "outcome"), RESOLUTION)
def test_resolution(rpc: Grpc, name: str, spec: dict[str, Any], outcome: int | tuple[str, str]) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: rpc.predict(name, {"x": 2.0}, **spec),
        lambda: rpc.metadata(name, "signature_def", **spec),
    ]
    if isinstance(outcome, int):
        answer, metadata = (call() for call in calls)
        expected = model_pb2.ModelSpec(name=name, signature_name="serving_default")
        expected.version.value = outcome
        assert answer.model_spec == expected
        assert answer.outputs["y"].float_val == [3.0 if outcome == 1 else 4.0]
        expected.signature_name = ""
        assert metadata.model_spec == expected
        return
    for call in calls:
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert (error.value.code().name, error.value.details()) == outcome


def test_a_request_without_a_model_spec(rpc: Grpc) -> None:
    request = predict_request("", {"x": 2.0})
    request.ClearField("model_spec")
    for call in (
        lambda: rpc.prediction.Predict(request, timeout=CALL_SECONDS),
        lambda: rpc.prediction.GetModelMetadata(
            get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["?"]), timeout=CALL_SECONDS
        ),
        lambda: rpc.models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(), timeout=CALL_SECONDS),
    ):
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert (error.value.code().name, error.value.details()) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_the_answer_echoes_the_spec(rpc: Grpc) -> None:
    for name in ("", "serving_default"):
        spec = rpc.predict("two", {"x": 2.0}, signature=name, label="one").model_spec
        assert (spec.name, spec.signature_name, spec.WhichOneof("version_choice")) == (
            "two",
            "serving_default",
            "version",
        )
    answer = rpc.predict("two", {"inputs": 2.0}, signature="regress_x2_to_y3", version=1)
    assert (answer.model_spec.signature_name, answer.model_spec.version.value) == ("regress_x2_to_y3", 1)


# --- status ----------------------------------------------------------------------------------------------------------


def status(rpc: Grpc, name: str, **spec: Any) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest()
    set_spec(request.model_spec, name, **spec)
    return rpc.models.GetModelStatus(request, timeout=CALL_SECONDS)


def test_status_rows(rpc: Grpc) -> None:
    entries = status(rpc, "two").model_version_status
    assert [entry.version for entry in entries] == [3, 1]
    for entry in entries:
        assert (entry.state, entry.HasField("status")) == (30, True)
        assert (entry.status.error_code, entry.status.error_message) == (0, "")
    assert list(status(rpc, "two", version=1).model_version_status) == [entries[1]]
    # A label is ignored, even one that does not exist.
    assert list(status(rpc, "two", label="nobody").model_version_status) == list(entries)
    for name, spec, text in (
        ("two", {"version": 125}, "Could not find version 125 of model two"),
        ("two", {"version": 0}, "Could not find version 0 of model two"),
        ("nobody", {"version": -5}, "Could not find version -5 of model nobody"),
        ("nobody", {}, "Could not find any versions of model nobody"),
        ("nobody", {"label": "one"}, "Could not find any versions of model nobody"),
        ("", {}, "Could not find any versions of model "),
    ):
        with pytest.raises(grpc.RpcError) as error:
            status(rpc, name, **spec)
        assert (error.value.code().name, error.value.details()) == ("NOT_FOUND", text)


# --- metadata --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["signatures", "tf2"])
def test_metadata_has_all_signatures_of_the_file(rpc: Grpc, model_path: Callable[[str], Path], name: str) -> None:
    reload(rpc, model(name, model_path(name).parent))
    answer = rpc.metadata(name, "signature_def")
    assert list(answer.metadata) == ["signature_def"]
    assert answer.metadata["signature_def"].type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    saved = SavedModel.FromString((model_path(name) / "saved_model.pb").read_bytes()).meta_graphs[0].signature_def
    assert dict(signatures.signature_def) == dict(saved)
    if name == "tf2":
        assert "__saved_model_init_op" in saved
    else:
        assert saved["some_defaults"].defaults["b"].float_val == [10.0]
    # The same field twice is the same answer.
    assert rpc.metadata(name, "signature_def", "signature_def").metadata.keys() == {"signature_def"}


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("nobody", [], "GetModelMetadataRequest must specify at least one metadata_field"),
        ("nobody", ["some_stuff"], "Metadata field some_stuff is not supported"),
        ("nobody", ["signature_def", "some_stuff"], "Metadata field some_stuff is not supported"),
        ("nobody", [""], "Metadata field  is not supported"),
        ("", ["signature_def"], "ModelSpec has no name specified."),
    ],
)
def test_metadata_fields_come_before_the_model(rpc: Grpc, name: str, fields: list[str], text: str) -> None:
    with pytest.raises(grpc.RpcError) as error:
        rpc.metadata(name, *fields)
    assert (error.value.code().name, error.value.details()) == ("INVALID_ARGUMENT", text)


# --- reload ----------------------------------------------------------------------------------------------------------


def y(rpc: Grpc, name: str, **spec: Any) -> float:
    value: float = rpc.predict(name, {"x": 2.0}, **spec).outputs["y"].float_val[0]
    return value


def test_models_end_and_come_back(rpc: Grpc, folder: Path) -> None:
    serve_two(rpc, folder)
    assert y(rpc, "two") == 4.0
    reload(rpc)
    ended = {3: ("END", 0), 1: ("END", 0)}
    eventually(lambda: rpc.status("two") == ended, within=RELOAD_SECONDS)
    assert rpc.status("signatures") == {1: ("END", 0)}
    with raises("NOT_FOUND", "Servable not found for request: Latest(two)"):
        y(rpc, "two")
    with raises("INVALID_ARGUMENT", "Unrecognized servable version label: "):
        y(rpc, "two", label="")
    reload(rpc, two(folder))
    assert ("AVAILABLE", 0) in rpc.status("two").values()


def test_a_base_path_that_changes(rpc: Grpc, folder: Path) -> None:
    for base, version in (("one", 7), ("two", 3), ("one", 7)):
        reload(rpc, model("moving", folder / base, model_version_policy={"specific": {"versions": [3, 7]}}))
        eventually(
            lambda version=version: rpc.predict("moving", {"x": 2.0}).model_spec.version.value == version,
            within=RELOAD_SECONDS,
        )


def test_what_does_not_load_is_an_error_and_stays_in_the_status(rpc: Grpc, folder: Path) -> None:
    only_broken = {"model_version_policy": {"specific": {"versions": [4]}}}
    text = "1 model(s) did not become available: {{{name: broken version: 4} due to error: DATA_LOSS: "
    with raises("UNKNOWN", text):
        reload(rpc, two(folder), model("broken", folder / "two", **only_broken))
    (entry,) = status(rpc, "broken").model_version_status
    assert (entry.version, entry.state, entry.status.error_code) == (4, 50, 15)
    assert entry.status.error_message
    with raises("NOT_FOUND", "Servable not found for request: Latest(broken)"):
        y(rpc, "broken")
    # Of several versions one is enough.
    reload(rpc, model("mixed", folder / "two", **ALL))
    mixed = {4: ("END", 15), 3: ("AVAILABLE", 0), 1: ("AVAILABLE", 0)}
    eventually(lambda: rpc.status("mixed") == mixed, within=RELOAD_SECONDS)


def test_a_model_without_versions_is_an_error_and_served_once_it_is_there(
    rpc: Grpc, folder: Path, model_path: Callable[[str], Path]
) -> None:
    many = [model(f"{'m' * 60}-{i}", folder / "nowhere" / str(i)) for i in range(20)]
    with pytest.raises(grpc.RpcError) as error:
        reload(rpc, *many)
    assert error.value.code() is grpc.StatusCode.UNKNOWN
    details = error.value.details()
    assert details.startswith("20 model(s) did not become available: {{{name: mmm")
    assert details.endswith("...TRUNCATED")
    assert len(details) == 1024 + len("...TRUNCATED")


def test_labels_move_with_reloads(rpc: Grpc, folder: Path) -> None:
    serve_two(rpc, folder)
    reload(rpc, two(folder, a=1, b=3))
    assert (y(rpc, "two", label="a"), y(rpc, "two", label="b"), y(rpc, "two")) == (3.0, 4.0, 4.0)
    reload(rpc, two(folder, a=3, b=1, new=50))
    assert (y(rpc, "two", label="a"), y(rpc, "two", label="b")) == (4.0, 3.0)
    with raises("NOT_FOUND", "Specific(two, 50)"):
        y(rpc, "two", label="new")
    with raises("FAILED_PRECONDITION", "version 50 of model two, which is not currently available for inference"):
        reload(rpc, two(folder, a=50))
    assert y(rpc, "two", label="a") == 4.0


Config = model_server_config_pb2.ModelServerConfig


@pytest.mark.parametrize(
    ("models", "code", "text"),
    [
        ([{"name": "a", "base_path": "here", "model_platform": "tensorflow"}], "INVALID_ARGUMENT", "base_path()=here"),
        (
            [
                {"name": "a", "base_path": "/tmp/a", "model_platform": "tensorflow"},
                {"name": "b", "base_path": "here", "model_platform": "tensorflow"},
            ],
            "INVALID_ARGUMENT",
            "base_path()=here",
        ),
        (
            [{"name": "a", "base_path": "/a", "model_platform": "tensorflow"}] * 2,
            "INVALID_ARGUMENT",
            "Illegal to list model a multiple times in config list",
        ),
        (
            [{"name": "a", "base_path": "/a", "model_platform": "tensorflow", "model_type": 1}],
            "INVALID_ARGUMENT",
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform",
        ),
        ([{"name": "a", "base_path": "/a"}], "INVALID_ARGUMENT", "Illegal setting neither"),
        ([{"name": "a", "base_path": "/a", "model_platform": "what"}], "INVALID_ARGUMENT", "unsupported platform what"),
        (
            [{"name": "two", "base_path": "/a", "model_platform": "what"}],
            "INVALID_ARGUMENT",
            "Illegal to change a model's platform. For model two platform was tensorflow",
        ),
    ],
)
def test_configurations_that_are_refused(rpc: Grpc, models: list[dict[str, Any]], code: str, text: str) -> None:
    with raises(code, text):
        reload(rpc, *(model_server_config_pb2.ModelConfig(**one) for one in models))
    assert y(rpc, "two", label="a") == 4.0


def test_configurations_of_another_kind(rpc: Grpc) -> None:
    custom = Config()
    custom.custom_model_config.type_url = "type.googleapis.com/google.protobuf.Empty"
    for config in (None, Config(), custom):
        with pytest.raises(grpc.RpcError) as error:
            rpc.models.HandleReloadConfigRequest(
                model_management_pb2.ReloadConfigRequest(config=config), timeout=CALL_SECONDS
            )
        assert (error.value.code().name, error.value.details()) == ("INVALID_ARGUMENT", NOT_READABLE + "supported")
    assert y(rpc, "two", label="a") == 4.0


def test_the_deprecated_type_is_the_platform(rpc: Grpc, folder: Path) -> None:
    reload(rpc, model("old", folder / "one", model_type=model_server_config_pb2.TENSORFLOW))
    assert y(rpc, "old") == 4.0


def test_a_reload_tells_by_how_much_metrics_rise(rpc: Grpc, folder: Path) -> None:
    histogram = "/tensorflow/serving/request_latency"
    names = (REQUEST_COUNT, "/nowhere", REQUEST_COUNT, histogram, "")
    answer = reload(rpc, model("old", folder / "one"), metric_names=names)
    assert {metric.name: metric.int64_value_increase for metric in answer.metric} == dict.fromkeys(names, 0)
    assert len(answer.metric) == 4
    assert all(metric.WhichOneof("value_increase") for metric in answer.metric)

    def refused() -> None:
        with raises("INVALID_ARGUMENT", "ModelSpec has no name specified."):
            rpc.predict("", {})

    # Of several values the first counts, in the order of their labels: this is that of model "".
    with Load(refused) as load:
        answer = reload(rpc, model("old", folder / "one"), model("measured", folder / "one"), metric_names=names)
    risen = {metric.name: metric.int64_value_increase for metric in answer.metric}
    assert risen.keys() == set(names)
    assert 0 < risen.pop(REQUEST_COUNT) <= len(load.answers)
    assert set(risen.values()) == {0}
    # With an error there is no answer to tell it in.
    with raises("UNKNOWN", "{name: nowhere}"):
        reload(rpc, model("old", folder / "one"), model("nowhere", folder / "nowhere"), metric_names=names)


def test_a_reload_goes_on_after_its_client_has_gone(rpc: Grpc, folder: Path) -> None:
    with raises("DEADLINE_EXCEEDED"):
        reload(rpc, model("late", folder / "one"), timeout=0.002)
    eventually(lambda: y(rpc, "late") == 4.0, within=RELOAD_SECONDS)


def test_a_status_is_answered_while_a_reload_waits(rpc: Grpc, folder: Path) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.extend([model("late", folder / "one"), model("new", folder / "two")])
    call = rpc.models.HandleReloadConfigRequest.future(request, timeout=RELOAD_SECONDS)
    assert rpc.status("late") == {7: ("AVAILABLE", 0)}
    with raises("UNKNOWN", "{name: new version: 4}"):
        call.result()


def test_a_model_without_a_name_cannot_be_asked(rpc: Grpc, folder: Path) -> None:
    reload(rpc, model("", folder / "one"))
    assert rpc.status("") == {7: ("AVAILABLE", 0)}
    with raises("INVALID_ARGUMENT", "ModelSpec has no name specified."):
        rpc.predict("", {"x": 2.0})


def test_a_reload_that_waits_holds_up_no_other(rpc: Grpc, folder: Path) -> None:
    bad_models.hangs_loading(folder / "hanging" / "1")
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.append(model("hanging", folder / "hanging"))
    call = rpc.models.HandleReloadConfigRequest.future(request, timeout=RELOAD_SECONDS)
    eventually(lambda: rpc.status("hanging") == {1: ("LOADING", 0)}, within=RELOAD_SECONDS)
    reload(rpc, model("one", folder / "one"))
    assert y(rpc, "one") == 4.0
    with raises("UNKNOWN", "{{{name: hanging} due to error: CANCELLED: a later reload removed the model}, }"):
        call.result()
