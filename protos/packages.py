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
    "grpc.health.v1",
    "grpc.reflection.v1",
)

# Older names of packages above, with the same messages: reached by full names alone (`protos.pool.message_class`).
ALIASES = ("grpc.reflection.v1alpha",)
