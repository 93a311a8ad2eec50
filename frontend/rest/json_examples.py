"""The body of a `:classify` or `:regress` request -> serialized tf.Examples.

Order of checks and texts of errors are TensorFlow Serving's. Features whose values are all of one Python type are
converted as a whole; the others are gone through value by value, to fail exactly as upstream does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from frontend.rest.debug_text import render
from frontend.rest.json_parse import parse_object, signature_name
from frontend.rest.json_values import decode_base64, is_base64_object, text_bytes, type_name
from protos import public
from protos.errors import invalid_argument

_FLOATS = frozenset((float,))
_INTEGERS = frozenset((int,))
_MAX_INT64 = (1 << 63) - 1


class ExamplesDocument(NamedTuple):
    """A parsed body.

    Attributes:
        signature_name: as in the request, "" for the default signature.
        examples: serialized, each after the context if there is one; never empty.
    """

    signature_name: str
    examples: list[bytes]


def parse_examples(body: bytes, verb: str) -> ExamplesDocument:
    """Parse a body; `verb` is what errors call the method.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    root = parse_object(body)
    name = signature_name(root)
    context = _example(root["context"]) if "context" in root else b""
    if "examples" not in root:
        raise invalid_argument(
            f"JSON Value: {render(root)} When method is {verb}, key 'examples' is expected and was not found"
        )
    examples = root["examples"]
    if not isinstance(examples, list):
        raise invalid_argument(f"JSON Value: {render(root)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid_argument(f"JSON Value: {render(root)} 'examples' value is an empty array")
    # Of a feature in both, the example's counts: it comes last.
    return ExamplesDocument(name, [context + _example(example) for example in examples])


def _example(value: object) -> bytes:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = public.Example()
    features = example.features.feature
    for name, content in value.items():
        try:
            feature = features[name]
        except UnicodeEncodeError:
            raise invalid_argument("The name of a feature is not UTF-8") from None
        _fill(feature, name, content if isinstance(content, list) else [content])
    return example.SerializeToString()


def _fill(feature: public.Feature, name: str, values: list[Any]) -> None:
    types = set(map(type, values))
    if types == _FLOATS:
        feature.float_list.value.extend(values)
    elif types == _INTEGERS and max(values) <= _MAX_INT64:
        feature.int64_list.value.extend(values)
    else:
        for value in values:
            _add(feature, name, value)


def _add(feature: public.Feature, name: str, value: object) -> None:
    """Add one value; its kind is that of the feature's earlier values."""
    if isinstance(value, str):
        _expect(feature, name, "bytes_list")
        feature.bytes_list.value.append(text_bytes(value))
    elif isinstance(value, dict) and is_base64_object(value):
        _expect(feature, name, "bytes_list")
        feature.bytes_list.value.append(decode_base64(value["b64"]))
    elif isinstance(value, float):
        _expect(feature, name, "float_list")
        feature.float_list.value.append(value)
    elif isinstance(value, int):  # true and false are 1 and 0
        _expect(feature, name, "int64_list")
        if value > _MAX_INT64:
            raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        feature.int64_list.value.append(int(value))
    else:
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _expect(feature: public.Feature, name: str, kind: str) -> None:
    earlier = feature.WhichOneof("kind")
    if earlier is not None and earlier != kind:
        raise invalid_argument(
            f"Unexpected element type in feature: {name} expecting type: {earlier.removesuffix('_list')}"
        )
