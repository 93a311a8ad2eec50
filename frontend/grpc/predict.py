"""PredictionService.Predict: the hot path of gRPC."""

from __future__ import annotations

from functools import partial

from frontend.call import Call
from frontend.catalog import Route
from frontend.grpc.connection import Stream
from frontend.predict import bind_inputs, check_method_name, choose_outputs
from frontend.router import Router
from protos.errors import ServingError, invalid_argument
from protos.messages import FRAME_THRESHOLD_BYTES, Tensor
from protos.response_view import response_parts
from protos.tensor_view import parse_predict_request


class PredictCall(Call):
    """One Predict on its way."""

    __slots__ = ("stream", "as_content")

    stream: Stream
    as_content: bool

    def complete(self, tensors: list[Tensor]) -> None:
        """Answer with the outputs."""
        route: Route = self.route
        keys = route.output_keys
        if self.outputs:
            keys = tuple([keys[i] for i in self.outputs])
        self.stream.reply(*response_parts(keys, tensors, route.spec_field, as_content=self.as_content))

    def fail(self, error: ServingError) -> None:
        """Answer with a status."""
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

    def __call__(self, stream: Stream, message: bytes | memoryview) -> None:
        """Send the request to a worker.

        Raises:
            ServingError: the request is refused.
        """
        request = parse_predict_request(message)
        if request.target is None:
            raise invalid_argument("Missing ModelSpec")
        router = self._router
        call = PredictCall()
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
