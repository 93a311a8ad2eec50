"""MultiInference: checks of the tasks in order, one run for all, and results in the order of the tasks."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from frontend.catalog import Catalog, Model, Version
from frontend.grpc.inference import MultiInferenceCall
from frontend.multi_inference import joint_route, plan, read_results
from protos import messages, public
from protos.dtypes import DT_FLOAT, DT_STRING
from protos.errors import Code, ServingError
from protos.messages import State, Tensor

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
SIGNATURES = {
    "serving_default": (CLASSIFY, ["inputs"], ["classes", "scores"]),
    "b_regress": (REGRESS, ["inputs"], ["outputs"]),
    "a_regress": (REGRESS, ["inputs"], ["outputs"]),
    "one_known": (CLASSIFY, ["inputs"], ["scores", "a"]),
    "nameless": ("", ["inputs"], ["outputs"]),
    "odd": (REGRESS, ["x"], ["outputs"]),
}


class FakeLink:
    """All that the catalog looks at."""

    pending: dict[int, Any] = {}


def version(number: int, signatures: dict[str, tuple[str, list[str], list[str]]] = SIGNATURES) -> Version:
    definitions = public.SignatureDefMap()
    for name, (method, inputs, outputs) in signatures.items():
        definition = definitions.signature_def[name]
        definition.method_name = method
        for alias in inputs:
            definition.inputs[alias].name, definition.inputs[alias].dtype = "examples:0", DT_STRING
        for alias in outputs:
            definition.outputs[alias].name = f"{name}_{alias}:0"
    entry = messages.VersionEntry(
        version=number, state=State.AVAILABLE, workers=[1], signatures=definitions.SerializeToString()
    )
    return Version("m", entry, [FakeLink()])  # type: ignore[list-item]


CATALOG = Catalog([Model("m", [version(1), version(2)], {"old": 1})])


def task(signature: str = "", method: str = REGRESS, *, model: str = "m", **spec: Any) -> public.InferenceTask:
    result = public.InferenceTask(method_name=method)
    result.model_spec.name, result.model_spec.signature_name = model, signature
    if "version" in spec:
        result.model_spec.version.value = spec["version"]
    if "label" in spec:
        result.model_spec.version_label = spec["label"]
    return result


def refusal(*tasks: public.InferenceTask, check: bool = False) -> tuple[int, str]:
    with pytest.raises(ServingError) as raised:
        plan(tasks, CATALOG, check_method_name=check)
    return raised.value.code, raised.value.message


@pytest.mark.parametrize(
    ("tasks", "code", "text"),
    [
        ([], Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ([public.InferenceTask(method_name=REGRESS)], Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ([task(model="other")], Code.NOT_FOUND, "Servable not found for request: Latest(other)"),
        ([task(version=7)], Code.NOT_FOUND, "Servable not found for request: Specific(m, 7)"),
        ([task(label="new")], Code.INVALID_ARGUMENT, "Unrecognized servable version label: new"),
        (
            [task("a_regress"), task("b_regress", model="")],
            Code.INVALID_ARGUMENT,
            "Found ModelSpec with an empty model name.",
        ),
        (
            [task("a_regress"), task("a_regress", model="n")],
            Code.INVALID_ARGUMENT,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [task("a_regress"), task("a_regress", "nonsense")],
            Code.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: a_regress",
        ),
        (
            [task("", CLASSIFY), task("serving_default", CLASSIFY)],
            Code.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            [task("a_regress"), task("no", "nonsense")],
            Code.INVALID_ARGUMENT,
            "Requested signature not found in model graph: no",
        ),
        (
            [task("odd", "tensorflow/serving/predict")],
            Code.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        ([task("a_regress", CLASSIFY)], Code.INVALID_ARGUMENT, "Expected classification signature outputs to contain"),
        ([task("odd")], Code.INVALID_ARGUMENT, "No regression inputs found in SignatureDef: "),
        # Tasks are looked at one after another.
        ([task("odd"), task("b_regress", model="")], Code.INVALID_ARGUMENT, "No regression inputs found"),
    ],
)
def test_refusals(tasks: list[public.InferenceTask], code: int, text: str) -> None:
    got_code, got_text = refusal(*tasks)
    assert got_code == code and got_text.startswith(text)


def test_the_method_name_check() -> None:
    plan([task("nameless")], CATALOG, check_method_name=False)
    assert refusal(task("nameless"), check=True) == (
        Code.INVALID_ARGUMENT,
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: ",
    )
    assert refusal(task("", REGRESS), check=True)[1].endswith("Was: tensorflow/serving/classify")


def test_the_first_task_says_which_version() -> None:
    tasks = [task("a_regress", label="old"), task("b_regress", version=2)]
    made, route = plan(tasks, CATALOG, check_method_name=False)
    assert (made.target.name, made.target.label, made.target.signature) == ("m", "old", "")
    assert route.version.version == 1


def test_one_task_is_a_run_of_its_signature() -> None:
    made, route = plan([task("one_known", CLASSIFY)], CATALOG, check_method_name=False)
    assert (route.signature.name, route.signature.inputs, route.signature.outputs) == (
        "one_known",
        ("inputs",),
        ("a", "scores"),
    )
    assert made.joint.outputs == (1,)


def test_many_are_one_run_in_the_order_of_their_names() -> None:
    tasks = [task("b_regress"), task("", CLASSIFY), task("a_regress")]
    made, route = plan(tasks, CATALOG, check_method_name=True)
    assert made.joint.signatures == ("a_regress", "b_regress", "serving_default")
    assert route.signature.name == "a_regress\0b_regress\0serving_default"
    assert made.joint.outputs == ()  # all there are
    assert [item.signature for item in made.joint.tasks] == ["b_regress", "serving_default", "a_regress"]


def test_only_what_is_wanted_is_fetched() -> None:
    made, _ = plan([task("one_known", CLASSIFY), task("b_regress")], CATALOG, check_method_name=False)
    # b_regress: outputs; one_known: a, scores.
    assert made.joint.outputs == (0, 2)


def floats(shape: tuple[int, ...], *values: float) -> Tensor:
    return Tensor(DT_FLOAT, shape, struct.pack(f"<{len(values)}f", *values))


def test_results_are_in_the_order_of_the_tasks() -> None:
    tasks = [task("b_regress", version=2), task("one_known", CLASSIFY), task("", CLASSIFY), task("a_regress")]
    made, route = plan(tasks, CATALOG, check_method_name=False)
    tensors = [
        floats((2,), 1, 2),
        floats((2, 1), 3, 4),
        floats((2, 1), 5, 6),
        Tensor(DT_STRING, (2, 1), [b"x", b"y"]),
        floats((2, 1), 7, 8),
    ]
    response = read_results(made, route.version.version, tensors, 2)
    assert [result.model_spec.signature_name for result in response.results] == [
        "b_regress",
        "one_known",
        "serving_default",
        "a_regress",
    ]
    assert {(r.model_spec.name, r.model_spec.version.value, r.model_spec.version_label) for r in response.results} == {
        ("m", 2, "")
    }
    b_regress, one_known, default, a_regress = response.results
    assert [r.value for r in a_regress.regression_result.regressions] == [1, 2]
    assert [r.value for r in b_regress.regression_result.regressions] == [3, 4]
    assert [[c.score for c in e.classes] for e in one_known.classification_result.classifications] == [[5], [6]]
    pairs = [[(c.label, c.score) for c in e.classes] for e in default.classification_result.classifications]
    assert pairs == [[("x", 7)], [("y", 8)]]
    assert one_known.WhichOneof("result") == "classification_result"


def test_results_that_will_not_do() -> None:
    made, _ = plan([task("b_regress"), task("a_regress")], CATALOG, check_method_name=False)
    for tensors, text in (
        ([floats((2,), 1, 2), floats((1,), 1)], "Input batch size did not match output batch size: 2 vs. 1"),
        ([floats((2,), 1, 2)], "Expected output_tensors and output_tensor_names to have the same size."),
    ):
        with pytest.raises(ServingError) as raised:
            read_results(made, 2, tensors, 2)
        assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, text)


def test_another_version_without_one_of_the_signatures() -> None:
    poor = version(3, {"a_regress": SIGNATURES["a_regress"]})
    assert joint_route(poor, ["a_regress"]).signature.name == "a_regress"
    with pytest.raises(ServingError) as raised:
        joint_route(poor, ["a_regress", "b_regress"])
    assert raised.value.code == Code.FAILED_PRECONDITION


def test_a_request_that_finds_its_version_gone_goes_to_the_next() -> None:
    call = MultiInferenceCall()
    call.plan, call.route = plan([task("b_regress"), task("a_regress")], CATALOG, check_method_name=False)
    call.target = call.plan.target
    route = call.resolve(Catalog([Model("m", [version(1), version(3)], {})]))
    assert (route.version.version, route.signature.name) == (3, "a_regress\0b_regress")
    assert (route.signature.inputs, route.signature.outputs) == (
        call.route.signature.inputs,
        call.route.signature.outputs,
    )
    other = version(4, SIGNATURES | {"a_regress": (REGRESS, ["inputs"], ["outputs", "more"])})
    assert call.resolve(Catalog([Model("m", [other], {})])).signature.outputs != call.route.signature.outputs
