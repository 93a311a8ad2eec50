import pytest

from control.labels import assign_labels
from protos.errors import Code, ServingError

AVAILABLE = {123, 124}


@pytest.mark.parametrize(
    ("current", "requested", "allow_unavailable"),
    [
        ({}, {}, False),
        ({}, {"a": 123, "b": 124}, False),
        ({}, {"a": 123, "b": 123}, False),
        ({"a": 123, "b": 124}, {"a": 124}, False),
        ({"gone": 9}, {"a": 123}, False),
        ({}, {"new": 9}, True),
        ({"old": 9}, {"old": 9}, True),
        ({"old": 9}, {"old": 124}, True),
    ],
)
def test_the_new_labels_replace_the_old(
    current: dict[str, int], requested: dict[str, int], allow_unavailable: bool
) -> None:
    before = dict(current)
    labels = assign_labels(
        "m", current=current, requested=requested, available=AVAILABLE, allow_unavailable=allow_unavailable
    )
    assert labels == requested
    assert labels is not requested
    assert current == before


@pytest.mark.parametrize(
    ("current", "requested", "allow_unavailable"),
    [
        ({}, {"new": 9}, False),
        ({"old": 9}, {"old": 9}, False),
        ({"old": 123}, {"old": 9}, False),
        ({"old": 123}, {"old": 9}, True),
        ({"old": 8}, {"a": 123, "old": 9}, True),
    ],
)
def test_a_label_on_a_version_that_is_not_available(
    current: dict[str, int], requested: dict[str, int], allow_unavailable: bool
) -> None:
    with pytest.raises(ServingError) as refused:
        assign_labels(
            "m", current=current, requested=requested, available=AVAILABLE, allow_unavailable=allow_unavailable
        )
    assert refused.value.code == Code.FAILED_PRECONDITION
    assert refused.value.message == (
        "Request to assign label to version 9 of model m, which is not currently available for inference"
    )
