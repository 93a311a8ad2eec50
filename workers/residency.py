"""Which versions live on this worker: carries out what control wants and reports how it goes.

Level-triggered: `apply` gets everything that should be loaded, and the difference to what is there is worked off. A
version that failed stays known, and is not tried again, until it is no longer wanted. Loads and unloads run on
loader threads; everything else, retries included, happens on the worker's loop, so nothing here waits.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence

from protos.configs import WorkerConfig
from protos.errors import Code, ServingError
from protos.messages import DesiredServable, ServableReport, State
from workers import load_pool, loading
from workers.batch_scheduler import QueueTable
from workers.housekeeping import Housekeeping
from workers.loaders import Loaders
from workers.loading import Loaded, Outcome
from workers.metrics import ModelCounts, WorkerMetrics
from workers.status import as_serving_error
from workers.task import Task

log = logging.getLogger("tensormux.worker")

# Errors that another try cannot mend: the files would have to change first.
_PERMANENT = frozenset(
    {Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED, Code.FAILED_PRECONDITION, Code.DATA_LOSS}
)

# How often loads are looked at that wait for a thread.
_LOOK_AGAIN_NS = 100_000_000

Key = tuple[str, int]


class Resident:
    """One version on this worker. `in_flight` counts requests that hold it; it is freed when none is left."""

    __slots__ = (
        "key",
        "path",
        "state",
        "error",
        "servable",
        "signatures",
        "in_flight",
        "wanted",
        "loading",
        "failures",
        "queues",
        "waiting",
        "counts",
    )

    def __init__(self, key: Key, path: str, counts: ModelCounts) -> None:
        self.key = key
        self.counts = counts
        self.path = path
        self.state = State.START
        self.error: ServingError | None = None
        self.servable: Loaded | None = None
        self.signatures = b""
        self.in_flight = 0
        self.wanted = True
        # A loader thread is at it; neither before the first try nor between two.
        self.loading = False
        self.failures = 0
        # Batching queues of this version; the engine makes them.
        self.queues: QueueTable | None = None
        # Requests that wait for a thread when there is no batching.
        self.waiting: deque[Task] = deque()

    def __str__(self) -> str:
        return f"{{name: {self.key[0]} version: {self.key[1]}}}"


class Residency:
    """All versions on this worker.

    Args:
        config: tags, session, retries.
        executor: its results come back through `finished`.
        metrics: where to count.
        on_change: called with a resident whenever its state changed.
        on_unload: called when a version stops taking requests, before it is freed.
    """

    def __init__(
        self,
        config: WorkerConfig,
        executor: Loaders,
        metrics: WorkerMetrics,
        *,
        on_change: Callable[[Resident], None],
        on_unload: Callable[[Resident], None],
    ) -> None:
        self._config = config
        self._executor = executor
        self._metrics = metrics
        metrics.registry.on_snapshot(self._count_in_flight)
        self._on_change = on_change
        self._on_unload = on_unload
        self._desired: dict[Key, DesiredServable] = {}
        # At most one a key: a version that is wanted again while it goes away waits until it has gone.
        self._residents: dict[Key, Resident] = {}
        self._to_load: deque[Resident] = deque()
        self._loading = 0
        self._retries: list[tuple[int, int, Resident]] = []
        self._tie = 0
        # When loads have taken too long; 0 for one that has not begun, or not been looked at since.
        self._deadlines: dict[Resident, int] = {}
        self._housekeeping = Housekeeping(executor)
        # Versions unloaded so far.
        self.unloads = 0
        # What may be asked for, by (model, version): the hot path's table.
        self.available: dict[Key, Resident] = {}

    def apply(self, desired: Sequence[DesiredServable]) -> None:
        """Make `desired` so: load what is missing, unload what is not listed."""
        self._desired = {(item.name, item.version): item for item in desired}
        for key, resident in list(self._residents.items()):
            if key not in self._desired:
                self._unwant(resident)
        for key, item in self._desired.items():
            known = self._residents.get(key)
            if known is None:
                self._add(key, item.path)
            elif not known.wanted and known.state < State.UNLOADING and known.path == item.path:
                known.wanted = True  # still loading: keep what comes of it
        self._start_loads()

    def _add(self, key: Key, path: str) -> None:
        resident = self._residents[key] = Resident(key, path, self._metrics.model(key[0]))
        self._on_change(resident)
        self._to_load.append(resident)

    def _unwant(self, resident: Resident) -> None:
        resident.wanted = False
        if resident.state == State.AVAILABLE:
            log.info("Quiescing servable version %s", resident)
            del self.available[resident.key]
            self._move(resident, State.UNLOADING)
            self._on_unload(resident)
            self.release(resident)
        elif resident.state == State.END:
            del self._residents[resident.key]
        elif resident.state < State.UNLOADING and not resident.loading:
            self._end(resident, _cancelled(resident))

    def release(self, resident: Resident) -> None:
        """To be called when a request let go of a version; frees it if it is being unloaded and was the last."""
        if resident.state != State.UNLOADING or resident.in_flight or resident.servable is None:
            return
        log.info("Done quiescing servable version %s", resident)
        log.info("Unloading just-loaded servable version %s", resident)
        servable, resident.servable = resident.servable, None
        self._executor.submit(servable.close, resident)

    def _start_loads(self) -> None:
        while self._to_load and self._loading < self._executor.threads:
            resident = self._to_load.popleft()
            if resident.state not in (State.START, State.LOADING) or not resident.wanted:
                continue
            self._loading += 1
            resident.loading = True
            if resident.state == State.START:
                log.info("Loading servable version %s", resident)
                self._move(resident, State.LOADING)
            if self._config.load_timeout_seconds > 0:
                self._deadlines[resident] = 0
            self._submit_load(resident)

    def _submit_load(self, resident: Resident) -> None:
        def wanted() -> bool:
            return resident.wanted and resident.state == State.LOADING

        self._executor.submit(lambda: loading.load(resident.path, self._config, wanted, resident.key), resident)

    def finished(self, resident: Resident | None, result: Outcome | None, error: BaseException | None) -> int:
        """Take the outcome of a load or an unload, or (with None) of cleaning up after them.

        Returns:
            The load's failures so far when it is to be retried, else 0.
        """
        if resident is None:
            if error is not None:
                log.error("cannot give memory back: %s", error)
            return 0
        if resident.state == State.UNLOADING:
            log.info("Done unloading servable version %s", resident)
            self.unloads += 1
            self._end(resident, None if error is None else as_serving_error(error))
            self._start_loads()
            return 0
        self._let_go(resident)
        retry = 0
        outcome = result if result is not None else Outcome(error=error and as_serving_error(error))
        if outcome.warmth is not None:
            self._metrics.warmed(resident.path, outcome.warmth)
        if outcome.error is not None:
            retry = self._failed(resident, outcome.error)
        elif outcome.servable is None:
            # Given up because it wasn't wanted, which may have changed since.
            if resident.wanted:
                self._to_load.append(resident)
            else:
                self._end(resident, _cancelled(resident))
        else:
            resident.servable, resident.signatures = outcome.servable, outcome.signatures
            if resident.wanted:
                self.available[resident.key] = resident
                log.info("Successfully loaded servable version %s", resident)
                self._move(resident, State.AVAILABLE)
                load_pool.leave_room()  # until now there was nobody to hold up
            else:
                resident.error = _cancelled(resident)
                resident.state = State.UNLOADING
                self._on_change(resident)
                self.release(resident)
        self._start_loads()
        return retry

    def _let_go(self, resident: Resident) -> None:
        self._loading -= 1
        resident.loading = False
        self._deadlines.pop(resident, None)

    def _failed(self, resident: Resident, error: ServingError) -> int:
        log.error("Loading servable: %s failed: %s", resident, error)
        resident.failures += 1
        if not resident.wanted:
            self._end(resident, _cancelled(resident))
        elif error.code in _PERMANENT:
            self._end(resident, error)
        elif resident.failures > self._config.max_num_load_retries:
            retries = self._config.max_num_load_retries
            log.info("Retrying of Loading servable: %s exhausted max_num_retries: %d", resident, retries)
            self._end(resident, error)
        else:
            return resident.failures
        return 0

    def retry_at(self, resident: Resident, now_ns: int) -> None:
        """Try a failed load again after the configured pause."""
        pause_ns = max(0, self._config.load_retry_interval_micros) * 1000
        self._tie += 1
        heapq.heappush(self._retries, (now_ns + pause_ns, self._tie, resident))

    def tick(self, now_ns: int) -> int | None:
        """Start the retries that are due, end what takes too long; when to call again, or None."""
        while self._retries and self._retries[0][0] <= now_ns:
            resident = heapq.heappop(self._retries)[2]
            if resident.wanted and resident.state == State.LOADING:
                log.info("Retrying of Loading servable: %s retry: %d", resident, resident.failures)
                self._to_load.append(resident)
        self._end_overdue(now_ns)
        self._start_loads()
        due_ns = [deadline_ns or now_ns + _LOOK_AGAIN_NS for deadline_ns in self._deadlines.values()]
        if self._retries:
            due_ns.append(self._retries[0][0])
        clean_ns = self._housekeeping.tick(now_ns)
        if clean_ns is not None:
            due_ns.append(clean_ns)
        return min(due_ns, default=None)

    def _end_overdue(self, now_ns: int) -> None:
        seconds = self._config.load_timeout_seconds
        for resident, deadline_ns in list(self._deadlines.items()):
            if not deadline_ns:
                if self._executor.is_running(resident):
                    self._deadlines[resident] = now_ns + int(seconds * 1e9)
            elif deadline_ns <= now_ns and self._executor.abandon(resident):
                self._let_go(resident)
                message = f"Loading servable: {resident} takes longer than {seconds:g} s"
                self._end(
                    resident, ServingError(Code.DEADLINE_EXCEEDED, message) if resident.wanted else _cancelled(resident)
                )

    def _move(self, resident: Resident, state: State) -> None:
        resident.state = state
        self._on_change(resident)

    def _end(self, resident: Resident, error: ServingError | None) -> None:
        resident.error = resident.error or error
        if resident.error is not None:
            log.error("Servable %s cannot be loaded: %s", resident, resident.error)
        resident.signatures = b""
        self._housekeeping.freed()
        self._move(resident, State.END)
        if not resident.wanted:
            del self._residents[resident.key]
            again = self._desired.get(resident.key)
            if again is not None:
                self._add(resident.key, again.path)

    def reports(self) -> list[ServableReport]:
        """Everything there is to know, for a full report."""
        return [report(resident) for resident in self._residents.values()]

    def _count_in_flight(self) -> None:
        requests = dict.fromkeys(self._metrics.names, 0)
        for resident in self._residents.values():
            requests[resident.key[0]] += resident.in_flight
        for model, count in requests.items():
            self._metrics.in_flight(model, count)

    @property
    def busy(self) -> bool:
        """Some version is still being loaded or unloaded."""
        return self._loading > 0 or any(r.state == State.UNLOADING for r in self._residents.values())


def _cancelled(resident: Resident) -> ServingError:
    if resident.state != State.START:
        log.info("Retrying of Loading servable: %s was cancelled.", resident)
    return ServingError(Code.CANCELLED, "Loading of servable cancelled")


def report(resident: Resident) -> ServableReport:
    """One version as control wants to hear of it."""
    error = resident.error
    return ServableReport(
        name=resident.key[0],
        version=resident.key[1],
        state=int(resident.state),
        code=error.code if error else 0,
        message=error.message if error else "",
        signatures=resident.signatures,
    )
