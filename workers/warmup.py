"""Runs a version before it is available, so that its first client need not wait for what TensorFlow does only once.

A version may bring requests to be replayed: a TFRecord file of `PredictionLog`s, as TensorFlow Serving has it, with
its limits, checks and texts. They go the way of real requests, batching included, short of the wait for others. One
that fails fails the load. How fast they run counts as if clients had sent them, so that the version begins in the
lanes (see `run_mode`) that suit it.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from time import monotonic_ns
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError, Message
from tensorflow.python.lib.io import _pywrap_record_io

from protos import binding, joint_inference, public
from protos.configs import WorkerConfig
from protos.errors import Code, ServingError, invalid_argument
from protos.examples import serialized_examples, string_tensor
from protos.inference_methods import CLASSIFY, REGRESS, Method
from protos.messages import SIGNATURE_SEPARATOR, Tensor
from protos.signature import DEFAULT_SIGNATURE, Signature, read_signatures
from protos.tensor_view import parse_predict_request
from workers import auto_warmup
from workers.servable import Servable
from workers.tensors import from_array
from workers.tflite import TfliteServable
from workers.warm_run import GivenUp, Runner

log = logging.getLogger("tensormux.worker")

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000
_UNSUPPORTED = ("session_run_log", "predict_streamed_log")
# TFRecord: length, its checksum; then the data and its checksum.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4
_SHOWN_BYTES = 200
_SHOWN_CHARS = 256


class Warmth:
    """What was replayed from a file.

    Attributes:
        status: "OK", or the error in short; empty when there was no file.
        records: read from the file.
        took_us: for reading and running all.
    """

    def __init__(self) -> None:
        self.status = ""
        self.records = 0
        self.took_us = 0.0


def warm_up(
    servable: Servable | TfliteServable,
    signatures: bytes,
    path: str,
    config: WorkerConfig,
    wanted: Callable[[], bool],
    warmth: Warmth,
) -> None:
    """Replay the requests that the version at `path` brings; without any, run it with made-up inputs if so configured.

    Args:
        servable: the version.
        signatures: of it, a serialized `SignatureDefMap`.
        path: its directory.
        config: whether, how often, and the batching.
        wanted: asked before each run.
        warmth: filled in, also when something is raised.

    Raises:
        ServingError: a request failed, or the file is not right.
        GivenUp: `wanted` said no.
    """
    runner = Runner(servable, config.batching, wanted)
    file = os.path.join(path, FILE)
    if config.warmup and os.path.exists(file):
        replay = _Replay(runner, read_signatures(signatures), max(1, config.warmup_iterations))
        started_ns = monotonic_ns()
        try:
            _replay_file(replay, file, warmth)
            runner.prepare_pool()
        except GivenUp:
            raise
        except ServingError as error:
            warmth.status = str(error)[:_SHOWN_CHARS]
            raise
        finally:
            warmth.took_us = (monotonic_ns() - started_ns) / 1000
        warmth.status = "OK"
        log.info("Replayed %d warmup records of %s in %.0f us", warmth.records, file, warmth.took_us)
        return
    if config.warmup:
        log.info("No warmup data file found at %s", file)
    if config.auto_warmup:
        auto_warmup.run(runner.run, public.SignatureDefMap.FromString(signatures), config.batching)
        runner.prepare_pool()


# --- records -------------------------------------------------------------------------------------------------------


def _replay_file(replay: _Replay, file: str, warmth: Warmth) -> None:
    try:
        for record in _records(file):
            warmth.records += 1
            replay(_parse(record, file))
            if warmth.records > MAX_RECORDS:
                raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}")
    except tf.errors.OpError as error:
        raise ServingError(error.error_code, error.message) from None


def _records(file: str) -> Iterator[bytes]:
    """The records of a TFRecord file.

    Raises:
        ServingError: DATA_LOSS, it is none.
    """
    size = os.path.getsize(file)
    reader = _pywrap_record_io.RandomRecordReader(file)
    offset = 0
    with open(file, "rb") as raw:
        while offset < size:
            try:
                # TensorFlow's reader takes memory for what a record claims to be.
                if offset + _HEADER_BYTES <= size:
                    (length,) = struct.unpack("<Q", os.pread(raw.fileno(), 8, offset))
                    if length > size - offset - _HEADER_BYTES - _FOOTER_BYTES:
                        raise _not_records(f"corrupted record at {offset}")
                record, offset = reader.read(offset)
            except IndexError:
                raise _not_records(f"truncated record at {offset}") from None
            except tf.errors.DataLossError as error:
                raise _not_records(error.message) from None
            yield record


def _not_records(message: str) -> ServingError:
    return ServingError(Code.DATA_LOSS, f"{message}. Please verify your warmup data is in TFRecord format.")


def _parse(record: bytes, file: str) -> public.PredictionLog:
    try:
        return public.PredictionLog.FromString(record)
    except DecodeError:
        shown = record[:_SHOWN_BYTES].decode(errors="replace")
        raise invalid_argument(f"Failed to parse warmup record: {shown} from {file}") from None


class _Replay:
    """Runs what a record says, `iterations` times."""

    def __init__(self, runner: Runner, signatures: dict[str, Signature], iterations: int) -> None:
        self._runner = runner
        self._signatures = signatures
        self._iterations = iterations

    def __call__(self, record: public.PredictionLog) -> None:
        kind = record.WhichOneof("log_type")
        if kind is None:
            return
        if kind in _UNSUPPORTED:
            number = public.PredictionLog.DESCRIPTOR.fields_by_name[kind].number
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
        request: Message = getattr(record, kind).request
        for _ in range(self._iterations):
            if isinstance(request, public.PredictRequest):
                self._predict(request)
            elif isinstance(request, public.ClassificationRequest):
                self._examples(request, CLASSIFY)
            elif isinstance(request, public.RegressionRequest):
                self._examples(request, REGRESS)
            elif isinstance(request, public.MultiInferenceRequest):
                self._multi_inference(request)

    def _predict(self, request: public.PredictRequest) -> None:
        call = parse_predict_request(request.SerializeToString())
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self._signatures.get(name)
        if signature is None:
            raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        inputs = binding.bind_inputs(signature, call.inputs)
        outputs = binding.choose_outputs(signature, call.output_filter) if call.output_filter else ()
        _tensors(self._runner.run(name, outputs, inputs))

    def _examples(self, request: public.ClassificationRequest | public.RegressionRequest, how: Method[Any]) -> None:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self._signatures.get(name)
        if signature is None:
            raise invalid_argument(f"No signature was found with the name: {name}")
        aliases = how.choose_outputs(signature, check_method_name=False)
        outputs = tuple([signature.output_index[alias] for alias in aliases])
        examples = string_tensor(serialized_examples(request.input))
        every = len(aliases) == len(signature.outputs)
        results = self._runner.run(name, () if every else outputs, [examples])
        how.read_result(aliases, _tensors(results), examples.shape[0])

    def _multi_inference(self, request: public.MultiInferenceRequest) -> None:
        joint = joint_inference.join(request.tasks, self._signatures, check_method_name=False)
        examples = string_tensor(serialized_examples(request.input))
        name = SIGNATURE_SEPARATOR.join(joint.signatures)
        results = self._runner.run(name, joint.outputs, [examples])
        joint_inference.read(joint, _tensors(results), examples.shape[0])


def _tensors(outputs: Sequence[Any]) -> list[Tensor]:
    """Outputs as a front end would get them."""
    frames: list[Any] = []
    tensors = [from_array(array, frames) for array in outputs]
    return [
        Tensor(tensor.dtype, tensor.shape, frames[tensor.data]) if isinstance(tensor.data, int) else tensor
        for tensor in tensors
    ]
