"""The catalog: which version, signature and status a request gets."""

from __future__ import annotations

from typing import cast

import pytest

from frontend import catalog as catalog_module
from frontend.catalog import Catalog, Model, Version
from frontend.model_info import check_metadata_fields, model_metadata, model_status
from frontend.router import Link
from protos import messages, public
from protos.errors import Code, ServingError
from protos.messages import State
from protos.tensor_view import Target
from tests.catalogs import X_TO_Y, signature_map

LINK = cast(Link, object())
SIGNATURES = signature_map({"serving_default": (["x"], ["y"]), "other": (["b", "a"], ["d", "c"]), "init": ([], [])})


def entry(number: int, state: int = State.AVAILABLE, *, code: int = 0, message: str = "") -> messages.VersionEntry:
    return messages.VersionEntry(version=number, state=state, code=code, message=message, signatures=SIGNATURES)


def make() -> Catalog:
    """m: 1, 5 and 7 available; 8 loading; 3 ended; 4 available by its state but on no worker we are connected to."""
    versions = [Version("m", entry(n), [LINK]) for n in (5, 1, 7)]
    versions.append(Version("m", entry(8, State.LOADING), []))
    versions.append(Version("m", entry(3, State.END, code=3, message="broken"), []))
    versions.append(Version("m", entry(4), []))
    labels = {"stable": 5, "canary": 8, "": 1, "lost": 99}
    return Catalog([Model("m", versions, labels), Model("empty", [], {}), Model("gone", [versions[4]], {"old": 3})])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (("m", None, None), 7),
        (("m", 5, None), 5),
        (("m", 1, None), 1),
        (("m", None, "stable"), 5),
        (("m", None, ""), 1),  # an explicitly set empty label is a label
        (("", None, None), (Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")),
        (("", 1, None), (Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")),
        (("", None, "x"), (Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")),
        (("m", 2, None), (Code.NOT_FOUND, "Servable not found for request: Specific(m, 2)")),
        (("m", 8, None), (Code.NOT_FOUND, "Servable not found for request: Specific(m, 8)")),
        (("m", 3, None), (Code.NOT_FOUND, "Servable not found for request: Specific(m, 3)")),
        (("m", 4, None), (Code.NOT_FOUND, "Servable not found for request: Specific(m, 4)")),
        (("m", 0, None), (Code.NOT_FOUND, "Servable not found for request: Specific(m, 0)")),
        (("m", -1, None), (Code.NOT_FOUND, "Servable not found for request: Specific(m, -1)")),
        (("nope", 1, None), (Code.NOT_FOUND, "Servable not found for request: Specific(nope, 1)")),
        (("m", None, "nope"), (Code.INVALID_ARGUMENT, "Unrecognized servable version label: nope")),
        (("nope", None, "stable"), (Code.INVALID_ARGUMENT, "Unrecognized servable version label: stable")),
        (("gone", None, ""), (Code.INVALID_ARGUMENT, "Unrecognized servable version label: ")),
        (("m", None, "canary"), (Code.NOT_FOUND, "Servable not found for request: Specific(m, 8)")),
        (("m", None, "lost"), (Code.NOT_FOUND, "Servable not found for request: Specific(m, 99)")),
        (("gone", None, "old"), (Code.NOT_FOUND, "Servable not found for request: Specific(gone, 3)")),
        (("nope", None, None), (Code.NOT_FOUND, "Servable not found for request: Latest(nope)")),
        (("empty", None, None), (Code.NOT_FOUND, "Servable not found for request: Latest(empty)")),
        (("gone", None, None), (Code.NOT_FOUND, "Servable not found for request: Latest(gone)")),
    ],
)
def test_resolve(target: tuple[str, int | None, str | None], expected: int | tuple[int, str]) -> None:
    catalog = make()
    if isinstance(expected, int):
        assert catalog.resolve(Target(*target, "")).version == expected
        assert catalog.route(Target(*target, "")).version.version == expected
        return
    for look_up in (catalog.resolve, catalog.route):
        with pytest.raises(ServingError) as raised:
            look_up(Target(*target, ""))
        assert (raised.value.code, raised.value.message) == expected


@pytest.mark.parametrize(
    ("signature", "name", "inputs", "outputs"),
    [
        ("", "serving_default", ("x",), ("y",)),
        ("serving_default", "serving_default", ("x",), ("y",)),
        ("other", "other", ("a", "b"), ("c", "d")),
        ("init", "init", (), ()),
    ],
)
def test_route_to_a_signature(signature: str, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    route = make().route(Target("m", None, "stable", signature))
    assert (route.signature.name, route.signature.inputs, route.signature.outputs) == (name, inputs, outputs)
    # The echo: the real version even if a label was asked for, the signature even if none was, never a label.
    spec = public.PredictResponse.FromString(route.spec_field).model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 5, name)
    assert spec.WhichOneof("version_choice") == "version"


@pytest.mark.parametrize("signature", ["nope", "Serving_default", " "])
def test_unknown_signature(signature: str) -> None:
    with pytest.raises(ServingError) as raised:
        make().route(Target("m", None, None, signature))
    assert raised.value.code == Code.FAILED_PRECONDITION
    assert raised.value.message == f'Serving signature key "{signature}" not found.'


def test_no_default_signature() -> None:
    entry_ = messages.VersionEntry(version=1, state=State.AVAILABLE, signatures=signature_map({"only": ((), ())}))
    catalog = Catalog([Model("m", [Version("m", entry_, [LINK])], {})])
    with pytest.raises(ServingError, match='Serving signature key "serving_default" not found.'):
        catalog.route(Target("m", None, None, ""))


def test_routes_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "_MAX_ROUTES", 4)
    catalog = make()
    first = catalog.route(Target("m", None, None, ""))
    assert catalog.route(Target("m", None, None, "")) is first
    for number in (1, 5, 7):
        for signature in ("", "serving_default", "other"):
            catalog.route(Target("m", number, None, signature))
            assert len(catalog._routes) <= 4
    assert catalog.route(Target("m", None, None, "")).version.version == 7


def test_defaults_of_a_signature_are_decoded() -> None:
    definitions = public.SignatureDefMap()
    definition = definitions.signature_def["serving_default"]
    definition.inputs["x"].CopyFrom(public.TensorInfo(name="x:0", dtype=1))
    definition.defaults["x"].CopyFrom(public.TensorProto(dtype=1, float_val=[2.5]))
    version = messages.VersionEntry(version=1, state=State.AVAILABLE, signatures=definitions.SerializeToString())
    catalog = Catalog([Model("m", [Version("m", version, [LINK])], {})])
    default = catalog.route(Target("m", None, None, "")).signature.defaults["x"]
    assert (default.dtype, default.shape, default.data) == (1, (), b"\x00\x00\x20\x40")


def test_statuses_of_all_versions_descend() -> None:
    catalog = make()
    assert [v.version for v in catalog.statuses("m", None)] == [8, 7, 5, 4, 3, 1]
    assert [v.version for v in catalog.statuses("m", 3)] == [3]
    status = model_status(catalog, "m", None).model_version_status
    assert [(s.version, s.state) for s in status] == [(8, 20), (7, 30), (5, 30), (4, 30), (3, 50), (1, 30)]
    assert [(s.status.error_code, s.status.error_message) for s in status if s.version in (3, 7)] == [
        (0, ""),
        (3, "broken"),
    ]
    assert all(s.HasField("status") for s in status)


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("m", 2, "Could not find version 2 of model m"),
        ("nope", 2, "Could not find version 2 of model nope"),
        ("nope", None, "Could not find any versions of model nope"),
        ("empty", None, "Could not find any versions of model empty"),
        ("", None, "Could not find any versions of model "),
    ],
)
def test_status_not_found(name: str, number: int | None, message: str) -> None:
    with pytest.raises(ServingError) as raised:
        make().statuses(name, number)
    assert (raised.value.code, raised.value.message) == (Code.NOT_FOUND, message)


def test_metadata_is_that_of_the_resolved_version() -> None:
    spec, signatures = model_metadata(make(), Target("m", None, "stable", "ignored"))
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 5, "")
    assert signatures == public.SignatureDefMap.FromString(SIGNATURES)
    with pytest.raises(ServingError, match=r"Latest\(nope\)"):
        model_metadata(make(), Target("nope", None, None, ""))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["signature_def"], None),
        (["signature_def", "signature_def"], None),
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),
        (["signature_def", "weights"], "Metadata field weights is not supported"),
        ([""], "Metadata field  is not supported"),
    ],
)
def test_metadata_fields(fields: list[str], message: str | None) -> None:
    if message is None:
        check_metadata_fields(fields)
        return
    with pytest.raises(ServingError) as raised:
        check_metadata_fields(fields)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, message)


