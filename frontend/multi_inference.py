"""MultiInference: several Classify and Regress of one input as one run; upstream's checks, order and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from frontend.catalog import Catalog, Route, Version
from protos import joint_inference, public
from protos.errors import Code, ServingError
from protos.inference_methods import CLASSIFY
from protos.joint_inference import Joint
from protos.messages import SIGNATURE_SEPARATOR, Tensor
from protos.signature import Signature
from protos.tensor_view import Target, target_of


class Plan(NamedTuple):
    """How a request is answered.

    Attributes:
        target: the model, and the version or label, for all tasks.
        joint: what runs there.
    """

    target: Target
    joint: Joint


def plan(tasks: Sequence[public.InferenceTask], catalog: Catalog, *, check_method_name: bool) -> tuple[Plan, Route]:
    """What the tasks ask for, and where it goes.

    Raises:
        ServingError: the request is refused.
    """
    # Versions and labels of the other tasks don't count.
    target = target_of(tasks[0].model_spec if tasks else public.ModelSpec())._replace(signature="")
    version = catalog.resolve(target)
    joint = joint_inference.join(tasks, version.signatures, check_method_name=check_method_name)
    return Plan(target, joint), joint_route(version, joint.signatures)


def joint_route(version: Version, names: Sequence[str]) -> Route:
    """The route to several signatures of a version, which run as one.

    Raises:
        ServingError: FAILED_PRECONDITION, the version does not have one of them.
    """
    signatures = []
    for name in names:
        signature = version.signatures.get(name)
        if signature is None:
            raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        signatures.append(signature)
    if len(signatures) == 1:
        return Route(version, signatures[0])
    return Route(
        version,
        Signature(
            name=SIGNATURE_SEPARATOR.join(names),
            method_name="",
            inputs={
                f"{signature.name}{SIGNATURE_SEPARATOR}{alias}": (dtype, tensor)
                for signature in signatures
                for alias, dtype, tensor in zip(
                    signature.inputs, signature.input_dtypes, signature.input_tensor_names, strict=True
                )
            },
            outputs={
                f"{signature.name}{SIGNATURE_SEPARATOR}{alias}": 0
                for signature in signatures
                for alias in signature.outputs
            },
            defaults={},
        ),
    )


def read_results(plan: Plan, version: int, tensors: Sequence[Tensor], examples: int) -> public.MultiInferenceResponse:
    """The answer of so many examples, in the order of the tasks.

    Raises:
        ServingError: INVALID_ARGUMENT, an output is not what its method can answer with.
    """
    response = public.MultiInferenceResponse()
    for task, read in joint_inference.read(plan.joint, tensors, examples):
        result = response.results.add()
        result.model_spec.name = plan.target.name
        result.model_spec.version.value = version
        result.model_spec.signature_name = task.signature
        read.write(result.classification_result if task.how is CLASSIFY else result.regression_result)
    return response
