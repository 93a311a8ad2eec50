"""`/openapi.json`: what the REST API has, for tools that generate clients and tests; TensorFlow Serving has none.

Built from a few tables instead of kept as a file, because each resource of a model is there three times: for the newest
version, for a version by number, and for one by label. OPTIONS (preflight) and HEAD are said in words only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from protos.messages import State

Json = dict[str, Any]

_JSON = "application/json"
_PROTOBUF = "application/x-protobuf"

_ABOUT = """\
Models over HTTP, as TensorFlow Serving has them, and some resources of tensormux's own (health, readiness of a \
model, this description). Each resource with GET has HEAD; OPTIONS below `/v1/` answers a CORS preflight, and is a 400 \
without an `Origin` that names a scheme. Other methods are 405 with `Allow`, but GET where POST is meant, and POST \
where the status of a model is, is 400.

A request's body may be compressed (`Content-Encoding: gzip`); answers are where the server is configured so and the \
client accepts gzip. Errors are always JSON, whatever was asked for. In JSON, numbers that are not finite are the \
bare tokens `NaN`, `Infinity` and `-Infinity`, both ways."""

_PARAMETERS: Json = {
    "model": {
        "name": "model",
        "in": "path",
        "required": True,
        "description": "Name of the model.",
        "schema": {"type": "string", "pattern": "^[^/:]+$"},
    },
    "version": {
        "name": "version",
        "in": "path",
        "required": True,
        "description": "Number of a version.",
        "schema": {"type": "integer", "format": "int64", "minimum": 0},
    },
    "label": {
        "name": "label",
        "in": "path",
        "required": True,
        "description": "Label that the configuration gives to a version.",
        "schema": {"type": "string", "pattern": "^[^/:]+$"},
    },
}

# What follows a model's name in a path, and in an operation's name.
_VARIANTS = {
    "": ("", ["model"]),
    "/versions/{version}": ("OfVersion", ["model", "version"]),
    "/labels/{label}": ("OfLabel", ["model", "label"]),
}

_REASONS = {
    "400": "The request is wrong: its URL, its syntax, or what it says of the model's inputs.",
    "404": "There is no such model or version.",
    "408": "The request was not sent in time.",
    "409": "The graph was aborted.",
    "413": "The body is too large, as it came or decompressed.",
    "417": "An expectation other than 100-continue.",
    "429": "Too many requests are waiting.",
    "431": "The request's head is too large.",
    "499": "The graph was cancelled.",
    "500": "Something failed within the server or the graph.",
    "501": "The type of a tensor, or the method, is not supported.",
    "503": "Not now: no worker has the model at the moment, a queue is full, or the server holds too many bytes.",
    "504": "The inference took longer than `--rest_api_timeout_in_ms`.",
}
# What the transport can say to any request.
_TRANSPORT = ("400", "408", "413", "417", "431", "500", "501", "503")
_INFERENCE = tuple(_REASONS)


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _schema(name: str) -> Json:
    return _ref("schemas", name)


def _object(required: list[str], **properties: Any) -> Json:
    return {"type": "object", "required": required, "properties": properties}


_STRING: Json = {"type": "string"}
_INT64: Json = {"type": "string", "pattern": "^-?[0-9]+$", "description": "A 64-bit integer in quotes."}
_SIGNATURE = {"type": "string", "description": "Of the model; `serving_default` when empty or missing."}
_BY_NAME: Json = {"type": "object", "additionalProperties": _schema("Value")}
_EXAMPLE: Json = {
    "type": "object",
    "description": "Features by name: a value, or a flat list of values of one type.",
    "additionalProperties": {"anyOf": [_schema("Feature"), {"type": "array", "items": _schema("Feature")}]},
}


def _examples(**more: Json) -> Json:
    return _object(
        ["examples"],
        signature_name=_SIGNATURE,
        examples={"type": "array", "minItems": 1, "items": _EXAMPLE},
        context={**_EXAMPLE, "description": "Features that all examples share."},
        **more,
    )


