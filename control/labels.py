"""The rules by which a configuration may put labels on versions, as one pure function."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from protos.errors import Code, ServingError


def assign_labels(
    model: str,
    *,
    current: Mapping[str, int],
    requested: Mapping[str, int],
    available: Collection[int],
    allow_unavailable: bool,
) -> dict[str, int]:
    """The new label map of `model`: `requested` as a whole, so labels that it leaves out are gone.

    A label may name only a version in `available` (those in state AVAILABLE now, before anything is loaded). With
    `allow_unavailable` (--allow_version_labels_for_unavailable_models) it may name any version as long as the label is
    new or stays where it is in `current`: moving a label would cut off the clients that use it.

    Raises:
        ServingError: FAILED_PRECONDITION, for the first label, in sorted order, that breaks the rule.
    """
    for label, version in sorted(requested.items()):
        stays = current.get(label, version) == version
        if version not in available and not (allow_unavailable and stays):
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"Request to assign label to version {version} of model {model}, "
                "which is not currently available for inference",
            )
    return dict(requested)
