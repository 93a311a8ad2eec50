"""The control process as a process: real children, real sockets, real signals; only TensorFlow and HTTP are missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from protos.public import ModelServerConfig

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 20.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`; fails after a while."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    pytest.fail(f"not within {DEADLINE_SECONDS:g} s: {what}")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Running:
    """A control process under test, and the traces of its children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder / "models"
        # pytest's own folders have paths that are too long for sockets.
        self.tmp = Path(tempfile.mkdtemp(prefix="tmx"))
        self.process: subprocess.Popen[bytes] | None = None

    def version(self, number: int, *, model: str = "m", text: str = "good") -> None:
        # Complete at once: a version that is still being written would be another case.
        path = self.models / model / str(number)
        made = self.folder / f"{model}-{number}.new"
        made.mkdir()
        (made / "saved_model.pb").write_text(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.rename(path)

    def mode(self, name: str, mode: str) -> None:
        (self.folder / f"{name}.mode").write_text(mode)

    def start(self, *flags: str, **env: str) -> None:
        arguments = [
            "--devices=cpu",
            "--num_frontends=1",
            "--num_bulk_frontends=0",
            f"--model_base_path={self.models / 'm'}",
            "--model_name=m",
            "--drain_seconds=0.2",
            *flags,
        ]
        everything = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TEST_DIR": str(self.folder),
            "TMPDIR": str(self.tmp),
            **env,
        }
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("run_control.py")), *arguments],
                env=everything,
                cwd=self.folder,
                stdout=out,
                stderr=err,
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def exit_code(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE_SECONDS)

    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def pids(self, name: str) -> list[int]:
        path = self.folder / f"{name}.pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def log(self, name: str, what: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.log"
        if not path.exists():
            return []
        # The last line may be on its way.
        lines = path.read_text().split("\n")[:-1]
        return [entry for entry in map(json.loads, lines) if entry["what"] == what]

    def catalog(self, name: str = "frontend-0") -> dict[str, Any]:
        catalogs = self.log(name, "Catalog")
        return catalogs[-1] if catalogs else {}

    def states(self, model: str = "m") -> dict[int, int]:
        for entry in self.catalog().get("models", []):
            if entry["name"] == model:
                return {version["version"]: version["state"] for version in entry["versions"]}
        return {}

    def ready(self) -> None:
        """Wait until the ports are said to be open."""
        until(lambda: "Running gRPC ModelServer at 0.0.0.0:" in self.stderr(), "ready")

    def everyone(self) -> list[int]:
        return [pid for path in self.folder.glob("*.pids") for pid in map(int, path.read_text().split())]


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    if running.process is not None:
        running.process.kill()
        running.process.wait()
        until(lambda: not any(map(alive, running.everyone())), "no orphan")
    shutil.rmtree(running.tmp)


def test_starts_serves_and_stops_in_order(control: Running) -> None:
    control.version(1)
    control.start("--port=18511", "--rest_api_port=18512")
    control.ready()
    lines = control.stderr()
    assert "] Running gRPC ModelServer at 0.0.0.0:18511 ..." in lines
    assert "] Exporting HTTP/REST API at:localhost:18512 ..." in lines
    assert "\n[evhttp_server.cc : 245] NET_LOG: Entering the event loop ...\n" in lines
    assert control.states() == {1: 30}
    assert [worker["name"] for worker in control.catalog()["workers"]] == ["worker-0"]
    control.signal(signal.SIGTERM)
    assert control.exit_code() == 0
    assert control.stdout() == ""
    assert not any(map(alive, control.everyone()))
    # The worker was told only after the front end had gone.
    assert control.log("frontend-0", "Stop")[0]["grace_seconds"] == 0.2
    lines = control.stderr()
    assert lines.index("frontend-0 (pid") < lines.rindex("worker-0 (pid")
    assert list(control.tmp.iterdir()) == []


def test_a_worker_that_ends_is_dropped_at_once_and_comes_back(control: Running) -> None:
    control.version(1)
    control.start()
    control.ready()
    first = control.pids("worker-0")[0]
    before = control.catalog()["workers"][0]
    os.kill(first, signal.SIGKILL)
    until(lambda: any(not c["workers"] for c in control.log("frontend-0", "Catalog")[1:]), "a catalog without it")
    until(lambda: control.states() == {1: 30} and len(control.pids("worker-0")) == 2, "served again")
    after = control.catalog()["workers"][0]
    assert after["id"] != before["id"]
    assert after["endpoint"] != before["endpoint"]
    assert "was killed by signal 9 (SIGKILL)" in control.stderr()


