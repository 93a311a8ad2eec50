"""Tensors on the wire and NumPy arrays."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.dtypes import DT_BFLOAT16, DT_FLOAT, DT_HALF, DT_INT64, DT_STRING, DTYPES
from protos.errors import Code, ServingError
from protos.messages import FRAME_THRESHOLD_BYTES, Tensor
from workers.tensors import from_array, to_array

NUMERIC = [number for number in DTYPES if number != DT_STRING]
TRUE_NUMPY = {DT_HALF: np.dtype(np.float16), DT_BFLOAT16: np.dtype(ml_dtypes.bfloat16)}


def bytes_of(number: int, count: int) -> bytes:
    """Bytes that mean something in every type: bools are 0 or 1."""
    return bytes(i & 1 for i in range(DTYPES[number].size * count))


@pytest.mark.parametrize("number", NUMERIC, ids=lambda number: DTYPES[number].name)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)], ids=str)
def test_every_type_both_ways(number: int, shape: tuple[int, ...]) -> None:
    data = bytes_of(number, int(np.prod(shape)))
    array = to_array(Tensor(number, shape, data), [])
    assert array.shape == shape
    assert array.dtype == TRUE_NUMPY.get(number, DTYPES[number].numpy)
    frames: list[Any] = []
    assert from_array(array, frames) == Tensor(number, shape, data)
    assert frames == []


@pytest.mark.parametrize(
    ("number", "data", "value"),
    [
        (DT_FLOAT, b"\x00\x00\xc0\x3f", 1.5),
        (DT_HALF, b"\x00\x3e", 1.5),
        (DT_BFLOAT16, b"\xc0\x3f", 1.5),
        (DT_INT64, b"\xfe\xff\xff\xff\xff\xff\xff\xff", -2),
    ],
)
def test_values_are_little_endian(number: int, data: bytes, value: float) -> None:
    assert to_array(Tensor(number, (), data), []).item() == value


@pytest.mark.parametrize("number", NUMERIC, ids=lambda number: DTYPES[number].name)
def test_scalars_of_a_session_are_tensors(number: int) -> None:
    scalar = to_array(Tensor(number, (1,), bytes_of(number, 1)), [])[0]
    assert not isinstance(scalar, np.ndarray)
    assert from_array(scalar, []) == Tensor(number, (), bytes_of(number, 1))


@pytest.mark.parametrize(
    ("shape", "data"),
    [((), [b"x"]), ((2,), [b"a", b"\xff\x00"]), ((2, 1), [b"", b"b"]), ((0,), []), ((1, 0), [])],
    ids=str,
)
def test_strings(shape: tuple[int, ...], data: list[bytes]) -> None:
    array = to_array(Tensor(DT_STRING, shape, data), [])
    assert array.shape == shape
    assert array.ravel().tolist() == data
    assert from_array(array, []) == Tensor(DT_STRING, shape, data)


def test_a_scalar_string_of_a_session_is_bytes() -> None:
    assert from_array(b"x", []) == Tensor(DT_STRING, (), [b"x"])


def test_large_data_is_a_frame() -> None:
    count = FRAME_THRESHOLD_BYTES // 4
    frames: list[Any] = [b"of another output"]
    array = np.arange(count, dtype=np.float32).reshape(2, -1)
    tensor = from_array(array, frames)
    assert tensor == Tensor(DT_FLOAT, array.shape, 1)
    again = to_array(tensor, [b"", memoryview(bytes(frames[1]))])
    assert np.array_equal(again, array)
    smaller = from_array(array.ravel()[:-1], frames)
    assert isinstance(smaller.data, bytes)
    assert len(frames) == 2


@pytest.mark.parametrize("number", NUMERIC, ids=lambda number: DTYPES[number].name)
def test_large_strided_data_of_every_type_is_a_row_major_frame(number: int) -> None:
    columns = FRAME_THRESHOLD_BYTES // DTYPES[number].size
    array = to_array(Tensor(number, (columns, 2), bytes_of(number, 2 * columns)), []).T
    frames: list[Any] = []
    tensor = from_array(array, frames)
    assert (tensor.shape, tensor.data) == ((2, columns), 0)
    assert bytes(frames[0]) == array.tobytes()


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(DT_FLOAT, (2,), b"\x00" * 4),
        Tensor(DT_FLOAT, (1,), b"\x00" * 8),
        Tensor(DT_FLOAT, (1,), b"\x00" * 3),
        Tensor(DT_FLOAT, (), b""),
        Tensor(DT_FLOAT, (1 << 63,), b""),
        Tensor(DT_FLOAT, ((1 << 64) - 1,), b""),
        Tensor(DT_FLOAT, (1 << 40, 1 << 40), b""),
        Tensor(DT_FLOAT, (-1,), b"\x00" * 4),
        Tensor(DT_FLOAT, (-1, -1), b"\x00" * 4),
        Tensor(DT_FLOAT, (1,), [b"\x00" * 4]),
        Tensor(DT_FLOAT, (1,), 1),
        Tensor(DT_FLOAT, (1,), -2),
        Tensor(DT_FLOAT, (1,), 1 << 63),
        Tensor(DT_STRING, (2,), [b"a"]),
        Tensor(DT_STRING, (1,), b"a"),
        Tensor(DT_STRING, (1,), 0),
        Tensor(0, (), b""),
        Tensor(20, (), b""),
        Tensor(-1, (), b""),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{len(tensor.shape)}d-{tensor.data!r:.20}",
)
def test_malformed_tensors_are_errors_not_crashes(tensor: Tensor) -> None:
    with pytest.raises(ServingError, match="malformed tensor from a front end") as caught:
        to_array(tensor, [b"\x00" * 4])
    assert caught.value.code == Code.INTERNAL


def test_ranks_that_numpy_does_not_have_are_the_clients_mistake() -> None:
    assert to_array(Tensor(DT_FLOAT, (1,) * 64, b"\x00" * 4), []).ndim == 64
    with pytest.raises(ServingError, match="tensors of more than 64 dimensions are not supported") as caught:
        to_array(Tensor(DT_FLOAT, (1,) * 65, b"\x00" * 4), [])
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_ranks_of_strings_that_would_end_the_process_are_the_clients_mistake() -> None:
    array = to_array(Tensor(DT_STRING, (1,) * 32, [b"a"]), [])
    assert array.ndim == 32
    for rank in (33, 64, 65, 254):
        with pytest.raises(ServingError, match="strings of more than 32 dimensions are not supported") as caught:
            to_array(Tensor(DT_STRING, (1,) * rank, [b"a"]), [])
        assert caught.value.code == Code.INVALID_ARGUMENT


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Tensor,
        st.sampled_from([*DTYPES, 0, 99]),
        st.lists(st.integers(-2, 4) | st.integers(0, 1 << 64), max_size=4).map(tuple),
        st.binary(max_size=32) | st.integers(-3, 3) | st.lists(st.binary(max_size=4), max_size=4),
    )
)
def test_any_tensor_of_a_peer_is_an_array_of_its_shape_or_an_error(tensor: Tensor) -> None:
    try:
        array = to_array(tensor, [b"\x00" * 16])
    except ServingError as error:
        assert error.code == Code.INTERNAL
    else:
        assert array.shape == tensor.shape


@pytest.mark.parametrize("dtype", ["datetime64[s]", "U3", "V4"])
def test_outputs_of_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(ServingError, match=r"outputs of type .* cannot be served") as caught:
        from_array(np.zeros(2, dtype), [])
    assert caught.value.code == Code.UNIMPLEMENTED
