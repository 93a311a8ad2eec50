"""The table of gRPC methods."""

from __future__ import annotations

from collections.abc import Callable

from frontend.grpc import reflection
from frontend.grpc.connection import Methods
from frontend.grpc.health import Health
from frontend.grpc.inference import Examples, MultiInference
from frontend.grpc.models import Models, Reload
from frontend.grpc.predict import Predict
from frontend.grpc.stream import Handler
from frontend.grpc.streaming import StreamingMethod
from frontend.router import Router
from protos.configs import FrontendConfig
from protos.inference_methods import CLASSIFY, REGRESS
from protos.pool import serialized_files


def methods(router: Router, config: FrontendConfig, reload: Reload, draining: Callable[[], bool]) -> Methods:
    """Handlers by path; what is not in it is UNIMPLEMENTED."""
    models = Models(router, reload)
    table: dict[bytes, Handler | StreamingMethod] = {
        b"/tensorflow.serving.PredictionService/Predict": Predict(
            router, check_method_name=config.check_method_name, as_content=config.serialize_as_tensor_content
        ),
        b"/tensorflow.serving.PredictionService/Classify": Examples(
            router, CLASSIFY, check_method_name=config.check_method_name
        ),
        b"/tensorflow.serving.PredictionService/Regress": Examples(
            router, REGRESS, check_method_name=config.check_method_name
        ),
        b"/tensorflow.serving.PredictionService/MultiInference": MultiInference(
            router, check_method_name=config.check_method_name
        ),
        b"/tensorflow.serving.PredictionService/GetModelMetadata": models.get_metadata,
        b"/tensorflow.serving.ModelService/GetModelStatus": models.get_status,
        b"/tensorflow.serving.ModelService/HandleReloadConfigRequest": models.reload_config,
    }
    if config.grpc_health:
        table |= Health(router, draining).methods()
    about = reflection.Reflection(lambda: tuple(table), serialized_files).method()
    table |= dict.fromkeys(reflection.PATHS, about)
    return table
