"""Answers of `:classify` and `:regress` as JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from frontend.rest.json_encode import encode_classified, encode_regressed
from protos.classification import Classified
from protos.errors import Code, ServingError
from protos.regression import Regressed


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_labels_and_scores() -> None:
    labels = ["car", "bike", "bus", "car", "bike", "bus"]
    result = Classified(2, 3, labels, floats(0.2, 0.7, 0.1, 0.7, 0.1, 0.2))
    assert encode_classified(result) == (
        b'{"results":[[["car",0.2],["bike",0.7],["bus",0.1]],[["car",0.7],["bike",0.1],["bus",0.2]]]}'
    )


def test_what_is_missing() -> None:
    assert encode_classified(Classified(1, 2, ["a", 'b"\n'], None)) == b'{"results":[[["a",0.0],["b\\"\\n",0.0]]]}'
    assert encode_classified(Classified(2, 1, None, floats(1, 2))) == b'{"results":[[["",1.0]],[["",2.0]]]}'
    assert encode_classified(Classified(2, 0, None, floats())) == b'{"results":[[],[]]}'
    assert encode_classified(Classified(1, 0, [], floats())) == b'{"results":[[]]}'


def test_scores_that_are_not_finite() -> None:
    scores = floats(math.nan, math.inf, -math.inf, 1)
    assert encode_classified(Classified(1, 4, None, scores)) == (
        b'{"results":[[["",NaN],["",Infinity],["",-Infinity],["",1.0]]]}'
    )


def test_values() -> None:
    assert encode_regressed(Regressed(floats(0.2, 0.9, 1.0))) == b'{"results":[0.2,0.9,1.0]}'
    text = encode_regressed(Regressed(floats(0.2, math.inf, 1, -math.inf, math.nan)))
    assert text == b'{"results":[0.2,Infinity,1.0,-Infinity,NaN]}'


def test_many_values() -> None:
    values = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    values[7] = math.inf
    parsed = json.loads(encode_regressed(Regressed(values)))["results"]
    assert np.array_equal(np.array(parsed, np.float32), values)
    rows = json.loads(encode_classified(Classified(500, 10, None, values)))["results"]
    assert np.array_equal(np.array([[score for _, score in row] for row in rows], np.float32).ravel(), values)


def test_no_examples() -> None:
    with pytest.raises(ServingError) as raised:
        encode_classified(Classified(0, 3, None, floats()))
    assert (raised.value.code, raised.value.message) == (
        Code.INVALID_ARGUMENT,
        "Cannot convert empty ClassificationResults to JSON",
    )
    with pytest.raises(ServingError) as raised:
        encode_regressed(Regressed(floats()))
    assert raised.value.message == "Cannot convert empty RegressionResults to JSON"
