"""Status and metadata of models as their public messages; REST and gRPC both answer with these."""

from __future__ import annotations

from frontend.catalog import Catalog
from protos import public
from protos.errors import invalid_argument
from protos.tensor_view import Target

SIGNATURE_DEF = "signature_def"


def model_status(catalog: Catalog, name: str, version: int | None) -> public.GetModelStatusResponse:
    """States of one version, or of all in descending order.

    Raises:
        ServingError: NOT_FOUND.
    """
    response = public.GetModelStatusResponse()
    for entry in catalog.statuses(name, version):
        status = response.model_version_status.add(version=entry.version, state=entry.state)
        status.status.error_code = entry.code
        status.status.error_message = entry.message
    return response


def model_metadata(catalog: Catalog, target: Target) -> tuple[public.ModelSpec, public.SignatureDefMap]:
    """The version that `target` resolves to and all its signatures.

    Raises:
        ServingError: as `Catalog.resolve`.
    """
    version = catalog.resolve(target)
    spec = public.ModelSpec(name=version.model)
    spec.version.value = version.version
    return spec, public.SignatureDefMap.FromString(version.signature_bytes)


def check_metadata_fields(fields: list[str]) -> None:
    """Refuse what GetModelMetadata cannot tell.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if not fields:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")
