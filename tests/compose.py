"""Runs services of docker-compose.yml as plain processes of this box, for want of a Docker engine.

Commands and environments are exactly those of the file and of the Dockerfile (ENTRYPOINT, ENV), after what the engine
would do to them: variables are interpolated, dependencies are started first. What a container has of its own is mapped,
everywhere in the same way:
- a volume becomes a directory, and the path where a container mounts it the path of that directory;
- a service's host name becomes 127.0.0.1, and its port P one free port that stands for (service, P): in `tcp://NAME:P`,
  in `tcp://0.0.0.0:P` and in the text of the health check; a flag `--...port=P` means the service that publishes P;
- `python` is the interpreter that runs the tests.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.dockerfile import REPOSITORY, Dockerfile

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<operator>:?[-?])(?P<text>[^}]*))?\}|(?P<bare>\w+))")
_UNITS = {"s": 1.0, "m": 60.0}
# Between two runs of a health check.
_INTERVAL_SECONDS = 0.2


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """Replace `$$`, `$NAME`, `${NAME}` and `${NAME:-default}`, `${NAME-default}`, `${NAME:?why}`, `${NAME?why}`."""

    def value(match: re.Match[str]) -> str:
        name = match["name"] or match["bare"]
        if name is None:
            return "$"
        operator = match["operator"] or ""
        if name in env and (env[name] or not operator.startswith(":")):
            return env[name]
        assert not operator.endswith("?"), f"{name}: {match['text']}"
        return match["text"] or ""

    return _VARIABLE.sub(value, text)


def _everywhere(node: Any, change: Callable[[str], str]) -> Any:
    if isinstance(node, dict):
        return {key: _everywhere(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [_everywhere(value, change) for value in node]
    return change(node) if isinstance(node, str) else node


def load(env: Mapping[str, str], *, profile: str) -> dict[str, dict[str, Any]]:
    """The services that `docker compose --profile PROFILE up` starts, each after those that it depends on."""
    document = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    services = _everywhere(document["services"], lambda text: interpolate(text, env))
    chosen = {name: one for name, one in services.items() if profile in one.get("profiles", [profile])}
    ordered: dict[str, dict[str, Any]] = {}

    def add(name: str, asking: tuple[str, ...]) -> None:
        assert name not in asking, f"{name} depends on itself"
        for other, how in chosen[name].get("depends_on", {}).items():
            if other not in chosen:
                assert how.get("required") is False, f"{name} depends on {other}, which profile {profile} lacks"
            elif other not in ordered:
                add(other, (*asking, name))
        ordered[name] = chosen[name]

    for name in chosen:
        if name not in ordered:
            add(name, ())
    return ordered


def seconds(text: str) -> float:
    """A duration such as `30s` or `1m`."""
    return float(text[:-1]) * _UNITS[text[-1]]


class Stack:
    """The services of one profile, as processes. Use it as a context manager: at the end, all are killed."""

    def __init__(self, root: Path, *, profile: str, image: Dockerfile, env: Mapping[str, str]) -> None:
        self.services = load(env, profile=profile)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._root = root
        self._image = image
        self._ports: dict[tuple[str, int], int] = {}
        self._published = {
            int(port.split(":")[-1]): name for name, one in self.services.items() for port in one.get("ports", ())
        }
        (root / "bin").mkdir()
        python = root / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
            process.wait(10)

    def port(self, service: str, port: int) -> int:
        """The port of this box that stands for a service's."""
        known = self._ports.get((service, port))
        if known is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                known = self._ports[service, port] = probe.getsockname()[1]
        return known

    def _mounts(self, name: str) -> Iterator[tuple[str, Path]]:
        for volume in self.services[name].get("volumes", ()):
            source, target = volume.split(":")[:2]
            folder = Path(source) if source.startswith(("/", ".")) else self._root / "volumes" / source
            folder.mkdir(parents=True, exist_ok=True)
            yield target, folder

    def _mapped(self, name: str, text: str) -> str:
        def endpoint(match: re.Match[str]) -> str:
            host, port = match[1], int(match[2])
            assert host == "0.0.0.0" or host in self.services, f"{name}: no service is called {host}"
            return f"tcp://127.0.0.1:{self.port(name if host == '0.0.0.0' else host, port)}"

        def flag(match: re.Match[str]) -> str:
            return f"{match[1]}={self.port(self._published[int(match[2])], int(match[2]))}"

        for target, folder in self._mounts(name):
            text = re.sub(rf"(?<![\w/]){re.escape(target)}(?![\w-])", str(folder), text)
        text = re.sub(r"tcp://([\w.-]+):(\d+)", endpoint, text)
        text = re.sub(r"('127\.0\.0\.1', )(\d+)", lambda found: f"{found[1]}{self.port(name, int(found[2]))}", text)
        return re.sub(r"(--\w*port)=(\d+)", flag, text)

    def _environment(self, name: str) -> dict[str, str]:
        image = {key: value for key, value in self._image.env().items() if key != "PATH"}
        wanted = {**image, **self.services[name].get("environment", {})}
        return {
            "PATH": f"{self._root / 'bin'}{os.pathsep}{os.defpath}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self._root),
            **{key: self._mapped(name, value) for key, value in wanted.items()},
        }

    def _popen(self, name: str, words: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self._root / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                [self._mapped(name, word) for word in words],
                executable=str(self._root / "bin" / words[0]),
                env=self._environment(name),
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self, name: str, *, within: float) -> None:
        """Start a service; waits, at most `within` seconds, for the end of one that runs once."""
        service = self.services[name]
        process = self._popen(name, [*self._image.entrypoint(), *service["command"]], name)
        if service["restart"] == "no":
            try:
                status = process.wait(within)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait(10)
            assert status == 0, self.log(name)
        else:
            self.running[name] = process

    def up(self, *, within: float) -> None:
        """Start everything in order, and wait until all health checks pass."""
        deadline = time.monotonic() + within
        for name in self.services:
            self.start(name, within=deadline - time.monotonic())
        for name, service in self.services.items():
            if "healthcheck" in service:
                self.wait_healthy(name, within=deadline - time.monotonic())

    def wait_healthy(self, name: str, *, within: float) -> None:
        """Run a service's health check until it passes."""
        deadline = time.monotonic() + within
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        while True:
            check = self._popen(name, words, f"{name}-healthcheck")
            if check.wait(30) == 0:
                return
            assert self.running[name].poll() is None, f"{name} has ended\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy\n{self.log(name)}"
            time.sleep(_INTERVAL_SECONDS)

    def stop(self, name: str) -> float:
        """SIGTERM, as the engine stops a container; returns the seconds that it took to end with status 0."""
        process = self.running[name]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(seconds(self.services[name]["stop_grace_period"]))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} did not stop in time\n{self.log(name)}") from None
        assert status == 0, f"{name} ended with {status}\n{self.log(name)}"
        return time.monotonic() - began

    def log(self, name: str) -> str:
        """The last lines that a service wrote."""
        path = self._root / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-40:]) if path.exists() else ""