def test_signatures_are_parsed_once_for_all_snapshots() -> None:
    first = Version("m", messages.VersionEntry(version=1, state=30, signatures=X_TO_Y), [LINK])
    second = Version("n", messages.VersionEntry(version=2, state=30, signatures=X_TO_Y), [LINK])
    assert first.signatures is second.signatures


@pytest.mark.parametrize(
    ("state", "code", "message"),
    [
        (State.LOADING, Code.UNAVAILABLE, "Servable not available for request: "),
        (State.START, Code.UNAVAILABLE, "Servable not available for request: "),
        (State.END, Code.NOT_FOUND, "Servable not found for request: "),
        (State.UNLOADING, Code.NOT_FOUND, "Servable not found for request: "),
    ],
)
def test_a_version_lost_with_its_worker_is_missed_until_it_is_back(state: int, code: int, message: str) -> None:
    def of(*versions: Version, before: Catalog | None = None) -> Catalog:
        return Catalog([Model("m", versions, {"stable": 1})], before=before)

    served = of(Version("m", entry(1), [LINK]))
    lost = of(Version("m", entry(1, state), []), before=served)
    for catalog in (lost, of(Version("m", entry(1, state), []), before=lost)):
        for target, request in ((None, "Latest(m)"), (1, "Specific(m, 1)")):
            with pytest.raises(ServingError) as raised:
                catalog.resolve(Target("m", target, None, ""))
            assert raised.value.code == code
            assert raised.value.message.startswith(message + request)
    back = of(Version("m", entry(1), [LINK]), before=lost)
    assert back.resolve(Target("m", None, None, "")).version == 1
    never = of(Version("m", entry(1, state), []))
    with pytest.raises(ServingError) as raised:
        never.resolve(Target("m", None, None, ""))
    assert raised.value.code == Code.NOT_FOUND


