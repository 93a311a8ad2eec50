"""The model configuration changes while the server runs: by RPC, by polling its file, and on SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tensorflow_serving.apis import model_management_pb2

from tests.e2e.clients import CALL_SECONDS, Grpc, grpc_client, predict_request, raises
from tests.e2e.server import Server, entry, eventually, started, write_config

RELOAD_SECONDS = 30.0
# Of a request that is under way while its model is removed.
BUSY_SECONDS = 1.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reload")


@pytest.fixture(scope="module")
def reloading(folder: Path, model_path: Callable[[str], Path]) -> Iterator[Server]:
    config = write_config(folder / "models.config", entry("two", model_path("half_plus_two").parent))
    flags = (f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=0", "--max_num_load_retries=0")
    with started(folder / "server", *flags) as server:
        yield server


@pytest.fixture
def client(reloading: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{reloading.grpc_port}") as rpc:
        yield rpc


def reload(client: Grpc, models: dict[str, Path], **labels: int) -> None:
    """HandleReloadConfigRequest of models by name with their base paths; `labels` go to all of them."""
    request = model_management_pb2.ReloadConfigRequest()
    for name, base_path in models.items():
        config = request.config.model_config_list.config.add(
            name=name, base_path=str(base_path), model_platform="tensorflow"
        )
        config.version_labels.update(labels)
    answer = client.models.HandleReloadConfigRequest(request, timeout=RELOAD_SECONDS)
    assert (answer.status.error_code, answer.status.error_message) == (0, "")


def y(client: Grpc, model: str, **spec: object) -> list[float]:
    return client.arrays(model, {"x": [2.0]}, **spec)["y"].tolist()


def test_models_are_added_and_removed_by_rpc(client: Grpc, model_path: Callable[[str], Path]) -> None:
    two, three = model_path("half_plus_two").parent, model_path("half_plus_three").parent
    reload(client, {"two": two, "three": three})
    assert (y(client, "two"), y(client, "three")) == ([3.0], [4.0])
    reload(client, {"three": three})
    eventually(lambda: client.status("two") == {1: ("END", 0)}, within=RELOAD_SECONDS)
    with raises("NOT_FOUND", "Servable not found for request: Latest(two)"):
        y(client, "two")
    reload(client, {"two": two})
    assert y(client, "two") == [3.0]


def test_labels_are_set_moved_and_removed_by_rpc(client: Grpc, model_path: Callable[[str], Path]) -> None:
    models = {"two": model_path("half_plus_two").parent}
    reload(client, models)
    reload(client, models, stable=1, canary=1)
    assert y(client, "two", label="stable") == y(client, "two", label="canary") == [3.0]
    reload(client, models, canary=1)
    with raises("INVALID_ARGUMENT", "Unrecognized servable version label: stable"):
        y(client, "two", label="stable")
    with raises("FAILED_PRECONDITION", "version 5 of model two, which is not currently available for inference"):
        reload(client, models, canary=5)
    assert y(client, "two", label="canary") == [3.0]


def test_what_a_reload_refuses_changes_nothing(client: Grpc, model_path: Callable[[str], Path]) -> None:
    models = {"two": model_path("half_plus_two").parent}
    reload(client, models)
    with raises("INVALID_ARGUMENT", "Expected model other to have an absolute path or URI; got base_path()=here"):
        reload(client, {"other": Path("here")})
    request = model_management_pb2.ReloadConfigRequest()
    for _ in range(2):
        request.config.model_config_list.config.add(name="two", base_path="/x", model_platform="tensorflow")
    with raises("INVALID_ARGUMENT", "Illegal to list model two multiple times in config list"):
        client.models.HandleReloadConfigRequest(request, timeout=RELOAD_SECONDS)
    assert y(client, "two") == [3.0]


def test_a_model_that_does_not_load_fails_its_reload_but_no_other_model(
    client: Grpc, model_path: Callable[[str], Path]
) -> None:
    two, broken = model_path("half_plus_two").parent, model_path("unloadable").parent
    reload(client, {"two": two})
    with raises("UNKNOWN", "1 model(s) did not become available: {{{name: broken version: 1} due to error: "):
        reload(client, {"two": two, "broken": broken})
    assert y(client, "two") == [3.0]
    reload(client, {"two": two})


def test_an_empty_list_is_answered_at_once_and_everything_goes(client: Grpc, model_path: Callable[[str], Path]) -> None:
    two = model_path("half_plus_two").parent
    reload(client, {"two": two})
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    client.models.HandleReloadConfigRequest(request, timeout=RELOAD_SECONDS)
    eventually(lambda: client.status("two") == {1: ("END", 0)}, within=RELOAD_SECONDS)
    reload(client, {"two": two})
    assert y(client, "two") == [3.0]


def test_a_model_moves_to_a_folder_with_a_higher_version_and_back(
    client: Grpc, folder: Path, model_path: Callable[[str], Path]
) -> None:
    one, both = model_path("half_plus_two").parent, folder / "both"
    both.mkdir()
    (both / "1").symlink_to(model_path("half_plus_two"))
    (both / "2").symlink_to(model_path("half_plus_three"))
    for path, version in ((one, 1), (both, 2), (one, 1)):
        reload(client, {"two": path})
        eventually(
            lambda version=version: client.predict("two", {"x": [2.0]}).model_spec.version.value == version,
            within=RELOAD_SECONDS,
        )


def test_a_model_that_is_removed_while_it_works_ends_when_its_requests_have(
    client: Grpc, model_path: Callable[[str], Path]
) -> None:
    two = {"two": model_path("half_plus_two").parent}
    reload(client, two | {"slow": model_path("slow").parent})
    request = predict_request("slow", {"seconds": [BUSY_SECONDS]})
    call = client.prediction.Predict.future(request, timeout=CALL_SECONDS)
    # What comes after it on the channel finds it at work.
    assert client.arrays("two", {"x": [2.0]})["y"].tolist() == [3.0]
    reload(client, two)
    with raises("NOT_FOUND", "Servable not found for request: Latest(slow)"):
        client.predict("slow", {"seconds": [0.0]})
    assert client.status("slow") == {1: ("UNLOADING", 0)}
    assert call.result().outputs["seconds"].float_val == [BUSY_SECONDS]
    eventually(lambda: client.status("slow") == {1: ("END", 0)}, within=RELOAD_SECONDS)


def test_without_polling_only_sighup_reads_the_file_again(
    reloading: Server, folder: Path, client: Grpc, model_path: Callable[[str], Path]
) -> None:
    base = folder / "growing"
    base.mkdir()
    (base / "1").symlink_to(model_path("half_plus_two"))
    reload(client, {"growing": base})
    write_config(folder / "models.config", entry("fresh", model_path("half_plus_three").parent))
    # The server looks at the folders meanwhile, at least twice after 2 has gone, and not at the file.
    (base / "2").symlink_to(model_path("half_plus_two"))
    eventually(lambda: client.status("growing").get(2) == ("AVAILABLE", 0), within=10)
    (base / "2").unlink()
    eventually(lambda: client.status("growing")[2] == ("END", 0), within=10)
    with raises("NOT_FOUND", "Could not find any versions of model fresh"):
        client.status("fresh")
    reloading.signal(signal.SIGHUP)
    eventually(lambda: y(client, "fresh") == [4.0], within=RELOAD_SECONDS)
    eventually(lambda: client.status("growing")[1] == ("END", 0), within=RELOAD_SECONDS)
    write_config(folder / "models.config", entry("two", model_path("half_plus_two").parent))
    reloading.signal(signal.SIGHUP)
    eventually(lambda: y(client, "two") == [3.0], within=RELOAD_SECONDS)


def test_the_file_is_polled(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    config = tmp_path / "models.config"
    two, three = model_path("half_plus_two").parent, model_path("half_plus_three").parent
    write_config(config, entry("model", two))
    # New models are looked for at once, whether folders are looked at again and again or not.
    flags = (
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=0",
    )
    with (
        started(tmp_path / "server", *flags) as server,
        grpc_client(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        assert y(client, "model") == [3.0]
        write_config(config, entry("model", two), entry("another", three))
        eventually(lambda: y(client, "another") == [4.0], within=10)
        config.write_text("model_config_list { what }")
        eventually(lambda: "Error parsing text-format tensorflow.serving.ModelServerConfig" in server.log, within=10)
        assert (y(client, "model"), y(client, "another")) == ([3.0], [4.0])
        write_config(config, entry("model", Path("here")))
        refused = "PollFilesystemAndReloadConfig failed to ReloadConfig: INVALID_ARGUMENT: Expected model model to have"
        eventually(lambda: refused in server.log, within=10)
        config.unlink()
        missing = f"Failed to read ModelServerConfig file: NOT_FOUND: {config}; No such file or directory"
        eventually(lambda: missing in server.log, within=10)
        assert (y(client, "model"), y(client, "another")) == ([3.0], [4.0])
        write_config(config, entry("another", two))
        eventually(lambda: client.status("model") == {1: ("END", 0)}, within=10)
        # Another place with the same version is the same servable.
        assert y(client, "another") == [4.0]
        # What stays wrong is said once.
        assert server.log.count(refused) == server.log.count(missing) == 1
