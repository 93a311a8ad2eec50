"""Whether this front end lives, can serve, and can serve a model, over REST; TensorFlow Serving has no such resources.

Answers are small JSON objects: 200 `{"status": ...}`, else the error object with the reason. They say what holds now,
from memory, without asking a worker. The ports open only after the first load of all models, so before that nobody
is there to ask. Health requests are no requests in the metrics.
"""

from __future__ import annotations

from frontend.catalog import Catalog
from frontend.exchange import Exchange
from frontend.rest.json_encode import encode_error
from frontend.rest.replies import Replies
from frontend.rest.urls import Kind, Route
from frontend.router import Router
from protos.errors import ServingError
from protos.messages import State
from protos.tensor_view import Target

_LIVE = b'{"status":"live"}'
_READY = b'{"status":"ready"}'


class Health:
    """Answers of the routes LIVE, READY and MODEL_READY."""

    def __init__(self, router: Router, replies: Replies) -> None:
        self._router = router
        self._replies = replies

    def __call__(self, exchange: Exchange, url: Route) -> None:
        """Answer: 200; 503 if not now; 404 for a model, version or label that nobody knows."""
        headers = self._replies.headers
        if url.kind is Kind.LIVE:
            exchange.respond(200, _LIVE, headers)
            return
        if url.kind is Kind.READY:
            reason = not_ready(self._router, draining=exchange.connection.draining)
            status = 503 if reason else 200
        else:
            status, reason = model_readiness(self._router.catalog, url.model, url.version, url.label)
        exchange.respond(status, encode_error(reason) if reason else _READY, headers)


def not_ready(router: Router, *, draining: bool) -> str:
    """Why requests should go elsewhere; empty when they can come."""
    if draining:
        return "the server is shutting down"
    if not router.serving:
        return "the models have not been loaded yet"
    if not router.connected_workers:
        return "no worker is connected"
    return ""


def model_readiness(catalog: Catalog, name: str, number: int | None, label: str | None) -> tuple[int, str]:
    """HTTP status and reason, empty when a request for this model, version or label would be served."""
    model = catalog.models.get(name)
    if model is None:
        return 404, f"there is no model {name}"
    if label is not None:
        number = model.labels.get(label)
        if number is None:
            return 404, f"model {name} has no label {label}"
    elif number is not None and number not in model.versions:
        return 404, f"model {name} has no version {number}"
    try:
        catalog.resolve(Target(name, number, None, ""))
    except ServingError:
        return 503, _why_not(catalog, name, number)
    return 200, ""


def _why_not(catalog: Catalog, name: str, number: int | None) -> str:
    versions = catalog.models[name].versions
    if number is None:
        states = ", ".join(f"{n} is {State(versions[n].state).name}" for n in sorted(versions, reverse=True)[:8])
        return f"no version of model {name} is available" + (f": {states}" if states else "")
    version = versions.get(number)
    if version is None:
        return f"version {number} of model {name} is not there yet"
    state = State(version.state).name
    return f"version {number} of model {name} is {state}" + (f": {version.message}" if version.message else "")
