"""Which versions of one model one worker should have loaded now: the availability-preserving rule.

The rule is level-triggered. `next_desired` is called whenever the wanted versions or the reported states change; it
keeps no memory, and gives the same answer for the same snapshot. Following its answers, in any order of events:

* the model stays available: of versions that are no longer aspired, the highest ready one is kept until an aspired
  version is ready (for ever, if none ever is);
* memory is bounded: while versions that are no longer aspired are resident, a load starts only if no other is under way
  and at most one of them is left, so a switch never needs room for more than one version beyond the aspired ones;
* it ends with all aspired versions loaded that can be;
* a version that failed isn't tried again while it remains aspired.

What was asked of a worker but not yet reported by it looks like before it was asked, so the answer repeats itself until
the report arrives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from protos.errors import Code
from protos.messages import State


class Stage(Enum):
    """How far one version has come on one worker, as far as the policy cares."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"
    FAILED = "failed"


_STAGES = {
    State.UNKNOWN: Stage.ABSENT,
    State.START: Stage.LOADING,
    State.LOADING: Stage.LOADING,
    State.AVAILABLE: Stage.READY,
    State.UNLOADING: Stage.UNLOADING,
    State.END: Stage.FAILED,
}
_COMING_OR_THERE = frozenset({Stage.LOADING, Stage.READY})


def stage_of(state: int, code: int) -> Stage:
    """The stage behind a worker's report; a load that ended because it was cancelled has not failed."""
    if state == State.END and code in (Code.OK, Code.CANCELLED):
        return Stage.ABSENT
    return _STAGES[State(state)]


def next_desired(
    aspired: Collection[int],
    stages: Mapping[int, Stage],
    *,
    held: Collection[int] = (),
    previous: Collection[int] | None = None,
) -> frozenset[int]:
    """The versions of one model that the worker should have loaded now; it unloads, or stops loading, all others.

    Args:
        aspired: what the model's version policy wants, in any order.
        stages: of every version that the worker has reported; a missing one is ABSENT.
        held: aspired versions whose load must not be started (incomplete on disk, quarantined); they are still wanted,
            so an older version keeps serving in their place. One that is already loading or ready stays.
        previous: the last answer that this worker (this incarnation) was sent for the model. A version it left out is
            going away, even if the worker has not said so yet: it cannot be counted on, nor called back. None when
            nothing was sent so far.

    Returns:
        A set; its members are to be loaded from the highest to the lowest. Aspired versions that failed are in it,
        since they are still wanted; a worker doesn't try them again until they have been left out once.
    """
    now = effective(stages, previous)
    absent = {version for version in aspired if now.get(version, Stage.ABSENT) is Stage.ABSENT}
    desired = {version for version in aspired if now.get(version) in _COMING_OR_THERE}
    desired |= {version for version in aspired if now.get(version) is Stage.FAILED and version not in held}
    outdated = [
        v for v, stage in now.items() if stage is Stage.UNLOADING or (stage in _COMING_OR_THERE and v not in aspired)
    ]
    startable = absent - set(held)
    if not outdated:
        return frozenset(desired | startable)
    if aspired and not any(now.get(version) is Stage.READY for version in aspired):
        # Nobody wants this one any more, but it is all that can answer.
        ready = [version for version in outdated if now[version] is Stage.READY]
        desired |= {max(ready)} if ready else set()
    loading = any(now.get(version) is Stage.LOADING for version in aspired)
    if startable and not loading and len(outdated) == 1:
        desired.add(max(startable))
    return frozenset(desired)


def effective(stages: Mapping[int, Stage], previous: Collection[int] | None) -> dict[int, Stage]:
    """The stages that are about to be true: what was told to go is going."""
    if previous is None:
        return dict(stages)
    return {
        version: Stage.UNLOADING if version not in previous and stage in _COMING_OR_THERE else stage
        for version, stage in stages.items()
    }
