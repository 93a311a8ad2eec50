"""A signature as whoever checks requests needs it: aliases in wire order, with their data types."""

from __future__ import annotations

from collections.abc import Mapping

from protos import public
from protos.errors import ServingError
from protos.messages import Tensor
from protos.tensor_proto import decode_or_error

DEFAULT_SIGNATURE = "serving_default"

# Default values of inputs are part of a definition.
_MAX_DEBUG_CHARS = 4096


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
        "definition",
    )

    def __init__(
        self,
        *,
        name: str,
        method_name: str,
        inputs: Mapping[str, tuple[int, str]],
        outputs: Mapping[str, int],
        defaults: Mapping[str, Tensor | ServingError],
        definition: bytes = b"",
    ) -> None:
        """Build from `inputs` (alias to data type number and graph tensor name) and `outputs` (alias to data type).

        In `defaults` a `ServingError` stands where one could not be decoded: a matter of the requests that need it.
        `definition` is the serialized SignatureDef, for people to see in errors.
        """
        self.name = name
        self.method_name = method_name
        self.inputs: tuple[str, ...] = tuple(sorted(inputs))
        self.input_dtypes: tuple[int, ...] = tuple(inputs[alias][0] for alias in self.inputs)
        self.input_tensor_names: tuple[str, ...] = tuple(inputs[alias][1] for alias in self.inputs)
        self.input_index: dict[str, int] = {alias: i for i, alias in enumerate(self.inputs)}
        self.outputs: tuple[str, ...] = tuple(sorted(outputs))
        self.output_index: dict[str, int] = {alias: i for i, alias in enumerate(self.outputs)}
        self.defaults: dict[str, Tensor | ServingError] = dict(defaults)
        self.definition = definition

    @property
    def debug_text(self) -> str:
        """The SignatureDef as protobuf prints it, cut after a few lines of an unusually long one."""
        return str(public.SignatureDef.FromString(self.definition))[:_MAX_DEBUG_CHARS]


def read_signatures(data: bytes) -> dict[str, Signature]:
    """The signatures in a serialized `SignatureDefMap` by name."""
    definitions = public.SignatureDefMap.FromString(data)
    return {name: _read(name, definition) for name, definition in definitions.signature_def.items()}


def _read(name: str, definition: public.SignatureDef) -> Signature:
    return Signature(
        name=name,
        method_name=definition.method_name,
        inputs={alias: (info.dtype, info.name) for alias, info in definition.inputs.items()},
        outputs={alias: info.dtype for alias, info in definition.outputs.items()},
        defaults={alias: decode_or_error(proto) for alias, proto in definition.defaults.items()},
        definition=definition.SerializeToString(),
    )
