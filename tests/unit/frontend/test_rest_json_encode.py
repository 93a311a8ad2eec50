import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.rest.json_encode import encode_error, encode_metadata, encode_predict, encode_status
from protos import dtypes, public
from protos.errors import Code, ServingError
from protos.messages import Tensor


def numeric(dtype: int, value: object) -> Tensor:
    array = np.array(value, dtypes.DTYPES[dtype].numpy)
    return Tensor(dtype, array.shape, array.tobytes())


def text(shape: tuple[int, ...], *values: bytes) -> Tensor:
    return Tensor(dtypes.DT_STRING, shape, list(values))


FLOAT, DOUBLE, INT32 = dtypes.DT_FLOAT, dtypes.DT_DOUBLE, dtypes.DT_INT32
INTS = [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
SEVERAL = {
    "double_scalar_tensor": numeric(DOUBLE, [8.0, 9.0]),
    "float_tensor": numeric(FLOAT, [[1.0], [2.0]]),
    "int_tensor": numeric(INT32, INTS),
    "str_tensor": text((2, 2), b"foo", b"bar", b"baz", b"bat"),
    "str_tensor_bytes": text((2, 2), b"hello", b"world", b"tf", b"serving"),
}


@pytest.mark.parametrize(
    ("row_format", "outputs", "body"),
    [
        (True, {"int_tensor": numeric(INT32, INTS)}, {"predictions": INTS}),
        (False, {"int_tensor": numeric(INT32, INTS)}, {"outputs": INTS}),
        (True, {"y": numeric(INT32, [1, 2, 3])}, {"predictions": [1, 2, 3]}),
        (False, {"y": numeric(INT32, [1, 2, 3])}, {"outputs": [1, 2, 3]}),
        (False, {"y": numeric(FLOAT, 5.0)}, {"outputs": 5.0}),
        (False, {"y": text((), b"a")}, {"outputs": "a"}),
        (False, {"y_bytes": text((), b"hi")}, {"outputs": {"b64": "aGk="}}),
        (False, {"a": numeric(FLOAT, 5.0), "b": numeric(INT32, [])}, {"outputs": {"a": 5.0, "b": []}}),
        (True, {"x_bytes": numeric(INT32, [1])}, {"predictions": [1]}),
        (
            True,
            {"str_tensor_bytes": SEVERAL["str_tensor_bytes"]},
            {"predictions": [[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]]},
        ),
        (
            True,
            SEVERAL,
            {
                "predictions": [
                    {
                        "double_scalar_tensor": 8.0,
                        "float_tensor": [1.0],
                        "int_tensor": INTS[0],
                        "str_tensor": ["foo", "bar"],
                        "str_tensor_bytes": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}],
                    },
                    {
                        "double_scalar_tensor": 9.0,
                        "float_tensor": [2.0],
                        "int_tensor": INTS[1],
                        "str_tensor": ["baz", "bat"],
                        "str_tensor_bytes": [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}],
                    },
                ]
            },
        ),
        (
            False,
            SEVERAL,
            {
                "outputs": {
                    "double_scalar_tensor": [8.0, 9.0],
                    "float_tensor": [[1.0], [2.0]],
                    "int_tensor": INTS,
                    "str_tensor": [["foo", "bar"], ["baz", "bat"]],
                    "str_tensor_bytes": [
                        [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}],
                        [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}],
                    ],
                }
            },
        ),
        (True, {"y": numeric(INT32, np.zeros((0, 2)))}, {"predictions": []}),
        (True, {"s": text((0, 1, 2)), "f": numeric(FLOAT, np.zeros((0, 3, 4)))}, {"predictions": []}),
        (True, {"y": numeric(FLOAT, np.zeros((2, 0, 3)))}, {"predictions": [[], []]}),
        (
            True,
            {"a": numeric(FLOAT, np.zeros((2, 1, 0))), "b": numeric(INT32, [1, 2])},
            {"predictions": [{"a": [[]], "b": 1}, {"a": [[]], "b": 2}]},
        ),
        (True, {'100%"b': numeric(INT32, [1]), "%b": numeric(INT32, [2])}, {"predictions": [{'100%"b': 1, "%b": 2}]}),
        # Types that JSON cannot carry are no trouble as long as there is nothing to carry.
        (True, {"y": Tensor(dtypes.DT_HALF, (0, 2), b"")}, {"predictions": []}),
    ],
)
def test_values(row_format: bool, outputs: dict[str, Tensor], body: object) -> None:
    assert json.loads(encode_predict(row_format, tuple(outputs), list(outputs.values()))) == body


