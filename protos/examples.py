"""What Classify, Regress and MultiInference are fed with: serialized tf.Examples as one string tensor."""

from __future__ import annotations

from protos import public
from protos.dtypes import DT_STRING
from protos.errors import invalid_argument
from protos.messages import Tensor


def serialized_examples(source: public.Input) -> list[bytes]:
    """The examples of an `Input`, serialized; none when no kind of input is set.

    With a context each begins with that: protobuf merges what follows, so of a feature in both the example's counts.
    """
    # The same fields on the wire, with bytes in place of examples.
    serialized = public.SerializedInput.FromString(source.SerializeToString())
    if serialized.WhichOneof("kind") == "example_list_with_context":
        context = serialized.example_list_with_context.context
        return [context + example for example in serialized.example_list_with_context.examples]
    return list(serialized.example_list.examples)


def string_tensor(examples: list[bytes]) -> Tensor:
    """A vector of serialized examples.

    Raises:
        ServingError: INVALID_ARGUMENT, there are none.
    """
    if not examples:
        raise invalid_argument("Input is empty.")
    return Tensor(DT_STRING, (len(examples),), examples)