def test_a_child_that_keeps_ending_is_started_again_and_again(control: Running) -> None:
    control.version(1)
    control.mode("worker-0", "die")
    control.start()
    until(lambda: len(control.pids("worker-0")) >= 4, "four tries")
    assert "exited with code 3" in control.stderr()
    control.mode("worker-0", "normal")
    control.ready()


def test_a_mute_child_is_killed_and_replaced(control: Running) -> None:
    control.version(1)
    control.mode("worker-0", "mute")
    control.start(TEST_SILENCE="1")
    first = until(lambda: control.pids("worker-0"), "start")[0]
    until(lambda: control.log("worker-0", "Welcome"), "registered")
    control.mode("worker-0", "normal")
    until(lambda: not alive(first), "killed")
    control.ready()
    assert "has been silent for" in control.stderr()


def records(control: Running) -> list[str]:
    assert control.process is not None
    links = [os.readlink(path) for path in Path(f"/proc/{control.process.pid}/fd").iterdir()]
    return [link for link in links if "flight-record" in link]


@pytest.mark.parametrize(
    ("number", "barred"), [(signal.SIGSEGV, True), (signal.SIGABRT, True), (signal.SIGKILL, False)]
)
def test_a_version_that_ends_its_worker_while_it_runs_is_served_no_more(
    control: Running, number: int, barred: bool
) -> None:
    control.version(1)
    control.mode("worker-0", "runs")
    control.start("--quarantine_after_crashes=2", "--file_system_poll_wait_seconds=1")
    control.ready()
    control.version(2)
    until(lambda: control.states() == {2: 30, 1: 50}, "switched")
    for count in (1, 2):
        os.kill(control.pids("worker-0")[-1], number)
        until(lambda count=count: len(control.pids("worker-0")) == count + 1, "started again")
        if count == 1 or not barred:
            until(lambda: control.states() == {2: 30, 1: 50}, "version 2 again")
    if barred:
        until(lambda: control.states() == {2: 50, 1: 30}, "version 1 instead")
    said = "Servable {name: m version: 2} ended the worker 2 times while it ran: it is served no more"
    assert (said in control.stderr()) is barred
    assert control.stderr().count("worker-0 ended while it was running servable {name: m version: 2}") == 2
    # One for each life that has not ended.
    assert len(records(control)) == 1


def test_a_version_that_hangs_its_worker_while_it_runs_is_served_no_more(control: Running) -> None:
    control.version(1)
    control.mode("worker-0", "hangs")
    control.start("--quarantine_after_crashes=2", "--file_system_poll_wait_seconds=1", TEST_SILENCE="1")
    control.ready()
    control.version(2)
    until(lambda: control.states() == {2: 50, 1: 30} and len(control.pids("worker-0")) == 3, "version 1 again")
    assert control.stderr().count("worker-0 ended while it was running servable {name: m version: 2}") == 2


def test_without_the_flag_nothing_is_recorded(control: Running) -> None:
    control.version(1)
    control.mode("worker-0", "runs")
    control.start("--quarantine_after_crashes=0")
    control.ready()
    assert records(control) == []


def test_a_child_that_never_registers_is_killed_and_replaced(control: Running) -> None:
    control.version(1)
    control.mode("frontend-0", "stuck")
    control.start(TEST_REGISTER="1")
    first = until(lambda: control.pids("frontend-0"), "start")[0]
    control.mode("frontend-0", "normal")
    until(lambda: not alive(first), "killed")
    control.ready()


def test_kill_9_of_control_leaves_no_orphan(control: Running) -> None:
    control.version(1)
    control.start("--devices=cpu:2")
    control.ready()
    until(lambda: len(control.catalog()["workers"]) == 2, "both workers")
    pids = control.everyone()
    assert len(pids) == 3
    assert all(map(alive, pids))
    control.signal(signal.SIGKILL)
    control.exit_code()
    until(lambda: not any(map(alive, pids)), "no orphan")
    (left,) = control.tmp.iterdir()
    # The next control clears away what this one could not.
    control.start()
    control.ready()
    assert not left.exists()