@pytest.mark.parametrize(
    ("dtype", "values", "body"),
    [
        (FLOAT, [[9e6, 999999, 0.5], [0.0003, 0.00003, 555557.5]], None),
        (FLOAT, [[math.nan, math.inf], [3, -math.inf]], "[[NaN,Infinity],[3.0,-Infinity]]"),
        (DOUBLE, [math.nan, 0.1, -math.inf, 1 / 3], "[NaN,0.1,-Infinity,0.3333333333333333]"),
        (FLOAT, [0.1, 1 / 3, 16777216, -0.0, 12345.678], "[0.1,0.33333334,16777216.0,-0.0,12345.678]"),
        (dtypes.DT_INT64, [-(1 << 63), (1 << 63) - 1], "[-9223372036854775808,9223372036854775807]"),
        (dtypes.DT_UINT64, [(1 << 64) - 1], "[18446744073709551615]"),
        (dtypes.DT_UINT32, [(1 << 32) - 1], "[4294967295]"),
        (dtypes.DT_INT16, [-32768], "[-32768]"),
        (dtypes.DT_INT8, [-128], "[-128]"),
        (dtypes.DT_UINT8, [255], "[255]"),
        (dtypes.DT_BOOL, [True, False], "[true,false]"),
    ],
)
def test_text_of_numbers(dtype: int, values: object, body: str | None) -> None:
    tensor = numeric(dtype, values)
    encoded = encode_predict(True, ("y",), [tensor]).decode()
    if body is not None:
        assert encoded == f'{{"predictions":{body}}}'
    read = np.array(json.loads(encoded)["predictions"], dtypes.DTYPES[dtype].numpy)
    assert read.tobytes() == tensor.data


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=8), st.sampled_from([FLOAT, DOUBLE]))
def test_floats_read_back_the_same(values: list[float], dtype: int) -> None:
    array = np.array(values, dtypes.DTYPES[dtype].numpy)
    expected = list(map(repr, array.tolist()))
    tensor = Tensor(dtype, (len(values), 1), array.tobytes())
    for row_format, key in ((True, "predictions"), (False, "outputs")):
        read = json.loads(encode_predict(row_format, ("y",), [tensor]))[key]
        assert list(map(repr, np.array(read, array.dtype).reshape(-1).tolist())) == expected
    rows = json.loads(encode_predict(True, ("y", "z"), [tensor, tensor]))["predictions"]
    assert [repr(float(np.array(row["z"][0], array.dtype))) for row in rows] == expected


def test_many_numbers_with_few_that_are_not_finite() -> None:
    array = np.arange(5000, dtype="<f4").reshape(50, 100)
    array[3, 4], array[49, 99] = np.nan, -np.inf
    body = encode_predict(True, ("y",), [Tensor(FLOAT, array.shape, array.tobytes())])
    np.testing.assert_array_equal(np.array(json.loads(body)["predictions"], "<f4"), array)
    assert body.count(b"NaN") == body.count(b"-Infinity") == 1


def test_word_null_in_strings_stays() -> None:
    outputs = {"null": text((2,), b"null", b"a"), "x": numeric(FLOAT, [math.nan, 1.0])}
    body = encode_predict(True, tuple(outputs), list(outputs.values()))
    assert body == b'{"predictions":[{"null":"null","x":NaN},{"null":"a","x":1.0}]}'


def test_bytes_from_any_buffer() -> None:
    data = b"x" + np.array([1, 2], "<f4").tobytes()
    tensor = Tensor(FLOAT, (2,), memoryview(data)[1:])  # type: ignore[arg-type]
    assert encode_predict(True, ("y",), [tensor]) == b'{"predictions":[1.0,2.0]}'


def test_strings_are_valid_utf8() -> None:
    body = encode_predict(True, ("y",), [text((3,), 'ä\0"'.encode(), b"a\xffb", b"\xed\xb0\x80")])
    assert json.loads(body.decode())["predictions"] == ['ä\0"', "a\ufffdb", "\ufffd\ufffd\ufffd"]


