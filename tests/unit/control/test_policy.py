from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.policy import Stage, next_desired, stage_of
from protos.errors import Code
from protos.messages import State

LOADING, READY, UNLOADING, FAILED = Stage.LOADING, Stage.READY, Stage.UNLOADING, Stage.FAILED


@pytest.mark.parametrize(
    ("state", "code", "stage"),
    [
        (State.UNKNOWN, Code.OK, Stage.ABSENT),
        (State.START, Code.OK, LOADING),
        (State.LOADING, Code.OK, LOADING),
        (State.AVAILABLE, Code.OK, READY),
        (State.UNLOADING, Code.OK, UNLOADING),
        (State.END, Code.OK, Stage.ABSENT),
        (State.END, Code.CANCELLED, Stage.ABSENT),
        (State.END, Code.NOT_FOUND, FAILED),
    ],
)
def test_stage_of_a_report(state: State, code: Code, stage: Stage) -> None:
    assert stage_of(state, code) is stage


@pytest.mark.parametrize(
    ("story", "aspired", "stages", "desired"),
    [
        ("nothing wanted, nothing there", [], {}, []),
        ("first version", [1], {}, [1]),
        ("several at once, nothing to make room for", [1, 2, 3], {}, [1, 2, 3]),
        ("the rest comes beside what is there", [1, 2, 3], {3: READY, 2: LOADING}, [1, 2, 3]),
        ("settled", [2, 1], {2: READY, 1: READY}, [2, 1]),
        ("new version: the old one stays while it loads", [2], {1: READY}, [2, 1]),
        ("still loading", [2], {1: READY, 2: LOADING}, [2, 1]),
        ("new version is ready: the old one goes", [2], {1: READY, 2: READY}, [2]),
        ("the old one is going", [2], {1: UNLOADING, 2: READY}, [2]),
        ("the old one is gone", [2], {1: Stage.ABSENT, 2: READY}, [2]),
        ("new version failed: the old one stays", [2], {1: READY, 2: FAILED}, [2, 1]),
        ("failed, nothing else there", [2], {2: FAILED}, [2]),
        ("a newer one than the failed", [3], {1: READY, 2: FAILED}, [3, 1]),
        ("all versions deleted", [], {1: READY, 2: LOADING}, []),
        ("highest deleted, next one first", [1], {2: READY}, [1, 2]),
        ("highest deleted, next one there", [1], {2: READY, 1: READY}, [1]),
        ("several old ones: all but the highest go before anything loads", [4], {1: READY, 2: READY, 3: READY}, [3]),
        ("one of them is still going", [4], {2: UNLOADING, 3: READY}, [3]),
        ("they have gone", [4], {2: Stage.ABSENT, 3: READY}, [4, 3]),
        ("a switch to several: one load, the highest first", [5, 4], {1: READY}, [5, 1]),
        ("no other starts meanwhile", [5, 4], {1: READY, 5: LOADING}, [5, 1]),
        ("then the old one goes and the next starts", [5, 4], {1: READY, 5: READY}, [5, 4]),
        ("the next starts also when the highest failed", [5, 4], {1: READY, 5: FAILED}, [5, 4, 1]),
        ("several loads under way are left alone", [5, 4], {1: READY, 5: LOADING, 4: LOADING}, [5, 4, 1]),
        ("an aspired one is ready: no old one is needed", [5, 3], {2: READY, 3: READY}, [5, 3]),
        ("a load that nobody wants any more is dropped", [3], {2: LOADING}, [3]),
        ("dropped before another one starts beside an old one", [3], {1: READY, 2: LOADING}, [1]),
        ("wanted again while unloading: waits until it is gone", [1], {1: UNLOADING}, []),
        ("wanted again while unloading, the other one stays", [1], {1: UNLOADING, 2: READY}, [2]),
        ("wanted again, unloaded meanwhile", [1], {1: Stage.ABSENT, 2: READY}, [1, 2]),
        ("one unloads, another one is wanted", [2], {1: UNLOADING}, [2]),
        ("an old failure means nothing", [2], {1: FAILED}, [2]),
    ],
)
def test_next_desired(
    story: str, aspired: Collection[int], stages: Mapping[int, Stage], desired: Collection[int]
) -> None:
    assert next_desired(aspired, stages) == set(desired), story


