"""The workers that are started on this box: one a device, each of them replaceable while it serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from functools import partial

from control.catalog import Key
from control.children import RunDirectory, worker_spec
from control.devices import Device
from control.peers import WORKER
from control.plane import Plane
from control.recycle import Vitals
from control.supervisor import Exit, Supervisor
from protos import flight_record

# A worker that is being replaced may take so long to finish what it has.
_GRACE_SECONDS = 60.0


class OwnWorkers:
    """Their names, what they ran when they ended, and the acts that `control.recycle` consists of.

    Args:
        devices: one worker each.
        supervisor: starts them.
        control: where they find control.
        run: for their files.
        record: they are to record what they run.

    Attributes:
        names: of all that are started here, successors and those on their way out among them; the set stays the same
            object.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        supervisor: Supervisor,
        *,
        control: Callable[[], str],
        run: RunDirectory,
        record: bool,
    ) -> None:
        self._supervisor = supervisor
        self._control = control
        self._run = run
        self._record = record
        # Files, by name and generation.
        self._records: dict[tuple[str, int], int] = {}
        self._devices = {f"worker-{index}": (index, device) for index, device in enumerate(devices)}
        self._serving = list(self._devices)
        self._leaving: set[str] = set()
        self.names = set(self._devices)
        # Set when there is one.
        self.plane: Plane

    def start(self) -> None:
        """Start them all."""
        for name in self._serving:
            self._start(name)

    def _start(self, name: str) -> None:
        _, device = self._devices[name]
        record = partial(self._new_record, name)
        self._supervisor.start(worker_spec(name, device, control=self._control(), run=self._run, record=record))

    def _new_record(self, name: str, generation: int) -> str:
        if not self._record:
            return ""
        fd = self._records[name, generation] = flight_record.create()
        return flight_record.path_of(fd)

    def was_running(self, ended: Exit) -> frozenset[Key]:
        """What a worker was running when it ended; to be asked once, for its record is removed."""
        fd = self._records.pop((ended.name, ended.generation), None)
        if fd is None:
            return frozenset()
        try:
            return flight_record.read(fd)
        finally:
            os.close(fd)

    def ended(self, name: str) -> None:
        """A child of this name has ended."""
        if name in self._leaving:
            self._leaving.remove(name)
            self.names.discard(name)
            self._devices.pop(name, None)
            self._supervisor.forget(name)
            self.plane.manager.slot_closed(name)

    def workers(self) -> Collection[str]:
        """See `recycle.Fleet`."""
        return list(self._serving)

    def vitals(self, name: str) -> Vitals | None:
        """See `recycle.Fleet`."""
        peer = self.plane.peers.named(WORKER, name)
        if peer is None:
            return None
        return Vitals(peer.hello.incarnation, peer.unloads, peer.memory_bytes)

    def has_settled(self, name: str) -> bool:
        """See `recycle.Fleet`."""
        peer = self.plane.peers.named(WORKER, name)
        return peer is not None and not peer.wants_full and self.plane.manager.has_settled(peer.id)

    def start_successor(self, name: str) -> str:
        """See `recycle.Fleet`. A place has two names, which its workers take in turn."""
        index, device = self._devices[name]
        successor = f"worker-{index}" if name.endswith("b") else f"worker-{index}b"
        self._devices[successor] = (index, device)
        self.names.add(successor)
        self._start(successor)
        return successor

    def can_replace(self, successor: str, name: str) -> bool:
        """See `recycle.Fleet`."""
        new = self.plane.peers.named(WORKER, successor)
        if new is None or new.wants_full or not self.plane.manager.has_settled(new.id):
            return False
        old = self.plane.peers.named(WORKER, name)
        return old is None or self.plane.manager.serves_all_of(new.id, old.id)

    def hand_over(self, successor: str, name: str) -> None:
        """See `recycle.Fleet`."""
        self._serving[self._serving.index(name)] = successor
        self._supervisor.retire([name])
        self._leaving.add(name)
        old = self.plane.peers.named(WORKER, name)
        if old is not None:
            # First nobody is sent there any more, then it is told.
            self.plane.manager.retire(old.id)
            self.plane.flush()
            self.plane.peers.stop(old, _GRACE_SECONDS)
        elif self._supervisor.pid(name) is not None:
            self._supervisor.kill(name)
        else:
            self.ended(name)

    def abandon(self, successor: str) -> None:
        """See `recycle.Fleet`."""
        self._supervisor.retire([successor])
        self._leaving.add(successor)
        if self._supervisor.pid(successor) is not None:
            self._supervisor.kill(successor)
        else:
            self.ended(successor)

    def runs(self, name: str) -> bool:
        """See `recycle.Fleet`."""
        return self._supervisor.pid(name) is not None
