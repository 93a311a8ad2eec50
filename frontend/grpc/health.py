"""grpc.health.v1.Health: Check, List and Watch, answered from the catalog.

Names: "" is the server; `ModelService` and `PredictionService`, as TensorFlow Serving has them, and the same with
their package mean no more than that; `tensorflow.serving.PredictionService/<model>` is one model, which serves while a
version of it is available. Once the server drains, all are NOT_SERVING.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError

from frontend.grpc.stream import Handler, Stream
from frontend.grpc.streaming import StreamingCall, StreamingMethod
from frontend.router import Router
from protos import public
from protos.errors import Code, ServingError, invalid_argument

SERVICES = (
    "",
    "ModelService",
    "PredictionService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
)
MODEL_PREFIX = "tensorflow.serving.PredictionService/"

# Of a request; a name takes all of it but four bytes.
_MAX_REQUEST_BYTES = 4 << 10

_Response = public.HealthCheckResponse
# Serialized once: the same for all who ask.
_ANSWERS = {
    status: _Response(status=status).SerializeToString()
    for status in (_Response.SERVING, _Response.NOT_SERVING, _Response.SERVICE_UNKNOWN)
}


class Health:
    """The service.

    Args:
        router: its catalog is what statuses come from.
        draining: whether the server is about to stop.
    """

    def __init__(self, router: Router, draining: Callable[[], bool]) -> None:
        self._router = router
        self._draining = draining
        # Calls of Watch by the name that they watch, with what they were told last.
        self._watched: dict[str, tuple[int, set[_Watch]]] = {}
        router.on_catalog.append(self._catalog_changed)

    def methods(self) -> Mapping[bytes, Handler | StreamingMethod]:
        """The handlers by path."""
        service = b"/grpc.health.v1.Health/"
        return {
            service + b"Check": self._check,
            service + b"List": self._list,
            service + b"Watch": StreamingMethod(self._watch, one_request=True, max_message_bytes=_MAX_REQUEST_BYTES),
        }

    def status(self, service: str) -> int:
        """The status of a name; SERVICE_UNKNOWN when it is none."""
        if service in SERVICES:
            serving = self._router.serving
        else:
            name = service.removeprefix(MODEL_PREFIX)
            model = self._router.catalog.models.get(name) if name != service else None
            if model is None:
                return _Response.SERVICE_UNKNOWN
            serving = model.latest is not None
        return _Response.SERVING if serving and not self._draining() else _Response.NOT_SERVING

    def _check(self, stream: Stream, data: bytes | memoryview) -> None:
        status = self.status(_service(bytes(data)))
        if status == _Response.SERVICE_UNKNOWN:
            raise ServingError(Code.NOT_FOUND, "no service has this name")
        stream.reply(_ANSWERS[status])

    def _list(self, stream: Stream, data: bytes | memoryview) -> None:
        names = (*SERVICES, *(MODEL_PREFIX + name for name in self._router.catalog.models))
        answer = public.HealthListResponse()
        for name in names:
            answer.statuses[name].status = self.status(name)
        stream.reply(answer.SerializeToString())

    # --- Watch ---

    def _watch(self, call: StreamingCall) -> _Watch:
        return _Watch(self, call)

    def join(self, watch: _Watch, service: str) -> None:
        """Tell `watch` the status of `service`, now and whenever it changes."""
        told, watches = self._watched.get(service) or (self.status(service), set())
        watches.add(watch)
        self._watched[service] = (told, watches)
        watch.tell(told)

    def leave(self, watch: _Watch, service: str) -> None:
        """Tell it no more."""
        watches = self._watched[service][1]
        watches.discard(watch)
        if not watches:
            del self._watched[service]

    def _catalog_changed(self) -> None:
        for service, (told, watches) in list(self._watched.items()):
            status = self.status(service)
            if status != told:
                self._watched[service] = (status, watches)
                for watch in list(watches):
                    watch.tell(status)


class _Watch:
    """One call of Watch."""

    def __init__(self, health: Health, call: StreamingCall) -> None:
        self._health = health
        self._call = call
        self._service: str | None = None
        self._told = _Response.SERVICE_UNKNOWN

    def tell(self, status: int) -> None:
        self._told = status
        self._call.send(_ANSWERS[status])

    def on_message(self, message: bytes) -> None:
        service = _service(message)
        self._service = service
        self._health.join(self, service)

    def on_half_close(self) -> None:
        return  # as every client does

    def on_drain(self) -> None:
        if self._told == _Response.SERVING:
            self.tell(_Response.NOT_SERVING)

    def on_end(self) -> None:
        if self._service is not None:
            self._health.leave(self, self._service)


def _service(data: bytes) -> str:
    try:
        return public.HealthCheckRequest.FromString(data).service
    except DecodeError:
        raise invalid_argument("Failed to parse HealthCheckRequest") from None
