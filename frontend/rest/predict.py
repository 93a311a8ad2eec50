"""`:predict` over REST: the hot path of REST."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic_ns

from frontend.call import Call
from frontend.exchange import Exchange
from frontend.metrics import RequestMetrics, since_us
from frontend.rest.json_encode import encode_predict
from frontend.rest.json_tensors import parse_predict
from frontend.rest.replies import Replies
from frontend.rest.urls import Route as UrlRoute
from frontend.router import Router
from protos.binding import check_method_name
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import FRAME_THRESHOLD_BYTES, Tensor
from protos.metrics import HistogramTable
from protos.signature import DEFAULT_SIGNATURE
from protos.tensor_view import Target

# JSON of numbers is at least about half as long as their bytes, but short integers may grow eightfold.
_LARGE_BODY_BYTES = FRAME_THRESHOLD_BYTES // 4


class RestPredictCall(Call):
    """One `:predict` on its way."""

    __slots__ = ("exchange", "latencies", "metrics", "replies", "row_format")

    exchange: Exchange
    latencies: HistogramTable
    metrics: RequestMetrics
    replies: Replies
    row_format: bool

    def complete(self, tensors: list[Tensor]) -> None:
        """Answer with the outputs."""
        try:
            body = encode_predict(self.row_format, self.route.signature.outputs, tensors)
        except ServingError as error:
            self.fail(error)
            return
        self.replies.success(self.exchange, body)
        self.latencies[self.route.version.model].observe(since_us(self.started_ns))

    def fail(self, error: ServingError) -> None:
        """Answer with a JSON error."""
        self.metrics.failed(self.target.name, error)
        self.replies.error(self.exchange, error)


class Predict:
    """Handler of `:predict`.

    Args:
        timeout_ms: deadline of an inference; <= 0 for none.
        check_method_name: refuse signatures that are not for inference (`--enable_signature_method_name_check`).
        max_rank: levels of arrays that a tensor may have.
    """

    def __init__(
        self, router: Router, replies: Replies, *, timeout_ms: int, check_method_name: bool, max_rank: int
    ) -> None:
        self._router = router
        self._replies = replies
        self._check_method_name = check_method_name
        self._max_rank = max_rank
        self._timeout_ns = max(0, timeout_ms) * 1_000_000
        self._latencies = router.metrics.latencies("predict", "REST")

    def __call__(
        self, exchange: Exchange, url: UrlRoute, body: bytes, make_call: Callable[[], RestPredictCall] = RestPredictCall
    ) -> None:
        """Send the request to a worker; a call from `make_call` sends the answer.

        Raises:
            ServingError: the request is refused.
        """
        started_ns = monotonic_ns()
        document = parse_predict(body, self._max_rank)
        target = Target(url.model, url.version, url.label, document.signature_name)
        router = self._router
        call = make_call()
        call.started_ns = started_ns
        call.latencies = self._latencies
        call.metrics = router.metrics
        call.target = target
        try:
            call.route = router.catalog.route(target)
        except ServingError as error:
            raise as_rest(error, target) from None
        signature = call.route.signature
        call.row_format, call.inputs = document.tensors(signature)
        if self._check_method_name:
            check_method_name(signature)
        call.outputs = ()
        call.deadline_ns = started_ns + self._timeout_ns if self._timeout_ns else 0
        call.large = len(body) >= _LARGE_BODY_BYTES
        call.exchange = exchange
        call.replies = self._replies
        exchange.on_cancel = partial(router.cancel, call)
        router.submit(call)


def as_rest(error: ServingError, target: Target) -> ServingError:
    """What `Catalog.route` said of `target`, in REST's words: it looks signatures up by itself upstream."""
    if error.code != Code.FAILED_PRECONDITION:
        return error
    name = target.signature or DEFAULT_SIGNATURE
    return invalid_argument(f'Serving signature name: "{name}" not found in signature def')
