"""All command-line flags, as one frozen object: name, type, default and help stand in one place, the field itself.

The first half are the flags of TensorFlow's model server, with its defaults; the second half are our own, which can
also come from the environment (`TENSORMUX_<UPPER_NAME>`). `control.flags` parses them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any, Literal

FlagType = Literal["bool", "int32", "int64", "float", "string"]


@dataclass(frozen=True)
class Flag:
    """What the command line knows of one flag.

    Attributes:
        available: the feature behind it is built; a flag that is not is accepted, and named in the log when it is set.
        own: ours, not TensorFlow Serving's.
    """

    name: str
    type: FlagType
    default: bool | int | float | str
    help: str
    available: bool
    own: bool


def schedulable_cpus(quota_file: str = "/sys/fs/cgroup/cpu.max") -> int:
    """CPUs that this process may use, at least 1: its affinity mask, or less when its control group has a quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open(quota_file) as file:
            quota, period = file.read().split()
        if quota != "max":
            cpus = min(cpus, -(-int(quota) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no control groups (version 2) here
    return max(1, cpus)


# How options are declared below. Any, because a dataclass field stands where its value will be.
def _flag(kind: FlagType, default: bool | int | float | str, text: str, *, available: bool, own: bool = False) -> Any:
    about = {"type": kind, "default": default, "help": text, "available": available, "own": own}
    return field(default=default, metadata=about)


def _built(kind: FlagType, default: bool | int | float | str, text: str) -> Any:
    return _flag(kind, default, text, available=True)


def _later(kind: FlagType, default: bool | int | float | str, text: str) -> Any:
    return _flag(kind, default, f"{text} (not available yet: accepted and ignored)", available=False)


def _own(kind: FlagType, default: bool | int | float | str, text: str) -> Any:
    return _flag(kind, default, text, available=True, own=True)


_CPUS = schedulable_cpus()


@dataclass(frozen=True, kw_only=True)
class Options:
    """The value of every flag.

    Attributes:
        given: names of the flags that the command line or the environment set; the others hold defaults.
        unknown_arguments: what no flag consumed, in order.
    """

    port: int = _built("int32", 8500, "TCP port for gRPC; 0 opens none")
    grpc_socket_path: str = _built("string", "", "path of a unix socket for gRPC, beside the port or instead of it")
    rest_api_port: int = _built("int32", 0, "TCP port for HTTP/REST; 0 opens none; must differ from --port")
    rest_api_num_threads: int = _built(
        "int32", 4 * _CPUS, "accepted, without effect: connections are served by event loops"
    )
    rest_api_timeout_in_ms: int = _built("int32", 30_000, "deadline of a REST inference in milliseconds; <= 0 for none")
    rest_api_enable_cors_support: bool = _built("bool", False, "answer with CORS headers")
    enable_batching: bool = _built("bool", False, "gather requests of one signature into batches")
    allow_version_labels_for_unavailable_models: bool = _built(
        "bool", False, "let new labels name versions that are not available yet"
    )
    batching_parameters_file: str = _built("string", "", "text BatchingParameters; needs --enable_batching")
    enable_per_model_batching_parameters: bool = _later(
        "bool", False, "read batching_params.pbtxt from each version directory"
    )
    model_config_file: str = _built(
        "string",
        "",
        "text ModelServerConfig with the models to serve; --model_name and --model_base_path then don't count",
    )
    model_config_file_poll_wait_seconds: int = _built(
        "int32", 0, "read --model_config_file again after so many seconds; <= 0 reads it once"
    )
    model_name: str = _built("string", "default", "name of the model, when only one is served")
    model_base_path: str = _built(
        "string", "", "directory that holds the versions of the one model; required without --model_config_file"
    )
    num_load_threads: int = _built("int32", 0, "versions that a worker loads at the same time; <= 0 chooses by CPUs")
    num_unload_threads: int = _later("int32", 0, "threads for unloading")
    max_num_load_retries: int = _built("int32", 5, "how often a failed load is tried again")
    load_retry_interval_micros: int = _built("int64", 60_000_000, "pause between tries of a load; <= 0 for none")
    file_system_poll_wait_seconds: int = _built(
        "int32", 1, "look for new versions every so many seconds; 0 looks once, < 0 never"
    )
    flush_filesystem_caches: bool = _later("bool", True, "drop file system caches after loading")
    tensorflow_session_parallelism: int = _built(
        "int64", 0, "threads of both TensorFlow pools (intra and inter op); 0 lets TensorFlow choose"
    )
    tensorflow_session_config_file: str = _built(
        "string", "", "text tensorflow.ConfigProto; flags that are given override it"
    )
    tensorflow_intra_op_parallelism: int = _built("int64", 0, "threads within one operation")
    tensorflow_inter_op_parallelism: int = _built("int64", 0, "threads that run operations side by side")
    use_alts_credentials: bool = _flag(
        "bool", False, "ALTS for gRPC (not available: refuses to start)", available=False
    )
    ssl_config_file: str = _built("string", "", "text SSLConfig: TLS for gRPC, on the port and on the unix socket")
    platform_config_file: str = _later("string", "", "text PlatformConfigMap instead of the model-loading flags")
    per_process_gpu_memory_fraction: float = _built(
        "float", 0.0, "share of a GPU's memory that its worker takes at the start; 0 is TensorFlow's default"
    )
    saved_model_tags: str = _built("string", "serve", "comma-separated tag set of the MetaGraph to load")
    grpc_channel_arguments: str = _built(
        "string", "", "settings of the gRPC C++ library, k=v,k=v; those without a meaning here are named in the log"
    )
    grpc_max_threads: int = _built(
        "int32", 4 * _CPUS, "accepted, without effect: connections are served by event loops"
    )
    enable_model_warmup: bool = _built("bool", True, "replay a version's warm-up records before it is available")
    num_request_iterations_for_warmup: int = _built("int32", 0, "times that each warm-up record is run; <= 0: once")
    version: bool = _built("bool", False, "print versions and exit")
    monitoring_config_file: str = _built(
        "string", "", "text MonitoringConfig: where the REST port answers with metrics for Prometheus"
    )
    remove_unused_fields_from_bundle_metagraph: bool = _later(
        "bool", True, "keep only what serving needs of a MetaGraph"
    )
    prefer_tflite_model: bool = _built("bool", False, "load model.tflite where a version has one")
    num_tflite_pools: int = _built("int32", _CPUS, "pools of TFLite interpreters that a version may have")
    num_tflite_interpreters_per_pool: int = _built("int32", 1, "TFLite interpreters in a pool")
    enable_signature_method_name_check: bool = _built(
        "bool", False, "refuse a call whose method differs from its signature's method_name"
    )
    xla_cpu_compilation_enabled: bool = _later("bool", False, "let XLA compile for the CPU")
    xla_gpu_compilation_enabled: bool = _later("bool", False, "let XLA compile for the CPU and the GPU")
    enable_profiler: bool = _later("bool", True, "offer tensorflow.ProfilerService")
    thread_pool_factory_config_file: str = _later("string", "", "text ThreadPoolFactoryConfig")
    mixed_precision: str = _later("string", "", "bfloat16 turns on automatic mixed precision")
    skip_initialize_tpu: bool = _later("bool", False, "don't initialize a TPU")
    enable_grpc_healthcheck_service: bool = _built("bool", False, "offer grpc.health.v1")
    enable_serialization_as_tensor_content: bool = _built("bool", False, "answer gRPC Predict with tensor_content")

    devices: str = _own(
        "string", "", "devices, one worker each: cpu, cpu:N, 0,1 (GPUs), all; empty: all GPUs, else cpu"
    )
    num_frontends: int = _own("int32", 0, "front-end processes; 0 chooses by CPUs")
    num_bulk_frontends: int = _own(
        "int32", -1, "more of them, for the REST connections that bring large JSON bodies; 0: none, -1 chooses by CPUs"
    )
    strict_flags: bool = _own("bool", False, "refuse to start on an unknown argument")
    control_endpoint: str = _own(
        "string", "", "ZeroMQ address where workers and front ends register; empty: private ipc"
    )
    external_workers: int = _own(
        "int32", 0, "workers that are started elsewhere and register; none are started here then"
    )
    external_frontends: bool = _own("bool", False, "front ends are started elsewhere and register")
    start_timeout_seconds: float = _own(
        "float", 0.0, "give up when models aren't available after so long; 0 waits forever"
    )
    aspired_version_policy: str = _own(
        "string",
        "availability_preserving",
        "how workers switch versions: availability_preserving, resource_preserving or rolling",
    )
    aspired_version_policy_by_model: str = _own(
        "string", "", "the same for single models, as model=policy,model=policy"
    )
    recycle_after_unloads: int = _own(
        "int32", 0, "replace a worker process that has unloaded so many versions; 0 never"
    )
    recycle_memory_growth_bytes: int = _own(
        "int64", 0, "replace a worker process whose memory has grown by so much since its models were loaded; 0 never"
    )
    quarantine_after_crashes: int = _own(
        "int32", 3, "serve a version no more that has ended the worker so many times while it ran; 0 never"
    )
    load_timeout_seconds: float = _own(
        "float", 3600.0, "a version that takes longer to load, warm-up included, has failed; 0 waits forever"
    )
    auto_warmup: bool = _own(
        "bool", False, "run a version that has no warm-up records once with zeros before it is available"
    )
    drain_seconds: float = _own("float", 10.0, "how long requests in flight may take to finish at a stop")
    num_run_threads: int = _own(
        "int32", 0, "threads of a worker that run expensive requests without batching; 0: by CPUs"
    )
    rest_ssl_config_file: str = _own("string", "", "text SSLConfig: TLS for HTTP/REST")
    max_body_bytes: int = _own("int64", 256 << 20, "largest REST body")
    max_message_bytes: int = _own("int64", (1 << 31) - 1, "largest gRPC request")
    max_header_bytes: int = _own("int32", 64 << 10, "largest head of a request, REST or gRPC")
    max_header_count: int = _own("int32", 256, "most header fields of a request, REST or gRPC")
    max_json_depth: int = _own("int32", 254, "most levels of arrays that a tensor in a REST body may have")
    rest_compression_min_bytes: int = _own(
        "int64", 0, "compress JSON answers of this size and more for clients that accept gzip; 0 compresses none"
    )
    max_connections: int = _own("int32", 65_536, "connections of one front end")
    max_streams_per_connection: int = _own("int32", 1_024, "concurrent gRPC calls of one connection")
    max_outstanding_requests: int = _own(
        "int32", 16_384, "requests that one front end, or one worker, holds before it refuses more"
    )
    idle_timeout_seconds: float = _own("float", 0.0, "close a connection that was idle for so long; 0 never")
    request_timeout_seconds: float = _own("float", 120.0, "cut off a client that takes longer to send one request")

    given: frozenset[str] = frozenset()
    unknown_arguments: tuple[str, ...] = ()


FLAGS: dict[str, Flag] = {
    option.name: Flag(name=option.name, **option.metadata) for option in fields(Options) if option.metadata
}


def unavailable_flags_given(options: Options) -> list[str]:
    """Names, sorted, of flags set to other than their default whose feature is not built."""
    return sorted(
        name for name in options.given if not FLAGS[name].available and getattr(options, name) != FLAGS[name].default
    )
