"""What a front end counts of requests.

Names of models become label values only when a model of that name is known: clients choose names, and must not be
able to fill the memory of whoever reads the metrics. All others count under the empty name.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from protos import metrics
from protos.errors import Code, ServingError
from protos.messages import METHODS
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

    def abandoned(self, model: str, method: int, *, late: bool) -> None:
        """Count a call of `METHODS[method]` whose client went away first; `late` when that was for its deadline."""
        label = self._label(model)
        self.registry.value(metrics.EXPIRED if late else metrics.CANCELLED, label).add(1)
        if METHODS[method] != "MultiInference":  # which upstream doesn't count
            code = Code.DEADLINE_EXCEEDED if late else Code.CANCELLED
            self.registry.value(metrics.REQUEST_COUNT, label, code.name).add(1)

    def examples(self, model: str, count: int) -> None:
        """Count the examples of one MultiInference that ran; other requests have no such count upstream."""
        if self._is_known(model):
            self.registry.histogram(metrics.EXAMPLE_COUNTS, model).observe(count)
            self.registry.value(metrics.EXAMPLE_COUNT_TOTAL, model).add(count)

    def _label(self, model: str) -> str:
        return model if self._is_known(model) else ""


def since_us(started_ns: int) -> float:
    """Microseconds since a time on the monotonic clock."""
    return (monotonic_ns() - started_ns) / 1000
