"""Classify, Regress and MultiInference with TensorFlow Serving's stubs and over REST; messages in place of JSON."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.e2e.clients import CALL_SECONDS, Grpc, Rest, grpc_client, predict_request, raises, rest_client, set_spec
from tests.e2e.server import Server, entry, eventually, started, write_config
from tests.inference_models import FAILURE

CLASSIFY, REGRESS, PREDICT = (f"tensorflow/serving/{name}" for name in ("classify", "regress", "predict"))
PROTOBUF = {"Content-Type": "application/x-protobuf"}
H, W = "half_plus_two", "inferences"

Features = Mapping[str, Sequence[Any]]


def add(examples: Any, features: Features) -> None:
    """Append a tf.Example of bytes and floats."""
    put(examples.add(), features)


def put(example: Any, features: Features) -> None:
    for name, values in features.items():
        feature = example.features.feature[name]
        (feature.bytes_list if isinstance(values[0], bytes) else feature.float_list).value.extend(values)


def request(
    kind: type[Any], model: str, signature: str, *examples: Features, context: Features | None = None, **spec: Any
) -> Any:
    """A ClassificationRequest or RegressionRequest."""
    result = kind()
    set_spec(result.model_spec, model, **spec)
    result.model_spec.signature_name = signature
    fill(result.input, examples, context)
    return result


def fill(source: Any, examples: Sequence[Features], context: Features | None) -> None:
    if context is not None:
        put(source.example_list_with_context.context, context)
    kind = source.example_list if context is None else source.example_list_with_context
    for features in examples:
        add(kind.examples, features)


def multi(
    *tasks: tuple[str, str] | tuple[str, str, str], examples: Sequence[Features] = ({"x": [2.0]},)
) -> inference_pb2.MultiInferenceRequest:
    """Tasks are signature, method and the model's name if it is not half_plus_two."""
    result = inference_pb2.MultiInferenceRequest()
    for signature, method, *model in tasks:
        task = result.tasks.add(method_name=method)
        task.model_spec.name = model[0] if model else H
        task.model_spec.signature_name = signature
    fill(result.input, examples, None)
    return result


def classify(client: Grpc, *args: Any, **more: Any) -> Any:
    return client.prediction.Classify(request(classification_pb2.ClassificationRequest, *args, **more), CALL_SECONDS)


def regress(client: Grpc, *args: Any, **more: Any) -> Any:
    return client.prediction.Regress(request(regression_pb2.RegressionRequest, *args, **more), CALL_SECONDS)


def pairs(result: Any) -> list[list[tuple[str, float]]]:
    """Label and score of each class of each example."""
    return [[(c.label, c.score) for c in row.classes] for row in result.classifications]


def values(result: Any) -> list[float]:
    return [regression.value for regression in result.regressions]


def echoed(spec: Any) -> tuple[str, int, str, str]:
    return spec.name, spec.version.value, spec.signature_name, spec.version_label


# --- gRPC: answers -------------------------------------------------------------------------------------------------


def test_classify(rpc: Grpc) -> None:
    answer = classify(rpc, H, "classify_x_to_y", {"x": [2.0]})
    assert pairs(answer.result) == [[("", 3.0)]]
    assert echoed(answer.model_spec) == (H, 1, "classify_x_to_y", "")


def test_regress(rpc: Grpc) -> None:
    answer = regress(rpc, H, "regress_x_to_y", {"x": [2.0]}, {"x": [-4.0]}, label="stable")
    assert values(answer.result) == [3.0, 0.0]
    assert echoed(answer.model_spec) == (H, 1, "regress_x_to_y", "")


