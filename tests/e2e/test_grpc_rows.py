"""Predict as TensorFlow Serving's clients see it: what a TensorProto means in either direction, checks, texts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import predict_pb2

from tests.e2e.clients import CALL_SECONDS, Grpc, predict_request, raises
from tests.models import DTYPE_NAMES
from tests.signature_models import COMPLAINT_LENGTH

# Of each type: the typed field, two of its values, and struct's code for the bytes of one element.
ROWS: dict[str, tuple[str, tuple[Any, Any], str]] = {
    "float": ("float_val", (1.5, -2.25), "<f"),
    "double": ("double_val", (1.1, -2.2), "<d"),
    "half": ("half_val", (0x3C00, 0xC000), "<H"),
    "bfloat16": ("half_val", (0x3F80, 0xC000), "<H"),
    "int8": ("int_val", (100, -100), "<b"),
    "int16": ("int_val", (30_000, -30_000), "<h"),
    "int32": ("int_val", (2**31 - 1, -(2**31)), "<i"),
    "int64": ("int64_val", (2**63 - 1, -(2**63)), "<q"),
    "uint8": ("int_val", (200, 7), "<B"),
    "uint16": ("int_val", (60_000, 7), "<H"),
    "uint32": ("uint32_val", (2**32 - 1, 7), "<I"),
    "uint64": ("uint64_val", (2**64 - 1, 7), "<Q"),
    "bool": ("bool_val", (True, False), "<?"),
    "string": ("string_val", (b"\xff\0", b"words"), ""),
    "complex64": ("scomplex_val", (1.5 - 2j, 0.25j), "<ff"),
    "complex128": ("dcomplex_val", (1.1 - 2.2j, 3.3j), "<dd"),
}
NUMERIC = [name for name in DTYPE_NAMES if name != "string"]


def numbers(name: str, values: Sequence[Any]) -> list[Any]:
    """The numbers in the typed field that carry these values."""
    if name.startswith("complex"):
        return [part for value in values for part in (complex(value).real, complex(value).imag)]
    return list(values)


def content(name: str, values: Sequence[Any]) -> bytes:
    """The bytes in `tensor_content` that carry these values."""
    if name == "string":
        assert all(len(value) < 128 for value in values)
        return bytes(len(value) for value in values) + b"".join(values)
    code = ROWS[name][2]
    if name.startswith("complex"):
        return b"".join(struct.pack(code, complex(value).real, complex(value).imag) for value in values)
    return b"".join(struct.pack(code, value) for value in values)


def tensor(name: str, shape: Sequence[int] | None, values: Sequence[Any] = (), **more: Any) -> TensorProto:
    """A tensor with these values in its typed field; `more` are further fields."""
    proto = TensorProto(dtype=tf.dtypes.as_dtype(name).as_datatype_enum, **more)
    getattr(proto, ROWS[name][0]).extend(numbers(name, values))
    for size in shape or ():
        proto.tensor_shape.dim.add(size=size)
    return proto


def zero(name: str) -> Any:
    return b"" if name == "string" else 0


def send(rpc: Grpc, name: str, proto: TensorProto) -> TensorProto:
    """What the identity of the type makes of a tensor."""
    answer: TensorProto = rpc.predict("identity", {"x": proto}, signature=name).outputs["y"]
    return answer


def assert_is(answer: TensorProto, name: str, shape: Sequence[int], values: Sequence[Any]) -> None:
    """The answer has the type, the shape, all the values in the typed field, and nothing in any other field."""
    expected = tensor(name, shape, values)
    expected.tensor_shape.SetInParent()
    assert answer == expected


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_typed_values(rpc: Grpc, name: str) -> None:
    a, b = ROWS[name][1]
    for shape, sent, meant in (
        ((2,), (a, b), (a, b)),
        ((2, 1), (b, a), (b, a)),
        ((), (a,), (a,)),
        ((), (b, a, a), (b,)),
        ((2,), (a, b, a), (a, b)),
        ((4,), (b, a), (b, a, a, a)),
        ((2, 2), (b,), (b, b, b, b)),
        ((2,), (), (zero(name), zero(name))),
        ((), (), (zero(name),)),
        ((0,), (a, b), ()),
        ((2, 0, 3), (), ()),
    ):
        assert_is(send(rpc, name, tensor(name, shape, sent)), name, shape, meant)


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_values_in_the_field_of_another_type_count_as_none(rpc: Grpc, name: str) -> None:
    wrong = {"float_val": [5.0]} if ROWS[name][0] != "float_val" else {"int_val": [5]}
    assert_is(send(rpc, name, tensor(name, (2,), **wrong)), name, (2,), [zero(name)] * 2)


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_content(rpc: Grpc, name: str) -> None:
    a, b = ROWS[name][1]
    data = content(name, (b, a))
    assert_is(send(rpc, name, tensor(name, (2,), tensor_content=data)), name, (2,), (b, a))
    # Content comes before values, and a tensor without elements needs neither.
    assert_is(send(rpc, name, tensor(name, (2,), (a, a), tensor_content=data)), name, (2,), (b, a))
    assert_is(send(rpc, name, tensor(name, (0, 3), tensor_content=data)), name, (0, 3), ())
    for bad in (data[:-1], data + b"\0", b"\1"):
        with raises("INVALID_ARGUMENT", "tensor parsing error: x"):
            send(rpc, name, tensor(name, (2,), (a, b), tensor_content=bad))


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_shapes(rpc: Grpc, name: str) -> None:
    a, b = ROWS[name][1]
    # Without a shape, or with an unknown rank, it is a scalar.
    without = tensor(name, None, (b,))
    assert not without.HasField("tensor_shape")
    assert_is(send(rpc, name, without), name, (), (b,))
    unknown = tensor(name, (), (b, a))
    unknown.tensor_shape.unknown_rank = True
    assert_is(send(rpc, name, unknown), name, (), (b,))
    most = 32 if name == "string" else 64
    assert_is(send(rpc, name, tensor(name, (1,) * most, (a,))), name, (1,) * most, (a,))
    for bad in ((-1,), (2, -1), (1,) * 255, (2**62, 4), (2**40, 2**40, 0)):
        with raises("INVALID_ARGUMENT", "tensor parsing error: x"):
            send(rpc, name, tensor(name, bad, (a,)))
    for rank in (most + 1, 64, 65, 254):
        if rank > most:
            with raises("INVALID_ARGUMENT", f"s of more than {most} dimensions are not supported"):
                send(rpc, name, tensor(name, (1,) * rank, (a,)))


@pytest.mark.parametrize(
    ("name", "sent", "meant"),
    [
        ("int8", (300, -129, 128, -1), (44, 127, -128, -1)),
        ("uint8", (300, -1, 256, 255), (44, 255, 0, 255)),
        ("int16", (70_000, -32_769), (4464, 32_767)),
        ("uint16", (70_000, -1), (4464, 65_535)),
        ("half", (0x13C00, -1), (0x3C00, 0xFFFF)),
        ("bfloat16", (0x13F80, -1), (0x3F80, 0xFFFF)),
    ],
)
def test_integers_that_do_not_fit_wrap(rpc: Grpc, name: str, sent: tuple[int, ...], meant: tuple[int, ...]) -> None:
    answer = send(rpc, name, tensor(name, (len(sent),), sent))
    assert_is(answer, name, (len(sent),), meant)


def test_patterns_of_small_floats_are_their_numbers(rpc: Grpc) -> None:
    for name, pattern in (("half", 0x3E00), ("bfloat16", 0x3FC0)):
        assert tf.make_ndarray(send(rpc, name, tensor(name, (1,), (pattern,)))).astype(float).tolist() == [1.5]


@pytest.mark.parametrize("number", [0, 11, 12, 13, 15, 16, 20, 21, 24, 25, 29, 30, 101, 9999])
def test_types_that_cannot_be_served(rpc: Grpc, number: int) -> None:
    """DT_INVALID as upstream; quantized ones, resources, references and numbers without a meaning."""
    proto = TensorProto(int_val=[1])
    proto.dtype = number
    with raises("INVALID_ARGUMENT", "tensor parsing error: x"):
        send(rpc, "int8", proto)


def test_strings_are_carried_by_content_as_lengths_and_bytes(rpc: Grpc) -> None:
    words = [b"", b"x" * 300, b"\xff\xfe", "ü".encode()]
    data = b"\x00\xac\x02\x02\x02" + b"".join(words)
    assert_is(send(rpc, "string", tensor("string", (2, 2), tensor_content=data)), "string", (2, 2), words)
    for bad in (b"\x00", data[:4], b"\xff" * 11 + data, b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + data[1:]):
        with raises("INVALID_ARGUMENT", "tensor parsing error: x"):
            send(rpc, "string", tensor("string", (2, 2), tensor_content=bad))


# --- signatures ------------------------------------------------------------------------------------------------------

SUM = {"a": 1.0, "b": 2.0}
MISSING_A = (
    "Signature input alias: a(feed name: a:0) not found in request and no default value provided. Inputs expected to "
    "be in the request {%s}, or default input alias set: b,c"
)
NOT_AN_OUTPUT = "output tensor alias not found in signature: %s Outputs expected to be in the set {%s}."
TWO = (
    "input size does not match signature: %d!=2 len({%s}) != len({a,b}). Sent extra: {%s}. Missing but required: {%s}."
)


@pytest.mark.parametrize(
    ("signature", "inputs", "output_filter", "outputs"),
    [
        ("", SUM, [], {"sum": 3.0, "total": 3.0, "difference": -1.0}),
        ("", SUM, ["difference"], {"difference": -1.0}),
        ("", SUM, ["total", "difference"], {"total": 3.0, "difference": -1.0}),
        ("", SUM, ["total", "sum"], {"sum": 3.0, "total": 3.0}),
        ("some_defaults", {"a": 1.0}, [], {"sum": 111.0}),
        ("some_defaults", {"a": 1.0, "c": 2.0}, [], {"sum": 13.0}),
        ("some_defaults", {"a": 1.0, "b": 2.0, "c": 3.0}, [], {"sum": 6.0}),
        ("all_defaults", {}, [], {"sum": 110.0}),
        ("all_defaults", {"b": 1.0}, ["sum"], {"sum": 101.0}),
        ("bad_default", {"b": 1.0}, [], {"sum": 101.0}),
        ("echo", {"x": 4.0}, ["y"], {"y": 8.0}),
        ("strange_method", SUM, [], {"sum": 3.0}),
        ("complains", {"x": 4.0}, [], {"y": 4.0}),
    ],
)
def test_signatures(
    rpc: Grpc, signature: str, inputs: dict[str, float], output_filter: list[str], outputs: dict[str, float]
) -> None:
    answer = rpc.predict("signatures", inputs, signature=signature, output_filter=output_filter)
    assert {alias: list(proto.float_val) for alias, proto in answer.outputs.items()} == {
        alias: [value] for alias, value in outputs.items()
    }
    spec = predict_pb2.PredictResponse().model_spec
    spec.name, spec.version.value, spec.signature_name = "signatures", 1, signature or "serving_default"
    assert answer.model_spec == spec


@pytest.mark.parametrize(
    ("signature", "inputs", "output_filter", "code", "text"),
    [
        ("?", {}, ["?"], "FAILED_PRECONDITION", 'Serving signature key "?" not found.'),
        ("", {}, ["?"], "INVALID_ARGUMENT", TWO % (0, "", "", "a,b")),
        ("", {"b": 1.0}, [], "INVALID_ARGUMENT", TWO % (1, "b", "", "a")),
        ("", {"z": 1.0}, [], "INVALID_ARGUMENT", TWO % (1, "z", "z", "a,b")),
        ("", {"b": 1.0, "z": 1.0, "a": 1.0}, [], "INVALID_ARGUMENT", TWO % (3, "a,b,z", "z", "")),
        ("", {"z": 1.0, "y": 1.0, "x": 1.0}, [], "INVALID_ARGUMENT", TWO % (3, "x,y,z", "x,y,z", "a,b")),
        (
            "",
            {"a": 1.0, "z": 1.0},
            [],
            "INVALID_ARGUMENT",
            "Signature input alias: b(feed name: b:0) not found in request and no default value provided. Inputs "
            "expected to be in the request {a,z}, or default input alias set: ",
        ),
        ("some_defaults", {}, [], "INVALID_ARGUMENT", MISSING_A % ""),
        ("some_defaults", {"c": 1.0, "b": 1.0}, [], "INVALID_ARGUMENT", MISSING_A % "b,c"),
        (
            "some_defaults",
            {"a": 1.0, "c": 1.0, "z": 1.0},
            [],
            "INVALID_ARGUMENT",
            "Inputs contains invalid name. Used request inputs: a,c, request input: a,c,z",
        ),
        (
            "all_defaults",
            {"b": 1.0, "c": 1.0, "z": 1.0},
            [],
            "INVALID_ARGUMENT",
            "input size does not match signature: 3!=2 len({b,c,z}) != len({b,c}). Sent extra: {z}. Missing but "
            "required: {}.",
        ),
        ("bad_default", {"c": 1.0}, [], "INVALID_ARGUMENT", "tensor parsing error: b"),
        ("", SUM, ["?"], "INVALID_ARGUMENT", NOT_AN_OUTPUT % ("?", "difference,sum,total")),
        ("", SUM, ["sum", ""], "INVALID_ARGUMENT", NOT_AN_OUTPUT % ("", "difference,sum,total")),
        ("", SUM, ["a"], "INVALID_ARGUMENT", NOT_AN_OUTPUT % ("a", "difference,sum,total")),
        ("", SUM, ["sum", "total", "sum", "?"], "INVALID_ARGUMENT", "duplicate output tensor alias: sum"),
        ("echo", {"x": 1.0}, [], "INVALID_ARGUMENT", "x:0 is both fed and fetched."),
        ("", {"a": 1.0, "b": True}, [], "INVALID_ARGUMENT", "Expects arg[1] to be float but bool is provided"),
        ("echo", {"x": "1"}, ["y"], "INVALID_ARGUMENT", "Expects arg[0] to be float but string is provided"),
    ],
)
def test_refusals(
    rpc: Grpc, signature: str, inputs: dict[str, Any], output_filter: list[str], code: str, text: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        rpc.predict("signatures", inputs, signature=signature, output_filter=output_filter)
    assert (error.value.code().name, error.value.details()) == (code, text)


def test_shapes_are_a_matter_of_the_graph(rpc: Grpc) -> None:
    for x in (2.0, [2.0], [[2.0]], [[[2.0, 4.0]]], []):
        assert rpc.arrays("half_plus_two", {"x": x})["y"].tolist() == (tf.constant(x) * 0.5 + 2).numpy().tolist()
    with raises("INVALID_ARGUMENT", "Incompatible shapes: [2] vs. [3]"):
        rpc.predict("signatures", {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]})
    with raises("INVALID_ARGUMENT", "nowhere:0"):
        rpc.predict("signatures", {"x": 1.0}, signature="nowhere")


def test_any_signature_may_be_asked_to_predict(rpc: Grpc) -> None:
    assert rpc.predict("half_plus_two", {"inputs": 2.0}, signature="regress_x2_to_y3").outputs["outputs"].float_val == [
        4.0
    ]
    assert rpc.predict("half_plus_two", {"inputs": 2.0}, signature="classify_x2_to_y3").outputs["scores"].float_val == [
        4.0
    ]


def test_a_counter_keeps_its_state(rpc: Grpc) -> None:
    rpc.predict("counter", {}, signature="reset_counter")
    three = {"delta": 3.0}
    for signature, inputs, output in (
        ("get_counter", {}, 0.0),
        ("incr_counter", {}, 1.0),
        ("reset_counter", {}, 0.0),
        ("incr_counter", {}, 1.0),
        ("incr_counter_by", three, 4.0),
        ("get_counter", {}, 4.0),
    ):
        answer = rpc.predict("counter", inputs, signature=signature).outputs["output"]
        assert_is(answer, "float", (), (output,))


def test_what_only_other_servers_read_is_ignored(rpc: Grpc) -> None:
    request = predict_request("half_plus_two", {"x": [2.0]})
    request.client_id = b"somebody"
    request.predict_streamed_options.request_state = predict_pb2.PredictStreamedOptions.SPLIT
    request.predict_streamed_options.split_dimensions["x"] = 0
    request.request_options.client_id = b"somebody else"
    request.request_options.return_stoptokens.append(7)
    answer = rpc.prediction.Predict(request, timeout=CALL_SECONDS)
    assert answer == rpc.predict("half_plus_two", {"x": [2.0]})


# --- status and transport --------------------------------------------------------------------------------------------


def test_a_long_message_is_cut(rpc: Grpc) -> None:
    with pytest.raises(grpc.RpcError) as error:
        rpc.predict("signatures", {"x": -1.0}, signature="complains")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = error.value.details()
    assert details.startswith("assertion failed: [too small: !!!")
    assert details.endswith("!!!...TRUNCATED")
    assert len(details.removesuffix("...TRUNCATED").encode()) == 1024 < COMPLAINT_LENGTH


def test_a_status_is_a_code_and_a_message(rpc: Grpc) -> None:
    with pytest.raises(grpc.RpcError) as error:
        rpc.predict("ämter/ümlaut 100%", {})
    assert error.value.details() == "Servable not found for request: Latest(ämter/ümlaut 100%)"
    assert not [key for key, _ in error.value.trailing_metadata() if key.startswith("grpc-status-details")]


@pytest.mark.parametrize(
    "path",
    [
        "/tensorflow.serving.SessionService/SessionRun",
        "/tensorflow.serving.PredictionService/predict",
        "/tensorflow.serving.PredictionService/Predict/",
        "/PredictionService/Predict",
        "/",
    ],
)
def test_methods_that_do_not_exist(rpc: Grpc, path: str) -> None:
    with pytest.raises(grpc.RpcError) as error:
        rpc.channel.unary_unary(path)(b"", timeout=CALL_SECONDS)
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "")


@pytest.mark.parametrize("method", ["GetModelMetadata", "Predict"])
@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\xff", b"\x0a\x02\x0a\x05"])
def test_bytes_that_are_no_message(rpc: Grpc, method: str, data: bytes) -> None:
    with raises("INTERNAL"):
        rpc.channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")(data, timeout=CALL_SECONDS)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests(rpc: Grpc, compression: grpc.Compression) -> None:
    x = [float(i) for i in range(1000)]
    call = rpc.prediction.Predict.with_call
    answer, info = call(predict_request("half_plus_two", {"x": x}), timeout=CALL_SECONDS, compression=compression)
    assert answer.outputs["y"].float_val == [value / 2 + 2 for value in x]
    assert "grpc-encoding" not in dict(info.initial_metadata())
    with raises("NOT_FOUND", "Latest(nobody)"):
        rpc.prediction.Predict(predict_request("nobody", {"x": x}), timeout=CALL_SECONDS, compression=compression)
