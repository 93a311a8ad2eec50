"""What all tests share: TensorFlow sees no GPU, and sample SavedModels are written once a session."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Before anything imports TensorFlow.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As in a worker: memory goes back to the system.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The version directory of a sample model of `tests.models` by name, written when first asked for; read only."""
    root = tmp_path_factory.mktemp("models")

    def path(name: str) -> Path:
        from tests.models import MODELS

        version = root / name / "1"
        if not version.exists():
            MODELS[name](version)
        return version

    return path
