"""The methods about models: GetModelStatus, GetModelMetadata, HandleReloadConfigRequest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from frontend.grpc.stream import Stream
from frontend.model_info import SIGNATURE_DEF, check_metadata_fields, model_metadata, model_status
from frontend.router import Router
from protos import public
from protos.errors import Code, ServingError, invalid_argument
from protos.metrics import DEFINITIONS
from protos.tensor_view import target_of

Reloaded = Callable[[ServingError, Sequence[int]], None]
Reload = Callable[[bytes, list[str], Reloaded], None]

_M = TypeVar("_M", bound=Message)


def parse(message_class: type[_M], data: bytes | memoryview) -> _M:
    """The message that `data` serializes.

    Raises:
        ServingError: INTERNAL, it is none (the code that gRPC itself uses).
    """
    try:
        return message_class.FromString(bytes(data))
    except DecodeError:
        raise ServingError(Code.INTERNAL, f"Failed to parse {message_class.DESCRIPTOR.name}") from None


class Models:
    """Handlers that answer from the catalog; reloads are passed on through `reload`."""

    def __init__(self, router: Router, reload: Reload) -> None:
        self._router = router
        self._reload = reload

    def get_status(self, stream: Stream, data: bytes | memoryview) -> None:
        """ModelService.GetModelStatus."""
        request = parse(public.GetModelStatusRequest, data)
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.WhichOneof("version_choice") == "version" else None
        stream.reply(model_status(self._router.catalog, spec.name, version).SerializeToString())

    def get_metadata(self, stream: Stream, data: bytes | memoryview) -> None:
        """PredictionService.GetModelMetadata."""
        request = parse(public.GetModelMetadataRequest, data)
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        check_metadata_fields(list(request.metadata_field))
        spec, signatures = model_metadata(self._router.catalog, target_of(request.model_spec))
        response = public.GetModelMetadataResponse(model_spec=spec)
        packed = response.metadata[SIGNATURE_DEF]
        packed.type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
        packed.value = signatures.SerializeToString()
        stream.reply(response.SerializeToString())

    def reload_config(self, stream: Stream, data: bytes | memoryview) -> None:
        """ModelService.HandleReloadConfigRequest: control decides."""
        request = parse(public.ReloadConfigRequest, data)
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is "
                "currently supported"
            )

        names = list(dict.fromkeys(request.metric_names))
        # What nobody counts has not risen; control needs to hear of no other names.
        counted = [name for name in names if name in DEFINITIONS]

        def done(outcome: ServingError, increases: Sequence[int]) -> None:
            if outcome.code != Code.OK:
                stream.fail(outcome)
                return
            risen = dict(zip(counted, increases, strict=False))
            response = public.ReloadConfigResponse()
            response.status.SetInParent()
            for name in names:
                response.metric.add(name=name, int64_value_increase=risen.get(name, 0))
            stream.reply(response.SerializeToString())

        self._reload(request.config.SerializeToString(), counted, done)