@pytest.mark.parametrize(
    ("workers", "latest"),
    [
        ({1: 1}, 1),
        ({1: 2, 2: 1}, 2),
        ({1: 3, 2: 1}, 1),
        ({1: 2, 2: 2}, 2),
        ({1: 1, 2: 3}, 2),
        ({1: 4, 2: 2, 3: 1}, 2),
        ({1: 4, 2: 0}, 1),
    ],
)
def test_latest_waits_for_half_of_the_workers(workers: dict[int, int], latest: int) -> None:
    versions = [Version("m", entry(number), [LINK] * count) for number, count in workers.items()]
    assert Catalog([Model("m", versions, {})]).resolve(Target("m", None, None, "")).version == latest


def test_labels_before_there_are_any_models() -> None:
    with pytest.raises(ServingError) as raised:
        Catalog().resolve(Target("m", None, "stable", ""))
    assert (raised.value.code, raised.value.message) == (Code.UNAVAILABLE, "Model labels does not init yet.stable")


def test_a_default_that_is_no_tensor_concerns_only_those_who_need_it() -> None:
    signatures = public.SignatureDefMap.FromString(SIGNATURES)
    default = signatures.signature_def["other"].defaults["a"]
    default.dtype, default.tensor_content = 1, b"three"
    version = messages.VersionEntry(version=1, state=State.AVAILABLE, signatures=signatures.SerializeToString())
    catalog = Catalog([Model("m", [Version("m", version, [LINK])], {})])
    assert catalog.route(Target("m", None, None, "")).signature.defaults == {}
    (error,) = catalog.route(Target("m", None, None, "other")).signature.defaults.values()
    assert isinstance(error, ServingError)
