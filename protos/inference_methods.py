"""Classify and Regress: what is different between the two, for whoever handles both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from protos import classification, public, regression
from protos.classification import Classified
from protos.messages import Tensor
from protos.regression import Regressed

Request = public.ClassificationRequest | public.RegressionRequest
Response = public.ClassificationResponse | public.RegressionResponse
R = TypeVar("R", Classified, Regressed)


class Method(NamedTuple, Generic[R]):
    """What is different between Classify and Regress.

    Attributes:
        name: as metrics and gRPC call it, one of `METHODS`.
        verb: as REST calls it.
        choose_outputs: checks a signature, and says which of its outputs are wanted.
        read_result: checks these outputs, and says what they mean; takes their aliases and the number of examples.
        request, response: of gRPC.
    """

    name: str
    verb: str
    choose_outputs: Callable[..., list[str]]
    read_result: Callable[[list[str], list[Tensor], int], R]
    request: type[Request]
    response: type[Response]


CLASSIFY = Method(
    "Classify",
    "classify",
    classification.choose_outputs,
    classification.read_result,
    public.ClassificationRequest,
    public.ClassificationResponse,
)
REGRESS = Method(
    "Regress",
    "regress",
    regression.choose_outputs,
    regression.read_result,
    public.RegressionRequest,
    public.RegressionResponse,
)

BY_METHOD_NAME: dict[str, Method[Any]] = {classification.METHOD_NAME: CLASSIFY, regression.METHOD_NAME: REGRESS}
