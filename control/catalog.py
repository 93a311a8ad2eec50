"""States of all versions on all workers, and their sum: the `Catalog` that front ends answer from.

A version is AVAILABLE as soon as one worker has it, and has ended only when no worker can have it. Entries are never
forgotten: what was unloaded, failed or removed stays as END, which is how TensorFlow Serving's GetModelStatus shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from control.policy import Stage, stage_of
from protos.errors import Code
from protos.messages import ServableReport, State, VersionEntry, WorkerEntry
from protos.states import may_report

Key = tuple[str, int]
"""Model name and version number: what identifies a servable."""


@dataclass(frozen=True)
class Ended:
    """Why a version ended; code OK when it was unloaded."""

    code: int = Code.OK
    message: str = ""


@dataclass
class _Worker:
    entry: WorkerEntry
    states: dict[str, dict[int, ServableReport]] = field(default_factory=dict)
    # Available there, but about to be unloaded: no longer to be routed to.
    leaving: dict[str, frozenset[int]] = field(default_factory=dict)


def sum_version(
    version: int,
    on_workers: Sequence[tuple[int, ServableReport | None]],
    *,
    aspired: bool,
    ended: Ended,
    leaving: Collection[int] = (),
) -> VersionEntry:
    """Sum one version over the live workers.

    Args:
        version: its number.
        on_workers: worker id and what that worker last said of the version, None for nothing; ascending ids.
        aspired: whether the version should be served.
        ended: how it ended last, shown if it has ended.
        leaving: ids of workers that are about to unload it.

    Returns:
        AVAILABLE with its workers if any serves it; else LOADING if any loads it; else START if it is aspired and
        some worker may yet load it, or there is no worker; else UNLOADING if any still holds it; else END.
    """
    said = [(worker, report) for worker, report in on_workers if report is not None]
    serving = [(w, r) for w, r in said if r.state == State.AVAILABLE and w not in leaving]
    if serving:
        signatures = next((report.signatures for _, report in serving if report.signatures), b"")
        workers = [worker for worker, _ in serving]
        return VersionEntry(version=version, state=State.AVAILABLE, workers=workers, signatures=signatures)
    if any(report.state == State.LOADING for _, report in said):
        return VersionEntry(version=version, state=State.LOADING)
    waiting = any(report is None or _may_load(report) for _, report in on_workers)
    if aspired and (waiting or not on_workers):
        return VersionEntry(version=version, state=State.START)
    if any(report.state in (State.UNLOADING, State.AVAILABLE) for _, report in said):
        return VersionEntry(version=version, state=State.UNLOADING)
    failed = next((r for _, r in said if _failed(r)), None) if aspired else None
    if failed is not None:
        return VersionEntry(version=version, state=State.END, code=failed.code, message=failed.message)
    return VersionEntry(version=version, state=State.END, code=ended.code, message=ended.message)


def _may_load(report: ServableReport) -> bool:
    return report.state == State.START or stage_of(report.state, report.code) is Stage.ABSENT


def _failed(report: ServableReport | None) -> bool:
    return report is not None and stage_of(report.state, report.code) is Stage.FAILED


class Board:
    """Who has what in which state, and what should be served; answers with summed entries."""

    def __init__(self) -> None:
        self._workers: dict[int, _Worker] = {}
        # One entry for every version ever seen.
        self._ended: dict[str, dict[int, Ended]] = {}
        self._aspired: dict[str, frozenset[int]] = {}
        # Not to be loaded or served by anybody, and why.
        self._barred: dict[str, dict[int, Ended]] = {}

    def add_worker(self, entry: WorkerEntry, failed: Mapping[Key, Ended]) -> None:
        """A worker has registered; `failed` it is not to try. One that is known already stays as it is."""
        if entry.id in self._workers:
            return
        worker = self._workers[entry.id] = _Worker(entry)
        for (name, version), why in failed.items():
            report = ServableReport(name=name, version=version, state=State.END, code=why.code, message=why.message)
            worker.states.setdefault(name, {})[version] = report

    def remove_worker(self, worker_id: int) -> list[Key]:
        """A worker is gone, with all its states; returns what it was loading."""
        worker = self._workers.pop(worker_id, None)
        if worker is None:
            return []
        return [
            (name, version)
            for name, states in worker.states.items()
            for version, report in states.items()
            if report.state == State.LOADING
        ]

    def report(self, worker_id: int, servables: Iterable[ServableReport], *, full: bool) -> set[str]:
        """Take in what a worker said; returns the models concerned.

        A full report ends what it leaves out; but no failure is forgotten by one, nor by an END without an error.
        """
        worker = self._workers.get(worker_id)
        if worker is None:
            return set()
        concerned: set[str] = set()
        said: set[Key] = set()
        for report in servables:
            name, version = report.name, report.version
            said.add((name, version))
            concerned.add(name)
            states = worker.states.setdefault(name, {})
            if report.state == State.END and not _failed(report) and _failed(states.get(version)):
                continue
            states[version] = report
            ended = Ended(report.code, report.message) if report.state == State.END else None
            self._note(name, version, ended)
        for name, states in worker.states.items() if full else ():
            for version in [v for v, r in states.items() if r.state != State.END and (name, v) not in said]:
                del states[version]
                self._note(name, version, Ended())
                concerned.add(name)
        return concerned

    def impossible(self, worker_id: int, servables: Iterable[ServableReport]) -> str:
        """What in a report of changes cannot have happened since the one before it; empty when all can."""
        worker = self._workers.get(worker_id)
        last: dict[Key, State] = {}
        for report in servables if worker is not None else ():
            key, now = (report.name, report.version), State(report.state)
            known = worker.states.get(report.name, {}).get(report.version) if worker is not None else None
            before = last.get(key) or (State(known.state) if known is not None else None)
            if not may_report(before, now):
                was = before.name if before is not None else "nothing"
                return f"servable {{name: {key[0]} version: {key[1]}}} went from {was} to {now.name}"
            last[key] = now
        return ""

    def refuse(self, key: Key, why: Ended) -> None:
        """No worker is to try `key`: it has failed wherever it is not there already."""
        name, version = key
        for worker in self._workers.values():
            known = worker.states.get(name, {}).get(version)
            if known is None or stage_of(known.state, known.code) is Stage.ABSENT:
                report = ServableReport(name=name, version=version, state=State.END, code=why.code, message=why.message)
                worker.states.setdefault(name, {})[version] = report
                self._note(name, version, why)

    def bar(self, key: Key, why: Ended) -> None:
        """No worker is to have `key`, wherever it is now; it has ended when none has it any more."""
        name, version = key
        self._barred.setdefault(name, {})[version] = why
        self._note(name, version, None)

    def barred(self, model: str) -> Set[int]:
        """Versions of `model` that no worker is to have."""
        return self._barred.get(model, {}).keys()

    def _note(self, name: str, version: int, ended: Ended | None) -> None:
        known = self._ended.setdefault(name, {})
        if ended is not None:
            known[version] = ended
        else:
            known.setdefault(version, Ended())

    def aspire(self, model: str, versions: Iterable[int]) -> None:
        """`versions` of `model`, and no others, should be served; a failure of any other is forgiven from now on.

        What was barred stays so: it may be wanted again, or be what workers would go back to.
        """
        new, old = frozenset(versions), self.aspired(model)
        self._aspired[model] = new
        for version in new - old:
            self._note(model, version, Ended())
        for version in old - new - self.barred(model):
            self.forgive((model, version))

    def forgive(self, key: Key) -> None:
        """Let workers on which `key` failed, or all from which it was barred, try it again."""
        name, version = key
        self._barred.get(name, {}).pop(version, None)
        for worker in self._workers.values():
            if _failed(worker.states.get(name, {}).get(version)):
                del worker.states[name][version]

    def failed_on(self, key: Key) -> list[int]:
        """Workers on which `key` has failed."""
        name, version = key
        return [w for w, worker in self._workers.items() if _failed(worker.states.get(name, {}).get(version))]

    def leave(self, worker_id: int, model: str, chosen: Collection[int]) -> None:
        """Route no more to this worker for versions of `model` other than `chosen`: it is about to unload them."""
        worker = self._workers[worker_id]
        worker.leaving[model] = frozenset(worker.states.get(model, {})) - frozenset(chosen)

    def aspired(self, model: str) -> frozenset[int]:
        """Versions of `model` that should be served."""
        return self._aspired.get(model, frozenset())

    def stages(self, worker_id: int, model: str) -> dict[int, Stage]:
        """How far each version of `model` has come on one worker."""
        states = self._workers[worker_id].states.get(model, {})
        return {version: stage_of(report.state, report.code) for version, report in states.items()}

    def worker_ids(self) -> list[int]:
        """Live workers, ascending."""
        return sorted(self._workers)

    def workers(self) -> list[WorkerEntry]:
        """Live workers, by id."""
        return [self._workers[worker_id].entry for worker_id in self.worker_ids()]

    def model(self, name: str, *, fallback: int | None = None) -> list[VersionEntry]:
        """All versions ever seen of a model, summed, highest first; `fallback` counts as aspired."""
        barred = self._barred.get(name, {})
        aspired = (self.aspired(name) | {fallback}) - barred.keys()
        workers = [self._workers[worker_id] for worker_id in self.worker_ids()]
        states = [(worker.entry.id, worker.states.get(name, {})) for worker in workers]
        entries = [
            sum_version(
                version,
                [(worker_id, known.get(version)) for worker_id, known in states],
                aspired=version in aspired,
                ended=barred.get(version, ended),
                leaving=[w.entry.id for w in workers if version in w.leaving.get(name, ())],
            )
            for version, ended in sorted(self._ended.get(name, {}).items(), reverse=True)
        ]
        for entry in entries:
            if entry.version in barred and entry.state == State.UNLOADING:
                entry.code, entry.message = barred[entry.version].code, barred[entry.version].message
        return entries
