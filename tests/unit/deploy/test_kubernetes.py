"""The manifests: they parse, refer to each other, and start the server with flags that it knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from control.flags import docker_arguments, parse
from control.model_config import read_models
from control.options import unavailable_flags_given
from frontend.rest.urls import Kind, route
from protos.public import ModelServerConfig, MonitoringConfig
from protos.text import read_text_file
from tests import dockerfile
from tests.dockerfile import REPOSITORY

ROOT = REPOSITORY / "deploy" / "kubernetes"
FOLDERS = sorted(path.parent.name for path in ROOT.glob("*/kustomization.yaml"))
# Of a worker or front end that does not stop in time, before it is killed.
STOP_SLACK_SECONDS = 2


def documents(folder: str = "base") -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text())
    texts = [(ROOT / folder / name).read_text() for name in kustomization["resources"]]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents() if document["kind"] == kind]
    return found


def pod() -> dict[str, Any]:
    return of_kind("Deployment")["spec"]["template"]["spec"]


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return only


def test_every_manifest_is_listed():
    listed = yaml.safe_load((ROOT / "base" / "kustomization.yaml").read_text())["resources"]
    assert {*listed, "kustomization.yaml"} == {path.name for path in (ROOT / "base").iterdir()}
    assert len({(one["kind"], one["metadata"]["name"]) for one in documents()}) == len(documents())


def test_flags_are_known_and_available():
    args = container()["args"]
    options = parse(docker_arguments(dockerfile.load().env(), args), {})
    assert options.strict_flags
    assert not options.unknown_arguments
    assert not unavailable_flags_given(options)
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"grpc": options.port, "rest": options.rest_api_port}


def test_the_config_file_is_mounted_and_valid(tmp_path: Path):
    config_map = of_kind("ConfigMap")
    (volume,) = [one["name"] for one in pod()["volumes"] if "configMap" in one]
    assert {"name": volume, "configMap": {"name": config_map["metadata"]["name"]}} in pod()["volumes"]
    (mount,) = [one for one in container()["volumeMounts"] if one["name"] == volume]
    path = parse(docker_arguments({}, container()["args"]), {}).model_config_file
    assert path.startswith(mount["mountPath"] + "/")
    file = tmp_path / "models.config"
    file.write_text(config_map["data"][path.removeprefix(mount["mountPath"] + "/")])
    config = read_text_file(str(file), ModelServerConfig)
    read_models(config, None)
    models = [one["mountPath"] for one in container()["volumeMounts"] if one["name"] == "models"]
    assert [entry.base_path.startswith(models[0] + "/") for entry in config.model_config_list.config] == [True]


def test_annotations_say_where_metrics_are(tmp_path: Path):
    annotations = of_kind("Deployment")["spec"]["template"]["metadata"]["annotations"]
    options = parse(docker_arguments({}, container()["args"]), {})
    file = tmp_path / "monitoring.config"
    file.write_text(of_kind("ConfigMap")["data"][Path(options.monitoring_config_file).name])
    assert Path(options.monitoring_config_file).parent == Path(options.model_config_file).parent
    config = read_text_file(str(file), MonitoringConfig).prometheus_config
    assert config.enable
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(options.rest_api_port),
        "prometheus.io/path": config.path,
    }


def test_the_pod_may_take_as_long_as_a_drain_does():
    drain = parse(docker_arguments({}, container()["args"]), {}).drain_seconds
    before = float(container()["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod()["terminationGracePeriodSeconds"] > before + 2 * (drain + STOP_SLACK_SECONDS)


@pytest.mark.parametrize(
    ("probe", "kind"), [("startupProbe", Kind.LIVE), ("readinessProbe", Kind.READY), ("livenessProbe", Kind.LIVE)]
)
def test_probes_ask_for_resources_that_there_are(probe: str, kind: Kind):
    asked = container()[probe]["httpGet"]
    assert asked["port"] == "rest" and asked["port"] in {port["name"] for port in container()["ports"]}
    assert route("GET", asked["path"]).kind is kind


def test_selectors_meet_the_pods():
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert of_kind("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    services = [one["spec"] for one in documents() if one["kind"] == "Service"]
    targets = {port["targetPort"] for one in services for port in one["ports"]}
    assert targets == {port["name"] for port in container()["ports"]}
    assert all(one["selector"].items() <= labels for one in services)


def test_the_autoscaler_owns_the_number_of_pods():
    scaler, deployment = of_kind("HorizontalPodAutoscaler")["spec"], of_kind("Deployment")
    target = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert scaler["scaleTargetRef"] == target
    assert "replicas" not in deployment["spec"]
    # A share of CPU means nothing without a request.
    assert container()["resources"]["requests"]["cpu"]
    assert scaler["minReplicas"] > of_kind("PodDisruptionBudget")["spec"]["maxUnavailable"]


def test_runs_as_the_user_of_the_image():
    (user,) = dockerfile.load().last("USER")
    context = pod()["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    mounts = {mount["mountPath"] for mount in container()["volumeMounts"]}
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True and "/tmp" in mounts


def test_thread_counts_are_those_of_the_limit():
    options = parse(docker_arguments({}, container()["args"]), {})
    cpus = int(container()["resources"]["limits"]["cpu"])
    assert (options.tensorflow_intra_op_parallelism, options.tensorflow_inter_op_parallelism) == (cpus, cpus)
    assert 1 <= options.num_frontends <= cpus


@pytest.mark.parametrize("folder", FOLDERS)
def test_images_exist(folder: str):
    kustomization = yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text())
    tags = {entry["newTag"] for entry in kustomization.get("images", [])} or {"cpu"}
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    assert tags <= set(re.findall(r"image: tensormux:(\w+)", compose))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_renders(folder: str):
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / folder)], capture_output=True, text=True, timeout=60, check=True
    )
    rendered = list(yaml.safe_load_all(done.stdout))
    assert len(rendered) == len(documents())
    (deployment,) = [one for one in rendered if one["kind"] == "Deployment"]
    limits = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) == (folder == "gpu")
