"""What a front end counts of requests.

Names of models become label values only when a model of that name is known: clients choose names, and must not be
able to fill the memory of whoever reads the metrics. All others count under the empty name.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from protos import metrics
from protos.errors import Code, ServingError
from protos.metrics import HistogramTable, Registry


class RequestMetrics:
    """Counts requests of one front end.

    Args:
        is_known: whether there is a model of this name.
    """

    def __init__(self, registry: Registry, is_known: Callable[[str], bool]) -> None:
        self.registry = registry
        self._is_known = is_known

    def latencies(self, api: str, entrypoint: str) -> HistogramTable:
        """Latency histograms of an API by the name of a (known) model; whatever is observed counts as a success."""
        return self.registry.table(metrics.REQUEST_LATENCY, api, entrypoint)

    def failed(self, model: str, error: ServingError) -> None:
        """Count a request that was answered with an error."""
        try:
            code = Code(error.code).name
        except ValueError:
            code = Code.UNKNOWN.name
        self.registry.value(metrics.REQUEST_COUNT, self._label(model), code).add(1)

    def expired(self, model: str) -> None:
        """Count a request whose deadline passed while it was under way."""
        self.registry.value(metrics.EXPIRED, self._label(model)).add(1)

    def cancelled(self, model: str) -> None:
        """Count a request whose client went away first."""
        self.registry.value(metrics.CANCELLED, self._label(model)).add(1)

    def _label(self, model: str) -> str:
        return model if self._is_known(model) else ""


def since_us(started_ns: int) -> float:
    """Microseconds since a time on the monotonic clock."""
    return (monotonic_ns() - started_ns) / 1000