def test_the_default_signature(rpc: Grpc) -> None:
    examples = ({"label": [b"dos", b"uno"], "score": [2.0, 1.0]}, {"label": [b"cuatro", b"tres"], "score": [4.0, 3.0]})
    answer = classify(rpc, W, "", *examples, version=1)
    assert pairs(answer.result) == [[("dos", 2.0), ("uno", 1.0)], [("cuatro", 4.0), ("tres", 3.0)]]
    assert echoed(answer.model_spec) == (W, 1, "serving_default", "")


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("no_method_name", [[("a", -1.0), ("b", 0.5)]]),
        ("classes_only", [[("a", 0.0), ("b", 0.0)]]),
        ("scores_only", [[("", -1.0), ("", 0.5)]]),
        ("one_known", [[("", -1.0), ("", 0.5)]]),
        ("no_classes", [[]]),
    ],
)
def test_outputs_of_classify(rpc: Grpc, signature: str, expected: Any) -> None:
    answer = classify(rpc, W, signature, {"label": [b"a", b"b"], "score": [-1.0, 0.5]})
    assert pairs(answer.result) == expected


@pytest.mark.parametrize("signature", ["regress", "regress_column", "regress_no_method_name"])
def test_outputs_of_regress(rpc: Grpc, signature: str) -> None:
    assert values(regress(rpc, W, signature, {"score": [1.0, 2.0]}, {"score": [3.0, 4.0]}).result) == [1.0, 3.0]


def test_an_example_overrides_its_context(rpc: Grpc) -> None:
    context = {"label": [b"uno", b"dos"], "score": [1.0, 2.0]}
    own = {"label": [b"tres", b"cuatro"], "score": [3.0, 4.0]}
    answer = classify(rpc, W, "", {}, own, {"score": [5.0, 6.0]}, context=context)
    assert pairs(answer.result) == [
        [("uno", 1.0), ("dos", 2.0)],
        [("tres", 3.0), ("cuatro", 4.0)],
        [("uno", 5.0), ("dos", 6.0)],
    ]


def test_labels_that_are_no_utf8(rpc: Grpc) -> None:
    answer = classify(rpc, W, "classes_only", {"label": [b"\xff", "é".encode()]})
    assert pairs(answer.result) == [[("\ufffd", 0.0), ("é", 0.0)]]


def test_many_examples(rpc: Grpc) -> None:
    answer = regress(rpc, H, "regress_x_to_y", *({"x": [float(i)]} for i in range(30_000)))
    assert values(answer.result) == [0.5 * i + 2 for i in range(30_000)]


