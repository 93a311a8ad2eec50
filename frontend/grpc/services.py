"""The table of gRPC methods."""

from __future__ import annotations

from collections.abc import Mapping

from frontend.grpc.connection import Handler
from frontend.grpc.models import Models, Reload
from frontend.grpc.predict import Predict
from frontend.router import Router
from protos.messages import FrontendConfig


def methods(router: Router, config: FrontendConfig, reload: Reload) -> Mapping[bytes, Handler]:
    """Handlers by path; what is not in it is UNIMPLEMENTED."""
    models = Models(router, reload)
    return {
        b"/tensorflow.serving.PredictionService/Predict": Predict(
            router, check_method_name=config.check_method_name, as_content=config.serialize_as_tensor_content
        ),
        b"/tensorflow.serving.PredictionService/GetModelMetadata": models.get_metadata,
        b"/tensorflow.serving.ModelService/GetModelStatus": models.get_status,
        b"/tensorflow.serving.ModelService/HandleReloadConfigRequest": models.reload_config,
    }