_SCHEMAS: Json = {
    "Error": {**_object(["error"], error=_STRING), "additionalProperties": False},
    "Bytes": {
        **_object(["b64"], b64={"type": "string", "contentEncoding": "base64"}),
        "description": "A string as base64: the standard alphabet, padding optional.",
        "additionalProperties": False,
    },
    "Value": {
        "description": "A tensor: a scalar, or nested lists of one shape.",
        "anyOf": [
            {"type": ["number", "string", "boolean"]},
            _schema("Bytes"),
            {"type": "array", "items": _schema("Value")},
        ],
    },
    "Feature": {"anyOf": [{"type": ["number", "string", "boolean"]}, _schema("Bytes")]},
    "PredictRequest": {
        **_object(
            [],
            signature_name=_SIGNATURE,
            instances={
                "description": "Rows: values of the only input, or objects that name all inputs.",
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [_schema("Value"), _BY_NAME]},
            },
            inputs={
                "description": "Columns: the only input, or an object that names all inputs.",
                "anyOf": [_schema("Value"), _BY_NAME],
            },
        ),
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    "PredictResponse": {
        **_object(
            [],
            predictions={
                "description": "To `instances`: a row's only output, or an object of its outputs by name.",
                "type": "array",
            },
            outputs={"description": "To `inputs`: the only output, or an object of all outputs by name."},
        ),
        "oneOf": [{"required": ["predictions"]}, {"required": ["outputs"]}],
        "additionalProperties": False,
    },
    "ClassifyRequest": _examples(),
    "ClassifyResponse": _object(
        ["results"],
        results={
            "description": "For each example, its classes: a list of pairs, label first, then score.",
            "type": "array",
            "items": {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {"type": ["string", "number"]},
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
        },
    ),
    "RegressRequest": _examples(),
    "RegressResponse": _object(["results"], results={"type": "array", "items": {"type": "number"}}),
    "ModelStatus": _object(
        ["model_version_status"],
        model_version_status={
            "type": "array",
            "items": _object(
                ["version", "state", "status"],
                version=_INT64,
                state={"enum": [state.name for state in State]},
                status=_object(["error_code", "error_message"], error_code=_STRING, error_message=_STRING),
            ),
        },
    ),
    "TensorInfo": {
        **_object(
            ["dtype", "tensor_shape"],
            name={"type": "string", "description": "Of the tensor in the graph."},
            dtype={"type": "string", "pattern": "^DT_"},
            tensor_shape=_object(
                ["dim", "unknown_rank"],
                dim={"type": "array", "items": _object(["size", "name"], size=_INT64, name=_STRING)},
                unknown_rank={"type": "boolean"},
            ),
        ),
        "description": "`TensorInfo` in protobuf's JSON form.",
    },
    "ModelMetadata": _object(
        ["model_spec", "metadata"],
        model_spec=_object(["name", "version", "signature_name"], name=_STRING, version=_INT64, signature_name=_STRING),
        metadata=_object(
            ["signature_def"],
            signature_def=_object(
                ["signature_def"],
                signature_def={
                    "type": "object",
                    "additionalProperties": _object(
                        ["inputs", "outputs", "method_name", "defaults"],
                        inputs={"type": "object", "additionalProperties": _schema("TensorInfo")},
                        outputs={"type": "object", "additionalProperties": _schema("TensorInfo")},
                        method_name=_STRING,
                        defaults={"type": "object", "description": "`TensorProto`s of inputs that may be left out."},
                    ),
                },
            ),
        ),
    ),
    "Live": _object(["status"], status={"const": "live"}),
    "Ready": _object(["status"], status={"const": "ready"}),
}

_INFERENCES = {
    "predict": ("Predict", "Run a signature on tensors", {"instances": [1.0, 2.0, 5.0]}),
    "classify": ("Classify", "Classes and scores of examples", {"examples": [{"x": 1.0}]}),
    "regress": ("Regress", "A number for each example", {"examples": [{"x": 1.0}]}),
}
_MESSAGES = {"predict": "Predict", "classify": "Classification", "regress": "Regression"}


def _answers(description: str, content: Json, errors: tuple[str, ...]) -> Json:
    return {"200": {"description": description, "content": content}} | {
        code: _ref("responses", code) for code in errors
    }


def _json(name: str) -> Json:
    return {_JSON: {"schema": _schema(name)}}


_TEXT: Json = {"text/plain": {"schema": _STRING}}


def _protobuf(message: str) -> Json:
    return {_PROTOBUF: {"schema": {"description": f"A serialized `tensorflow.serving.{message}`.", "format": "binary"}}}


def _get(
    operation: str, summary: str, schema: str, tag: str, *, errors: tuple[str, ...] = (), parameters: Any = ()
) -> Json:
    described: Json = {"operationId": operation, "summary": summary, "tags": [tag]}
    if parameters:
        described["parameters"] = [_ref("parameters", name) for name in parameters]
    described["responses"] = _answers(summary, _json(schema), tuple(sorted({*_TRANSPORT, *errors})))
    return {"get": described}


def _post(verb: str, suffix: str, parameters: list[str]) -> Json:
    schema, summary, example = _INFERENCES[verb]
    message = _MESSAGES[verb]
    described: Json = {
        "operationId": verb + suffix,
        "summary": summary,
        "description": "`Content-Type` chooses the form of the request: serialized messages instead of JSON are an "
        "extension of tensormux; any other type is read as JSON. The answer has the same form, unless `Accept` prefers "
        "the other.",
        "tags": ["inference"],
        "parameters": [_ref("parameters", name) for name in parameters],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": _schema(f"{schema}Request"), "example": example}}
            | _protobuf(f"{message}Request"),
        },
        "responses": _answers(
            "The answer of the model", _json(f"{schema}Response") | _protobuf(f"{message}Response"), _INFERENCE
        ),
    }
    return {"post": described}


