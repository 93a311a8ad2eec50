"""Large messages, compressed ones, and every type of data, through the whole server and back."""

from __future__ import annotations

import gzip
import json

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.e2e.clients import Grpc, Rest, predict_request
from tests.models import DTYPE_NAMES

LARGE_SECONDS = 60.0


def test_100_mb_over_grpc(rpc: Grpc) -> None:
    x = np.arange(25_000_000, dtype=np.float32).reshape(1000, 25_000)
    y = rpc.arrays("identity", {"x": x}, signature="float", timeout=LARGE_SECONDS)["y"]
    assert y.shape == x.shape
    assert np.array_equal(y, x)


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_3_mb_of_json(rest: Rest, key: str) -> None:
    x = np.random.default_rng(1).random((1000, 150), np.float32)
    body = json.dumps({key: [[float(value) for value in row] for row in x]}).encode()
    assert len(body) > 2_800_000
    answer = rest.post("half_plus_two:predict", body)
    assert answer.status_code == 200, answer.text[:1000]
    (y,) = answer.json().values()
    assert np.array_equal(np.array(y, np.float32), 0.5 * x + 2)


def test_gzip_over_rest(rest: Rest) -> None:
    body = gzip.compress(json.dumps({"instances": [float(i) for i in range(50_000)]}).encode())
    answer = rest.post("half_plus_two:predict", body, headers={"Content-Encoding": "gzip"})
    assert answer.json() == {"predictions": [i / 2 + 2 for i in range(50_000)]}
    answer = rest.post("half_plus_two:predict", body[:-9], headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_gzip_over_grpc(rpc: Grpc) -> None:
    x = np.zeros(1_000_000, np.float32)
    request = predict_request("half_plus_two", {"x": x})
    answer = rpc.prediction.Predict(request, timeout=LARGE_SECONDS, compression=grpc.Compression.Gzip)
    assert np.array_equal(tf.make_ndarray(answer.outputs["y"]), x + 2)


def sample(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of the type, with its extremes."""
    count = int(np.prod(shape))
    if name == "string":
        texts = [b"", b"a", b"\0\xff\xfe", "ümläut".encode(), b"x" * 300]
        return np.array([texts[i % 5] for i in range(count)], object).reshape(shape)
    dtype = tf.dtypes.as_dtype(name)
    if name == "bool":
        values = [True, False]
    elif dtype.is_complex:
        values = [0, 1 + 2j, -1.5 - 0.25j, complex(np.inf, 1)]
    else:
        values = [dtype.min, dtype.max, 0, 1, *([-0.0, 1.5, np.inf] if dtype.is_floating else [])]
    return np.array([values[i % len(values)] for i in range(count)], dtype.as_numpy_dtype).reshape(shape)


@pytest.mark.parametrize("name", DTYPE_NAMES)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (0, 3), (300, 100)])
def test_types_over_grpc(rpc: Grpc, name: str, shape: tuple[int, ...]) -> None:
    x = sample(name, shape)
    proto = tf.make_tensor_proto(x, dtype=tf.dtypes.as_dtype(name), shape=shape)
    answer = rpc.predict("identity", {"x": proto}, signature=name, timeout=LARGE_SECONDS).outputs["y"]
    assert answer.dtype == proto.dtype
    assert not answer.tensor_content
    y = tf.make_ndarray(answer)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert y.tolist() == x.tolist()


@pytest.mark.parametrize("name", [name for name in DTYPE_NAMES if name != "string"])
def test_tensor_content_over_grpc(rpc: Grpc, name: str) -> None:
    x = sample(name, (5, 4))
    proto = tf.make_tensor_proto(x, dtype=tf.dtypes.as_dtype(name))
    full = predict_request("identity", {"x": proto}, signature=name)
    tensor = full.inputs["x"]
    tensor.Clear()
    tensor.dtype = proto.dtype
    tensor.tensor_shape.CopyFrom(proto.tensor_shape)
    tensor.tensor_content = x.tobytes()
    y = tf.make_ndarray(rpc.prediction.Predict(full, timeout=LARGE_SECONDS).outputs["y"])
    assert y.tolist() == x.tolist()
