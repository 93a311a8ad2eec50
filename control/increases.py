"""By how much metrics rise while a reload is under way, for clients that ask (`ReloadConfigRequest.metric_names`).

A metric stands for its first value in the order of its labels, as with TensorFlow Serving: one that is not there, and
one whose values are no numbers but distributions, for 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control.metrics import Cells
from control.scrapes import Scrapes
from protos.errors import Code, ServingError
from protos.metrics import DEFINITIONS

# Reloads that are measured at a time.
_MOST = 256

# A front end's number, and its number of the reload.
Reload = tuple[int, int]


class Increases:
    """Looks at metrics before a reload and after it."""

    def __init__(self, scrapes: Scrapes) -> None:
        self._scrapes = scrapes
        self._under_way: dict[Reload, tuple[Sequence[str], list[int]]] = {}

    def begin(self, reload: Reload, names: Sequence[str], then: Callable[[], None]) -> None:
        """Call `then` once it is known what `names` are before the reload.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, too many are measured already.
        """
        if len(self._under_way) >= _MOST:
            raise ServingError(Code.RESOURCE_EXHAUSTED, f"{_MOST} reloads with metric_names are under way already")

        def counted(cells: Cells) -> None:
            if reload in self._under_way:
                self._under_way[reload] = (names, [_value(cells, name) for name in names])
                then()

        self._under_way[reload] = (names, [])
        self._scrapes.when_counted(counted)

    def end(self, reload: Reload, then: Callable[[list[int]], None]) -> None:
        """Call `then` with the increases, in the order of the names: at once, with none, if nobody asked."""
        if reload not in self._under_way:
            then([])
            return

        def counted(cells: Cells) -> None:
            entry = self._under_way.pop(reload, None)
            if entry is not None:
                then([_value(cells, name) - before for name, before in zip(*entry, strict=True)])

        self._scrapes.when_counted(counted)

    def drop(self, reload: Reload) -> None:
        """The reload has failed: nobody is told of metrics."""
        self._under_way.pop(reload, None)

    def forget(self, peer_id: int) -> None:
        """The front end is gone."""
        for reload in [reload for reload in self._under_way if reload[0] == peer_id]:
            del self._under_way[reload]


def _value(cells: Cells, name: str) -> int:
    if name not in DEFINITIONS or DEFINITIONS[name].kind == "histogram":
        return 0
    first = min((labels for known, labels in cells if known == name), default=None)
    return 0 if first is None else int(cells[name, first].sum)
