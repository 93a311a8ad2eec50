"""Starting and stopping, with small programs in the place of the server."""

import contextlib
import subprocess
import sys
import time

import msgspec
import pytest

from bench import processes, server, startup
from protos import messages
from protos.channel import Channel

READY = "".join(f"I {line}:1 ...\n" for line in server.READY_LINES)
# Prints the pid of a child once both run; `%s` is what either does about SIGTERM.
PROGRAM = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; %s; print(flush=True); signal.pause()"], stdout=-1)
child.stdout.readline()
%s
print(child.pid, flush=True)
signal.pause()
"""


def _start(on_sigterm, child_on_sigterm):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM % (child_on_sigterm, on_sigterm)], stdout=subprocess.PIPE, start_new_session=True
    )
    child = int(process.stdout.readline())
    process.stdout.close()
    return process, child


def test_stop_waits_for_all_processes():
    process, child = _start(
        "signal.signal(signal.SIGTERM, lambda *_: (child.terminate(), child.wait(), sys.exit()))", ""
    )
    server.stop(process)
    assert process.returncode == 0
    assert processes.read_stat(child) is None


@pytest.mark.parametrize("stubborn", ["server", "child"])
def test_stop_kills_what_is_left(monkeypatch, stubborn):
    monkeypatch.setattr(server, "STOP_DEADLINE_SECONDS", 0.2)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    process, child = _start(ignore if stubborn == "server" else "", ignore)
    monkeypatch.setattr(process, "wait", lambda _: subprocess.Popen.wait(process, 30))
    with pytest.raises(server.ServerFailed, match="had to be killed"):
        server.stop(process)
    assert process.returncode is not None
    deadline = time.monotonic() + 10
    while processes.read_stat(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.read_stat(child) is None


def test_ready_when_both_ports_are_logged(tmp_path):
    log = tmp_path / "log"
    log.write_text(READY)
    with subprocess.Popen(["sleep", "30"]) as process:
        server.wait_until_ready(process, log)
        process.kill()


def test_a_server_that_ends_is_not_waited_for(tmp_path):
    log = tmp_path / "log"
    log.write_text("no such flag")
    with (
        subprocess.Popen(["false"]) as process,
        pytest.raises(server.ServerFailed, match="ended with 1:\nno such flag"),
    ):
        server.wait_until_ready(process, log)


def test_a_server_that_never_is_ready_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "START_DEADLINE_SECONDS", 0.1)
    log = tmp_path / "log"
    log.write_text(READY.splitlines()[0])
    with subprocess.Popen(["sleep", "30"]) as process:
        with pytest.raises(server.ServerFailed, match="wasn't ready"):
            server.wait_until_ready(process, log)
        process.kill()


@contextlib.contextmanager
def _sent_to_control(tmp_path, message):
    channel = Channel()
    router, endpoint = channel.bind_router(f"ipc://{tmp_path}/control")
    dealer = channel.connect_dealer(endpoint, identity=b"x")
    dealer.send(msgspec.msgpack.encode(message))
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            yield router, process
        finally:
            process.kill()
            dealer.close()
            router.close()
            channel.close()


def test_a_front_end_is_up_when_its_hello_arrives(tmp_path):
    hello = messages.Hello(protocol=1, role="frontend", name="f", incarnation="i", pid=1)
    before = time.monotonic()
    with _sent_to_control(tmp_path, hello) as (router, process):
        assert before <= startup._await_hello(router, process) <= time.monotonic()


def test_other_messages_are_no_hello(tmp_path, monkeypatch):
    monkeypatch.setattr(startup, "DEADLINE_SECONDS", 0.2)
    heartbeat = messages.Heartbeat(epoch=0)
    with _sent_to_control(tmp_path, heartbeat) as peers, pytest.raises(server.ServerFailed, match="said no Hello"):
        startup._await_hello(*peers)
