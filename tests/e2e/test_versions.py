"""Versions come and go on disk and by policy while clients keep asking: what is asked for is always answered."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Grpc, grpc_client, rest_client
from tests.e2e.load import Load
from tests.e2e.server import Server, entry, eventually, started, write_config

POLICIES = {
    "switching": "",
    "pinned": "model_version_policy { specific { versions: 1 versions: 3 } }",
    "everything": "model_version_policy { all {} }",
}
# The file system is looked at once a second, and the models load in a tenth of one.
SWITCH_SECONDS = 2.0
# That a version is gone is believed when it was missing twice.
ROLLBACK_SECONDS = 4.0


@pytest.fixture(scope="module")
def version(model_path: Callable[[str], Path]) -> Callable[[Path, int], None]:
    """Put a version at once and whole into a model's directory: 2 adds three, the others two."""

    def put(base: Path, number: int) -> None:
        copy = base / f"copy-of-{number}"
        shutil.copytree(model_path("half_plus_three" if number == 2 else "half_plus_two"), copy)
        os.rename(copy, base / str(number))

    return put


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, version: Callable[[Path, int], None]) -> Path:
    """The base paths of POLICIES, with version 1 of `switching` and versions 1, 2 and 3 of the others."""
    root = tmp_path_factory.mktemp("versions")
    for name in POLICIES:
        (root / name).mkdir()
        for number in (1,) if name == "switching" else (1, 2, 3):
            version(root / name, number)
    return root


@pytest.fixture(scope="module")
def versions(models: Path) -> Iterator[Server]:
    config = write_config(models / "models.config", *(entry(name, models / name, POLICIES[name]) for name in POLICIES))
    with started(models / "server", f"--model_config_file={config}") as server:
        yield server


@pytest.fixture
def client(versions: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{versions.grpc_port}") as rpc:
        yield rpc


def test_a_new_version_takes_over_and_its_removal_rolls_back_without_a_failed_request(
    versions: Server, models: Path, version: Callable[[Path, int], None], client: Grpc
) -> None:
    base = models / "switching"

    def by_grpc() -> tuple[int, float]:
        answer = client.predict("switching", {"x": [2.0]})
        return answer.model_spec.version.value, answer.outputs["y"].float_val[0]

    with rest_client(versions.rest_port) as rest, rest_client(versions.rest_port) as other:
        by_rest = [lambda client=client: client.predict("switching", [2.0])[0] for client in (rest, other)]
        with Load(by_grpc, by_grpc, *by_rest) as load:
            for times in range(2):
                version(base, 2)
                eventually(lambda: by_grpc() == (2, 4.0), within=SWITCH_SECONDS)
                eventually(lambda: client.status("switching")[1] == ("END", 0), within=5)
                (base / "2").rename(base / f"removed-{times}")
                eventually(lambda: by_grpc() == (1, 3.0), within=ROLLBACK_SECONDS)
                eventually(lambda: client.status("switching")[2] == ("END", 0), within=5)
    assert load.failures == []
    assert set(load.answers) == {(1, 3.0), (2, 4.0), 3.0, 4.0}


def test_a_version_that_does_not_load_leaves_the_old_one(
    models: Path, model_path: Callable[[str], Path], client: Grpc
) -> None:
    broken = models / "switching" / "7"
    shutil.copytree(model_path("unloadable"), models / "switching" / "copy-of-7")
    os.rename(models / "switching" / "copy-of-7", broken)
    eventually(lambda: client.status("switching").get(7, ("", 0))[0] in ("LOADING", "END"), within=5)
    assert client.arrays("switching", {"x": [2.0]})["y"].tolist() == [3.0]
    assert client.status("switching", version=1) == {1: ("AVAILABLE", 0)}
    shutil.rmtree(broken)
    eventually(lambda: client.status("switching")[7][0] == "END", within=5)


def test_the_policy_specific(client: Grpc) -> None:
    assert client.status("pinned") == {3: ("AVAILABLE", 0), 1: ("AVAILABLE", 0)}
    assert client.predict("pinned", {"x": [2.0]}).model_spec.version.value == 3


def test_the_policy_all(client: Grpc) -> None:
    assert client.status("everything") == {number: ("AVAILABLE", 0) for number in (3, 2, 1)}
    answers = {number: client.arrays("everything", {"x": [2.0]}, version=number)["y"][0] for number in (1, 2, 3)}
    assert answers == {1: 3.0, 2: 4.0, 3: 3.0}
