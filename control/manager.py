"""Decides what each worker should have loaded: desired state, versions on disk and reported states in, snapshots out.

No I/O here, and the time is passed in. Whoever owns a `Manager` feeds it configurations, looks at the file system and
reports of workers, in any order, and asks it for the lists it has `decided` and the summed `models`. Both are functions
of the state only, so a lost message or a restarted process is mended by asking again. Guarantees:

- A configuration is taken over as a whole or not at all.
- A model whose base path cannot be listed keeps what it has, and touches no other model.
- A version that failed on a worker is tried there again only after its files changed or it was gone for a while; the
  worker has then confirmed a list without it, which makes it forget the failure.
- Once the server is open, a version that has never been loaded is loaded by one worker alone; the others follow when
  it is available there. So one that ends its worker leaves the others at work.
- What a worker was loading when it ended is loaded one at a time from then on, and while it has never been loaded, only
  beside a worker that serves. When loading it has ended a worker twice, it has failed: no worker tries it again.
- A rolling switch waits for a worker that crashed, but not for ever; see `control.absences`.
- A worker that comes back takes the last version that was good first, for as long as no version that is wanted is.
- A version that ends workers that run it is barred (`control.quarantine`): none has it, and the last good one takes its
  place, until its files change or it was gone for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from control.absences import LIMIT_SECONDS, Absences
from control.catalog import Board, Key
from control.good import GoodVersions
from control.labels import assign_labels
from control.log import LOGGER
from control.model_config import Models, read_models
from control.policy import Stage
from control.quarantine import Quarantine
from control.strikes import Strikes, why
from control.transition import Transition, View, decide, one_ahead
from control.watch import Look, ModelWatch, Sight
from protos.errors import Code, ServingError, code_name
from protos.messages import DesiredServable, ModelEntry, ServableReport, State, VersionEntry, WorkerEntry
from protos.public import ModelServerConfig

_STATES = frozenset(State)


@dataclass
class _Slot:
    """What the manager knows of a live worker beyond its states."""

    name: str
    chosen: dict[str, frozenset[int]] = field(default_factory=dict)
    # What it was told to unload and has not yet reported as going: not to be counted on, nor called back.
    dropped: dict[str, frozenset[int]] = field(default_factory=dict)
    # Failures that the worker has to forget before the next try: the epoch of the list without them, once it was sent.
    retrying: dict[Key, int | None] = field(default_factory=dict)


class Manager:
    """The control loop's state and rules."""

    def __init__(
        self,
        *,
        periodic: bool,
        allow_unavailable_labels: bool,
        transition: Transition = Transition.AVAILABILITY_PRESERVING,
        transitions: Mapping[str, Transition] | None = None,
        quarantine_after_crashes: int = 0,
    ) -> None:
        """Start without a configuration.

        Args:
            periodic: there will be further looks at each model, so a vanished version may wait for the next to confirm.
            allow_unavailable_labels: --allow_version_labels_for_unavailable_models.
            transition: how workers get from one set of versions to the next.
            transitions: the same for single models, by name.
            quarantine_after_crashes: how often a version may end a worker that runs it; 0 always.
        """
        self._transition = transition
        self._transitions = dict(transitions or {})
        self._periodic = periodic
        self._allow_unavailable_labels = allow_unavailable_labels
        self._board = Board()
        self._models: Models | None = None
        self._labels: dict[str, dict[str, int]] = {}
        self._watches: dict[str, ModelWatch] = {}
        self._slots: dict[int, _Slot] = {}
        self._strikes = Strikes()
        self._absences = Absences()
        self._good = GoodVersions()
        self._quarantine = Quarantine(quarantine_after_crashes, self._board, self._strikes, self._good)
        # The server is open: what has never been loaded is first tried by one worker alone.
        self.careful = False
        # Workers that are to end: nothing is wanted of them any more.
        self._retiring: set[int] = set()
        self._entries: dict[str, ModelEntry] = {}
        self._dirty: set[str] = set()

    # --- configuration ---

    @property
    def configured(self) -> list[str]:
        """Names of the models that are to be served."""
        return list(self._watches)

    def apply(self, config: ModelServerConfig) -> tuple[list[str], list[str]]:
        """Replace the configuration; returns the names of new models, and of those that should be looked at at once.

        A configuration without content changes nothing.

        Raises:
            ServingError: the configuration is illegal or a label may not move; nothing has changed.
        """
        models = read_models(config, self._models)
        if models is None:
            LOGGER.info("Taking no action for empty config.")
            return [], []
        labels = {
            name: assign_labels(
                name,
                current=self._labels.get(name, {}),
                requested=settings.labels,
                available=[entry.version for entry in self.versions(name) if entry.state == State.AVAILABLE],
                allow_unavailable=self._allow_unavailable_labels,
            )
            for name, settings in models.items()
        }
        if models == self._models and labels == self._labels:
            return [], []
        LOGGER.info("Adding/updating models.")
        new = [name for name in models if name not in self._watches]
        due = list(new)
        for name in self._watches.keys() - models.keys():
            del self._watches[name]
            self._good.forget(name)
            self._aspire(name, ())
            for version in list(self._board.barred(name)):
                self._forgive((name, version))
        for name, settings in models.items():
            LOGGER.info(" (Re-)adding model: %s", name)
            watch = self._watches.get(name)
            if watch is None:
                self._watches[name] = ModelWatch(settings, self._periodic)
            elif watch.reconfigure(settings):
                due.append(name)
        self._watches = {name: self._watches[name] for name in models}
        for key in self._quarantine.pointless(self._watches):
            self._forgive(key)
        self._models, self._labels = models, labels
        self._dirty |= models.keys()
        LOGGER.info("Finished adding/updating models")
        return new, due

    # --- file system ---

    def look_for(self, name: str) -> Look | None:
        """What to look for on disk for a model; None when it is no longer configured."""
        watch = self._watches.get(name)
        if watch is None:
            return None
        stages = [stage for worker in self._slots for stage in self._board.stages(worker, name).items()]
        known = {version for version, stage in stages if stage is not Stage.ABSENT}
        failed = {version for version, stage in stages if stage is Stage.FAILED}.union(self._board.barred(name))
        return watch.request(known=known, failed=failed)

    def saw(self, name: str, sight: Sight) -> tuple[str, ...]:
        """Take in a look at a model; returns warnings for people."""
        watch = self._watches.get(name)
        if watch is None:
            return ()
        before = (watch.observed, watch.versions)
        for version in watch.saw(sight):
            if self._board.failed_on((name, version)) or version in self._board.barred(name):
                LOGGER.info(
                    "The files of servable {name: %s version: %d} have changed: it is tried again", name, version
                )
                self._forgive((name, version))
        if (watch.observed, watch.versions) != before:
            self._aspire(name, watch.versions)
        for version in set(self._board.barred(name)) - watch.present - watch.versions.keys():
            self._forgive((name, version))
        return watch.warnings

    def settling(self, name: str) -> bool:
        """Some version of a model is still being written: look again soon."""
        watch = self._watches.get(name)
        return watch is not None and watch.settling

    def look_failed(self, name: str, error: ServingError) -> None:
        """A model could not be looked at."""
        watch = self._watches.get(name)
        if watch is not None:
            watch.failed(error)

    def _aspire(self, name: str, versions: Collection[int]) -> None:
        for version in self._board.aspired(name) - frozenset(versions) - self._board.barred(name):
            self._forgive((name, version))
        self._board.aspire(name, versions)
        self._dirty.add(name)

    def _forgive(self, key: Key) -> None:
        """Forget that `key` failed, here and, with the next list, on the workers; only then is it tried again."""
        self._strikes.forget(key)
        self._quarantine.forget(key)
        self._retry(key)

    def _retry(self, key: Key) -> None:
        for worker_id in self._board.failed_on(key):
            self._slots[worker_id].retrying[key] = None
        self._board.forgive(key)
        self._dirty.add(key[0])

    # --- workers ---

    def worker_joined(self, entry: WorkerEntry) -> None:
        """A worker has registered, or registered again."""
        if entry.id not in self._slots:
            self._slots[entry.id] = _Slot(entry.name)
            self._absences.back(entry.name)
            self._board.add_worker(entry, self._strikes.all_deadly(entry.name))
            self._dirty |= self._all_models()

    def worker_left(self, worker_id: int, *, crashed: bool) -> None:
        """A worker is gone. `crashed`: not in order, so what it was loading is under suspicion."""
        slot = self._slots.pop(worker_id, None)
        self._retiring.discard(worker_id)
        if slot is None:
            return
        loading = self._board.remove_worker(worker_id)
        if crashed:
            self._strikes.crashed(slot.name, loading)
            self._absences.lost(slot.name)
            self._quarantine.left(slot.name, loading)
        for key in loading if crashed else ():
            LOGGER.error("%s ended while it was loading servable {name: %s version: %d}", slot.name, *key)
            if not self._strikes.is_proven(key) and self._strikes.deadly(slot.name, key):
                self._board.refuse(key, why(key))
        self._dirty |= self._all_models()

    def worker_ended(self, name: str, running: Collection[Key], *, now: float, evidence: bool) -> Collection[Key]:
        """The process of a worker that has left is gone; returns what may be why. See `Quarantine.ended`."""
        verdict = self._quarantine.ended(name, running, now=now, evidence=evidence, watches=self._watches)
        self._dirty |= {model for model, _ in verdict.barred}
        for key in verdict.cleared:
            LOGGER.info("Servable {name: %s version: %d} is no longer suspected: it is tried again", *key)
            self._strikes.clear(key)
            self._retry(key)
        return verdict.suspects

    def slot_closed(self, name: str) -> None:
        """No worker of this name will come again."""
        self._strikes.closed(name)
        self._absences.closed(name)
        self._dirty |= self._all_models()

    def tick(self, now: float) -> None:
        """Time has passed: workers that crashed may have been away for too long."""
        before = self._absences.given_up
        if not self._absences.tick(now):
            return
        for name in sorted(self._absences.given_up - before):
            LOGGER.error("%s has not come back for %.0f s: rolling switches go on without it", name, LIMIT_SECONDS)
        self._dirty |= self._all_models()

    def worker_reported(self, worker_id: int, servables: Iterable[ServableReport], *, full: bool) -> bool:
        """Take in a report; states that don't exist are dropped from it.

        Returns:
            False when a report of changes makes no sense after the ones before. Nothing of it is taken in then; the
            worker has to tell everything.
        """
        slot = self._slots.get(worker_id)
        if slot is None:
            return True
        good = []
        for report in servables:
            if report.state not in _STATES:
                LOGGER.error("%s reports state %d of a servable; there is none", slot.name, report.state)
                continue
            good.append(report)
        wrong = "" if full else self._board.impossible(worker_id, good)
        if wrong:
            LOGGER.error("%s says what cannot be: %s", slot.name, wrong)
            return False
        for report in good:
            key = (report.name, report.version)
            if report.state in (State.AVAILABLE, State.END) and self._strikes.acquit(key):
                # The next suspect has waited for this.
                self._dirty |= self._strikes.models()
            if report.state == State.AVAILABLE and report.version in self._board.aspired(report.name):
                self._strikes.prove(key)
        self._dirty |= self._board.report(worker_id, good, full=full)
        return True

    def retire(self, worker_id: int) -> None:
        """Route nothing to a worker any more, and have it unload everything: it is about to end."""
        if worker_id in self._slots:
            self._retiring.add(worker_id)
            self._dirty |= self._all_models()

    def has_settled(self, worker_id: int) -> bool:
        """The worker has loaded, or failed to load, all that it should as of the last `refresh`."""
        slot = self._slots.get(worker_id)
        if slot is None or self._dirty or any(not watch.observed for watch in self._watches.values()):
            return False
        done = (Stage.READY, Stage.FAILED)
        for name in self._watches:
            stages = self._board.stages(worker_id, name)
            if any(stages.get(version) not in done for version in slot.chosen.get(name, ())):
                return False
        return True

    def serves_all_of(self, worker_id: int, other_id: int) -> bool:
        """Whatever one worker serves, the other one could answer."""
        for name in self._watches:
            there, here = self._board.stages(other_id, name), self._board.stages(worker_id, name)
            if any(s is Stage.READY and here.get(v) is not Stage.READY for v, s in there.items()):
                return False
        return True

    def sent(self, worker_id: int, epoch: int) -> None:
        """The list that was last decided for a worker was sent, or had been sent already, under `epoch`."""
        retrying = self._slots[worker_id].retrying
        for key, at in retrying.items():
            if at is None:
                retrying[key] = epoch

    def acked(self, worker_id: int, epoch: int) -> None:
        """A worker has carried out the list of `epoch`."""
        slot = self._slots.get(worker_id)
        if slot is None:
            return
        for key in [key for key, at in slot.retrying.items() if at is not None and at <= epoch]:
            del slot.retrying[key]
            self._dirty.add(key[0])

    # --- decisions ---

    @property
    def dirty(self) -> bool:
        """A `refresh` would find something to decide."""
        return bool(self._dirty)

    def refresh(self) -> None:
        """Decide anew, and sum up, for what has changed."""
        dirty, self._dirty = self._dirty, set()
        for name in dirty:
            stages = {worker_id: self._board.stages(worker_id, name) for worker_id in self._slots}
            for worker_id, chosen in self._choose(name, stages).items():
                slot = self._slots[worker_id]
                dropped = (slot.dropped.get(name, frozenset()) | slot.chosen.get(name, frozenset())) - chosen
                slot.chosen[name] = chosen
                slot.dropped[name] = frozenset(
                    v for v in dropped if stages[worker_id].get(v) in (Stage.LOADING, Stage.READY)
                )
                self._board.leave(worker_id, name, chosen)
            self._sum(name)

    def _choose(self, name: str, stages: dict[int, dict[int, Stage]]) -> dict[int, frozenset[int]]:
        """What each worker should have loaded of a model."""
        watch = self._watches.get(name)
        if watch is None:
            return dict.fromkeys(stages, frozenset())
        if not watch.observed:
            # Control may be younger than the worker: nothing is unloaded before the disk was looked at. What the
            # worker was told to unload, because the model was away for a moment, it unloads.
            return {
                worker_id: frozenset(v for v, stage in known.items() if stage in (Stage.LOADING, Stage.READY))
                - self._slots[worker_id].dropped.get(name, frozenset())
                for worker_id, known in stages.items()
            }
        views = {
            worker_id: self._view(self._slots[worker_id], watch, known)
            for worker_id, known in sorted(stages.items(), key=lambda item: self._slots[item[0]].name)
            if worker_id not in self._retiring
        }
        transition = self._transitions.get(name, self._transition)
        given_up = {worker for worker in views if self._slots[worker].name in self._absences.given_up}
        away = bool(self._absences.awaited())
        if self.careful:
            new = {version for version in watch.versions if not self._strikes.is_proven((name, version))}
            struck = {version for version in new if self._strikes.is_struck((name, version))}
            views = one_ahead(new, struck, views, away=away, given_up=given_up)
        self._good.note(
            name,
            watch.versions,
            {v for view in views.values() for v, stage in view.stages.items() if stage is Stage.READY},
        )
        chosen = decide(
            transition,
            watch.versions,
            views,
            fallback=self._last_good(watch),
            away=self.careful and away,
            given_up=given_up,
        )
        return chosen | dict.fromkeys(self._retiring & stages.keys(), frozenset())

    def _view(self, slot: _Slot, watch: ModelWatch, stages: dict[int, Stage]) -> View:
        name = watch.settings.name
        dropped = slot.dropped.get(name)
        barred = self._board.barred(name)
        stages = {version: stage for version, stage in stages.items() if version not in barred}
        held = {version for model, version in slot.retrying if model == name}.union(barred)
        held |= {version for model, version in self._strikes.suspects(slot.name)[1:] if model == name}
        for version in watch.versions:
            if stages.get(version) is not Stage.READY and self._strikes.deadly(slot.name, (name, version)):
                stages.pop(version, None)
                held.add(version)
        incomplete = {version.number for version in watch.versions.values() if not version.complete}
        held |= {version.number for version in watch.versions.values() if not version.settled}
        if incomplete and (len(incomplete) < len(watch.versions) or self._has_any(name)):
            held |= incomplete
        return View(stages, held, frozenset(stages) - dropped if dropped else None)

    def _last_good(self, watch: ModelWatch) -> int | None:
        """The version that workers go back to when they have nothing else to serve."""
        name = watch.settings.name
        return self._good.last(name, barred=self._board.barred(name), present=watch.present)

    def _has_any(self, name: str) -> bool:
        return any(Stage.READY in self._board.stages(worker, name).values() for worker in self._slots)

    def decided(self, worker_id: int) -> list[DesiredServable]:
        """What a worker should have loaded as of the last `refresh`: models in order, highest version first."""
        chosen = self._slots[worker_id].chosen
        return [
            DesiredServable(name=name, version=version, path=watch.path(version))
            for name, watch in self._watches.items()
            for version in sorted(chosen.get(name, ()), reverse=True)
        ]

    def workers(self) -> list[WorkerEntry]:
        """Live workers, by id."""
        return self._board.workers()

    def models(self) -> list[ModelEntry]:
        """All models with their versions and labels as of the last `refresh`, by name."""
        return [self._entries[name] for name in sorted(self._entries)]

    def versions(self, name: str) -> list[VersionEntry]:
        """All versions of a model as of the last `refresh`, highest first."""
        entry = self._entries.get(name)
        return entry.versions if entry is not None else []

    def watch(self, name: str) -> ModelWatch | None:
        """What is known of the files of a model, None when it is not configured."""
        return self._watches.get(name)

    def _sum(self, name: str) -> None:
        before = {entry.version: entry for entry in self.versions(name)}
        watch = self._watches.get(name)
        # What takes the place of versions that are all barred comes as soon as there is a worker.
        instead = watch is not None and watch.versions and not watch.versions.keys() - self._board.barred(name)
        fallback = self._last_good(watch) if watch is not None and instead else None
        versions = self._board.model(name, fallback=fallback)
        now = ModelEntry(name=name, versions=versions, labels=self._labels.get(name, {}))
        self._entries[name] = now
        for entry in now.versions:
            old = before.get(entry.version)
            if old is None or (old.state, old.message) != (entry.state, entry.message):
                _log_failure(name, entry)

    def _all_models(self) -> set[str]:
        return self._watches.keys() | self._entries.keys()


def _log_failure(name: str, entry: VersionEntry) -> None:
    if entry.state == State.END and entry.code not in (Code.OK, Code.CANCELLED):
        text = "Encountered an error for servable version {name: %s version: %d}: %s: %s"
        LOGGER.error(text, name, entry.version, code_name(entry.code), entry.message)
