"""PredictionService.Predict: the hot path of gRPC."""

from __future__ import annotations

from functools import partial
from time import monotonic_ns

from frontend.call import Call
from frontend.catalog import Route
from frontend.grpc.stream import Stream
from frontend.metrics import RequestMetrics, since_us
from frontend.router import Router
from protos import tensor_view
from protos.binding import bind_inputs, check_method_name, choose_outputs
from protos.errors import ServingError, invalid_argument
from protos.messages import FRAME_THRESHOLD_BYTES, Tensor
from protos.metrics import HistogramTable
from protos.response_view import response_parts


class PredictCall(Call):
    """One Predict on its way."""

    __slots__ = ("stream", "as_content", "latencies", "metrics")

    stream: Stream
    as_content: bool
    latencies: HistogramTable
    metrics: RequestMetrics

    def complete(self, tensors: list[Tensor]) -> None:
        """Answer with the outputs."""
        route: Route = self.route
        keys = route.output_keys
        if self.outputs:
            keys = tuple([keys[i] for i in self.outputs])
        self.stream.reply(*response_parts(keys, tensors, route.spec_field, as_content=self.as_content))
        self.latencies[route.version.model].observe(since_us(self.started_ns))

    def fail(self, error: ServingError) -> None:
        """Answer with a status."""
        self.metrics.failed(self.target.name, error)
        self.stream.fail(error)


class Predict:
    """Handler of the method.

    Args:
        check_method_name: refuse signatures that are not for inference (`--enable_signature_method_name_check`).
        as_content: answer in `tensor_content` (`--enable_serialization_as_tensor_content`).
    """

    def __init__(self, router: Router, *, check_method_name: bool, as_content: bool) -> None:
        self._router = router
        self._check_method_name = check_method_name
        self._as_content = as_content
        self._metrics = router.metrics
        self._latencies = router.metrics.latencies("Predict", "GRPC")

    def __call__(self, stream: Stream, message: bytes | memoryview) -> None:
        """Send the request to a worker.

        Raises:
            ServingError: the request is refused.
        """
        started_ns = monotonic_ns()
        request = tensor_view.parse_predict_request(message)
        try:
            self._submit(stream, message, request, started_ns)
        except ServingError as error:
            self._metrics.failed(request.target.name if request.target is not None else "", error)
            raise

    def _submit(
        self, stream: Stream, message: bytes | memoryview, request: tensor_view.PredictCall, started_ns: int
    ) -> None:
        if request.target is None:
            raise invalid_argument("Missing ModelSpec")
        router = self._router
        call = PredictCall()
        call.started_ns = started_ns
        call.latencies = self._latencies
        call.metrics = self._metrics
        call.target = request.target
        call.route = route = router.catalog.route(request.target)
        signature = route.signature
        if self._check_method_name:
            check_method_name(signature)
        call.inputs = bind_inputs(signature, request.inputs)
        call.outputs = choose_outputs(signature, request.output_filter) if request.output_filter else ()
        call.deadline_ns = stream.deadline_ns
        call.large = len(message) >= FRAME_THRESHOLD_BYTES
        call.stream = stream
        call.as_content = self._as_content
        stream.on_cancel = partial(router.cancel, call)
        router.submit(call)
