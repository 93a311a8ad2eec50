"""From options to everything that the server needs to know before it starts anything: checks, in upstream's order.

`prepare` reads the configuration files and starts nothing. What fails is what TensorFlow's model server refuses to
start with, in its words; flags of our own are checked last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control.channel_arguments import ChannelArguments, parse_channel_arguments
from control.devices import Device, parse_devices
from control.model_config import read_models, single_model
from control.options import FLAGS, Options, schedulable_cpus, unavailable_flags_given
from control.tls import check_endpoint_for_keys, read_tls
from control.transition import Transition
from protos.batching_rules import batching_config
from protos.configs import BatchingConfig, FrontendConfig, TlsConfig, WorkerConfig
from protos.errors import Code, ServingError, invalid_argument
from protos.public import BatchingParameters, ConfigProto, ModelServerConfig, MonitoringConfig
from protos.text import read_text_file

_LARGEST_PORT = 65_535
_MAX_PROCESSES = 1_024
_MAX_THREADS = 4_096
_ONE_WEEK_SECONDS = 7 * 24 * 3600.0
_LARGEST = (1 << 31) - 1
_METRICS_PATH = "/monitoring/prometheus/metrics"

# Lowest and highest value of our own flags.
_RANGES: dict[str, tuple[float, float]] = {
    "num_frontends": (0, _MAX_PROCESSES),
    "num_bulk_frontends": (-1, _MAX_PROCESSES),
    "external_workers": (0, _MAX_PROCESSES),
    "num_run_threads": (0, _MAX_THREADS),
    "max_body_bytes": (1, 1 << 40),
    "rest_compression_min_bytes": (0, 1 << 40),
    "max_connections": (1, _LARGEST),
    "max_streams_per_connection": (1, _LARGEST),
    "max_outstanding_requests": (1, _LARGEST),
    "max_message_bytes": (1, _LARGEST),
    "max_header_bytes": (256, 1 << 30),
    "max_header_count": (8, 1 << 20),
    "max_json_depth": (1, 254),
    "start_timeout_seconds": (0, _ONE_WEEK_SECONDS),
    "load_timeout_seconds": (0, _ONE_WEEK_SECONDS),
    "recycle_after_unloads": (0, _LARGEST),
    "recycle_memory_growth_bytes": (0, 1 << 62),
    "quarantine_after_crashes": (0, 1_000),
    "drain_seconds": (0, _ONE_WEEK_SECONDS),
    "idle_timeout_seconds": (0, _ONE_WEEK_SECONDS),
    "request_timeout_seconds": (0.001, _ONE_WEEK_SECONDS),
}


@dataclass(frozen=True, kw_only=True)
class Startup:
    """A checked plan.

    Attributes:
        worker, frontend: what every worker and every front end is told.
        model_config: the models to start with; `read_models` accepts it.
        transition, transitions: how workers switch versions, in general and for single models.
        devices: one worker each; empty when workers are started elsewhere.
        num_frontends, num_bulk_frontends: front ends to start here, with doors and without; 0 when they are started
            elsewhere.
        complaints: lines for the log, at error level: what the command line asks for and will not get.
        notes: lines for the log, at info level.
    """

    worker: WorkerConfig
    frontend: FrontendConfig
    model_config: ModelServerConfig
    transition: Transition
    transitions: Mapping[str, Transition]
    devices: tuple[Device, ...]
    num_frontends: int
    num_bulk_frontends: int
    complaints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prepare(options: Options, env: Mapping[str, str], *, cpus: int | None = None) -> Startup:
    """The plan for `options`.

    Args:
        options: as `control.flags.parse` gives them.
        env: for `CUDA_VISIBLE_DEVICES`.
        cpus: schedulable CPUs, found out when left out.

    Raises:
        ServingError: the server cannot start like this; print it as `Failed to start server. Error: <it>`.
    """
    cpus = cpus or schedulable_cpus()
    complaints = [f"unknown argument: {argument} (ignored)" for argument in options.unknown_arguments]
    complaints += [
        f"--{name} is not available in tensormux yet and is ignored" for name in unavailable_flags_given(options)
    ]
    _check_server_options(options)
    model_config = _model_config(options)
    batching = _batching(options, cpus)
    session_config = _session_config(options)
    read_models(model_config, None)
    tls, rest_tls = _security(options)
    _check_own_flags(options)
    rest_port = _rest_port(options, complaints)
    arguments = parse_channel_arguments(options.grpc_channel_arguments)
    complaints += arguments.complaints
    metrics_path = _metrics_path(options, rest_port, complaints)
    notes = list(arguments.notes)
    if not options.model_config_file:
        notes.append(
            f"Building single TensorFlow model file config:  model_name: {options.model_name} "
            f"model_base_path: {options.model_base_path}"
        )
    return Startup(
        worker=_worker(options, batching, session_config, cpus),
        frontend=_frontend(options, rest_port, metrics_path, tls, rest_tls, arguments),
        model_config=model_config,
        transition=_transition("aspired_version_policy", options.aspired_version_policy),
        transitions=_transitions(options.aspired_version_policy_by_model),
        devices=() if options.external_workers else parse_devices(options.devices, env),
        num_frontends=0 if options.external_frontends else options.num_frontends or max(1, cpus // 4),
        num_bulk_frontends=_bulk_frontends(options, rest_port, rest_tls, cpus),
        complaints=tuple(complaints),
        notes=tuple(notes),
    )


def _bulk_frontends(options: Options, rest_port: int, rest_tls: TlsConfig | None, cpus: int) -> int:
    # A connection with TLS cannot be passed on: its keys are in one process.
    if options.external_frontends or not rest_port or rest_tls is not None:
        return 0
    return options.num_bulk_frontends if options.num_bulk_frontends >= 0 else min(cpus, max(2, cpus // 4))


def _transition(flag: str, value: str) -> Transition:
    try:
        return Transition(value)
    except ValueError:
        known = ", ".join(transition.value for transition in Transition)
        raise invalid_argument(f"--{flag} knows {known}; was {value}") from None


def _transitions(text: str) -> dict[str, Transition]:
    """Of `model=policy,model=policy`; names of models may hold `=`, but no comma."""
    flag = "aspired_version_policy_by_model"
    found: dict[str, Transition] = {}
    for item in text.split(",") if text else ():
        name, separator, value = item.rpartition("=")
        if not separator or not name:
            raise invalid_argument(f"--{flag} must be model=policy,model=policy; was {text}")
        found[name] = _transition(flag, value)
    return found


def _check_server_options(options: Options) -> None:
    if options.port == 0 and not options.grpc_socket_path:
        raise invalid_argument(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
        )
    if options.use_alts_credentials and options.ssl_config_file:
        raise invalid_argument("Either use_alts_credentials must be false or ssl_config_file must be empty.")
    if not options.model_base_path and not options.model_config_file:
        raise invalid_argument("Both server_options.model_base_path and server_options.model_config_file are empty!")


def _model_config(options: Options) -> ModelServerConfig:
    if options.model_config_file:
        return read_text_file(options.model_config_file, ModelServerConfig)
    return single_model(options.model_name, options.model_base_path)


def _batching(options: Options, cpus: int) -> BatchingConfig | None:
    if not options.enable_batching:
        if options.batching_parameters_file:
            raise invalid_argument(
                "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
            )
        return None
    if options.batching_parameters_file:
        return batching_config(read_text_file(options.batching_parameters_file, BatchingParameters), cpus=cpus)
    return batching_config(BatchingParameters(), cpus=cpus)


def _session_config(options: Options) -> bytes:
    """The ConfigProto of the file, with the flags that were given on top (upstream lets defaults of flags win, too)."""
    config = ConfigProto()
    if options.tensorflow_session_config_file:
        config = read_text_file(options.tensorflow_session_config_file, ConfigProto)
    if "per_process_gpu_memory_fraction" in options.given:
        config.gpu_options.per_process_gpu_memory_fraction = options.per_process_gpu_memory_fraction
    intra, inter = options.tensorflow_intra_op_parallelism, options.tensorflow_inter_op_parallelism
    both = options.tensorflow_session_parallelism
    for name, value in (("intra_op", intra), ("inter_op", inter), ("session", both)):
        if abs(value) > _LARGEST:
            raise invalid_argument(f"--tensorflow_{name}_parallelism does not fit 32 bits; was {value}")
    if intra > 0 and inter > 0 and both > 0:
        raise invalid_argument(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, server_options.tensorflow_inter_op_parallelism) "
            "separately. You cannot configure all."
        )
    if intra <= 0 and inter <= 0 and "tensorflow_session_parallelism" in options.given:
        intra = inter = both
        given = frozenset({"tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism"})
    else:
        given = options.given
    if "tensorflow_intra_op_parallelism" in given:
        config.intra_op_parallelism_threads = intra
    if "tensorflow_inter_op_parallelism" in given:
        config.inter_op_parallelism_threads = inter
    return config.SerializeToString(deterministic=True)


def _security(options: Options) -> tuple[TlsConfig | None, TlsConfig | None]:
    """What gRPC and REST are encrypted with."""
    if options.use_alts_credentials:
        raise ServingError(
            Code.UNIMPLEMENTED,
            "--use_alts_credentials is not available in tensormux, "
            "and serving without encryption instead would be unsafe.",
        )
    tls = read_tls(options.ssl_config_file, alpn="h2") if options.ssl_config_file else None
    rest = read_tls(options.rest_ssl_config_file, alpn="http/1.1") if options.rest_ssl_config_file else None
    if (tls or rest) and options.control_endpoint:
        check_endpoint_for_keys(options.control_endpoint)
    return tls, rest


def _check_own_flags(options: Options) -> None:
    if not 0 <= options.port <= _LARGEST_PORT:
        raise invalid_argument("Failed to BuildAndStart gRPC server")
    for name, (lowest, highest) in _RANGES.items():
        value = getattr(options, name)
        if not lowest <= value <= highest:
            raise invalid_argument(f"--{name} must be from {lowest:.15g} to {highest:.15g}; was {value}")
    if (options.external_workers or options.external_frontends) and not options.control_endpoint:
        raise invalid_argument("--external_workers and --external_frontends need --control_endpoint")
    if options.external_frontends and not options.external_workers:
        raise invalid_argument("--external_frontends needs --external_workers: workers started here listen here only")


def _rest_port(options: Options, complaints: list[str]) -> int:
    """The port to open for REST, 0 for none: a port that cannot be used takes only REST down."""
    port = options.rest_api_port
    if port != 0 and port == options.port:
        complaints.append(
            "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
            "Skipped exporting HTTP/REST API."
        )
        return 0
    if not 0 <= port <= _LARGEST_PORT:
        complaints.append(f"Failed to start HTTP Server at localhost:{port}")
        return 0
    return port


def _metrics_path(options: Options, rest_port: int, complaints: list[str]) -> str:
    """Where REST answers with metrics; empty for nowhere. Upstream, too, reads the file only when there is REST."""
    path = options.monitoring_config_file
    if not path:
        return ""
    if rest_port == 0:
        complaints.append("--monitoring_config_file has no effect without REST (--rest_api_port)")
        return ""
    config = read_text_file(path, MonitoringConfig).prometheus_config
    if not config.enable:
        return ""
    if config.path and not config.path.startswith("/"):
        complaints.append(f"{path}: prometheus_config.path must begin with a slash, or nobody can ask for it")
    return config.path or _METRICS_PATH


def _worker(options: Options, batching: BatchingConfig | None, session_config: bytes, cpus: int) -> WorkerConfig:
    # Upstream's 0 loads one version at a time, and its 60 s pauses between retries hold up all the others.
    load_threads = options.num_load_threads if options.num_load_threads > 0 else max(2, cpus)
    return WorkerConfig(
        saved_model_tags=tuple((options.saved_model_tags or str(FLAGS["saved_model_tags"].default)).split(",")),
        session_config=session_config,
        batching=batching,
        num_run_threads=options.num_run_threads if options.num_run_threads > 0 else cpus,
        num_load_threads=min(load_threads, _MAX_THREADS),
        max_num_load_retries=max(0, options.max_num_load_retries),
        load_retry_interval_micros=max(0, options.load_retry_interval_micros),
        max_outstanding_requests=options.max_outstanding_requests,
        tflite_interpreters=_tflite_interpreters(options),
        warmup=options.enable_model_warmup,
        warmup_iterations=max(1, options.num_request_iterations_for_warmup),
        auto_warmup=options.auto_warmup,
        load_timeout_seconds=options.load_timeout_seconds,
    )


def _tflite_interpreters(options: Options) -> int:
    if not options.prefer_tflite_model:
        return 0
    interpreters = max(1, options.num_tflite_pools) * max(1, options.num_tflite_interpreters_per_pool)
    return min(interpreters, _MAX_THREADS)


def _frontend(
    options: Options,
    rest_port: int,
    metrics_path: str,
    tls: TlsConfig | None,
    rest_tls: TlsConfig | None,
    arguments: ChannelArguments,
) -> FrontendConfig:
    # A flag of our own counts for more than what the gRPC library would call it.
    max_streams, max_message_bytes = options.max_streams_per_connection, options.max_message_bytes
    if arguments.max_streams is not None and "max_streams_per_connection" not in options.given:
        max_streams = arguments.max_streams
    if arguments.max_message_bytes is not None and "max_message_bytes" not in options.given:
        max_message_bytes = arguments.max_message_bytes
    return FrontendConfig(
        grpc_port=options.port,
        grpc_socket_path=options.grpc_socket_path,
        rest_port=rest_port,
        tls=tls,
        rest_tls=rest_tls,
        rest_timeout_ms=options.rest_api_timeout_in_ms,
        rest_compression_min_bytes=options.rest_compression_min_bytes,
        enable_cors=options.rest_api_enable_cors_support,
        serialize_as_tensor_content=options.enable_serialization_as_tensor_content,
        check_method_name=options.enable_signature_method_name_check,
        max_body_bytes=options.max_body_bytes,
        max_message_bytes=max_message_bytes,
        max_header_bytes=options.max_header_bytes,
        max_header_count=options.max_header_count,
        max_json_depth=options.max_json_depth,
        max_connections=options.max_connections,
        max_streams=max_streams,
        max_outstanding_requests=options.max_outstanding_requests,
        idle_timeout_seconds=options.idle_timeout_seconds,
        grpc=arguments.grpc,
        grpc_health=options.enable_grpc_healthcheck_service,
        request_timeout_seconds=options.request_timeout_seconds,
        metrics_path=metrics_path,
        drain_seconds=options.drain_seconds,
    )
