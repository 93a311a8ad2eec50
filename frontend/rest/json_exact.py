"""Building tensors value by value, in the order in which TensorFlow Serving looks at them, to fail exactly as it does.

`json_tensors` builds whole levels at a time and comes here when something does not fit. The rules: the shape of an
item is read off the first elements of its nested arrays, then every value is checked against it; in row format each
element of `instances` adds one item to each tensor, and all items of a tensor must have the size and shape of its
first. On purpose different: nesting deeper than the 254 dimensions that a tensor can have is an error, not a crash.
"""

from __future__ import annotations

from frontend.rest.debug_text import render
from frontend.rest.json_values import JSON_DTYPES, decode_base64, is_base64_object, is_element_object, packer, type_name
from protos.dtypes import DT_STRING, dtype_name
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import Tensor
from protos.signature import Signature

MAX_RANK = 254


def value_tensor(value: object, dtype: int, *, max_rank: int = MAX_RANK) -> Tensor:
    """One JSON value (scalar, or nested lists) as a whole tensor.

    Raises:
        ServingError: INVALID_ARGUMENT; UNIMPLEMENTED for a data type that JSON cannot carry.
    """
    flat: list[object] = []
    shape = _collect(value, dtype, max_rank, 0, flat)
    return _tensor(dtype, shape, flat)


def row_tensors(instances: list[object], signature: Signature, *, max_rank: int = MAX_RANK) -> list[Tensor]:
    """The tensors of a non-empty `instances` list, in the order of the signature's inputs.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    first = instances[0]
    if len(signature.inputs) > 1 and not isinstance(first, dict):
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
            " tensorinfo_map"
        )
    columns: dict[str, _Column] = {}
    if is_element_object(first):
        for i, element in enumerate(instances):
            if not isinstance(element, dict) or is_base64_object(element):
                raise invalid_argument(f"Expecting object but got list at item {i} of input list")
            _add_element(columns, i, element, signature, max_rank)
    else:
        for i, element in enumerate(instances):
            if is_element_object(element):
                raise invalid_argument(f"Expecting value/list but got object at item {i} of input list")
            try:
                _add(columns, signature.inputs[0], element, signature, max_rank)
            except ServingError as error:
                raise invalid_argument(f"Failed to process element: {i} of 'instances' list. Error: {error}") from None
        if len(signature.inputs) > 1:
            raise _missing_inputs(signature)
    return [columns[alias].tensor() for alias in signature.inputs]


class _Column:
    """The items of one input so far; all have the shape and number of values of the first."""

    def __init__(self, dtype: int, max_rank: int) -> None:
        self._dtype = dtype
        self._max_rank = max_rank
        self._flat: list[object] = []
        self._shape: tuple[int, ...] = ()
        self._item_values = 0
        self._items = 0

    def add(self, value: object) -> None:
        before = len(self._flat)
        shape = _collect(value, self._dtype, self._max_rank, 1, self._flat)
        count = len(self._flat) - before
        if not self._items:
            self._shape, self._item_values = shape, count
        elif count != self._item_values:
            raise invalid_argument(f"Expecting tensor size: {self._item_values} but got: {count}")
        elif shape != self._shape:
            raise invalid_argument(f"Expecting shape {_brackets(self._shape)} but got: {_brackets(shape)}")
        self._items += 1

    def tensor(self) -> Tensor:
        return _tensor(self._dtype, (self._items, *self._shape), self._flat)


def _add(columns: dict[str, _Column], alias: str, value: object, signature: Signature, max_rank: int) -> None:
    index = signature.input_index.get(alias)
    if index is None:
        raise invalid_argument(f"JSON object: does not have named input: {alias}")
    column = columns.get(alias)
    if column is None:
        column = columns[alias] = _Column(signature.input_dtypes[index], max_rank)
    column.add(value)


def _add_element(
    columns: dict[str, _Column], i: int, element: dict[str, object], signature: Signature, max_rank: int
) -> None:
    for key, value in element.items():
        try:
            _add(columns, key, value, signature, max_rank)
        except ServingError as error:
            message = f"Failed to process element: {i} key: {key} of 'instances' list. Error: {error}"
            raise invalid_argument(message) from None
    if len(element) != len(signature.inputs):
        raise invalid_argument(
            f"Failed to process element: {i} of 'instances' list. JSON object: {render(element)}"
            f" keys must be equal to: {','.join(signature.inputs)}"
        )


def _missing_inputs(signature: Signature) -> ServingError:
    """A list of base64 objects feeds the first input of several only."""
    given, inputs = signature.inputs[0], signature.inputs
    return invalid_argument(
        f"input size does not match signature: 1!={len(inputs)} len({{{given}}}) != len({{{','.join(inputs)}}})."
        f" Sent extra: {{}}. Missing but required: {{{','.join(inputs[1:])}}}."
    )


def _collect(value: object, dtype: int, max_rank: int, outer: int, flat: list[object]) -> tuple[int, ...]:
    """Append the scalars of `value` to `flat` and return its shape; nothing is said of `flat` on failure.

    `max_rank` is the tensor's, of which `outer` dimensions are around `value`.
    """
    sizes: list[int] = []
    first = value
    while isinstance(first, list):
        if len(sizes) + outer == max_rank:
            of = "a tensor" if max_rank == MAX_RANK else "a tensor here (--max_json_depth)"
            raise invalid_argument(f"Encountered list nested deeper than the {max_rank} dimensions of {of}")
        sizes.append(len(first))
        if not first:
            break
        first = first[0]
    _append(value, dtype, 0, sizes, flat)
    return tuple(sizes)


def _append(value: object, dtype: int, level: int, sizes: list[int], flat: list[object]) -> None:
    rank = len(sizes)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {render(value)} found at incorrect level: {level + 1} in the JSON DOM."
                f" Expected at level: {rank}"
            )
        _check_scalar(value, dtype)
        flat.append(value)
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != sizes[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {sizes[level]}"
        )
    if level + 1 == rank and packer(dtype)(value) is not None:
        flat.extend(value)
        return
    for element in value:
        _append(element, dtype, level + 1, sizes, flat)


def _check_scalar(value: object, dtype: int) -> None:
    if dtype not in JSON_DTYPES:
        message = f"Conversion of JSON Value: {render(value)} to type: {dtype_name(dtype)}"
        raise ServingError(Code.UNIMPLEMENTED, message)
    if packer(dtype)([value]) is not None:
        return
    if dtype == DT_STRING and isinstance(value, dict):
        if is_base64_object(value):
            decode_base64(value["b64"])  # raises: it was not packed
        raise invalid_argument(f"JSON Value: {render(value)} not formatted correctly for base64 data")
    raise invalid_argument(
        f"JSON Value: {render(value)} Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}"
    )


def _tensor(dtype: int, shape: tuple[int, ...], flat: list[object]) -> Tensor:
    data = packer(dtype)(flat)
    assert data is not None, "every value was checked before"
    return Tensor(dtype, shape, data)


def _brackets(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