@pytest.mark.parametrize(
    ("row_format", "outputs", "message"),
    [
        (True, {}, "Cannot convert empty tensor map to JSON"),
        (False, {}, "Cannot convert empty tensor map to JSON"),
        (True, {"y": numeric(INT32, 1)}, "Tensor name: y has no shape information "),
        (
            True,
            {"a": numeric(INT32, np.zeros((2, 3))), "b": text((1, 3), b"a", b"b", b"c")},
            "Tensor name: b has inconsistent batch size: 1 expecting: 2",
        ),
        (
            True,
            {"a": numeric(INT32, np.zeros((0, 2))), "b": text((1, 2), b"a", b"b")},
            "Tensor name: b has inconsistent batch size: 1 expecting: 0",
        ),
        (True, {"y": numeric(dtypes.DT_COMPLEX64, [1, 2])}, "Failed to write JSON value for tensor type: complex64"),
        (False, {"y": numeric(dtypes.DT_UINT16, 1)}, "Failed to write JSON value for tensor type: uint16"),
        (
            True,
            {"a": numeric(INT32, [1]), "b": numeric(dtypes.DT_HALF, [1])},
            "Failed to write JSON value for tensor type: half",
        ),
        (
            True,
            {"y": Tensor(INT32, (1,) * 65, b"\0\0\0\0")},
            "Failed to write JSON value for tensor with 65 dimensions: y",
        ),
    ],
)
def test_refusals(row_format: bool, outputs: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ServingError) as caught:
        encode_predict(row_format, tuple(outputs), list(outputs.values()))
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("message", "body"),
    [
        ('Bad key: "key"', b'{"error":"Bad key: \\"key\\""}'),
        ("Bad key: 'key'", b'{"error":"Bad key: \'key\'"}'),
        (b"a\xffb".decode("utf-8", "surrogateescape"), '{"error":"a\ufffdb"}'.encode()),
        ("a\ud800b", '{"error":"a\ufffdb"}'.encode()),
    ],
)
def test_error(message: str, body: bytes) -> None:
    assert encode_error(message) == body


def test_status() -> None:
    response = public.GetModelStatusResponse()
    entry = response.model_version_status.add()
    entry.version = 123
    entry.state = 30
    entry.status.SetInParent()
    entry = response.model_version_status.add()
    entry.version = 1 << 60
    entry.state = 50
    entry.status.error_code = 5
    entry.status.error_message = "<gone>"
    assert json.loads(encode_status(response)) == {
        "model_version_status": [
            {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
            {
                "version": str(1 << 60),
                "state": "END",
                "status": {"error_code": "NOT_FOUND", "error_message": "<gone>"},
            },
        ]
    }


def test_metadata() -> None:
    spec = public.ModelSpec(name="m")
    spec.version.value = 7
    signatures = public.SignatureDefMap()
    definition = signatures.signature_def["serving_default"]
    definition.method_name = "tensorflow/serving/predict"
    known = definition.inputs["x"]
    known.name, known.dtype = "x:0", 1
    known.tensor_shape.dim.add(size=-1)
    unknown = definition.outputs["y"]
    unknown.name, unknown.dtype = "y:0", 7
    unknown.tensor_shape.unknown_rank = True
    assert json.loads(encode_metadata(spec, signatures)) == {
        "model_spec": {"name": "m", "version": "7", "signature_name": ""},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {
                            "x": {
                                "name": "x:0",
                                "dtype": "DT_FLOAT",
                                "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
                            }
                        },
                        "outputs": {
                            "y": {
                                "name": "y:0",
                                "dtype": "DT_STRING",
                                "tensor_shape": {"dim": [], "unknown_rank": True},
                            }
                        },
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }


def test_defaults_in_metadata() -> None:
    signatures = public.SignatureDefMap()
    default = signatures.signature_def["s"].defaults["x"]
    default.dtype = FLOAT
    default.tensor_shape.dim.add(size=2)
    default.float_val.extend([1.5, math.inf])
    answer = json.loads(encode_metadata(public.ModelSpec(name="m"), signatures))
    printed = answer["metadata"]["signature_def"]["signature_def"]["s"]["defaults"]["x"]
    assert printed["dtype"] == "DT_FLOAT"
    assert printed["tensor_shape"] == {"dim": [{"size": "2", "name": ""}], "unknown_rank": False}
    assert printed["float_val"] == [1.5, "Infinity"]
    assert printed["tensor_content"] == "" and printed["int64_val"] == []
