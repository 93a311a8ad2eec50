"""`:classify` and `:regress` over REST, in JSON or serialized messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic_ns
from typing import Any

from google.protobuf.message import DecodeError

from frontend.exchange import Exchange
from frontend.inference import ExamplesCall
from frontend.rest.binary import invalid_message, target_of_both
from frontend.rest.json_encode import encode_classified, encode_regressed
from frontend.rest.json_examples import parse_examples
from frontend.rest.media import PROTOBUF_TYPE, Form
from frontend.rest.replies import Replies
from frontend.rest.urls import Route as UrlRoute
from frontend.router import Router
from protos.errors import ServingError
from protos.examples import serialized_examples
from protos.inference_methods import CLASSIFY, REGRESS, Method
from protos.tensor_view import Target, target_of

_ENCODE: dict[str, Callable[[Any], bytes]] = {CLASSIFY.name: encode_classified, REGRESS.name: encode_regressed}


class RestExamplesCall(ExamplesCall):
    """One `:classify` or `:regress` on its way; `as_protobuf` tells what its answer is."""

    __slots__ = ("exchange", "replies", "as_protobuf")

    exchange: Exchange
    replies: Replies
    as_protobuf: bool

    def answer(self, result: Any) -> None:
        """Send a response."""
        if not self.as_protobuf:
            self.replies.success(self.exchange, _ENCODE[self.how.name](result))
            return
        response = self.how.response()
        result.write(response.result)
        body = response.SerializeToString() + self.route.spec_field
        self.exchange.respond(200, body, PROTOBUF_TYPE + self.replies.cors)

    def refuse(self, error: ServingError) -> None:
        """Send a JSON error."""
        self.replies.error(self.exchange, error)


class Examples:
    """Handler of `:classify` or `:regress`.

    Args:
        how: which of them.
        timeout_ms: deadline of an inference; <= 0 for none.
        check_method_name: refuse signatures that are not made for it (`--enable_signature_method_name_check`).
    """

    def __init__(
        self, router: Router, replies: Replies, how: Method[Any], *, timeout_ms: int, check_method_name: bool
    ) -> None:
        self._router = router
        self._replies = replies
        self._how = how
        self._check_method_name = check_method_name
        self._timeout_ns = max(0, timeout_ms) * 1_000_000
        self._latencies = router.metrics.latencies(how.verb, "REST")

    def handle(self, exchange: Exchange, url: UrlRoute, body: bytes, form: Form) -> None:
        """Send the request to a worker.

        Raises:
            ServingError: the request is refused.
        """
        started_ns = monotonic_ns()
        target, examples = self._read_message(url, body) if form.request else self._read_json(url, body)
        router = self._router
        call = RestExamplesCall()
        call.how = self._how
        call.started_ns = started_ns
        call.latencies = self._latencies
        call.metrics = router.metrics
        call.deadline_ns = started_ns + self._timeout_ns if self._timeout_ns else 0
        call.exchange = exchange
        call.replies = self._replies
        call.as_protobuf = form.answer
        call.bind(router.catalog, target, examples, check_method_name=self._check_method_name)
        exchange.on_cancel = partial(router.cancel, call)
        router.submit(call)

    def _read_json(self, url: UrlRoute, body: bytes) -> tuple[Target, list[bytes]]:
        document = parse_examples(body, self._how.verb)
        return Target(url.model, url.version, url.label, document.signature_name), document.examples

    def _read_message(self, url: UrlRoute, body: bytes) -> tuple[Target, list[bytes]]:
        try:
            request = self._how.request.FromString(body)
        except DecodeError:
            raise invalid_message(self._how.request.DESCRIPTOR.name) from None
        spec = target_of(request.model_spec) if request.HasField("model_spec") else None
        return target_of_both(url, spec), serialized_examples(request.input)
