"""What can be known of the image without building it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from control.flags import docker_arguments
from tests import dockerfile
from tests.dockerfile import REPOSITORY

IMAGE = dockerfile.load()
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
CONTEXT = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def test_ports_are_those_of_the_entry_point():
    assert IMAGE.last("EXPOSE") == ["8500 8501"]
    assert {"--port=8500", "--rest_api_port=8501"} < set(docker_arguments({}, []))


def test_entry_point_has_the_exec_form_and_exists():
    *python, module = IMAGE.entrypoint()
    assert python == ["python", "-P", "-m"]
    assert (REPOSITORY / f"{module.replace('.', '/')}.py").is_file()


def test_the_environment_is_that_of_the_entry_point_without_one():
    env = IMAGE.env()
    assert (env["MODEL_BASE_PATH"], env["MODEL_NAME"]) == ("/models", "model")
    assert docker_arguments(env, []) == docker_arguments({}, [])


def test_runs_as_a_user_who_owns_the_models():
    (user,) = IMAGE.last("USER")
    uid, gid = user.split(":")
    assert int(uid) > 0 and int(gid) > 0
    (setup,) = IMAGE.last("RUN")
    assert f"--uid {uid} --gid {gid}" in setup
    assert "install -d -o tensormux -g tensormux /models" in setup


@pytest.mark.parametrize(("gpu", "extra"), [("0", "cpu"), ("1", "gpu"), ("2", None), ("", None)])
def test_the_build_argument_chooses_an_extra(gpu: str, extra: str | None, tmp_path: Path):
    (install,) = [rest for name, rest in IMAGE.stages[0] if name == "RUN" and "case " in rest]
    choice = install.split("&& /opt/tensormux/bin/pip install")
    assert len(choice) == 2 and choice[1].strip() == '".[$extra]"'
    shell = subprocess.run(
        ["sh", "-c", f'{choice[0]} && echo "$extra"'], env={"gpu": gpu}, capture_output=True, text=True, timeout=30
    )
    assert (shell.returncode == 0, shell.stdout.strip()) == (extra is not None, extra or "")
    assert extra is None or extra in PROJECT["project"]["optional-dependencies"]


def test_everything_that_is_copied_is_in_the_context():
    copied = {
        word.rstrip("/")
        for name, rest in IMAGE.stages[0]
        if name == "COPY"
        for word in rest.split()[:-1]
        if not word.startswith("--")
    }
    assert copied == set(CONTEXT)
    packages = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages < copied
    assert {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} < copied


def test_names_of_tensorflow_servings_image_are_there():
    (setup,) = IMAGE.last("RUN")
    assert "tensorflow_model_server" in PROJECT["project"]["scripts"]
    assert re.search(r"ln -s /opt/tensormux/bin/tensorflow_model_server /usr/bin/tensorflow_model_server\b", setup)
    printf = re.search(r"printf '([^']*)' > /usr/bin/tf_serving_entrypoint\.sh", setup)
    assert printf is not None
    assert printf[1] == '#!/bin/sh\\nexec /opt/tensormux/bin/python -P -m control.docker "$@"\\n'


def test_scripts_exist():
    for target in PROJECT["project"]["scripts"].values():
        module, _, function = target.partition(":")
        found = subprocess.run(
            [sys.executable, "-c", f"from {module} import {function}"], cwd=REPOSITORY, capture_output=True, timeout=60
        )
        assert found.returncode == 0, found.stderr


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_run_lines_are_shell():
    for stage in IMAGE.stages:
        for name, rest in stage:
            if name == "RUN":
                assert subprocess.run(["sh", "-n", "-c", rest], capture_output=True, timeout=30).returncode == 0, rest