# --- gRPC: refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Classify", "Regress"])
def test_models_and_signatures_that_are_not_there(rpc: Grpc, kind: str) -> None:
    call = getattr(rpc.prediction, kind)
    message = {"Classify": classification_pb2.ClassificationRequest, "Regress": regression_pb2.RegressionRequest}[kind]
    for sent, code, text in (
        (message(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request(message, "", "s"), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (request(message, "none", ""), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (request(message, H, "", version=9), "NOT_FOUND", f"Servable not found for request: Specific({H}, 9)"),
        (request(message, H, "", label="x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (request(message, H, "no"), "INVALID_ARGUMENT", "No signature was found with the name: no"),
    ):
        with raises(code, text):
            call(sent, CALL_SECONDS)


def test_no_input(rpc: Grpc) -> None:
    for source in ("unset", "empty", "context"):
        sent = classification_pb2.ClassificationRequest()
        sent.model_spec.name, sent.model_spec.signature_name = H, "classify_x_to_y"
        if source == "empty":
            sent.input.example_list.SetInParent()
        elif source == "context":
            put(sent.input.example_list_with_context.context, {"x": [1.0]})
        with raises("INVALID_ARGUMENT", "Input is empty."):
            rpc.prediction.Classify(sent, CALL_SECONDS)
    with raises("INVALID_ARGUMENT", "Input is empty."):
        regress(rpc, H, "regress_x_to_y")
    # The signature is looked at first.
    with raises("INVALID_ARGUMENT", "No regression inputs found in SignatureDef:"):
        regress(rpc, H, "serving_default")


@pytest.mark.parametrize(
    ("signature", "code", "text"),
    [
        ("two_inputs", "INVALID_ARGUMENT", "Expected one input Tensor."),
        ("three_outputs", "INVALID_ARGUMENT", "Expected one or two output Tensors, found 3"),
        ("named_examples", "INVALID_ARGUMENT", "No classification inputs found in SignatureDef: "),
        ("unknown_outputs", "INVALID_ARGUMENT", 'outputs to contain at least one of "classes" or "scores". Signature'),
        ("predict", "INVALID_ARGUMENT", "No classification inputs found in SignatureDef: "),
        ("fails", "INVALID_ARGUMENT", FAILURE),
        ("flat_classes", "INVALID_ARGUMENT", "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ("flat_scores", "INVALID_ARGUMENT", "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ("number_classes", "INVALID_ARGUMENT", "Expected classes Tensor of DT_STRING. Got: DT_INT64"),
        ("number_scores", "INVALID_ARGUMENT", "Expected scores Tensor of DT_FLOAT. Got: DT_INT64"),
        ("short_classes", "INVALID_ARGUMENT", "Expected classes output batch size of 2. Got: 1"),
        ("short_scores", "INVALID_ARGUMENT", "Expected scores output batch size of 2. Got: 1"),
        ("more_scores", "INVALID_ARGUMENT", "Tensors class and score should match in dim_size(1). Got 2 vs. 4"),
    ],
)
def test_refused_classify(rpc: Grpc, rest: Rest, signature: str, code: str, text: str) -> None:
    with raises(code, text):
        classify(rpc, W, signature, {}, {})
    answer = rest.post(f"{W}:classify", {"signature_name": signature, "examples": [{}, {}]})
    assert answer.status_code == 400 and text in answer.json()["error"]


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("two_inputs_regress", "Expected one input Tensor."),
        ("two_outputs_regress", "Expected one output Tensor."),
        ("named_examples_regress", "No regression inputs found in SignatureDef: "),
        ("unknown_output_regress", "No regression outputs found in SignatureDef: "),
        (
            "regress_matrix",
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
        ),
        ("regress_short", "Input batch size did not match output batch size: 2 vs. 1"),
        ("regress_numbers", "Expected output Tensor of DT_FLOAT.  Got: DT_INT64"),
    ],
)
def test_refused_regress(rpc: Grpc, rest: Rest, signature: str, text: str) -> None:
    with raises("INVALID_ARGUMENT", text):
        regress(rpc, W, signature, {}, {})
    answer = rest.post(f"{W}:regress", {"signature_name": signature, "examples": [{}, {}]})
    assert answer.status_code == 400 and text in answer.json()["error"]


def test_a_signature_that_takes_no_examples(rpc: Grpc) -> None:
    text = "Expects arg[0] to be float but string is provided"
    with raises("INVALID_ARGUMENT", text):
        classify(rpc, H, "classify_x2_to_y3", {"x2": [2.0]})
    with raises("INVALID_ARGUMENT", text):
        regress(rpc, H, "regress_x2_to_y3", {"x2": [2.0]})
    with raises("INVALID_ARGUMENT", text):
        rpc.prediction.MultiInference(multi(("regress_x_to_y", REGRESS), ("regress_x2_to_y3", REGRESS)), CALL_SECONDS)


def test_examples_that_are_none(rpc: Grpc) -> None:
    good = request(classification_pb2.ClassificationRequest, H, "classify_x_to_y", {"x": [2.0]}).SerializeToString()
    call = rpc.channel.unary_unary("/tensorflow.serving.PredictionService/Classify")
    assert call(good, timeout=CALL_SECONDS)
    # The one tag of a list of floats becomes that of a group without an end.
    assert good.count(b"\x12\x06") == 1
    with raises("INTERNAL"):
        call(good.replace(b"\x12\x06", b"\x13\x06"), timeout=CALL_SECONDS)
    # What an example is to hold is the graph's business.
    with raises("INVALID_ARGUMENT", "x"):
        regress(rpc, H, "regress_x_to_y", {})


# --- MultiInference ------------------------------------------------------------------------------------------------


def test_multi_inference(rpc: Grpc) -> None:
    tasks = (("regress_x_to_y", REGRESS), ("classify_x_to_y", CLASSIFY))
    for order in (tasks, tasks[::-1]):
        answer = rpc.prediction.MultiInference(multi(*order), CALL_SECONDS)
        assert [echoed(result.model_spec) for result in answer.results] == [(H, 1, name, "") for name, _ in order]
        by_name = {result.model_spec.signature_name: result for result in answer.results}
        assert values(by_name["regress_x_to_y"].regression_result) == [3.0]
        assert pairs(by_name["classify_x_to_y"].classification_result) == [[("", 3.0)]]


def test_two_outputs_of_one_graph(rpc: Grpc) -> None:
    sent = multi(("regress_x_to_y", REGRESS), ("regress_x_to_y2", REGRESS))
    answer = rpc.prediction.MultiInference(sent, CALL_SECONDS)
    assert [values(result.regression_result) for result in answer.results] == [[3.0], [4.0]]


def test_tasks_with_inputs_of_their_own(rpc: Grpc) -> None:
    examples = ({"label": [b"a", b"b"], "score": [1.0, 2.0]}, {"label": [b"c", b"d"], "score": [3.0, 4.0]})
    sent = multi(("regress_second", REGRESS, W), ("", CLASSIFY, W), ("one_known", CLASSIFY, W), examples=examples)
    second, default, known = rpc.prediction.MultiInference(sent, CALL_SECONDS).results
    assert values(second.regression_result) == [2.0, 4.0]
    assert pairs(default.classification_result) == [[("a", 1.0), ("b", 2.0)], [("c", 3.0), ("d", 4.0)]]
    assert pairs(known.classification_result) == [[("", 1.0), ("", 2.0)], [("", 3.0), ("", 4.0)]]
    assert default.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize(
    ("sent", "code", "text"),
    [
        (multi(), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (multi(("s", REGRESS, "none")), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (
            multi(("regress_x_to_y", REGRESS), ("regress_x_to_y2", REGRESS, "")),
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name.",
        ),
        (
            multi(("regress_x_to_y", REGRESS), ("regress_x_to_y2", REGRESS, W)),
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            multi(("regress_x_to_y", REGRESS), ("regress_x_to_y", REGRESS)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        (multi(("no", REGRESS)), "INVALID_ARGUMENT", "Requested signature not found in model graph: no"),
        (multi(("regress_x_to_y", PREDICT)), "UNIMPLEMENTED", f"Unsupported signature method_name: {PREDICT}"),
        (multi(("regress_x_to_y", CLASSIFY)), "INVALID_ARGUMENT", "Expected classification signature outputs"),
        (multi(("regress_x_to_y", REGRESS), examples=()), "INVALID_ARGUMENT", "Input is empty."),
        (
            multi(("regress", REGRESS, W), ("regress_short", REGRESS, W), examples=({}, {})),
            "INVALID_ARGUMENT",
            "Input batch size did not match output batch size: 2 vs. 1",
        ),
        (multi(("regress", REGRESS, W), ("fails", CLASSIFY, W), examples=({},)), "INVALID_ARGUMENT", FAILURE),
    ],
)
def test_refused_multi_inference(rpc: Grpc, sent: Any, code: str, text: str) -> None:
    with raises(code, text):
        rpc.prediction.MultiInference(sent, CALL_SECONDS)


# --- REST ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "/versions/1", "/labels/stable"])
def test_rest(rest: Rest, place: str) -> None:
    for verb, signature, x, expected in (
        ("regress", "regress_x_to_y", 80.0, [42.0]),
        ("regress", "regress_x_to_y", 2.0, [3.0]),
        ("classify", "classify_x_to_y", 20.0, [[["", 12.0]]]),
        ("classify", "classify_x_to_y", 2.0, [[["", 3.0]]]),
    ):
        answer = rest.post(f"{H}{place}:{verb}", {"signature_name": signature, "examples": [{"x": x}]})
        assert (answer.status_code, answer.json()) == (200, {"results": expected})
        assert answer.headers["Content-Type"] == "application/json"


def test_rest_with_labels_and_a_context(rest: Rest) -> None:
    body = {"context": {"label": ["no", "yes"]}, "examples": [{"score": [0.5, 1.5]}, {"label": ["a", {"b64": "YmI="}]}]}
    answer = rest.post(f"{W}:classify", body)
    assert answer.json() == {"results": [[["no", 0.5], ["yes", 1.5]], [["a", 0.0], ["bb", 0.0]]]}


def test_rest_numbers_that_are_not_finite(rest: Rest) -> None:
    body = b'{"signature_name":"regress","examples":[{"score":[NaN,0.0]},{"score":[-Infinity,0.0]}]}'
    assert rest.post(f"{W}:regress", body).content == b'{"results":[NaN,-Infinity]}'


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_refused_over_rest(rest: Rest, verb: str) -> None:
    for path, body, status, text in (
        (f"none:{verb}", {"examples": [{"x": 1.0}]}, 404, "Servable not found for request: Latest(none)"),
        (f"{H}/versions/9:{verb}", {"examples": [{}]}, 404, f"Servable not found for request: Specific({H}, 9)"),
        (f"{H}/labels/no:{verb}", {"examples": [{}]}, 400, "Unrecognized servable version label: no"),
        (f"{H}:{verb}", {"signature_name": "no", "examples": [{}]}, 400, "No signature was found with the name: no"),
        # The document comes first.
        (f"none:{verb}", b"", 400, "JSON Parse error: The document is empty"),
        (f"none:{verb}", {"signature_name": 1, "examples": [{}]}, 400, "'signature_name' key must be a string value."),
        (f"none:{verb}", {}, 400, f"When method is {verb}, key 'examples' is expected and was not found"),
        (f"none:{verb}", {"examples": [{"x": None}]}, 400, "Feature: x has element with unexpected JSON type: Null"),
        (f"{H}/versions/18446744073709551615:{verb}", {}, 400, "Failed to convert version"),
    ):
        answer = rest.post(path, body)
        assert answer.status_code == status and text in answer.json()["error"], answer.text


def test_rest_takes_gzip(rest: Rest) -> None:
    body = gzip.compress(b'{"signature_name":"regress_x_to_y","examples":[{"x":2.0}]}')
    answer = rest.post(f"{H}:regress", body, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()) == (200, {"results": [3.0]})


# --- messages over REST --------------------------------------------------------------------------------------------


def accepting(accept: str) -> dict[str, str]:
    return {**PROTOBUF, "Accept": accept}


def test_predict_with_messages(rest: Rest) -> None:
    sent = predict_request("", {"x": np.array([2.0, 3.0], np.float32)}, output_filter=["y"])
    for path in (H, f"{H}/versions/1", f"{H}/labels/stable"):
        answer = rest.post(f"{path}:predict", sent.SerializeToString(), headers=PROTOBUF)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-protobuf")
        response = predict_pb2.PredictResponse.FromString(answer.content)
        assert tf.make_ndarray(response.outputs["y"]).tolist() == [3.0, 3.5]
        assert echoed(response.model_spec) == (H, 1, "serving_default", "")


def test_predict_answers_as_the_client_likes(rest: Rest) -> None:
    sent = predict_request(H, {"a": np.float32(3.0), "b": np.float32(1.0)}, output_filter=["total", "difference"])
    sent.model_spec.name = "signatures"
    answer = rest.post("signatures:predict", sent.SerializeToString(), headers=accepting("application/json"))
    assert (answer.headers["Content-Type"], answer.json()) == (
        "application/json",
        {"outputs": {"total": 4.0, "difference": 2.0}},
    )
    answer = rest.post("signatures:predict", sent.SerializeToString(), headers=PROTOBUF)
    response = predict_pb2.PredictResponse.FromString(answer.content)
    assert {alias: tensor.float_val[0] for alias, tensor in response.outputs.items()} == {
        "total": 4.0,
        "difference": 2.0,
    }
    for accept, binary in (("application/x-protobuf", True), ("*/*", False)):
        answer = rest.post(f"{H}:predict", {"instances": [2.0, 3.0]}, headers={"Accept": accept})
        if binary:
            response = predict_pb2.PredictResponse.FromString(answer.content)
            assert list(response.outputs["y"].float_val) == [3.0, 3.5]
        else:
            assert answer.json() == {"predictions": [3.0, 3.5]}


def test_large_tensors_as_messages(rest: Rest) -> None:
    x = np.arange(300_000, dtype=np.float32)
    sent = predict_request(H, {"x": x}).SerializeToString()
    for body, more in ((sent, {}), (gzip.compress(sent, 1), {"Content-Encoding": "gzip"})):
        answer = rest.post(f"{H}:predict", body, headers={**PROTOBUF, **more})
        y = tf.make_ndarray(predict_pb2.PredictResponse.FromString(answer.content).outputs["y"])
        assert np.array_equal(y, 0.5 * x + 2)


def test_examples_as_messages(rest: Rest) -> None:
    sent = request(classification_pb2.ClassificationRequest, H, "classify_x_to_y", {"x": [2.0]}, version=1)
    answer = rest.post(f"{H}:classify", sent.SerializeToString(), headers={"Content-Type": "application/protobuf"})
    response = classification_pb2.ClassificationResponse.FromString(answer.content)
    assert (answer.headers["Content-Type"], pairs(response.result)) == ("application/x-protobuf", [[("", 3.0)]])
    assert echoed(response.model_spec) == (H, 1, "classify_x_to_y", "")
    answer = rest.post(f"{H}:classify", sent.SerializeToString(), headers=accepting("application/json"))
    assert answer.json() == {"results": [[["", 3.0]]]}
    sent = request(regression_pb2.RegressionRequest, "", "regress_x_to_y", {"x": [2.0]}, context={"x2": [1.0]})
    answer = rest.post(f"{H}/labels/stable:regress", sent.SerializeToString(), headers=PROTOBUF)
    assert values(regression_pb2.RegressionResponse.FromString(answer.content).result) == [3.0]
    body = {"signature_name": "regress_x_to_y", "examples": [{"x": 4.0}]}
    answer = rest.post(f"{H}:regress", body, headers={"Accept": "application/x-protobuf"})
    assert values(regression_pb2.RegressionResponse.FromString(answer.content).result) == [4.0]


@pytest.mark.parametrize(
    ("path", "message", "status", "text"),
    [
        (f"{H}:predict", b"\xff", 400, "the body is not a serialized tensorflow.serving.PredictRequest"),
        (f"{H}:classify", b"\xff", 400, "the body is not a serialized tensorflow.serving.ClassificationRequest"),
        (f"{H}:regress", b"\xff", 400, "the body is not a serialized tensorflow.serving.RegressionRequest"),
        (f"{H}:regress", b"", 400, "No regression inputs found in SignatureDef: "),
        (f"{H}:predict", b"", 400, "input size does not match signature: 0!=1"),
        (f"{H}:predict", predict_request(W, {}), 400, f'The URL asks for model "{H}", and model_spec for "{W}"'),
        (f"{H}/versions/1:predict", predict_request(H, {}, version=2), 400, "The URL asks for version 1, and"),
        (f"{H}/labels/stable:predict", predict_request(H, {}, version=1), 400, 'The URL asks for label "stable", and'),
        (f"{H}:predict", predict_request(H, {}, version=2), 404, f"Servable not found for request: Specific({H}, 2)"),
        (f"{H}:predict", predict_request("", {"x": 1.0}, signature="no"), 400, 'signature name: "no" not found in'),
        (f"{H}:predict", predict_request("", {"x": "s"}), 400, "Expects arg[0] to be float but string is provided"),
        (f"{H}:predict", predict_request("", {"x": 1.0}, output_filter=["z"]), 400, "alias not found in signature: z"),
    ],
)
def test_refused_messages(rest: Rest, path: str, message: Any, status: int, text: str) -> None:
    body = message if isinstance(message, bytes) else message.SerializeToString()
    answer = rest.post(path, body, headers=accepting("application/x-protobuf"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    assert text in answer.json()["error"]


def test_an_answer_that_json_cannot_carry(rest: Rest) -> None:
    sent = predict_request("identity", {"x": np.array([1.5], np.float16)}, signature="half").SerializeToString()
    answer = rest.post("identity:predict", sent, headers=accepting("application/json"))
    assert (answer.status_code, answer.json()["error"]) == (400, "Failed to write JSON value for tensor type: half")
    answer = rest.post("identity:predict", sent, headers=PROTOBUF)
    assert tf.make_ndarray(predict_pb2.PredictResponse.FromString(answer.content).outputs["y"]).tolist() == [1.5]


# --- with --enable_signature_method_name_check and --enable_batching -----------------------------------------------


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    """Signatures must be made for the method; requests are merged."""
    folder = tmp_path_factory.mktemp("strict")
    config = write_config(folder / "models.config", *(entry(name, model_path(name).parent) for name in (H, W)))
    parameters = folder / "batching.pbtxt"
    parameters.write_text("max_batch_size { value: 4 } batch_timeout_micros { value: 500000 }")
    monitoring = folder / "monitoring.pbtxt"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = ("--enable_batching", f"--batching_parameters_file={parameters}", f"--monitoring_config_file={monitoring}")
    with started(
        folder,
        f"--model_config_file={config}",
        "--enable_signature_method_name_check",
        "--enable_serialization_as_tensor_content",
        "--num_frontends=1",
        *flags,
    ) as server:
        yield server


@pytest.fixture
def client(strict: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{strict.grpc_port}") as rpc:
        yield rpc


@pytest.fixture
def http(strict: Server) -> Iterator[Rest]:
    with rest_client(strict.rest_port) as rest:
        yield rest


def test_method_names_are_checked(client: Grpc, http: Rest) -> None:
    four = ({"x": [2.0]},) * 4  # a batch of its own
    assert pairs(classify(client, H, "classify_x_to_y", *four).result) == [[("", 3.0)]] * 4
    for text, call in (
        (
            f"Expected classification signature method_name to be {CLASSIFY}. Was: ",
            lambda: classify(client, W, "no_method_name", {}),
        ),
        (
            f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}",
            lambda: classify(client, H, "regress_x_to_y", {}),
        ),
        (
            f"Expected regression signature method_name to be {REGRESS}. Was: ",
            lambda: regress(client, W, "regress_no_method_name", {}),
        ),
        (
            f"Expected regression signature method_name to be {REGRESS}. Was: {PREDICT}",
            lambda: regress(client, H, "serving_default", {}),
        ),
        (
            f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}",
            lambda: client.prediction.MultiInference(multi(("classify_x_to_y", REGRESS)), CALL_SECONDS),
        ),
    ):
        with raises("INVALID_ARGUMENT", text):
            call()
    answer = http.post(f"{W}:classify", {"signature_name": "no_method_name", "examples": [{}]})
    assert answer.status_code == 400 and "Was: " in answer.json()["error"]


def test_requests_are_merged(strict: Server, client: Grpc) -> None:
    """Whatever the order of its tasks, a request shares batches with others for the same signatures."""
    names = ("regress_x_to_y", "classify_x_to_y", "regress_x_to_y2")
    before = metrics(strict)
    futures = []
    for order in (0, 1, 2, 1):
        tasks = [(name, CLASSIFY if name.startswith("classify") else REGRESS) for name in names[order:] + names[:order]]
        sent = multi(*tasks, examples=({"x": [2.0 * order]},))
        futures.append((order, client.prediction.MultiInference.future(sent, CALL_SECONDS)))
    for order, future in futures:
        results = {result.model_spec.signature_name: result for result in future.result().results}
        assert list(results) == list(names[order:] + names[:order])
        assert values(results["regress_x_to_y"].regression_result) == [order + 2.0]
        assert values(results["regress_x_to_y2"].regression_result) == [order + 3.0]
        assert pairs(results["classify_x_to_y"].classification_result) == [[("", order + 2.0)]]
    runs = ":tensorflow:serving:batching_session:wrapped_run_count{}"
    eventually(lambda: metrics(strict)[runs] == before.get(runs, 0) + 1, within=CALL_SECONDS)


def test_one_tensor_feeds_two_inputs_of_a_batch(client: Grpc) -> None:
    futures = []
    for i in range(2):
        examples = ({"score": [1.0 + i, 2.0 + i]}, {"score": [3.0 + i, 4.0 + i]})
        sent = multi(("regress_second", REGRESS, W), ("regress", REGRESS, W), examples=examples)
        futures.append(client.prediction.MultiInference.future(sent, CALL_SECONDS))
    for i, future in enumerate(futures):
        second, first = future.result().results
        assert values(second.regression_result) == [2.0 + i, 4.0 + i]
        assert values(first.regression_result) == [1.0 + i, 3.0 + i]


def test_messages_with_tensor_content(http: Rest) -> None:
    sent = predict_request("", {"x": np.ones(4, np.float32)}).SerializeToString()
    answer = http.post(f"{H}:predict", sent, headers=PROTOBUF)
    y = predict_pb2.PredictResponse.FromString(answer.content).outputs["y"]
    assert (list(y.float_val), tf.make_ndarray(y).tolist()) == ([], [2.5] * 4)


def metrics(server: Server) -> dict[str, float]:
    """Samples by name and labels, as they are printed."""
    text = requests.get(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=CALL_SECONDS).text
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_what_is_counted(strict: Server, client: Grpc, http: Rest) -> None:
    four = ({"x": [2.0]},) * 4
    before = metrics(strict)
    client.prediction.MultiInference(multi(("regress_x_to_y", REGRESS), examples=four[:3]), CALL_SECONDS)
    for sent in (multi(("no", REGRESS)), multi(("regress_x_to_y", REGRESS, "none"))):
        with pytest.raises(grpc.RpcError):
            client.prediction.MultiInference(sent, CALL_SECONDS)
    classify(client, H, "classify_x_to_y", *four)
    regress(client, H, "regress_x_to_y", *four)
    body = {"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}] * 4}
    assert http.post(f"{H}:regress", body).status_code == 200
    assert http.post(f"{H}:classify", body | {"signature_name": "classify_x_to_y"}).status_code == 200
    with pytest.raises(grpc.RpcError):
        regress(client, H, "no", {})
    assert http.post(f"{H}:classify", body | {"signature_name": "no"}).status_code == 400
    serving = ":tensorflow:serving:"
    model = f'model_name="{H}"'
    expected = (
        {
            f'{serving}request_example_count_total{{model="{H}"}}': 3.0,
            f'{serving}request_example_counts_count{{model="{H}"}}': 1.0,
            f'{serving}request_example_counts_bucket{{model="{H}",le="2"}}': 0.0,
            f'{serving}request_example_counts_bucket{{model="{H}",le="4"}}': 1.0,
            f'{serving}request_count{{{model},status="OK"}}': 4.0,
            f'{serving}request_count{{{model},status="INVALID_ARGUMENT"}}': 2.0,
        }
        | {
            f'{serving}request_latency_count{{{model},API="{api}",entrypoint="{entrypoint}"}}': 1.0
            for api, entrypoint in (
                ("Classify", "GRPC"),
                ("Regress", "GRPC"),
                ("classify", "REST"),
                ("regress", "REST"),
            )
        }
        | {
            f'{serving}runtime_latency_count{{{model},API="{api}",runtime="TF1"}}': 2.0
            for api in ("Classify", "Regress")
        }
    )

    def grown() -> dict[str, float]:
        after = metrics(strict)
        return {name: after.get(name, 0.0) - before.get(name, 0.0) for name in expected}

    eventually(lambda: grown() == expected, within=CALL_SECONDS)
    counted = [name for name in metrics(strict) if name.startswith((f"{serving}request_", f"{serving}runtime_"))]
    assert counted and not any("none" in name or "MultiInference" in name for name in counted)
