"""What MultiInference asks of a model: several Classify and Regress as one run; upstream's checks, order and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from protos import public
from protos.errors import Code, ServingError, invalid_argument
from protos.inference_methods import BY_METHOD_NAME, Method
from protos.messages import Tensor
from protos.signature import DEFAULT_SIGNATURE, Signature


class Task(NamedTuple):
    """One of the inferences.

    Attributes:
        aliases: of the outputs that are wanted from the signature.
    """

    signature: str
    how: Method[Any]
    aliases: list[str]


class Joint(NamedTuple):
    """What runs.

    Attributes:
        signatures: names of all that run, in the order of their outputs.
        outputs: positions of what is wanted in the list of all their outputs, empty for all of it.
        tasks: in the order of the request.
    """

    signatures: tuple[str, ...]
    outputs: tuple[int, ...]
    tasks: list[Task]


def join(
    tasks: Sequence[public.InferenceTask],
    signatures: Mapping[str, Signature],
    *,
    check_method_name: bool,
) -> Joint:
    """What the tasks ask of a model with these signatures.

    Raises:
        ServingError: the request is refused.
    """
    model = tasks[0].model_spec.name if tasks else ""
    checked: dict[str, Task] = {}
    for task in tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != model:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if name in checked:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        signature = signatures.get(name)
        if signature is None:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        how = BY_METHOD_NAME.get(task.method_name)
        if how is None:
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        checked[name] = Task(name, how, how.choose_outputs(signature, check_method_name=check_method_name))
    # Sorted: workers prepare each set of signatures once, not each order.
    names = tuple(sorted(checked))
    every = [(name, alias) for name in names for alias in signatures[name].outputs]
    wanted = [every.index((name, alias)) for name in names for alias in checked[name].aliases]
    outputs = tuple(wanted) if len(wanted) < len(every) else ()
    return Joint(names, outputs, list(checked.values()))


def read(joint: Joint, tensors: Sequence[Tensor], examples: int) -> list[tuple[Task, Any]]:
    """What the outputs mean: each task, in the order of the request, with the result of its method.

    Raises:
        ServingError: INVALID_ARGUMENT, an output is not what its method can answer with.
    """
    by_signature: dict[str, list[Tensor]] = {}
    aliases = {task.signature: task.aliases for task in joint.tasks}
    left = iter(tensors)
    for name in joint.signatures:
        by_signature[name] = [tensor for _, tensor in zip(aliases[name], left, strict=False)]
    return [(task, task.how.read_result(task.aliases, by_signature[task.signature], examples)) for task in joint.tasks]
