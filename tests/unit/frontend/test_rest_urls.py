import pytest

from frontend.rest import urls
from frontend.rest.urls import Kind, MethodNotAllowed, Route
from protos.errors import Code, ServingError

ENCODED = "%21%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40%5B%5D"
DECODED = "!#$%&'()*+,/:;=?@[]"
INT64_MAX = (1 << 63) - 1
FIXED = {
    "/v1/health/live": Kind.LIVE,
    "/v1/health/ready": Kind.READY,
    "/healthz": Kind.LIVE,
    "/readyz": Kind.READY,
    "/openapi.json": Kind.OPENAPI,
}


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", f"/v1/models/modelname{ENCODED}", Route(Kind.STATUS, f"modelname{DECODED}", None, None)),
        ("GET", "/v1/models/modelname/versions/99", Route(Kind.STATUS, "modelname", 99, None)),
        ("GET", "/v1/models/modelname/labels/latest", Route(Kind.STATUS, "modelname", None, "latest")),
        ("GET", f"/v1/models/m/labels/latest{ENCODED}", Route(Kind.STATUS, "m", None, f"latest{DECODED}")),
        ("GET", "/v1/models/m/labels/latest/metadata", Route(Kind.METADATA, "m", None, "latest")),
        (
            "GET",
            f"/v1/models/m{ENCODED}/labels/latest{ENCODED}/metadata",
            Route(Kind.METADATA, f"m{DECODED}", None, f"latest{DECODED}"),
        ),
        ("GET", "/v1/models/m/metadata", Route(Kind.METADATA, "m", None, None)),
        ("GET", "/v1/models/m/versions/3/metadata", Route(Kind.METADATA, "m", 3, None)),
        ("GET", "/v1/models/m/METADATA", Route(Kind.STATUS, "m", None, None)),
        ("GET", "/v1/models/metadata", Route(Kind.STATUS, "metadata", None, None)),
        ("POST", f"/v1/models/modelname{ENCODED}:predict", Route(Kind.PREDICT, f"modelname{DECODED}", None, None)),
        ("POST", "/v1/models/modelname/versions/99:predict", Route(Kind.PREDICT, "modelname", 99, None)),
        ("POST", "/v1/models/m/labels/latest:predict", Route(Kind.PREDICT, "m", None, "latest")),
        ("POST", f"/v1/models/m/labels/latest{ENCODED}:predict", Route(Kind.PREDICT, "m", None, f"latest{DECODED}")),
        ("POST", "/v1/models/m:classify", Route(Kind.CLASSIFY, "m", None, None)),
        ("POST", "/v1/models/m:regress", Route(Kind.REGRESS, "m", None, None)),
        ("POST", "/V1/Models/m/VERSIONS/007:predict", Route(Kind.PREDICT, "m", 7, None)),
        ("POST", f"/v1/models/m/versions/{INT64_MAX}:predict", Route(Kind.PREDICT, "m", INT64_MAX, None)),
        ("POST", "/v1/models/m/versions/00000000000000000000000000000:predict", Route(Kind.PREDICT, "m", 0, None)),
        # Queries and fragments are dropped.
        ("POST", "/v1/models/m:predict?x=1", Route(Kind.PREDICT, "m", None, None)),
        ("GET", "/v1/models/m?x=1", Route(Kind.STATUS, "m", None, None)),
        ("GET", "/v1/models/m/metadata?x=1#y", Route(Kind.METADATA, "m", None, None)),
        ("GET", "http://host:8501/v1/models/m", Route(Kind.STATUS, "m", None, None)),
        ("GET", "/v1/models/a+b%20c%C3%A4", Route(Kind.STATUS, "a+b cä", None, None)),
        ("HEAD", "/v1/models/m", Route(Kind.STATUS, "m", None, None)),
        ("HEAD", "/v1/models/m/metadata", Route(Kind.METADATA, "m", None, None)),
        # Resources of our own, where upstream has none.
        ("GET", "/v1/models/m/ready", Route(Kind.MODEL_READY, "m", None, None)),
        ("HEAD", "/v1/models/m/versions/7/ready?x", Route(Kind.MODEL_READY, "m", 7, None)),
        ("GET", "/V1/models/m/LABELS/l%20l/ready", Route(Kind.MODEL_READY, "m", None, "l l")),
        *((method, path, Route(kind, "", None, None)) for path, kind in FIXED.items() for method in ("GET", "HEAD")),
        # Models whose names look like resources stay where they were.
        *(
            ("GET", f"/v1/models/{name}", Route(Kind.STATUS, name, None, None))
            for name in ("ready", "health", "labels")
        ),
        ("GET", "/v1/models/ready/ready", Route(Kind.MODEL_READY, "ready", None, None)),
        ("GET", "/v1/models/ready/metadata", Route(Kind.METADATA, "ready", None, None)),
        ("POST", "/v1/models/ready:predict", Route(Kind.PREDICT, "ready", None, None)),
        ("GET", "/v1/models/m/labels/ready", Route(Kind.STATUS, "m", None, "ready")),
        *(
            ("OPTIONS", path, Route(Kind.OPTIONS, "", None, None))
            for path in ("/v1/models/m:predict", "/v1/", "/v1/nothing", *FIXED)
        ),
    ],
)
def test_route(method: str, target: str, expected: Route) -> None:
    assert urls.route(method, target) == expected


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *(("GET", path) for path in ("/v1/foo", "/v1/", "/v1/models/", "/v1/models/m/", "/v1/models/foo:predict")),
        ("GET", "/v1/models/foo/version/50:predict"),
        ("GET", "/v1/models/debug/model_name"),
        *(
            ("POST", path)
            for path in (
                "/v1/foo",
                "/v1/models",
                "/v1/models/foo",
                "/v1/models/foo/metadata",
                "/v1/models/foo/version/50:predict",
                "/v1/models/foo/versions/string:predict",
                "/v1/models/foo/versions/some_label:regress",
                "/v1/models/foo/label/some_label:regress",
                "/v1/models/foo/versions/50/labels/some_label:regress",
                "/v1/models/m:PREDICT",
                "/v1/models/m:predict/",
                "/v1/models/m:explain",
                "/v1/models/m/versions/٣:predict",
            )
        ),
        ("GET", "/v1/models/m:predict"),
        ("GET", "/v1/models/m/READY"),
        ("GET", "/v1/models/m/ready/"),
        ("GET", "/v1/models/m/metadata/ready"),
        ("GET", "/v1/health"),
        ("POST", "/v1/models/m/ready"),
        ("PUT", "/v1/models"),
        ("PUT", "/v1/models/m:PREDICT"),
        ("DELETE", "/v1/foo"),
        ("HEAD", "/v1/foo"),
        ("GET", "/v1/models/a%zz"),
        ("GET", "/v1/models/a%2"),
        ("GET", "/v1/models/a b"),
        ("GET", "/v1/models/ä"),
        ("GET", "/v1/models/a\n"),
    ],
)
def test_malformed(method: str, target: str) -> None:
    with pytest.raises(ServingError) as caught:
        urls.route(method, target)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert caught.value.message == f"Malformed request: {method} {target}"


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        ("GET", "/v1/models", "Missing model name in request."),
        ("GET", "/v1/models?x", "Missing model name in request."),
        ("GET", "/v1/models/versions/5", "Missing model name in request."),
        *(
            (method, f"/v1/models/foo/versions/{digits}{verb}", f"Failed to convert version: {digits} to numeric.")
            for digits in ("18446744073709551615", "9223372036854775808", "9" * 10_000)
            for method, verb in (("POST", ":predict"), ("GET", ""))
        ),
        ("GET", "/v1/models/%FF", "Failed to decode model name:%FF"),
        ("POST", "/v1/models/m/labels/%C3:predict", "Failed to decode model version label:%C3"),
    ],
)
def test_invalid(method: str, target: str, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        urls.route(method, target)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        *((method, "/v1/models/m:predict", "POST, OPTIONS") for method in ("PUT", "DELETE", "PATCH", "HEAD")),
        ("PUT", "/v1/models/m/versions/1:classify?x", "POST, OPTIONS"),
        ("HEAD", "/v1/models/m/labels/l:regress", "POST, OPTIONS"),
        *((method, "/v1/models/m", "GET, HEAD, OPTIONS") for method in ("PUT", "DELETE", "PATCH")),
        ("DELETE", "/v1/models/m/versions/1/metadata", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v1/models/m/ready", "GET, HEAD, OPTIONS"),
        *((method, path, "GET, HEAD, OPTIONS") for path in FIXED for method in ("POST", "PUT", "DELETE", "PATCH")),
    ],
)
def test_methods_that_a_resource_does_not_have(method: str, target: str, allow: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        urls.route(method, target)
    assert (caught.value.allow, caught.value.code) == (allow, Code.INVALID_ARGUMENT)
    assert caught.value.message == f"Malformed request: {method} {target}"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "SOURCE", "post"])
def test_methods_that_the_server_does_not_have(method: str) -> None:
    with pytest.raises(ServingError) as caught:
        urls.route(method, "/v1/models/m")
    assert (caught.value.code, caught.value.message) == (Code.UNIMPLEMENTED, f"{method} is not supported")


@pytest.mark.parametrize("target", ["/", "/statuspage", "/index", "/v1", "/v2/models/m", "*", "/Healthz"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "OPTIONS"])
def test_outside_of_the_api(method: str, target: str) -> None:
    with pytest.raises(ServingError) as caught:
        urls.route(method, target)
    assert caught.value.code == Code.NOT_FOUND


def test_recent_routes_are_shared_and_long_targets_not_kept() -> None:
    assert urls.route("GET", "/v1/models/shared") is urls.route("GET", "/v1/models/shared")
    long = "/v1/models/" + "m" * 1000
    assert urls.route("GET", long) == urls.route("GET", long)
    assert urls.route("GET", long) is not urls.route("GET", long)