def test_a_deaf_child_is_killed_after_its_grace(control: Running) -> None:
    control.version(1)
    control.mode("frontend-0", "deaf")
    control.start(TEST_SLACK="0.3")
    control.ready()
    control.signal(signal.SIGINT)
    assert control.exit_code() == 0
    assert "frontend-0 did not stop within 0.5 s" in control.stderr()


def test_a_second_signal_stops_at_once(control: Running) -> None:
    control.version(1)
    control.mode("frontend-0", "deaf")
    control.start("--drain_seconds=600")
    control.ready()
    control.signal(signal.SIGTERM)
    until(lambda: control.log("frontend-0", "Stop"), "told")
    control.signal(signal.SIGTERM)
    assert control.exit_code() == 0
    assert not any(map(alive, control.everyone()))


def test_a_new_version_replaces_the_old_one(control: Running) -> None:
    control.version(1)
    control.start("--file_system_poll_wait_seconds=1")
    control.ready()
    control.version(2)
    until(lambda: control.states() == {2: 30, 1: 50}, "switched")
    lists = [[(item["version"]) for item in sent["servables"]] for sent in control.log("worker-0", "Desired")]
    assert lists[-3:] == [[1], [2, 1], [2]]
    epochs = [sent["epoch"] for sent in control.log("worker-0", "Desired")]
    assert epochs == sorted(set(epochs))


def test_a_failed_start_says_why_and_leaves_nothing(control: Running) -> None:
    control.version(3, text="bad")
    control.start()
    assert control.exit_code() == 255
    assert control.stdout() == (
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        "{{{name: m version: 3} due to error: NOT_FOUND: no such thing}, }\n"
    )
    assert not any(map(alive, control.everyone()))
    assert list(control.tmp.iterdir()) == []


def test_a_missing_model_is_waited_for_until_the_timeout(control: Running) -> None:
    control.start("--start_timeout_seconds=1.5")
    assert control.exit_code() == 255
    assert "Failed to start server. Error: DEADLINE_EXCEEDED: " in control.stdout()
    assert "FileSystemStoragePathSource encountered a filesystem access error" in control.stderr()


def test_a_taken_grpc_port_ends_the_start(control: Running) -> None:
    control.version(1)
    control.mode("frontend-0", "no-grpc")
    control.start()
    assert control.exit_code() == 255
    assert control.stdout() == (
        "Failed to start server. Error: INVALID_ARGUMENT: Failed to BuildAndStart gRPC server\n"
    )


def test_a_taken_rest_port_does_not(control: Running) -> None:
    control.version(1)
    control.mode("frontend-0", "no-rest")
    control.start("--rest_api_port=18513")
    control.ready()
    assert "] Failed to start HTTP Server at localhost:18513" in control.stderr()
    assert "Exporting" not in control.stderr()


def test_another_protocol_version_is_refused(control: Running) -> None:
    control.version(1)
    control.mode("worker-0", "old")
    control.start()
    until(lambda: control.log("worker-0", "Rejected"), "refused")
    assert "speaks protocol version" in control.log("worker-0", "Rejected")[0]["reason"]


def test_the_unix_socket_is_bound_once_and_inherited(control: Running) -> None:
    control.version(1)
    path = control.folder / "grpc.sock"
    control.start(f"--grpc_socket_path={path}", "--num_frontends=2")
    control.ready()
    assert f"] Running gRPC ModelServer at UNIX socket {path} ..." in control.stderr()
    fds = [control.log(name, "started")[0]["unix_fd"] for name in ("frontend-0", "frontend-1")]
    assert fds[0] == fds[1] != ""
    assert path.is_socket()
    control.signal(signal.SIGTERM)
    assert control.exit_code() == 0
    assert not path.exists()


def test_a_file_in_the_place_of_the_unix_socket_is_left_alone(control: Running) -> None:
    control.version(1)
    path = control.folder / "precious"
    path.write_text("data")
    control.start(f"--grpc_socket_path={path}")
    assert control.exit_code() == 255
    assert "Failed to BuildAndStart gRPC server" in control.stdout()
    assert path.read_text() == "data"


def reload(control: Running, config: ModelServerConfig) -> dict[str, Any]:
    seen = len(control.log("frontend-0", "ReloadReply"))
    made = control.folder / "reload.new"
    made.write_bytes(config.SerializeToString())
    made.rename(control.folder / "frontend-0.reload")
    until(lambda: len(control.log("frontend-0", "ReloadReply")) > seen, "answered")
    return control.log("frontend-0", "ReloadReply")[-1]