def _paths(metrics_path: str) -> Json:
    paths: Json = {}
    for variant, (suffix, parameters) in _VARIANTS.items():
        path = "/v1/models/{model}" + variant
        known: Json = {"errors": ("404",), "parameters": parameters}
        paths[path] = _get(f"status{suffix}", "States of versions", "ModelStatus", "models", **known)
        paths[f"{path}/metadata"] = _get(
            f"metadata{suffix}", "Signatures of a version", "ModelMetadata", "models", **known
        )
        paths[f"{path}/ready"] = _get(f"ready{suffix}", "Whether a request would be served", "Ready", "health", **known)
        for verb in _INFERENCES:
            paths[f"{path}:{verb}"] = _post(verb, suffix, parameters)
    for path, operation in (("/v1/health/live", "live"), ("/healthz", "healthz")):
        paths[path] = _get(operation, "The front end answers", "Live", "health")
    for path, operation in (("/v1/health/ready", "serverReady"), ("/readyz", "readyz")):
        paths[path] = _get(
            operation, "The front end has its models, a worker, and is not shutting down", "Ready", "health"
        )
    paths["/openapi.json"] = {
        "get": {
            "operationId": "openapi",
            "summary": "This document",
            "tags": ["server"],
            "responses": _answers("An OpenAPI document", {_JSON: {"schema": {"type": "object"}}}, _TRANSPORT),
        }
    }
    if metrics_path:
        paths[metrics_path] = {
            "get": {
                "operationId": "metrics",
                "summary": "Metrics of the whole server in Prometheus' text format",
                "tags": ["server"],
                "responses": _answers("Metrics", _TEXT, _TRANSPORT)
                | {"400": {"description": "A query behind the path, or no HTTP.", "content": _json("Error") | _TEXT}},
            }
        }
    return paths


def _version() -> str:
    import importlib.metadata  # takes 20 ms, which a start need not wait for

    try:
        return importlib.metadata.version("tensormux")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # run from a folder that is not installed


@lru_cache(maxsize=1)
def document(metrics_path: str = "") -> bytes:
    """The description as JSON: OpenAPI 3.1; `metrics_path` is where the metrics are, if anywhere."""
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "tensormux",
                "version": _version(),
                "description": _ABOUT,
                "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": _paths(metrics_path),
            "components": {
                "parameters": _PARAMETERS,
                "responses": {
                    code: {"description": text, "content": _json("Error")} for code, text in _REASONS.items()
                },
                "schemas": _SCHEMAS,
            },
        }
    )
