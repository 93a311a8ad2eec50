"""A disk and workers that exist on paper only, around a real manager."""

from __future__ import annotations

from collections.abc import Iterable

from control.manager import Manager
from control.storage import Discovery, Version
from control.transition import Transition
from control.watch import Sight
from protos.messages import ServableReport, State, WorkerEntry
from protos.public import ModelServerConfig


def config(*names: str, base: str = "/models", labels: dict[str, int] | None = None) -> ModelServerConfig:
    made = ModelServerConfig()
    made.model_config_list.SetInParent()
    for name in names:
        entry = made.model_config_list.config.add(name=name, base_path=f"{base}/{name}", model_platform="tensorflow")
        for label, version in (labels or {}).items():
            entry.version_labels[label] = version
    return made


class World:
    """A manager with workers that carry out lists one step at a time."""

    def __init__(
        self,
        *,
        periodic: bool = True,
        allow_labels: bool = False,
        transition: Transition = Transition.AVAILABILITY_PRESERVING,
        quarantine_after_crashes: int = 0,
    ) -> None:
        self.manager = Manager(
            periodic=periodic,
            allow_unavailable_labels=allow_labels,
            transition=transition,
            quarantine_after_crashes=quarantine_after_crashes,
        )
        self.epoch = 0
        self.now = 0.0
        self.said: dict[tuple[int, str, int], State] = {}

    def join(self, worker_id: int, name: str = "worker-0") -> None:
        entry = WorkerEntry(id=worker_id, name=name, incarnation=str(worker_id), endpoint=f"ipc://{worker_id}")
        self.manager.worker_joined(entry)

    def disk(
        self,
        name: str,
        versions: Iterable[int],
        *,
        gone: Iterable[int] = (),
        incomplete: Iterable[int] = (),
        stamps: dict[int, str] | None = None,
        others: Iterable[int] = (),
    ) -> None:
        versions = list(versions)
        look = self.manager.look_for(name)
        assert look is not None
        base = look.settings.base_path
        found = [Version(v, f"{base}/{v}", v not in set(incomplete)) for v in sorted(versions, reverse=True)]
        self.now += 1.0
        self.manager.saw(
            name,
            Sight(
                at=self.now,
                settings=look.settings,
                discovery=Discovery(tuple(found)),
                gone=frozenset(gone),
                stamps=stamps or {v.number: "same" for v in found},
                present=frozenset({*versions, *others}),
            ),
        )

    def say(self, worker_id: int, version: int, state: State, *, name: str = "m", code: int = 0) -> None:
        report = ServableReport(name=name, version=version, state=state, code=code, message="bad" if code else "")
        reports = [report]
        if state == State.AVAILABLE and self.said.get((worker_id, name, version), State.END) == State.END:
            reports.insert(0, ServableReport(name=name, version=version, state=State.LOADING))
        self.said[worker_id, name, version] = state
        assert self.manager.worker_reported(worker_id, reports, full=False)

    def wants(self, worker_id: int = 1) -> list[tuple[str, int]]:
        self.manager.refresh()
        self.epoch += 1
        self.manager.sent(worker_id, self.epoch)
        return [(item.name, item.version) for item in self.manager.decided(worker_id)]

    def ack(self, worker_id: int = 1) -> None:
        self.manager.acked(worker_id, self.epoch)

    def states(self, name: str = "m") -> dict[int, int]:
        self.manager.refresh()
        return {entry.version: entry.state for entry in self.manager.versions(name)}


def serving(made: World, *versions: int) -> None:
    made.disk("m", versions)
    for version in versions:
        made.say(1, version, State.AVAILABLE)
    made.manager.refresh()


def crash(made: World, old: int, *, name: str = "worker-0") -> int:
    made.manager.worker_left(old, crashed=True)
    made.join(old + 1, name)
    return old + 1