@pytest.mark.parametrize(
    ("story", "aspired", "stages", "held", "desired"),
    [
        ("the old one serves in its place", [2], {1: READY}, [2], [1]),
        ("for ever", [2], {1: READY, 2: FAILED}, [2], [1]),
        ("not started with nothing else there", [2], {}, [2], []),
        ("others are started", [3, 2], {1: READY}, [3], [2, 1]),
        ("what is loading or ready stays", [3, 2], {3: LOADING, 2: READY}, [3, 2], [3, 2]),
        ("a failure is left out, so that it can be tried again later", [3, 2], {3: FAILED, 2: READY}, [3], [2]),
    ],
)
def test_held_versions_are_wanted_but_not_started(
    story: str, aspired: Collection[int], stages: Mapping[int, Stage], held: Collection[int], desired: Collection[int]
) -> None:
    assert next_desired(aspired, stages, held=held) == set(desired), story


@pytest.mark.parametrize(
    ("story", "aspired", "stages", "previous", "desired"),
    [
        ("told to go, wanted again, still said to be ready: the other one stays", [1], {1: READY, 2: READY}, [2], [2]),
        ("told to go and the last one", [1], {1: READY}, [], []),
        ("told to stop loading", [1], {1: LOADING, 2: READY}, [2], [2]),
        ("gone by now", [1], {2: READY}, [2], [1, 2]),
        ("nothing was told", [1], {1: READY, 2: READY}, None, [1]),
        ("as before", [2], {1: READY, 2: LOADING}, [1, 2], [1, 2]),
        ("a failure stays one", [1], {1: FAILED, 2: READY}, [2], [1, 2]),
    ],
)
def test_what_was_told_to_go_cannot_be_counted_on(
    story: str,
    aspired: Collection[int],
    stages: Mapping[int, Stage],
    previous: Collection[int] | None,
    desired: Collection[int],
) -> None:
    assert next_desired(aspired, stages, previous=previous) == set(desired), story


class Worker:
    """A worker that acts, and reports, some time after it was asked."""

    def __init__(self, broken: Collection[int]) -> None:
        self.stages: dict[int, Stage] = {}
        self.reported: dict[int, Stage] = {}
        self.asked: frozenset[int] | None = None
        self.desired: frozenset[int] = frozenset()
        self.broken = broken

    def ask(self, aspired: Collection[int]) -> None:
        self.asked = next_desired(aspired, self.reported, previous=self.asked)

    def receive(self) -> None:
        """Take in the newest list; begin to load and unload."""
        self.desired = self.asked or frozenset()
        for version in self.desired:
            self.stages.setdefault(version, LOADING)
        for version, stage in list(self.stages.items()):
            if version not in self.desired:
                if stage is FAILED:
                    del self.stages[version]
                else:
                    self.stages[version] = UNLOADING

    def work(self) -> None:
        """Finish what was begun."""
        for version, stage in list(self.stages.items()):
            if stage is LOADING:
                self.stages[version] = FAILED if version in self.broken else READY
            elif stage is UNLOADING:
                del self.stages[version]

    def report(self) -> None:
        self.reported = dict(self.stages)

    def ready(self) -> set[int]:
        return {version for version, stage in self.stages.items() if stage is READY}

    def counted_on(self) -> bool:
        return any(self.reported.get(version) is READY for version in self.asked or ())

    def resident(self) -> int:
        return sum(stage in (LOADING, READY, UNLOADING) for stage in self.stages.values())


versions = st.sets(st.integers(min_value=1, max_value=5), max_size=3)
# What changes in a round, if anything, and how far the worker comes in it.
rounds = st.tuples(st.none() | versions, st.sets(st.sampled_from(["receive", "work", "report"])))


@settings(max_examples=300, deadline=None)
@given(versions, st.lists(rounds, max_size=12))
def test_whatever_happens_when_a_model_stays_available_and_settles(
    broken: set[int], script: list[tuple[set[int] | None, set[str]]]
) -> None:
    worker = Worker(broken)
    aspired: set[int] = set()
    # From the moment that control knew of a version it could count on, as long as any version is wanted.
    must_answer = False
    for change, done in script:
        aspired = aspired if change is None else change
        for step in ("nothing yet", "receive", "work", "report"):
            if step in done:
                getattr(worker, step)()
            worker.ask(aspired)
            must_answer = bool(aspired) and (must_answer or worker.counted_on())
            assert worker.ready() or not must_answer
    for _ in range(12):
        worker.receive()
        worker.work()
        worker.report()
        worker.ask(aspired)
    loadable = aspired - broken
    assert worker.ready() >= loadable
    assert len(worker.ready() - aspired) <= (0 if loadable or not aspired else 1)


@settings(max_examples=100, deadline=None)
@given(versions, versions.filter(bool), versions)
def test_a_switch_needs_room_for_one_version_more(old: set[int], new: set[int], broken: set[int]) -> None:
    worker = Worker(broken)
    for aspired in (old, new):
        before = worker.resident()
        for _ in range(12):
            for step in (worker.receive, worker.report, worker.work, worker.report):
                worker.ask(aspired)
                step()
                assert worker.resident() <= max(before, len(aspired) + 1)
