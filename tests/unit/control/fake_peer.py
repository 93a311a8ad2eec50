"""A worker or front end that speaks the control protocol and does nothing else; started by `run_control.py`.

`TEST_DIR` is where it leaves traces (`<name>.pids`, `<name>.log` with what control sent, one JSON object a line) and
looks up how to behave at its start (`<name>.mode`): `normal`, `die`, `mute` (registers, then says nothing), `stuck`
(never registers), `deaf` (ignores Stop), `no-grpc`, `no-rest`, `old` (another protocol version), `dies-loading`,
`runs` (is always running the highest version that it has), `hangs` (the same, and says nothing once that is 2).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from protos.channel import ENV_BIND, ENV_CONTROL, ENV_NAME, Channel, Curve, new_incarnation
from protos.flight_record import ENV_FLIGHT_RECORD, Recorder
from protos.messages import (
    PROTOCOL_VERSION,
    Catalog,
    Desired,
    FrontendReport,
    Heartbeat,
    Hello,
    Rejected,
    ReloadReply,
    ReloadRequest,
    Resync,
    ServableReport,
    State,
    Stop,
    ToPeer,
    WorkerReport,
)
from protos.orphan import die_with_parent

BEAT_SECONDS = 0.05


class FakePeer:
    def __init__(self) -> None:
        self.name = os.environ[ENV_NAME]
        self.folder = Path(os.environ["TEST_DIR"])
        mode = self.folder / f"{self.name}.mode"
        self.mode = mode.read_text().strip() if mode.exists() else "normal"
        self.role = self.name.split("-")[0]
        incarnation = new_incarnation()
        self.channel = Channel(Curve.from_env(os.environ))
        self.socket = self.channel.connect_dealer(
            os.environ[ENV_CONTROL], identity=f"{self.name}/{incarnation}".encode()
        )
        self.hello = Hello(
            protocol=PROTOCOL_VERSION + (1 if self.mode == "old" else 0),
            role=self.role,
            name=self.name,
            incarnation=incarnation,
            pid=os.getpid(),
            endpoint=os.environ.get(ENV_BIND, ""),
        )
        self.seq = 0
        self.epoch = 0
        self.reported = False
        self.loaded: dict[tuple[str, int], ServableReport] = {}
        self.running = ("", 0)
        record = os.environ.get(ENV_FLIGHT_RECORD, "")
        self.recorder = Recorder(record) if record and self.mode in ("runs", "hangs") else None
        self.slot = self.recorder.slot() if self.recorder is not None else None

    def trace(self, what: str, **facts: Any) -> None:
        with (self.folder / f"{self.name}.log").open("a") as file:
            file.write(json.dumps({"what": what, "pid": os.getpid(), **facts}) + "\n")

    def send(self, message: msgspec.Struct) -> None:
        self.socket.send(msgspec.msgpack.encode(message))

    def report(self, servables: list[ServableReport], *, full: bool = False) -> None:
        self.seq += 1
        self.send(WorkerReport(seq=self.seq, full=full, epoch=self.epoch, servables=servables))

    def run(self) -> None:
        with (self.folder / f"{self.name}.pids").open("a") as file:
            file.write(f"{os.getpid()}\n")
        self.trace("started", bind=self.hello.endpoint, unix_fd=os.environ.get("TENSORMUX_GRPC_UNIX_FD", ""))
        if self.mode == "die":
            sys.exit(3)
        if self.mode == "stuck":
            time.sleep(600)
        self.send(self.hello)
        decoder = msgspec.msgpack.Decoder(ToPeer)
        beat = 0.0
        request = self.folder / f"{self.name}.reload"
        while True:
            if self.socket.poll(int(BEAT_SECONDS * 1000)):
                self.take(decoder.decode(self.socket.recv()))
            if time.monotonic() >= beat and self.mode != "mute" and (self.mode != "hangs" or self.running[1] < 2):
                beat = time.monotonic() + BEAT_SECONDS
                self.send(Heartbeat(epoch=self.epoch))
            if request.exists():
                self.send(ReloadRequest(id=1, config=request.read_bytes()))
                request.unlink()

    def take(self, message: Any) -> None:
        self.trace(type(message).__name__, **msgspec.to_builtins(message))
        match message:
            case Stop() if self.mode != "deaf":
                sys.exit(0)
            case Rejected():
                sys.exit(4)
            case Resync():
                self.send(self.hello)
                if self.role == "worker":
                    self.report(list(self.loaded.values()), full=True)
            case Desired():
                self.epoch = message.epoch
                self.carry_out(message)
            case Catalog():
                self.epoch = message.epoch
                if message.serving and not self.reported:
                    self.reported = True
                    self.send(
                        FrontendReport(
                            epoch=message.epoch,
                            grpc_open=self.mode != "no-grpc",
                            grpc_error="address in use" if self.mode == "no-grpc" else "",
                            rest_open=self.mode != "no-rest",
                            rest_error="address in use" if self.mode == "no-rest" else "",
                        )
                    )
            case ReloadReply():
                pass

    def carry_out(self, desired: Desired) -> None:
        wanted = {(item.name, item.version): item.path for item in desired.servables}
        changed = []
        for name, version in wanted.keys() - self.loaded.keys():
            if self.mode == "dies-loading":
                self.report([ServableReport(name=name, version=version, state=State.LOADING)])
                self.trace("loading")
                time.sleep(600)
            bad = (Path(wanted[name, version]) / "saved_model.pb").read_text() == "bad"
            made = ServableReport(name=name, version=version, state=State.END if bad else State.AVAILABLE)
            if bad:
                made.code, made.message = 5, "no such thing"
            self.loaded[name, version] = made
            changed += [ServableReport(name=name, version=version, state=State.LOADING), made]
        for name, version in self.loaded.keys() - wanted.keys():
            del self.loaded[name, version]
            changed.append(ServableReport(name=name, version=version, state=State.END))
        if changed:
            self.report(changed)
        if self.recorder is not None and self.slot is not None and self.loaded:
            self.running = max(self.loaded)
            self.slot.cell[0] = self.recorder.enter(*self.running)


if __name__ == "__main__":
    die_with_parent(os.environ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    FakePeer().run()
