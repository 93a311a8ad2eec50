"""REST as TensorFlow Serving's clients see it, row by row: URLs, headers, and the order of the checks."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import Any

import pytest
import requests

from tests.e2e.clients import CALL_SECONDS, Rest, rest_error, rest_outcome
from tests.models import DTYPE_NAMES

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


def call(api: Rest, method: str, path: str, body: bytes | None = None, **headers: str) -> requests.Response:
    """Any request, its path spared what `requests` would tidy."""
    request = requests.Request(method, api.root, data=body, headers=headers).prepare()
    request.url = api.root + path
    return api.session.send(request, timeout=CALL_SECONDS)


# --- URLs ---

ODD_NAME = "name%20with%20%C3%A4+%25%3F%3A%2F"
UNKNOWN = "Could not find any versions of model {}"
PREDICTED = {"predictions": [4.0]}


def malformed(method: str, path: str) -> tuple[int, str]:
    return 400, f"Malformed request: {method} {path}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/models/half_plus_two:predict", PREDICTED),
        ("/V1/Models/half_plus_two:predict", PREDICTED),
        ("/v1/models/half_plus_two/versions/123:predict", {"predictions": [3.0]}),
        ("/v1/models/half_plus_two/VERSIONS/000124:predict", PREDICTED),
        ("/v1/models/half_plus_two/labels/stable:predict", {"predictions": [3.0]}),
        ("/v1/models/half%5Fplus%5ftwo/labels/st%61ble:predict", {"predictions": [3.0]}),
        (f"/v1/models/{ODD_NAME}:predict", {"predictions": [3.0]}),
        (f"/v1/models/{ODD_NAME}/labels/a%2F%C3%A4:predict", {"predictions": [3.0]}),
        # On purpose different: what follows the path is dropped, and nothing has an empty body.
        ("/v1/models/half_plus_two:predict?x=1", PREDICTED),
        (
            "/v1/models/half_plus_two/versions/99999999999999999999:predict",
            (400, "Failed to convert version: 99999999999999999999 to numeric."),
        ),
        *(
            (path, malformed("POST", path))
            for path in (
                *("/v1/models/half_plus_two:PREDICT", "/v1/models/half_plus_two:predict/", "/v1/models/:predict"),
                *("/v1/models/half_plus_two", "/v1/models/half_plus_two:"),
                *("/v1/models/half_plus_two/versions/-1:predict", "/v1/models/half_plus_two/labels/:predict"),
                *("/v1/foo", "/v1/models", "/v1/models/foo/version/50:predict", "/v1/models/foo/versions/x:predict"),
                *("/v1/models/foo/metadata", "/v1/models/foo/versions/50/labels/some_label:regress"),
            )
        ),
        ("/v1/models/Half_plus_two:predict", (404, "Servable not found for request: Latest(Half_plus_two)")),
        (
            "/v1/models/half_plus_two/versions/125:predict",
            (404, "Servable not found for request: Specific(half_plus_two, 125)"),
        ),
        (
            "/v1/models/half_plus_two/labels/Stable:predict",
            (400, "Unrecognized servable version label: Stable"),
        ),
    ],
)
def test_urls_of_post(api: Rest, path: str, expected: Any) -> None:
    assert rest_outcome(call(api, "POST", path, b'{"instances": [2.0]}')) == expected


def versions(*numbers: int) -> dict[str, Any]:
    ok = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": str(n), "state": "AVAILABLE", "status": ok} for n in numbers]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/models/half_plus_two", versions(124, 123)),
        ("/v1/models/half_plus_two/METADATA", versions(124, 123)),
        ("/v1/models/half_plus_two/versions/123", versions(123)),
        ("/v1/models/half_plus_two/versions/0124", versions(124)),
        (f"/v1/models/{ODD_NAME}", versions(1)),
        ("/v1/models/half_plus_two/versions/9", (404, "Could not find version 9 of model half_plus_two")),
        ("/v1/models/nobody", (404, UNKNOWN.format("nobody"))),
        ("/v1/models/metadata", (404, UNKNOWN.format("metadata"))),
        ("/v1/models", (400, "Missing model name in request.")),
        ("/v1/models/versions/5", (400, "Missing model name in request.")),
        *(
            (path, malformed("GET", path))
            for path in ("/v1/foo", "/v1/models/", "/v1/models/m/", "/v1/models/m:predict", "/v1/models/a/b/c")
        ),
        # On purpose different.
        ("/v1/models/half_plus_two?x=1", versions(124, 123)),
        ("/v1/models/half_plus_two/versions/123?x=1", versions(123)),
        ("/v1/models/half_plus_two/labels/stable", versions(123)),
        ("/v1/models/half_plus_two/labels/nobody", (400, "Unrecognized servable version label: nobody")),
    ],
)
def test_urls_of_get(api: Rest, path: str, expected: Any) -> None:
    assert rest_outcome(call(api, "GET", path)) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/%zz"),
        ("GET", "/v1/models/half_plus_two%2"),
        ("GET", "/v1/models/half_plus_two%/metadata"),
        ("POST", "/v1/models/half_plus_two%zz:predict"),
        ("POST", "/v1/models/half_plus_two/labels/%G1:predict"),
    ],
)
def test_escapes_that_are_none(api: Rest, method: str, path: str) -> None:
    # `requests` would mend them.
    connection = http.client.HTTPConnection(api.root.removeprefix("http://"), timeout=CALL_SECONDS)
    with contextlib.closing(connection):
        for _ in range(2):  # the connection is as good as before
            connection.request(method, path, b"{}" if method == "POST" else None)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["error"]) == malformed(method, path)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("half_plus_two/metadata", "124"),
        ("half_plus_two/metadata?x=1", "124"),
        ("half_plus_two/versions/123/metadata", "123"),
        ("half_plus_two/labels/stable/metadata", "123"),
    ],
)
def test_metadata_of_a_version(api: Rest, path: str, version: str) -> None:
    answer = api.get(path).json()
    assert answer["model_spec"] == {"name": "half_plus_two", "version": version, "signature_name": ""}
    assert list(answer) == ["model_spec", "metadata"] and list(answer["metadata"]) == ["signature_def"]
    assert len(answer["metadata"]["signature_def"]["signature_def"]) == 6


def test_metadata_of_all_types(api: Rest) -> None:
    signatures = api.get("identity/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() == set(DTYPE_NAMES)
    unknown = {"dim": [], "unknown_rank": True}
    for name, signature in signatures.items():
        dtype = f"DT_{name.upper()}"
        assert signature == {
            "inputs": {"x": {"name": f"{name}_x:0", "dtype": dtype, "tensor_shape": unknown}},
            "outputs": {"y": {"name": f"{name}_y:0", "dtype": dtype, "tensor_shape": unknown}},
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }


# --- Headers ---


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/half_plus_two:predict", 200),
        ("GET", "/v1/models/half_plus_two", 200),
        ("GET", "/v1/models/half_plus_two/metadata", 200),
        ("GET", "/v1/models/nobody", 404),
        ("POST", "/v1/foo", 400),
    ],
)
def test_headers(api: Rest, rest: Rest, method: str, path: str, status: int) -> None:
    body = b'{"instances": [2.0]}'
    with_cors = call(api, method, path, body)
    without = call(rest, method, path, body)
    assert with_cors.status_code == without.status_code == status
    common = {"Content-Type", "Date", "Content-Length"}
    assert set(without.headers) == common
    assert set(with_cors.headers) == common | set(CORS)
    assert with_cors.headers["Content-Type"] == without.headers["Content-Type"] == "application/json"
    assert CORS.items() <= dict(with_cors.headers).items()


@pytest.mark.parametrize("path", ["/v1/models/half_plus_two:predict", "/v1/models/nobody", "/v1/anything"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://a.example", 200), ("https://a.example", 200), ("x http://", 200), ("a.example", 400), (None, 400)],
)
def test_preflights(api: Rest, rest: Rest, path: str, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin}
    for client, cors in ((api, CORS), (rest, {})):
        answer = call(client, "OPTIONS", path, **headers)
        assert answer.status_code == status
        assert {name: value for name, value in answer.headers.items() if name.startswith("Access")} == cors
        if status == 200:
            assert answer.content == b""
            assert answer.headers["Content-Type"] == "text/html; charset=ISO-8859-1"
        else:
            assert rest_error(answer) == (400, "Origin header is missing in CORS preflight")


# --- The order of the checks ---

NO_SIGNATURE = 'Serving signature name: "?" not found in signature def'
NO_STRING = "'signature_name' key must be a string value."


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        # The URL, then the document, then the model and its signature, then what is in the document.
        ("m/versions/99999999999999999999:predict", b"{", 400, "Failed to convert version"),
        ("nobody:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("nobody:predict", b"[]", 400, "JSON Value: [] Is not object"),
        ("nobody:predict", b'{"signature_name": 5}', 400, NO_STRING),
        ("nobody:predict", b'{"signature_name": null, "instances": 1}', 400, NO_STRING),
        ("nobody:predict", b"{}", 404, "Servable not found for request: Latest(nobody)"),
        ("nobody:predict", b'{"instances": [], "inputs": 1}', 404, "Servable not found for request: Latest(nobody)"),
        (
            "half_plus_two/labels/nobody:predict",
            b'{"instances": 5}',
            400,
            "Unrecognized servable version label: nobody",
        ),
        ("half_plus_two/versions/9:predict", b"{}", 404, "Servable not found for request: Specific(half_plus_two, 9)"),
        ("half_plus_two:predict", b'{"signature_name": "?"}', 400, NO_SIGNATURE),
        ("half_plus_two:predict", b'{"signature_name": "?", "instances": 1, "inputs": 1}', 400, NO_SIGNATURE),
        (
            "answers:predict",
            b'{"signature_name": "no_inputs"}',
            400,
            "Failed to get input map for signature: no_inputs",
        ),
        ("half_plus_two:predict", b"{}", 400, "Missing 'inputs' or 'instances' key"),
        (
            "half_plus_two:predict",
            b'{"instances": [], "inputs": "a"}',
            400,
            'JSON Value: {\n    "instances": [],\n    "inputs": "a"\n} Not formatted correctly expecting only one of'
            " 'inputs' or 'instances' keys to exist ",
        ),
        ("half_plus_two:predict", b'{"instances": "a"}', 400, "Expecting 'instances' to be an list/array"),
        ("half_plus_two:predict", b'{"instances": []}', 400, "No values in 'instances' array"),
        ("answers:predict", b'{"instances": ["a"]}', 400, "instances is a plain list, but expecting list of objects"),
        ("answers:predict", b'{"inputs": ["a"]}', 400, "inputs is a plain value/list, but expecting an object"),
        ("answers:predict", b'{"instances": [{"b64": "aGk="}]}', 400, "not of expected type: double"),
        ("answers:predict", b'{"instances": [{"b64": "!"}]}', 400, "not of expected type: double"),
    ],
)
def test_order(api: Rest, path: str, body: bytes, status: int, text: str) -> None:
    got, message = rest_error(api.post(path, body))
    assert got == status
    assert text in message
