"""Writes files of warm-up requests."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

from protos import public
from workers.warmup import FILE


def write(version: Path, records: Iterable[bytes | Any]) -> Path:
    """Give a version these records: bytes, or messages."""
    path = version / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else record.SerializeToString())
    return path


def copy(model: Path, version: Path, *records: bytes | Any) -> Path:
    """A copy of a model's version with these records."""
    shutil.copytree(model, version)
    write(version, records)
    return version


def predict(signature: str = "", **inputs: Any) -> Any:
    """A record of a Predict."""
    log = public.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "whatever"
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        request.inputs[alias].MergeFromString(tf.make_tensor_proto(value).SerializeToString())
    return log


def example(**features: list[float] | list[bytes]) -> Any:
    """A tf.Example."""
    made = public.Example()
    for name, values in features.items():
        feature = made.features.feature[name]
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return made


def classify(signature: str, *examples: Any) -> Any:
    """A record of a Classify."""
    log = public.PredictionLog()
    log.classify_log.request.model_spec.signature_name = signature
    log.classify_log.request.input.example_list.examples.extend(examples)
    return log


def regress(signature: str, *examples: Any) -> Any:
    """A record of a Regress."""
    log = public.PredictionLog()
    log.regress_log.request.model_spec.signature_name = signature
    log.regress_log.request.input.example_list.examples.extend(examples)
    return log


def multi_inference(*tasks: tuple[str, str], examples: Iterable[Any]) -> Any:
    """A record of a MultiInference; each task is a signature and a method's name."""
    log = public.PredictionLog()
    request = log.multi_inference_log.request
    for signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = "whatever"
        task.model_spec.signature_name = signature
    request.input.example_list.examples.extend(examples)
    return log
