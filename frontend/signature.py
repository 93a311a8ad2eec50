"""A signature as the front end needs it: aliases in wire order, with their data types."""

from __future__ import annotations

from collections.abc import Mapping

from protos.messages import Tensor


class Signature:
    """The inputs and outputs of one signature of a loaded version, both in sorted alias order.

    That order is the one of `messages.Infer.inputs` and of the positions in `messages.Infer.outputs`.
    """

    __slots__ = (
        "name",
        "method_name",
        "inputs",
        "input_dtypes",
        "input_tensor_names",
        "input_index",
        "outputs",
        "output_index",
        "defaults",
    )

    def __init__(
        self,
        *,
        name: str,
        method_name: str,
        inputs: Mapping[str, tuple[int, str]],
        outputs: Mapping[str, int],
        defaults: Mapping[str, Tensor],
    ) -> None:
        """Build from `inputs` (alias to data type number and graph tensor name) and `outputs` (alias to data type)."""
        self.name = name
        self.method_name = method_name
        self.inputs: tuple[str, ...] = tuple(sorted(inputs))
        self.input_dtypes: tuple[int, ...] = tuple(inputs[alias][0] for alias in self.inputs)
        self.input_tensor_names: tuple[str, ...] = tuple(inputs[alias][1] for alias in self.inputs)
        self.input_index: dict[str, int] = {alias: i for i, alias in enumerate(self.inputs)}
        self.outputs: tuple[str, ...] = tuple(sorted(outputs))
        self.output_index: dict[str, int] = {alias: i for i, alias in enumerate(self.outputs)}
        self.defaults: dict[str, Tensor] = dict(defaults)
