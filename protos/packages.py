"""Where the compiled descriptors lie, and which proto packages they declare."""

from __future__ import annotations

from pathlib import Path

DESCRIPTORS = Path(__file__).with_name("descriptors.binpb")

# No two of these have a top-level name in common; the build checks it.
PACKAGES = (
    "tensorflow.serving",
    "tensorflow",
    "google.protobuf",
    "tensorflow.error",
    "tensorflow.serving.internal",
    "tensorflow.serving.tools",
)
