"""One try to load a version, on a loader thread: reads the model, warms it up, leaves nothing behind when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from protos.batching_rules import check_batching
from protos.configs import WorkerConfig
from protos.errors import ServingError
from protos.heap import give_back_own_heap
from workers import flight, tflite, warmup
from workers import servable as servables
from workers.servable import Servable
from workers.status import as_serving_error
from workers.warm_run import GivenUp
from workers.warmup import Warmth

Loaded = Servable | tflite.TfliteServable


class Outcome(NamedTuple):
    """How it went.

    Attributes:
        servable: None when it failed.
        signatures: serialized, for the report.
        error: why it failed; None, without a servable, when it was given up because nobody wanted the version.
        warmth: what was replayed, if there was a file of warm-up requests.
    """

    servable: Loaded | None = None
    signatures: bytes = b""
    error: ServingError | None = None
    warmth: Warmth | None = None

    def discard(self) -> None:
        """Free what was loaded."""
        if self.servable is not None:
            self.servable.close()


def load(path: str, config: WorkerConfig, wanted: Callable[[], bool], key: tuple[str, int] | None = None) -> Outcome:
    """Load what is in the directory `path`; an error is part of the outcome.

    Args:
        path: of the version.
        config: how.
        wanted: asked between warm-up requests, which may take long.
        key: model and version; what runs is recorded under it.
    """
    warmth = Warmth()
    outcome = _load(path, config, wanted, warmth, flight.enter(*key) if key is not None else 0)
    give_back_own_heap()
    return outcome._replace(warmth=warmth if warmth.status else None)


def _load(path: str, config: WorkerConfig, wanted: Callable[[], bool], warmth: Warmth, mark: int) -> Outcome:
    servable: Loaded | None = None
    try:
        if config.batching is not None:
            check_batching(config.batching)
        if config.tflite_interpreters and tflite.is_there(path):
            servable = tflite.load(path, interpreters=config.tflite_interpreters)
        else:
            servable = servables.load(path, tags=config.saved_model_tags, session_config=config.session_config)
        if mark:
            servable.record_as(mark)
        signatures = servable.signature_map()
        warmup.warm_up(servable, signatures, path, config, wanted, warmth)
        return Outcome(servable, signatures)
    except GivenUp:
        error = None
    except BaseException as failure:
        # The error alone: with its traceback it would hold all that there is of the model, for as long as the version
        # is listed as failed.
        told = as_serving_error(failure)
        error = ServingError(told.code, told.message)
    if servable is not None:
        servable.close()
    else:
        flight.leave(mark)
    return Outcome(error=error)
