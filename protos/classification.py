"""Classify: which signatures will do, and what their outputs mean; TensorFlow Serving's checks, order and texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from protos import public
from protos.dtypes import DT_FLOAT, DT_STRING
from protos.errors import invalid_argument
from protos.messages import Tensor
from protos.signature import Signature

METHOD_NAME = "tensorflow/serving/classify"
INPUTS, CLASSES, SCORES = "inputs", "classes", "scores"


class Classified(NamedTuple):
    """Classes of each example, all of the same number.

    Attributes:
        labels: one for each class of each example, or None when the signature gives none.
        scores: likewise, float32.
    """

    examples: int
    classes: int
    labels: list[str] | None
    scores: np.ndarray[tuple[int], np.dtype[np.float32]] | None

    def write(self, result: public.ClassificationResult) -> None:
        """Put it into an empty message; a label or score that there is not stays unset."""
        labels, scores = self.labels, self.scores.tolist() if self.scores is not None else None
        for row in self._rows():
            add = result.classifications.add().classes.add
            if labels is None:
                for score in scores[row] if scores is not None else ():
                    add(score=score)
            elif scores is None:
                for label in labels[row]:
                    add(label=label)
            else:
                for label, score in zip(labels[row], scores[row], strict=True):
                    add(label=label, score=score)

    def _rows(self) -> Iterator[slice]:
        """Where each example's classes are."""
        for i in range(self.examples):
            yield slice(i * self.classes, (i + 1) * self.classes)


def choose_outputs(signature: Signature, *, check_method_name: bool) -> list[str]:
    """The outputs that Classify asks a signature for: `classes`, `scores`, or both.

    Raises:
        ServingError: INVALID_ARGUMENT, it is not a signature for Classify.
    """
    if check_method_name and signature.method_name != METHOD_NAME:
        raise invalid_argument(
            f"Expected classification signature method_name to be {METHOD_NAME}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.input_index:
        raise invalid_argument(f"No classification inputs found in SignatureDef: {signature.debug_text}")
    chosen = [alias for alias in (CLASSES, SCORES) if alias in signature.output_index]
    if not chosen:
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature.debug_text}"
        )
    return chosen


def read_result(aliases: Sequence[str], tensors: Sequence[Tensor], examples: int) -> Classified:
    """What the outputs of these aliases say of so many examples. Labels that are no UTF-8 get U+FFFD for what isn't.

    Raises:
        ServingError: INVALID_ARGUMENT, they are not what Classify can answer with.
    """
    if len(tensors) != len(aliases):
        raise invalid_argument(f"Expected {len(aliases)} output tensor(s).  Got: {len(tensors)}")
    outputs = dict(zip(aliases, tensors, strict=True))
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    if classes is not None:
        _check(classes, "classes", DT_STRING, examples)
    if scores is not None:
        _check(scores, "scores", DT_FLOAT, examples)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    labels = numbers = None
    if classes is not None:
        assert isinstance(classes.data, list)
        labels = [label.decode("utf-8", "replace") for label in classes.data]
    if scores is not None:
        numbers = np.frombuffer(scores.data, np.float32)  # type: ignore[arg-type]
    return Classified(examples, tensors[0].shape[1], labels, numbers)


def _check(tensor: Tensor, what: str, dtype: int, examples: int) -> None:
    if len(tensor.shape) != 2:
        shape = ",".join(map(str, tensor.shape))
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got [{shape}]")
    if tensor.dtype != dtype:
        wanted, got = public.DataType.Name(dtype), public.DataType.Name(tensor.dtype)
        raise invalid_argument(f"Expected {what} Tensor of {wanted}. Got: {got}")
    if tensor.shape[0] != examples:
        raise invalid_argument(f"Expected {what} output batch size of {examples}. Got: {tensor.shape[0]}")
