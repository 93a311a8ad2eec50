"""Inference over REST with serialized messages in place of JSON, an extension of ours to TensorFlow Serving's API.

The request is the message that gRPC takes, so that a client can send tensors as they are over plain HTTP. What the
URL says fills in the message's `model_spec`, and must not contradict it. Errors stay JSON.
"""

from __future__ import annotations

from functools import partial
from time import monotonic_ns
from typing import Any

from frontend.exchange import Exchange
from frontend.metrics import since_us
from frontend.rest.json_encode import encode_predict
from frontend.rest.media import PROTOBUF_TYPE, Form
from frontend.rest.predict import Predict, RestPredictCall, as_rest
from frontend.rest.replies import Replies
from frontend.rest.urls import Route as UrlRoute
from frontend.router import Router
from protos.binding import bind_inputs, check_method_name, choose_outputs
from protos.errors import ServingError, invalid_argument
from protos.messages import FRAME_THRESHOLD_BYTES, Tensor
from protos.response_view import response_parts
from protos.tensor_view import Target, parse_predict_request


def target_of_both(url: UrlRoute, spec: Target | None) -> Target:
    """What the URL and a message's `model_spec` ask for together.

    Raises:
        ServingError: INVALID_ARGUMENT, they contradict each other.
    """
    if spec is None:
        return Target(url.model, url.version, url.label, "")
    if spec.name and spec.name != url.model:
        raise invalid_argument(f'The URL asks for model "{url.model}", and model_spec for "{spec.name}"')
    asked, named = _which(url.version, url.label), _which(spec.version, spec.label)
    if asked and named and asked != named:
        raise invalid_argument(f"The URL asks for {asked}, and model_spec for {named}")
    if asked:
        return Target(url.model, url.version, url.label, spec.signature)
    return spec._replace(name=url.model)


def _which(version: int | None, label: str | None) -> str:
    if label is not None:
        return f'label "{label}"'
    return f"version {version}" if version is not None else ""


class BinaryPredictCall(RestPredictCall):
    """One `:predict` on its way whose request or answer is a message.

    Attributes:
        as_protobuf: answer with a message, else with JSON.
        as_content: the message's tensors are `tensor_content`.
    """

    __slots__ = ("as_protobuf", "as_content")

    as_protobuf: bool
    as_content: bool

    def complete(self, tensors: list[Tensor]) -> None:
        """Answer with the outputs."""
        route, chosen = self.route, self.outputs
        if self.as_protobuf:
            keys = tuple([route.output_keys[i] for i in chosen]) if chosen else route.output_keys
            parts = response_parts(keys, tensors, route.spec_field, as_content=self.as_content)
            self.exchange.respond(200, b"".join(parts), PROTOBUF_TYPE + self.replies.cors)
        else:
            names = route.signature.outputs
            try:
                body = encode_predict(self.row_format, [names[i] for i in chosen] if chosen else names, tensors)
            except ServingError as error:
                self.fail(error)
                return
            self.replies.success(self.exchange, body)
        self.latencies[route.version.model].observe(since_us(self.started_ns))


class BinaryPredict(Predict):
    """Handler of `:predict` where the request or the answer is a message.

    Args:
        as_content: tensors of answers are `tensor_content` (`--enable_serialization_as_tensor_content`).
        others: as for `Predict`.
    """

    def __init__(self, router: Router, replies: Replies, *, as_content: bool, **others: Any) -> None:
        super().__init__(router, replies, **others)
        self._as_content = as_content

    def handle(self, exchange: Exchange, url: UrlRoute, body: bytes, form: Form) -> None:
        """Send the request to a worker.

        Raises:
            ServingError: the request is refused.
        """

        def make_call() -> BinaryPredictCall:
            call = BinaryPredictCall()
            call.as_protobuf = form.answer
            call.as_content = self._as_content
            return call

        if form.request:
            self._submit(exchange, url, body, make_call())
        else:
            self(exchange, url, body, make_call)

    def _submit(self, exchange: Exchange, url: UrlRoute, body: bytes, call: BinaryPredictCall) -> None:
        """Send a serialized PredictRequest to a worker; its checks are those of gRPC."""
        call.started_ns = monotonic_ns()
        try:
            request = parse_predict_request(body)
        except ServingError:
            raise invalid_message("PredictRequest") from None
        router = self._router
        call.latencies = self._latencies
        call.metrics = router.metrics
        call.target = target = target_of_both(url, request.target)
        try:
            call.route = router.catalog.route(target)
        except ServingError as error:
            raise as_rest(error, target) from None
        signature = call.route.signature
        if self._check_method_name:
            check_method_name(signature)
        call.row_format = False
        call.inputs = bind_inputs(signature, request.inputs)
        call.outputs = choose_outputs(signature, request.output_filter) if request.output_filter else ()
        call.deadline_ns = call.started_ns + self._timeout_ns if self._timeout_ns else 0
        call.large = len(body) >= FRAME_THRESHOLD_BYTES
        call.exchange = exchange
        call.replies = self._replies
        exchange.on_cancel = partial(router.cancel, call)
        router.submit(call)


def invalid_message(name: str) -> ServingError:
    """The refusal of a body that is no message of this name."""
    return invalid_argument(f"the body is not a serialized tensorflow.serving.{name}")
