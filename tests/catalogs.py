"""Catalogs as control would broadcast them, for tests of the front end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protos import messages, public
from protos.messages import State


def signature_map(signatures: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> bytes:
    """A serialized SignatureDefMap of float signatures: name -> (input aliases, output aliases)."""
    result = public.SignatureDefMap()
    for name, (inputs, outputs) in signatures.items():
        definition = result.signature_def[name]
        definition.method_name = "tensorflow/serving/predict"
        for alias in inputs:
            definition.inputs[alias].CopyFrom(public.TensorInfo(name=f"{alias}:0", dtype=1))
        for alias in outputs:
            definition.outputs[alias].CopyFrom(public.TensorInfo(name=f"{alias}:0", dtype=1))
    return result.SerializeToString(deterministic=True)


X_TO_Y = signature_map({"serving_default": (["x"], ["y"])})


def version(
    number: int, *, workers: Sequence[int] = (1,), state: int = State.AVAILABLE, signatures: bytes = X_TO_Y
) -> messages.VersionEntry:
    return messages.VersionEntry(version=number, state=state, workers=list(workers), signatures=signatures)


def model(name: str, *versions: messages.VersionEntry, labels: dict[str, int] | None = None) -> messages.ModelEntry:
    return messages.ModelEntry(name=name, versions=list(versions), labels=labels or {})


def worker(number: int, endpoint: str, incarnation: str = "a", *, watched: bool = False) -> messages.WorkerEntry:
    return messages.WorkerEntry(
        id=number, name=f"worker-{number}", incarnation=f"{number}{incarnation}", endpoint=endpoint, watched=watched
    )


def ended(number: int, *suspects: tuple[str, int], incarnation: str = "a") -> messages.EndedWorker:
    return messages.EndedWorker(incarnation=f"{number}{incarnation}", suspects=list(suspects))


def snapshot(
    workers: Sequence[messages.WorkerEntry],
    *models: messages.ModelEntry,
    epoch: int = 1,
    ended: Sequence[messages.EndedWorker] = (),
) -> messages.Catalog:
    return messages.Catalog(epoch=epoch, serving=True, workers=list(workers), models=list(models), ended=list(ended))
