"""The API's description against the server: whatever it allows is answered as it says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.clients import CALL_SECONDS, Rest

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 20
# A type of tensor that JSON doesn't have.
UNIMPLEMENTED = 501

# Names that chance would not find.
ANYTHING: dict[str, Any] = {
    "parameters": {
        "model": {"enum": ["half_plus_two", "identity", "counter", "nobody", "%", "ümläut"]},
        "version": {"enum": [1, 2, 2**63 - 1]},
        "label": {"enum": ["stable", "nobody", "ready"]},
    },
    "schemas": {},
}
# What the model takes.
NUMBER = {"type": "number", "minimum": -1e6, "maximum": 1e6}
SIGNATURES = ("classify_x_to_y", "regress_x_to_y")
FEATURES = {"type": "object", "required": ["x"], "properties": {"x": NUMBER}, "additionalProperties": False}
FITTING: dict[str, Any] = {
    "parameters": {"model": {"const": "half_plus_two"}, "version": {"const": 1}, "label": {"const": "stable"}},
    "schemas": {
        "Value": NUMBER,
        "PredictRequest": {"properties": {"instances": {"type": "array", "minItems": 1, "items": NUMBER}}},
        **{
            name: {
                "required": ["signature_name", "examples"],
                "properties": {
                    "signature_name": {"const": signature},
                    "examples": {"type": "array", "minItems": 1, "items": FEATURES},
                    "context": FEATURES,
                },
            }
            for name, signature in zip(("ClassifyRequest", "RegressRequest"), SIGNATURES, strict=True)
        },
    },
}


@pytest.fixture(scope="module")
def document(rest: Rest) -> dict[str, Any]:
    answer = rest.session.get(f"{rest.root}/openapi.json", timeout=CALL_SECONDS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    return answer.json()


def narrowed(document: dict[str, Any], to: dict[str, Any]) -> dict[str, Any]:
    """The description with parameters and bodies that say more than that they are allowed."""
    document = copy.deepcopy(document)
    components = document["components"]
    for name, schema in to["parameters"].items():
        components["parameters"][name]["schema"] |= schema
    for name, schema in to["schemas"].items():
        components["schemas"][name] = {"type": "object", **schema} if "properties" in schema else schema
    return document


def test_it_is_an_openapi_document(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()


def statuses(operation: Any, session: requests.Session, root: str) -> set[int]:
    """What the server answers to requests that the description allows; each answer is as described."""
    seen: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        answer = case.call(base_url=root, session=session)
        seen.add(answer.status_code)
        assert answer.status_code < 500 or answer.status_code == UNIMPLEMENTED, answer.text
        case.validate_response(answer, checks=CHECKS)

    check()
    return seen


def by_operation(document: dict[str, Any], rest: Rest) -> dict[str, set[int]]:
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == len(document["paths"])
    return {operation.label: statuses(operation, rest.session, rest.root) for operation in operations}


def test_whatever_is_allowed_is_answered_as_described(document: dict[str, Any], rest: Rest) -> None:
    assert set().union(*by_operation(narrowed(document, ANYTHING), rest).values()) >= {200, 400, 404}


def test_what_fits_the_model_succeeds(document: dict[str, Any], rest: Rest) -> None:
    for label, seen in by_operation(narrowed(document, FITTING), rest).items():
        assert 200 in seen, label
