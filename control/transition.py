"""How the workers get from one set of versions of a model to the next: the aspired version policies, as pure functions.

`decide` looks at one model on all workers at once and says what each should have loaded now. Like `control.policy` it
is level-triggered and keeps no memory: the same snapshot gives the same answer.

* AVAILABILITY_PRESERVING, TensorFlow Serving's own: every worker loads the new version before it unloads the old one. A
  worker needs room for one version more.
* RESOURCE_PRESERVING: every worker unloads what is no longer aspired before it loads anything. It needs no room, and
  the model is away meanwhile.
* ROLLING: one worker after another unloads and then loads, the others serve. It needs no room, the model stays
  available, and 1/N of the capacity is away during a switch; while a worker is away anyway, none begins, unless that
  one was given up. A version that fails on the first worker goes no further, and that worker takes back what the others
  still serve. A worker beside which no other can be counted on to serve loads first, as with AVAILABILITY_PRESERVING.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import NamedTuple

from control.policy import Stage, effective, next_desired

_COMING_OR_THERE = frozenset({Stage.LOADING, Stage.READY})


class Transition(Enum):
    """The policy; values are those of the flag."""

    AVAILABILITY_PRESERVING = "availability_preserving"
    RESOURCE_PRESERVING = "resource_preserving"
    ROLLING = "rolling"


class View(NamedTuple):
    """One model on one worker; see `control.policy.next_desired` for the attributes.

    Attributes:
        later: held only until another worker has tried them.
    """

    stages: Mapping[int, Stage]
    held: Collection[int] = frozenset()
    previous: Collection[int] | None = None
    later: Collection[int] = frozenset()


def decide(
    transition: Transition,
    aspired: Collection[int],
    views: Mapping[int, View],
    *,
    fallback: int | None = None,
    away: bool = False,
    given_up: Collection[int] = (),
) -> dict[int, frozenset[int]]:
    """The versions of one model that each worker should have loaded now, by worker.

    Args:
        transition: the policy.
        aspired: what the model's version policy wants, in any order.
        views: the model on every worker.
        fallback: a version that was good. A worker that has nothing to serve takes it back when nothing that is aspired
            can be loaded there; with AVAILABILITY_PRESERVING before anything is tried.
        away: there are workers that crashed and will come back.
        given_up: workers that keep crashing: nobody waits for them, counts on them, or learns from what fails there.
    """
    if transition is Transition.ROLLING and (len(views) > 1 or away) and aspired:
        chosen = _roll(aspired, views, away=away, given_up=given_up)
        first = False
    else:
        rule = resource_preserving if transition is Transition.RESOURCE_PRESERVING else _availability_preserving
        chosen = {worker: rule(aspired, view) for worker, view in views.items()}
        first = transition is not Transition.RESOURCE_PRESERVING
    if fallback is None or fallback in aspired or not aspired:
        return chosen
    return {w: _fall_back(chosen[w], aspired, view, fallback, first=first) for w, view in views.items()}


def _fall_back(
    chosen: frozenset[int], aspired: Collection[int], view: View, fallback: int, *, first: bool
) -> frozenset[int]:
    now = effective(view.stages, view.previous)
    if Stage.READY in now.values() or now.get(fallback, Stage.ABSENT) not in (Stage.ABSENT, Stage.LOADING):
        return chosen
    if any(now.get(version) is Stage.LOADING for version in aspired):
        return chosen
    startable = _startable(aspired, now, view)
    return chosen if startable and not first else (chosen - startable) | {fallback}


def one_ahead(
    new: Collection[int],
    struck: Collection[int],
    views: Mapping[int, View],
    *,
    away: bool,
    given_up: Collection[int] = (),
) -> dict[int, View]:
    """The views, in which versions that nobody has loaded before are to be loaded later by all workers but one.

    Args:
        new: these versions.
        struck: those of them that ended a worker.
        views: the model on every worker.
        away: there are workers that crashed and will come back.
        given_up: workers that keep crashing; what they crash over may be good, so they are the last to try it.
    """
    later: dict[int, set[int]] = {worker: set() for worker in views}
    for version in new:
        first = _pioneer(version, views, given_up, alone=not away or version not in struck)
        for worker in later.keys() - {first}:
            later[worker].add(version)
    return {worker: view._replace(later=frozenset(later[worker])) for worker, view in views.items()}


def _pioneer(version: int, views: Mapping[int, View], given_up: Collection[int], *, alone: bool) -> int | None:
    """The one worker that may load a version that nobody has loaded before; None when it has to wait.

    It is one beside which another serves the model. If there is none, it may be one that nobody else would have to
    stand in for just now.

    Args:
        version: an aspired version.
        views: the model on every worker; of equals the first is taken.
        given_up: none of these, unless there are no others.
        alone: also when there is only one worker.
    """
    now = {worker: effective(view.stages, view.previous) for worker, view in views.items()}
    at_it = [worker for worker, stages in now.items() if stages.get(version) is Stage.LOADING]
    if at_it or not (alone or len(views) > 1):
        return at_it[0] if at_it else None
    best: int | None = None
    avoided = given_up if views.keys() - given_up else ()
    for worker, view in views.items():
        if worker in avoided or now[worker].get(version, Stage.ABSENT) is not Stage.ABSENT or version in view.held:
            continue
        others = {stage for other, stages in now.items() if other != worker for stage in stages.values()}
        if Stage.READY in others:
            return worker
        if best is None and Stage.LOADING not in others:
            best = worker
    return best


def _availability_preserving(aspired: Collection[int], view: View) -> frozenset[int]:
    return next_desired(aspired, view.stages, held={*view.held, *view.later}, previous=view.previous)


def resource_preserving(aspired: Collection[int], view: View) -> frozenset[int]:
    """Nothing is loaded while anything that is not aspired is still there.

    Only when nothing that is aspired can come in its place, the best of what is there stays.
    """
    now = effective(view.stages, view.previous)
    there = {version for version in aspired if now.get(version) in _COMING_OR_THERE}
    failed = {version for version in aspired if now.get(version) is Stage.FAILED} - set(view.held)
    startable = _startable(aspired, now, view)
    if not _outdated(aspired, now):
        return frozenset(there | failed | startable)
    ready = [v for v in _outdated(aspired, now) if now[v] is Stage.READY]
    if aspired and ready and not (there or startable):
        return frozenset(failed | {max(ready)})
    return frozenset(there | failed)


def _startable(aspired: Collection[int], now: Mapping[int, Stage], view: View) -> set[int]:
    return {version for version in aspired if now.get(version, Stage.ABSENT) is Stage.ABSENT}.difference(
        view.held, view.later
    )


def _outdated(aspired: Collection[int], now: Mapping[int, Stage]) -> list[int]:
    return [
        v for v, stage in now.items() if stage is Stage.UNLOADING or (stage in _COMING_OR_THERE and v not in aspired)
    ]


def _roll(
    aspired: Collection[int], views: Mapping[int, View], *, away: bool, given_up: Collection[int]
) -> dict[int, frozenset[int]]:
    now = {worker: effective(view.stages, view.previous) for worker, view in views.items()}
    serving = {worker for worker, stages in now.items() if Stage.READY in stages.values()}
    # What a worker must not load now is suspect for the others, too.
    judges = views.keys() - given_up
    failed = {v for worker in judges for v in aspired if now[worker].get(v) is Stage.FAILED}
    failed |= {v for worker in judges for v in views[worker].held}
    chosen: dict[int, frozenset[int]] = {}
    waiting: list[int] = []
    for worker, view in views.items():
        stages = now[worker]
        old = [v for v in _outdated(aspired, stages) if stages[v] is Stage.READY]
        coming = [v for v in aspired if stages.get(v) in _COMING_OR_THERE]
        if old and not coming:
            waiting.append(worker)
        elif worker in serving or any(stages.get(v) is Stage.LOADING for v in aspired):
            chosen[worker] = _availability_preserving(aspired, view)
        elif _startable(aspired, stages, view):
            chosen[worker] = resource_preserving(aspired, view)
        else:
            chosen[worker] = resource_preserving(aspired, view) | _lent(aspired, now)
    # A worker that serves nothing has begun to switch, or was lost, or is new: the others wait for it.
    free = serving >= judges and not away
    for worker in waiting:
        next_up = max(_startable(aspired, now[worker], views[worker]), default=None)
        if next_up is None or next_up in failed or not free:
            chosen[worker] = _as_it_is(aspired, now[worker], views[worker])
            continue
        alone = serving.difference(given_up) <= {worker}
        chosen[worker] = (_availability_preserving if alone else resource_preserving)(aspired, views[worker])
        free = False
    return chosen


def _as_it_is(aspired: Collection[int], now: Mapping[int, Stage], view: View) -> frozenset[int]:
    failed = {version for version in aspired if now.get(version) is Stage.FAILED} - set(view.held)
    return frozenset({v for v, stage in now.items() if stage in _COMING_OR_THERE} | failed)


def _lent(aspired: Collection[int], now: Mapping[int, Mapping[int, Stage]]) -> frozenset[int]:
    """The best version that some worker still serves though it is not aspired, for one that has nothing to serve."""
    ready = [v for stages in now.values() for v, s in stages.items() if s is Stage.READY and v not in aspired]
    return frozenset({max(ready)}) if ready else frozenset()
