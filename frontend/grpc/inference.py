"""PredictionService.Classify, Regress and MultiInference."""

from __future__ import annotations

from functools import partial
from time import monotonic_ns
from typing import Any

from frontend.call import Call
from frontend.catalog import Catalog, Route
from frontend.grpc.models import parse
from frontend.grpc.stream import Stream
from frontend.inference import ExamplesCall
from frontend.metrics import RequestMetrics
from frontend.multi_inference import Plan, joint_route, plan, read_results
from frontend.router import Router
from protos import public
from protos.errors import ServingError, invalid_argument
from protos.examples import serialized_examples, string_tensor
from protos.inference_methods import Method
from protos.messages import METHODS, Tensor
from protos.tensor_view import target_of


class GrpcExamplesCall(ExamplesCall):
    """One Classify or Regress on its way."""

    __slots__ = ("stream",)

    stream: Stream

    def answer(self, result: Any) -> None:
        """Send a response."""
        response = self.how.response()
        result.write(response.result)
        # Their `model_spec` has the number that it has in a PredictResponse.
        self.stream.reply(response.SerializeToString(), self.route.spec_field)

    def refuse(self, error: ServingError) -> None:
        """Send a status."""
        self.stream.fail(error)


class Examples:
    """Handler of Classify or Regress.

    Args:
        how: which of them.
        check_method_name: refuse signatures that are not made for it (`--enable_signature_method_name_check`).
    """

    def __init__(self, router: Router, how: Method[Any], *, check_method_name: bool) -> None:
        self._router = router
        self._how = how
        self._check_method_name = check_method_name
        self._latencies = router.metrics.latencies(how.name, "GRPC")

    def __call__(self, stream: Stream, message: bytes | memoryview) -> None:
        """Send the request to a worker.

        Raises:
            ServingError: the request is refused.
        """
        started_ns = monotonic_ns()
        request = parse(self._how.request, message)
        router = self._router
        call = GrpcExamplesCall()
        call.how = self._how
        call.started_ns = started_ns
        call.latencies = self._latencies
        call.metrics = router.metrics
        call.deadline_ns = stream.deadline_ns
        call.stream = stream
        try:
            if not request.HasField("model_spec"):
                raise invalid_argument("Missing ModelSpec")
            target = target_of(request.model_spec)
            examples = serialized_examples(request.input)
            call.bind(router.catalog, target, examples, check_method_name=self._check_method_name)
            stream.on_cancel = partial(router.cancel, call)
            router.submit(call)
        except ServingError as error:
            router.metrics.failed(request.model_spec.name, error)
            raise


class MultiInferenceCall(Call):
    """One MultiInference on its way."""

    __slots__ = ("plan", "stream", "metrics")

    method = METHODS.index("MultiInference")
    plan: Plan
    stream: Stream
    metrics: RequestMetrics

    def resolve(self, catalog: Catalog) -> Route:
        """Where the request goes by a new catalog.

        Raises:
            ServingError: nowhere.
        """
        return joint_route(catalog.resolve(self.target), self.plan.joint.signatures)

    def complete(self, tensors: list[Tensor]) -> None:
        """Answer with what the outputs mean."""
        version = self.route.version
        examples = self.inputs[0].shape[0]
        self.metrics.examples(version.model, examples)
        try:
            response = read_results(self.plan, version.version, tensors, examples)
        except ServingError as error:
            self.fail(error)
            return
        self.stream.reply(response.SerializeToString())

    def fail(self, error: ServingError) -> None:
        """Answer with a status."""
        self.stream.fail(error)


class MultiInference:
    """Handler of the method; `check_method_name` as for the others."""

    def __init__(self, router: Router, *, check_method_name: bool) -> None:
        self._router = router
        self._check_method_name = check_method_name

    def __call__(self, stream: Stream, message: bytes | memoryview) -> None:
        """Send the request to a worker.

        Raises:
            ServingError: the request is refused.
        """
        started_ns = monotonic_ns()
        request = parse(public.MultiInferenceRequest, message)
        router = self._router
        call = MultiInferenceCall()
        call.started_ns = started_ns
        call.metrics = router.metrics
        call.plan, call.route = plan(request.tasks, router.catalog, check_method_name=self._check_method_name)
        call.target = call.plan.target
        call.inputs = [string_tensor(serialized_examples(request.input))]
        call.outputs = call.plan.joint.outputs
        call.deadline_ns = stream.deadline_ns
        call.large = False  # strings travel in the header
        call.stream = stream
        stream.on_cancel = partial(router.cancel, call)
        router.submit(call)
