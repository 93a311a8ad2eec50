"""Checks of a Predict request against its signature, in TensorFlow Serving's order and with its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protos.errors import Code, ServingError, invalid_argument
from protos.messages import Tensor
from protos.signature import Signature

_INFERENCE_METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


def check_method_name(signature: Signature) -> None:
    """Refuse a signature that is not for inference.

    Raises:
        ServingError: INTERNAL, as upstream with `--enable_signature_method_name_check`.
    """
    if signature.method_name not in _INFERENCE_METHODS:
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_INFERENCE_METHODS)}}}. "
            f"Was: {signature.method_name}",
        )


def bind_inputs(signature: Signature, inputs: Mapping[str, Tensor | ServingError]) -> list[Tensor]:
    """The request's tensors in the signature's order, defaults filled in.

    Raises:
        ServingError: the inputs are not what the signature takes.
    """
    aliases = signature.inputs
    count, expected = len(inputs), len(aliases)
    if count > expected or (count < expected and not signature.defaults):
        raise _size_mismatch(signature, inputs)
    bound: list[Tensor] = []
    used = 0
    for alias in aliases:
        tensor = inputs.get(alias)
        if tensor is None:
            tensor = signature.defaults.get(alias)
            if tensor is None:
                raise _not_found(signature, alias, inputs)
        else:
            used += 1
        if isinstance(tensor, ServingError):
            raise invalid_argument(f"tensor parsing error: {alias}")
        bound.append(tensor)
    if used != count:
        names = ",".join(sorted(alias for alias in inputs if alias in signature.input_index))
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {names}, request input: {','.join(sorted(inputs))}"
        )
    return bound


def _size_mismatch(signature: Signature, inputs: Mapping[str, object]) -> ServingError:
    sent, wanted = sorted(inputs), list(signature.inputs)
    extra = [alias for alias in sent if alias not in signature.input_index]
    missing = [alias for alias in wanted if alias not in inputs]
    return invalid_argument(
        f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{','.join(sent)}}}) != "
        f"len({{{','.join(wanted)}}}). Sent extra: {{{','.join(extra)}}}. "
        f"Missing but required: {{{','.join(missing)}}}."
    )


def _not_found(signature: Signature, alias: str, inputs: Mapping[str, object]) -> ServingError:
    feed = signature.input_tensor_names[signature.input_index[alias]]
    return invalid_argument(
        f"Signature input alias: {alias}(feed name: {feed}) not found in request and no default value provided. "
        f"Inputs expected to be in the request {{{','.join(sorted(inputs))}}}, or default input alias set: "
        f"{','.join(sorted(signature.defaults))}"
    )


def choose_outputs(signature: Signature, output_filter: Sequence[str]) -> tuple[int, ...]:
    """Positions of the outputs named by a filter that is not empty.

    Raises:
        ServingError: INVALID_ARGUMENT, an alias is unknown or named twice.
    """
    chosen: list[int] = []
    for alias in output_filter:
        position = signature.output_index.get(alias)
        if position is None:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{','.join(signature.outputs)}}}."
            )
        if position in chosen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        chosen.append(position)
    return tuple(chosen)
