"""Classify and Regress, whatever the protocol: from serialized examples to a request for a worker, and back."""

from __future__ import annotations

from typing import Any

from frontend.call import Call
from frontend.catalog import Catalog, Route
from frontend.metrics import RequestMetrics, since_us
from protos.errors import Code, ServingError, invalid_argument
from protos.examples import string_tensor
from protos.inference_methods import Method
from protos.messages import METHODS, Tensor
from protos.metrics import HistogramTable
from protos.signature import DEFAULT_SIGNATURE
from protos.tensor_view import Target


class ExamplesCall(Call):
    """One Classify or Regress on its way; each protocol derives its own.

    Attributes:
        how: the method.
        aliases: of the outputs that come back.
    """

    __slots__ = ("method", "how", "aliases", "latencies", "metrics")

    method: int
    how: Method[Any]
    aliases: list[str]
    latencies: HistogramTable
    metrics: RequestMetrics

    def bind(self, catalog: Catalog, target: Target, examples: list[bytes], *, check_method_name: bool) -> None:
        """Fill in what a worker must know.

        Raises:
            ServingError: the request is refused.
        """
        self.target = target
        self.route = route = resolve(catalog, target)
        signature = route.signature
        self.method = METHODS.index(self.how.name)
        self.aliases = aliases = self.how.choose_outputs(signature, check_method_name=check_method_name)
        every = len(aliases) == len(signature.outputs)
        self.outputs = () if every else tuple([signature.output_index[alias] for alias in aliases])
        self.inputs = [string_tensor(examples)]
        self.large = False  # strings travel in the header

    def complete(self, tensors: list[Tensor]) -> None:
        """Answer with what the outputs mean."""
        try:
            result = self.how.read_result(self.aliases, tensors, self.inputs[0].shape[0])
        except ServingError as error:
            self.fail(error)
            return
        self.answer(result)
        self.latencies[self.route.version.model].observe(since_us(self.started_ns))

    def fail(self, error: ServingError) -> None:
        """Answer with an error."""
        self.metrics.failed(self.target.name, error)
        self.refuse(error)

    def answer(self, result: Any) -> None:
        """Send a result of `how`."""
        raise NotImplementedError

    def refuse(self, error: ServingError) -> None:
        """Send an error."""
        raise NotImplementedError


def resolve(catalog: Catalog, target: Target) -> Route:
    """Where a Classify or Regress goes.

    Raises:
        ServingError: as `Catalog.route`, but an unknown signature is INVALID_ARGUMENT, as upstream has it here.
    """
    try:
        return catalog.route(target)
    except ServingError as error:
        if error.code != Code.FAILED_PRECONDITION:
            raise
        name = target.signature or DEFAULT_SIGNATURE
        raise invalid_argument(f"No signature was found with the name: {name}") from None
