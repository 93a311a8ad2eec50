"""The life of a version on one worker, as one table: which state may follow which.

    START -> LOADING -> AVAILABLE -> UNLOADING -> END

A load may end early (it failed, with an error, or was cancelled), and one that is no longer wanted when it is through
goes on to be unloaded without having been available. END is final: when the version is wanted again, its next life
begins with START. Summed over workers (`control.catalog.sum_version`) a version may move in any way, for workers come
and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from protos.messages import State

MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.START: frozenset({State.LOADING, State.END}),
        State.LOADING: frozenset({State.AVAILABLE, State.UNLOADING, State.END}),
        State.AVAILABLE: frozenset({State.UNLOADING}),
        State.UNLOADING: frozenset({State.END}),
        State.END: frozenset(),
    }
)
# A life begins here; a worker reports the last state of a turn of its loop, in which loading may have begun, or have
# been cancelled, already.
_FIRST = frozenset({State.START, State.LOADING, State.END})


def _after(state: State) -> frozenset[State]:
    """All states that can be reached in the same life."""
    found: set[State] = set()
    new = set(MOVES[state])
    while new:
        found |= new
        new = {further for known in new for further in MOVES[known]} - found
    return frozenset(found)


_REPORTS: Mapping[State, frozenset[State]] = MappingProxyType(
    {state: _after(state) | {state} | (_FIRST if state is State.END else frozenset()) for state in MOVES}
)


def may_move(before: State, after: State) -> bool:
    """A version on a worker may go from one state to the other."""
    return after in MOVES[before]


def may_report(before: State | None, after: State) -> bool:
    """A worker may say `after` when the last that it said was `before` (None: nothing), and no report was lost.

    States that were left within one turn of the worker's loop are not reported, and nothing forbids to repeat one.
    """
    return after in (_FIRST if before is None else _REPORTS[before])
