"""Regress: which signatures will do, and what their output means; TensorFlow Serving's checks, order and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from protos import public
from protos.dtypes import DT_FLOAT
from protos.errors import invalid_argument
from protos.messages import Tensor
from protos.signature import Signature

METHOD_NAME = "tensorflow/serving/regress"
INPUTS, OUTPUTS = "inputs", "outputs"


class Regressed(NamedTuple):
    """The value of each example, float32."""

    values: np.ndarray[tuple[int], np.dtype[np.float32]]

    def write(self, result: public.RegressionResult) -> None:
        """Put it into an empty message."""
        add = result.regressions.add
        for value in self.values.tolist():
            add(value=value)


def choose_outputs(signature: Signature, *, check_method_name: bool) -> list[str]:
    """The output that Regress asks a signature for.

    Raises:
        ServingError: INVALID_ARGUMENT, it is not a signature for Regress.
    """
    if check_method_name and signature.method_name != METHOD_NAME:
        raise invalid_argument(
            f"Expected regression signature method_name to be {METHOD_NAME}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if INPUTS not in signature.input_index:
        raise invalid_argument(f"No regression inputs found in SignatureDef: {signature.debug_text}")
    if OUTPUTS not in signature.output_index:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature.debug_text}")
    return [OUTPUTS]


def read_result(aliases: Sequence[str], tensors: Sequence[Tensor], examples: int) -> Regressed:
    """What the output says of so many examples.

    Raises:
        ServingError: INVALID_ARGUMENT, it is not what Regress can answer with.
    """
    if len(tensors) != len(aliases):
        raise invalid_argument("Expected output_tensors and output_tensor_names to have the same size.")
    (tensor,) = tensors
    shape = tensor.shape
    if len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"[{','.join(map(str, shape))}]"
        )
    # Its rows are its elements, so their number needs no check of its own.
    if shape[0] != examples:
        raise invalid_argument(f"Input batch size did not match output batch size: {examples} vs. {shape[0]}")
    if tensor.dtype != DT_FLOAT:
        got = public.DataType.Name(tensor.dtype)
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {got}")
    return Regressed(np.frombuffer(tensor.data, np.float32))  # type: ignore[arg-type]
