"""Counts of all processes as one: the last snapshot of each that lives, and what those that have gone had counted.

No socket and no clock here. What a process had counted stays in the sums when it ends, so counters and histograms
never fall while control lives; its gauges go with it. A process that was only silent for a while, and comes back, is
itself again and not counted twice.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Hashable, Iterable

from protos.metrics import DEFINITIONS, CellSnapshot, Labels

# Processes that have left and may come back; of older ones only the sums are kept.
_REMEMBERED = 64
# Sums of ended processes under a name of their own: processes without a stable name leave one each.
_REMEMBERED_NAMES = 256

Key = tuple[str, Labels]
Cells = dict[Key, CellSnapshot]


class Ledger:
    """What all processes have counted; a *source* stands for one life of one process."""

    def __init__(self) -> None:
        self._present: dict[Hashable, Cells] = {}
        self._left: OrderedDict[Hashable, Cells] = OrderedDict()
        self._ended: Cells = {}
        self._ended_by_process: OrderedDict[Key, CellSnapshot] = OrderedDict()

    def report(self, source: Hashable, snapshot: Iterable[CellSnapshot]) -> None:
        """Everything that a living process has counted so far; cells that no definition fits are left out."""
        self._left.pop(source, None)
        self._present[source] = {(cell.name, cell.labels): cell for cell in snapshot if _fits(cell)}

    def leave(self, source: Hashable) -> None:
        """A process has ended, or is silent."""
        cells = self._present.pop(source, None)
        if cells is None:
            return
        self._left[source] = {key: cell for key, cell in cells.items() if DEFINITIONS[cell.name].kind != "gauge"}
        while len(self._left) > _REMEMBERED:
            self._forget(self._left.popitem(last=False)[1])

    def _forget(self, cells: Cells) -> None:
        """Keep no more of a process than its part of the sums."""
        add(self._ended, (cell for cell in cells.values() if not _is_by_process(cell)))
        by_process = self._ended_by_process
        for key, cell in cells.items():
            if _is_by_process(cell):
                add(by_process, (cell,))
                by_process.move_to_end(key)
        while len(by_process) > _REMEMBERED_NAMES:
            by_process.popitem(last=False)

    def total(self, own: Iterable[CellSnapshot]) -> Cells:
        """The sums over all processes; `own` is control's snapshot."""
        total: Cells = {}
        add(total, own)
        for cells in (*self._present.values(), *self._left.values(), self._ended, self._ended_by_process):
            add(total, cells.values())
        return total


def add(total: Cells, cells: Iterable[CellSnapshot]) -> None:
    """Add `cells` to those of the same name and labels; buckets of equal names are equally many."""
    for cell in cells:
        key = (cell.name, cell.labels)
        known = total.get(key)
        if known is None:
            total[key] = CellSnapshot(cell.name, cell.labels, cell.sum, cell.counts)
        else:
            known.sum += cell.sum
            known.counts = list(map(operator.add, known.counts, cell.counts))


def _fits(cell: CellSnapshot) -> bool:
    """Whether there is such a metric here, with so many labels and buckets."""
    definition = DEFINITIONS.get(cell.name)
    if definition is None or len(cell.labels) != len(definition.labels):
        return False
    return len(cell.counts) == (len(definition.limits) + 1 if definition.kind == "histogram" else 0)


def _is_by_process(cell: CellSnapshot) -> bool:
    return DEFINITIONS[cell.name].labels == ("process",)
