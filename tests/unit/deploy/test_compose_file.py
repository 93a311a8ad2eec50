"""docker-compose.yml: profiles, pinning, security; tests/e2e/test_compose.py runs it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from control.flags import docker_arguments, parse
from control.options import unavailable_flags_given
from control.startup import prepare
from frontend.rest.urls import Kind, route
from tests.compose import interpolate, load, seconds
from tests.dockerfile import REPOSITORY

PROFILES = ("cpu", "gpu")


def workers(profile: str) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in load({}, profile=profile).items() if one["command"][-1] == "workers"}


def test_plain_up_is_the_cpu_profile():
    lines = (REPOSITORY / ".env").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["COMPOSE_PROFILES=cpu"]


@pytest.mark.parametrize("profile", PROFILES)
def test_one_service_for_each_role(profile: str):
    services = load({}, profile=profile)
    assert {"control", "frontend"} < services.keys()
    assert "worker-cpu" in services if profile == "cpu" else {"worker-gpu0", "worker-gpu1"} < services.keys()
    assert services["frontend"]["ports"] == ["8500:8500", "8501:8501"]
    assert [name for name, one in services.items() if "ports" in one] == ["frontend"]


def test_the_cpu_profile_asks_for_no_gpu():
    for name, service in load({}, profile="cpu").items():
        assert "deploy" not in service, name
        assert service["image"] == "tensormux:cpu", name
    assert [one["environment"]["CUDA_VISIBLE_DEVICES"] for one in workers("cpu").values()] == ["-1"]


def test_each_gpu_has_one_worker():
    found = workers("gpu")
    pins = [one["environment"]["CUDA_VISIBLE_DEVICES"] for one in found.values()]
    assert sorted(pins) == [str(index) for index in range(len(found))]
    for one in found.values():
        assert one["build"]["args"] == {"gpu": "1"}
        (device,) = one["deploy"]["resources"]["reservations"]["devices"]
        # With some of the GPUs only, numbers would begin at 0 in each container.
        assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


@pytest.mark.parametrize("profile", PROFILES)
def test_workers_find_control_and_are_found(profile: str):
    services = load({}, profile=profile)
    (endpoint,) = [a for a in services["control"]["command"] if a.startswith("--control_endpoint=")]
    port = endpoint.rpartition(":")[2]
    for name, one in {**workers(profile), "frontend": services["frontend"]}.items():
        assert one["environment"]["TENSORMUX_CONTROL"] == f"tcp://control:{port}"
        assert one["environment"]["TENSORMUX_NAME"] == name
    for name, one in workers(profile).items():
        bound = one["environment"]["TENSORMUX_BIND"].rpartition(":")[2]
        assert one["environment"]["TENSORMUX_ADVERTISE"] == f"tcp://{name}:{bound}"
        # The front end stops before its workers, and all of them before control.
        assert name in services["frontend"]["depends_on"]
        assert "control" in one["depends_on"]


@pytest.mark.parametrize("profile", PROFILES)
def test_keys_come_from_the_environment_or_the_volume(profile: str):
    services = load({"TENSORMUX_CURVE_PUBLIC_KEY": "p", "TENSORMUX_CURVE_SECRET_KEY": "s"}, profile=profile)
    for name, one in services.items():
        if one["restart"] == "unless-stopped":
            env = one["environment"]
            assert (env["TENSORMUX_CURVE_PUBLIC_KEY"], env["TENSORMUX_CURVE_SECRET_KEY"]) == ("p", "s"), name
            assert env["TENSORMUX_CURVE_KEY_FILE"] == services["keys"]["command"][-1]
            assert "keys:/keys:ro" in one["volumes"]
            assert one["depends_on"]["keys"] == {"condition": "service_completed_successfully"}
    assert "keys:/keys" in services["keys"]["volumes"]


def test_control_gets_flags_that_it_knows_and_no_role_besides_its_own():
    service = load({}, profile="cpu")["control"]
    options = parse([*docker_arguments(service["environment"], service["command"]), "--strict_flags"], {})
    assert not unavailable_flags_given(options)
    plan = prepare(options, {})
    assert (plan.devices, plan.num_frontends) == ((), 0)
    assert options.model_base_path == "/models/half_plus_two"


def test_the_front_end_is_healthy_when_it_can_serve():
    service = load({}, profile="cpu")["frontend"]
    check = service["healthcheck"]["test"][-1]
    (path,) = re.findall(r"'(/[^']*)'", check)
    assert route("GET", path).kind is Kind.READY
    (port,) = re.findall(r"'127\.0\.0\.1', (\d+)", check)
    assert f"{port}:{port}" in service["ports"]


@pytest.mark.parametrize("profile", PROFILES)
def test_containers_have_time_to_drain_and_few_rights(profile: str):
    drain = parse(["--model_base_path=/m"], {}).drain_seconds
    for name, one in load({}, profile=profile).items():
        assert one["cap_drop"] == ["ALL"] and one["init"] is True, name
        if one["restart"] != "no":
            assert seconds(one["stop_grace_period"]) > drain + 2, name
            assert "healthcheck" in one, name


def test_own_models_are_read_only_and_the_sample_goes_elsewhere():
    services = load({"TENSORMUX_MODELS": "/srv/models", "MODEL_NAME": "mine"}, profile="cpu")
    assert services["control"]["environment"]["MODEL_NAME"] == "mine"
    for name in ("control", "worker-cpu"):
        assert "/srv/models:/models:ro" in services[name]["volumes"]
    assert services["sample-model"]["volumes"] == ["models:/models"]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A:-x}${B:-x}${C:-x}", "1xx"),
        ("${A-x}${B-x}${C-x}", "1x"),
        ("$A ${A} $$A ${C}", "1 1 $A "),
        ("${A:?why}", "1"),
        ("${C:-}", ""),
    ],
)
def test_interpolation(text: str, result: str):
    assert interpolate(text, {"A": "1", "B": ""}) == result


def test_a_missing_variable_is_an_error():
    with pytest.raises(AssertionError, match="B: why"):
        interpolate("${B:?why}", {"B": ""})
