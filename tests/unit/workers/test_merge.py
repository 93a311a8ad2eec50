"""Request checks, padding, concatenation and splitting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.errors import Code, ServingError
from workers.merge import check_inputs, merge, shape_class, split, target_rows
from workers.task import Array, Task

NO_INPUTS = "Batching Run() must have at least one input tensor"
RANK_0 = "Batching Run() input tensors must have at least one dimension"
UNEQUAL = "Batching Run() input tensors must have equal 0th-dimension size"
OUTPUT_RANK_0 = "Batched output tensor has 0 dimensions"
OUTPUT_ROWS = (
    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors"
)
DIFFERENT_SHAPES = (
    "Tensors with name 'x:0' from different tasks have different shapes and padding is turned off. Set "
    "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions "
    "starting with the first dim."
)


def task(*inputs: object) -> Task:
    arrays = [np.asarray(value) for value in inputs]
    return Task(arrays, arrays[0].shape[0], 0, None)


def strings(values: object, shape: tuple[int, ...]) -> Array:
    array = np.empty(shape, dtype=object)
    array.reshape(-1)[:] = values
    return array


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], NO_INPUTS),
        ([()], RANK_0),
        ([(2,), ()], RANK_0),
        ([(2,), (3,), ()], RANK_0),
        ([(1, 4), (2, 4)], UNEQUAL),
        ([(0,), (2,)], UNEQUAL),
    ],
)
def test_check_inputs_refuses(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ServingError) as caught:
        check_inputs([np.zeros(shape) for shape in shapes])
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(("shapes", "rows"), [([(3,)], 3), ([(2, 5), (2,), (2, 1, 1)], 2), ([(0, 4)], 0)])
def test_check_inputs_counts_rows(shapes: list[tuple[int, ...]], rows: int) -> None:
    assert check_inputs([np.zeros(shape) for shape in shapes]) == rows


@pytest.mark.parametrize(
    ("rows", "allowed", "target"),
    [
        (2, (), 2),
        (2, (2, 4), 2),
        (3, (2, 4), 4),
        (2, (1, 3, 4), 3),
        (2, (8, 4), 8),  # in the order of the list
        (0, (2, 4), 0),  # no row to copy
    ],
)
def test_target_rows(rows: int, allowed: tuple[int, ...], target: int) -> None:
    assert target_rows(rows, allowed) == target


def test_target_rows_warns_when_no_size_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    assert target_rows(5, (2, 4)) == 5
    assert caplog.messages == [
        "Input batch size 5 is greater than largest allowed size 4 ignoring allowed sizes constraint."
    ]


class TestShapeClass:
    def test_without_padding_type_and_dimensions_after_the_first_count(self) -> None:
        def of(*inputs: Array) -> object:
            return shape_class(inputs, pad_variable_length=False)

        base = of(np.zeros((1, 3), np.float32))
        assert base == of(np.zeros((7, 3), np.float32))
        assert base != of(np.zeros((1, 4), np.float32))
        assert base != of(np.zeros((1, 3, 1), np.float32))
        assert base != of(np.zeros((1, 3), np.float64))
        two = of(np.zeros((1, 3)), np.zeros((1,), np.int64))
        assert two == of(np.zeros((2, 3)), np.zeros((2,), np.int64))
        assert two != of(np.zeros((2, 3)), np.zeros((2, 1), np.int64))

    def test_with_padding_rank_counts(self) -> None:
        def of(*inputs: Array) -> object:
            return shape_class(inputs, pad_variable_length=True)

        assert of(np.zeros((1, 3))) == of(np.zeros((2, 5)))
        assert of(np.zeros((1, 3))) != of(np.zeros((1, 3, 1)))
        assert of(np.zeros((1, 3))) != of(np.zeros((1, 3), np.int32))
        assert of(np.zeros((1, 0))) != of(np.zeros((1, 3)))
        assert of(np.zeros((1, 0, 2))) != of(np.zeros((1, 2, 0)))

    def test_rank_7_cannot_be_padded(self) -> None:
        assert shape_class([np.zeros((1,) * 6)], pad_variable_length=True)
        with pytest.raises(ServingError) as caught:
            shape_class([np.zeros((1,)), np.zeros((1,) * 7)], pad_variable_length=True)
        assert caught.value.code == Code.INVALID_ARGUMENT
        assert caught.value.message == "Only tensors with rank from 1 to 6 can be padded."


class TestMerge:
    def test_single_task_is_not_copied(self) -> None:
        only = task([1.0, 2.0])
        assert merge([only], 2, names=["x"]) is only.inputs

    def test_concatenates_each_input_in_order_of_tasks(self) -> None:
        tasks = [task([1, 2], [[1], [2]]), task([3], [[3]])]
        x, y = merge(tasks, 3, names=["x", "y"])
        assert x.tolist() == [1, 2, 3]
        assert y.tolist() == [[1], [2], [3]]
        assert x.dtype == tasks[0].inputs[0].dtype

    def test_pads_rows_with_the_first_row_of_the_last_task(self) -> None:
        (x,) = merge([task([[1, 1]]), task([[2, 2], [3, 3]])], 5, names=["x"])
        assert x.tolist() == [[1, 1], [2, 2], [3, 3], [2, 2], [2, 2]]

    def test_pads_a_single_task(self) -> None:
        (x,) = merge([task([7.0, 8.0])], 4, names=["x"])
        assert x.tolist() == [7.0, 8.0, 7.0, 7.0]

    def test_strings(self) -> None:
        (x,) = merge([task(strings([b"a", b"bb"], (2,))), task(strings([b"\0c"], (1,)))], 4, names=["x"])
        assert x.dtype == object
        assert x.tolist() == [b"a", b"bb", b"\0c", b"\0c"]

    @pytest.mark.parametrize("other", [np.zeros((1, 4)), np.zeros((1, 3, 1)), np.zeros((1,))])
    def test_different_shapes(self, other: Array) -> None:
        with pytest.raises(ServingError) as caught:
            merge([task(np.zeros((1, 3))), task(other)], 2, names=["x:0"])
        assert (caught.value.code, caught.value.message) == (Code.FAILED_PRECONDITION, DIFFERENT_SHAPES)

    def test_different_types(self) -> None:
        with pytest.raises(ServingError) as caught:
            merge([task(np.zeros(1, np.float32)), task(np.zeros(1, np.int64))], 2, names=["x"])
        assert caught.value.code == Code.INTERNAL
        assert caught.value.message.startswith("Tensor concat operation failed: INVALID_ARGUMENT: ")


class TestVariableLengthPadding:
    @staticmethod
    def pad(*arrays: object, target: int = 0) -> Array:
        tasks = [task(array) for array in arrays]
        rows = target or sum(one.rows for one in tasks)
        return merge(tasks, rows, names=["x"], pad_variable_length=True)[0]

    def test_pads_at_the_end_with_the_first_element(self) -> None:
        merged = self.pad([[[1, 2], [3, 4]]], np.full((1, 3, 3), 9))
        assert merged[0].tolist() == [[1, 2, 1], [3, 4, 1], [1, 1, 1]]
        assert merged[1].tolist() == [[9] * 3] * 3

    def test_largest_is_taken_for_each_dimension(self) -> None:
        merged = self.pad([[[5, 6, 7]]], [[[1], [2]]])
        assert merged.tolist() == [[[5, 6, 7], [5, 5, 5]], [[1, 1, 1], [2, 1, 1]]]

    def test_row_padding_copies_the_padded_row(self) -> None:
        assert self.pad([[1, 2]], [[3]], target=3).tolist() == [[1, 2], [3, 3], [3, 3]]

    def test_strings(self) -> None:
        merged = self.pad(strings([b"a", b"b"], (1, 2)), strings([b"c"], (1, 1)))
        assert merged.tolist() == [[b"a", b"b"], [b"c", b"c"]]

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ([np.zeros((1, 0)), np.zeros((1, 2))], "Got empty tensor in batch of non-empty tensors."),
            ([np.zeros((1,) * 7)], "Only tensors with rank from 1 to 6 can be padded."),
            ([np.zeros((1,) * 7)] * 2, "Only tensors with rank from 1 to 6 can be padded."),
            ([np.zeros((1, 2)), np.zeros((1, 2, 2))], "Tensors of different ranks cannot be padded to one shape."),
        ],
    )
    def test_refuses(self, arrays: list[Array], message: str) -> None:
        with pytest.raises(ServingError) as caught:
            self.pad(*arrays)
        assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


class TestSplit:
    def test_each_task_gets_its_rows_of_each_output(self) -> None:
        tasks = [task([1]), task([2, 3])]
        parts = split([np.array([10, 20, 30, 99]), np.array([[1], [2], [3], [9]])], tasks, 4)
        assert [[array.tolist() for array in part] for part in parts] == [
            [[10], [[1]]],
            [[20, 30], [[2], [3]]],
        ]

    def test_single_task_is_passed_through(self) -> None:
        output = np.array([1, 2])
        assert split([output], [task([1, 2])], 2)[0][0] is output

    def test_single_task_is_cropped(self) -> None:
        assert split([np.arange(4)], [task([1, 2])], 4)[0][0].tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("output", "message"),
        [(np.float32(1), OUTPUT_RANK_0), (np.zeros(3), OUTPUT_ROWS), (np.zeros((1, 2)), OUTPUT_ROWS)],
    )
    @pytest.mark.parametrize("tasks", [[task([1, 2])], [task([1]), task([2])]], ids=["single", "two"])
    def test_refuses_outputs_without_a_row_for_each_row(self, tasks: list[Task], output: Array, message: str) -> None:
        with pytest.raises(ServingError) as caught:
            split([np.zeros(2), np.asarray(output)], tasks, 2)
        assert (caught.value.code, caught.value.message) == (Code.FAILED_PRECONDITION, message)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    widths=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    extra=st.integers(0, 4),
    as_strings=st.booleans(),
)
def test_split_undoes_merge(sizes: list[int], widths: list[int], extra: int, as_strings: bool) -> None:
    tasks: list[Task] = []
    for number, rows in enumerate(sizes):
        arrays = [np.arange(rows * width).reshape(rows, width) + 100 * number for width in widths]
        if as_strings:
            arrays = [strings([b"%d" % value for value in array.flat], array.shape) for array in arrays]
        tasks.append(Task(arrays, rows, 0, None))
    target = sum(sizes) + extra
    merged = merge(tasks, target, names=["x"] * len(widths))
    assert [array.shape for array in merged] == [(target, width) for width in widths]
    for one, part in zip(tasks, split(merged, tasks, target), strict=True):
        for given_array, got in zip(one.inputs, part, strict=True):
            np.testing.assert_array_equal(got, given_array)