def listed(control: Running, *names: str) -> ModelServerConfig:
    config = ModelServerConfig()
    for name in names:
        config.model_config_list.config.add(
            name=name, base_path=str(control.models / name), model_platform="tensorflow"
        )
    return config


def test_a_reload_is_answered_when_its_models_are_there(control: Running) -> None:
    control.version(1)
    control.version(7, model="n")
    control.version(1, model="broken", text="bad")
    control.start("--file_system_poll_wait_seconds=0")
    control.ready()
    answer = reload(control, listed(control, "m", "n"))
    assert (answer["code"], answer["message"]) == (0, "")
    assert control.states("n") == {7: 30}
    answer = reload(control, listed(control, "n", "broken", "absent"))
    assert answer["code"] == 2
    assert answer["message"] == (
        "2 model(s) did not become available: {{{name: broken version: 1} due to error: NOT_FOUND: no such thing}, "
        f"{{{{name: absent}} due to error: INVALID_ARGUMENT: Could not find base path {control.models / 'absent'} for "
        f"servable absent with error NOT_FOUND: {control.models / 'absent'} not found}}, }}"
    )
    until(lambda: control.states("m") == {1: 50}, "removed")
    answer = reload(control, ModelServerConfig())
    assert answer["code"] == 3
    assert "Only ModelConfigList is currently supported" in answer["message"]


def test_sighup_reads_the_configuration_file_again(control: Running) -> None:
    control.version(1)
    control.version(2, model="n")
    path = control.folder / "models.config"
    entry = 'config {{ name: "{0}" base_path: "{1}/{0}" model_platform: "tensorflow" }}'
    path.write_text(f"model_config_list {{ {entry.format('m', control.models)} }}")
    control.start(f"--model_config_file={path}")
    control.ready()
    path.write_text("nonsense {")
    control.signal(signal.SIGHUP)
    until(lambda: "Failed to read ModelServerConfig file: " in control.stderr(), "complaint")
    path.write_text(f"model_config_list {{ {entry.format('n', control.models)} }}")
    control.signal(signal.SIGHUP)
    until(lambda: control.states("n") == {2: 30} and control.states("m") == {1: 50}, "replaced")


def test_two_deaths_while_loading_a_version_fail_the_start_instead_of_going_on_for_ever(control: Running) -> None:
    control.version(1)
    control.mode("worker-0", "dies-loading")
    control.start(TEST_SILENCE="30")
    for count in (1, 2):
        until(lambda count=count: len(control.log("worker-0", "loading")) == count, "loading")
        os.kill(control.pids("worker-0")[-1], signal.SIGKILL)
    assert control.exit_code() == 255
    assert "INTERNAL: Loading servable {name: m version: 1} ended the worker 2 times" in control.stdout()


def test_workers_from_elsewhere_register_over_tcp_and_may_come_and_go(control: Running) -> None:
    control.version(1)
    public, secret = (key.decode() for key in zmq.curve_keypair())
    keys = {"TENSORMUX_CURVE_PUBLIC_KEY": public, "TENSORMUX_CURVE_SECRET_KEY": secret}
    control.start("--external_workers=1", "--control_endpoint=tcp://127.0.0.1:*", TEST_SILENCE="1", **keys)
    endpoint = until(lambda: re.search(r"register at (tcp://\S+)", control.stderr()), "an endpoint")[1]
    env = {
        **os.environ,
        **keys,
        "PYTHONPATH": str(ROOT),
        "TEST_DIR": str(control.folder),
        "TENSORMUX_CONTROL": endpoint,
        "TENSORMUX_NAME": "worker-elsewhere",
        "TENSORMUX_BIND": "tcp://127.0.0.1:1",
    }
    for life in (1, 2):
        argv = [sys.executable, str(Path(__file__).with_name("fake_peer.py"))]
        with subprocess.Popen(argv, env=env, cwd=control.folder) as worker:
            try:
                until(
                    lambda life=life: control.states() == {1: 30} and len(control.pids("worker-elsewhere")) == life,
                    "up",
                )
                control.ready()
            finally:
                worker.kill()
        until(lambda: not control.catalog()["workers"], "dropped")
    assert control.states() == {1: 10}
    assert "worker-elsewhere (pid" in control.stderr()
    control.signal(signal.SIGTERM)
    assert control.exit_code() == 0
