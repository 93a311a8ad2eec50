import json
from pathlib import Path
from typing import Any

import pytest

from control.devices import Device
from control.flags import parse
from control.startup import Startup, prepare
from control.transition import Transition
from protos.configs import BatchingConfig, FrontendConfig, WorkerConfig
from protos.errors import ServingError
from protos.public import ConfigProto
from tests.certificates import server_pair

BASE = "--model_base_path=/models/m"
CPUS = 12
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


def plan(*argv: str) -> Startup:
    return prepare(parse(argv, {}), NO_GPU, cpus=CPUS)


def refusal(*argv: str) -> str:
    with pytest.raises(ServingError) as refused:
        plan(*argv)
    return str(refused.value)


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


NO_PORT = "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
ALTS_AND_SSL = "Either use_alts_credentials must be false or ssl_config_file must be empty."
NO_MODEL = "Both server_options.model_base_path and server_options.model_config_file are empty!"
NO_BATCHING = "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
ALL_PARALLELISM = (
    "Either configure server_options.tensorflow_session_parallelism or "
    "(server_options.tensorflow_intra_op_parallelism, server_options.tensorflow_inter_op_parallelism) separately. "
    "You cannot configure all."
)


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--port=0"], NO_PORT),
        (["--port=0", "--use_alts_credentials", "--ssl_config_file=x"], NO_PORT),
        (["--use_alts_credentials", "--ssl_config_file=x"], ALTS_AND_SSL),
        ([], NO_MODEL),
        (["--batching_parameters_file=/none"], NO_MODEL),
        (
            ["--model_config_file=/none", "--batching_parameters_file=/none"],
            "NOT_FOUND: /none; No such file or directory",
        ),
        ([BASE, "--batching_parameters_file=/none", "--tensorflow_session_config_file=/none2"], NO_BATCHING),
        (
            [BASE, "--enable_batching", "--batching_parameters_file=/none", "--tensorflow_session_config_file=/none2"],
            "NOT_FOUND: /none; No such file or directory",
        ),
        ([BASE, "--tensorflow_session_config_file=/none2"], "NOT_FOUND: /none2; No such file or directory"),
        (
            [
                BASE,
                "--tensorflow_session_parallelism=1",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            ],
            ALL_PARALLELISM,
        ),
        (
            [BASE, "--tensorflow_session_parallelism=2147483648"],
            "--tensorflow_session_parallelism does not fit 32 bits; was 2147483648",
        ),
        (
            ["--model_base_path=models/m"],
            "Expected model default to have an absolute path or URI; got base_path()=models/m",
        ),
        ([BASE, "--ssl_config_file=/none"], "NOT_FOUND: /none; No such file or directory"),
        ([BASE, "--rest_ssl_config_file=/none"], "NOT_FOUND: /none; No such file or directory"),
        (
            [BASE, "--use_alts_credentials"],
            "UNIMPLEMENTED: --use_alts_credentials is not available in tensormux, "
            "and serving without encryption instead would be unsafe.",
        ),
        ([BASE, "--port=-1"], "Failed to BuildAndStart gRPC server"),
        ([BASE, "--port=65536"], "Failed to BuildAndStart gRPC server"),
        ([BASE, "--num_frontends=-1"], "--num_frontends must be from 0 to 1024; was -1"),
        ([BASE, "--max_body_bytes=0"], "--max_body_bytes must be from 1 to 1099511627776; was 0"),
        ([BASE, "--max_message_bytes=0"], "--max_message_bytes must be from 1 to 2147483647; was 0"),
        ([BASE, "--max_header_bytes=255"], "--max_header_bytes must be from 256 to 1073741824; was 255"),
        ([BASE, "--max_header_count=7"], "--max_header_count must be from 8 to 1048576; was 7"),
        ([BASE, "--max_json_depth=0"], "--max_json_depth must be from 1 to 254; was 0"),
        ([BASE, "--max_json_depth=255"], "--max_json_depth must be from 1 to 254; was 255"),
        ([BASE, "--max_outstanding_requests=0"], "--max_outstanding_requests must be from 1 to 2147483647; was 0"),
        ([BASE, "--drain_seconds=-0.5"], "--drain_seconds must be from 0 to 604800; was -0.5"),
        ([BASE, "--request_timeout_seconds=0"], "--request_timeout_seconds must be from 0.001 to 604800; was 0.0"),
        ([BASE, "--external_workers=1"], "--external_workers and --external_frontends need --control_endpoint"),
        ([BASE, "--external_frontends"], "--external_workers and --external_frontends need --control_endpoint"),
        (
            [BASE, "--external_frontends", "--control_endpoint=tcp://*:9000"],
            "--external_frontends needs --external_workers: workers started here listen here only",
        ),
        ([BASE, "--devices=0"], "--devices: there is no GPU 0; found 0"),
    ],
)
def test_what_does_not_start(argv: list[str], error: str) -> None:
    assert refusal(*argv) in (error, f"INVALID_ARGUMENT: {error}")


def test_defaults() -> None:
    started = plan(BASE)
    assert started.worker == WorkerConfig(num_load_threads=CPUS, num_run_threads=CPUS, load_timeout_seconds=3600.0)
    assert started.frontend == FrontendConfig()
    assert started.devices == (Device("cpu:0", "-1"),)
    assert started.num_frontends == 3
    assert started.complaints == ()
    assert started.notes == (
        "Building single TensorFlow model file config:  model_name: default model_base_path: /models/m",
    )
    (model,) = started.model_config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("default", "/models/m", "tensorflow")


@pytest.mark.parametrize(
    ("flag", "field", "value"),
    [
        ("--port=9", "grpc_port", 9),
        ("--grpc_socket_path=/tmp/s", "grpc_socket_path", "/tmp/s"),
        ("--rest_api_port=8501", "rest_port", 8501),
        ("--rest_api_timeout_in_ms=-1", "rest_timeout_ms", -1),
        ("--rest_api_enable_cors_support", "enable_cors", True),
        ("--enable_serialization_as_tensor_content", "serialize_as_tensor_content", True),
        ("--enable_signature_method_name_check", "check_method_name", True),
        ("--max_body_bytes=5", "max_body_bytes", 5),
        ("--max_message_bytes=11", "max_message_bytes", 11),
        ("--max_header_bytes=1200", "max_header_bytes", 1200),
        ("--max_header_count=13", "max_header_count", 13),
        ("--max_json_depth=14", "max_json_depth", 14),
        ("--max_outstanding_requests=15", "max_outstanding_requests", 15),
        ("--rest_compression_min_bytes=65536", "rest_compression_min_bytes", 65_536),
        ("--max_connections=6", "max_connections", 6),
        ("--max_streams_per_connection=7", "max_streams", 7),
        ("--idle_timeout_seconds=8", "idle_timeout_seconds", 8.0),
        ("--request_timeout_seconds=9", "request_timeout_seconds", 9.0),
        ("--drain_seconds=0", "drain_seconds", 0.0),
    ],
)
def test_what_front_ends_are_told(flag: str, field: str, value: Any) -> None:
    frontend = plan(BASE, flag).frontend
    assert getattr(frontend, field) == value
    assert getattr(FrontendConfig(), field) != value


@pytest.mark.parametrize(
    ("flag", "field", "value"),
    [
        ("--saved_model_tags=serve,gpu", "saved_model_tags", ("serve", "gpu")),
        ("--saved_model_tags=", "saved_model_tags", ("serve",)),
        ("--saved_model_tags=a,, b", "saved_model_tags", ("a", "", " b")),
        ("--num_run_threads=3", "num_run_threads", 3),
        ("--max_outstanding_requests=15", "max_outstanding_requests", 15),
        ("--num_load_threads=3", "num_load_threads", 3),
        ("--num_load_threads=-3", "num_load_threads", CPUS),
        ("--max_num_load_retries=0", "max_num_load_retries", 0),
        ("--max_num_load_retries=-1", "max_num_load_retries", 0),
        ("--load_retry_interval_micros=-1", "load_retry_interval_micros", 0),
        ("--load_retry_interval_micros=77", "load_retry_interval_micros", 77),
        ("--load_timeout_seconds=0", "load_timeout_seconds", 0.0),
        ("--enable_model_warmup=false", "warmup", False),
        ("--num_request_iterations_for_warmup=3", "warmup_iterations", 3),
        ("--num_request_iterations_for_warmup=0", "warmup_iterations", 1),
        ("--num_request_iterations_for_warmup=-3", "warmup_iterations", 1),
        ("--auto_warmup", "auto_warmup", True),
        ("--load_timeout_seconds=.5", "load_timeout_seconds", 0.5),
    ],
)
def test_what_workers_are_told(flag: str, field: str, value: Any) -> None:
    assert getattr(plan(BASE, flag).worker, field) == value


@pytest.mark.parametrize(
    ("flags", "interpreters"),
    [
        (["--num_tflite_pools=3"], 0),
        (["--prefer_tflite_model", "--num_tflite_pools=3"], 3),
        (["--prefer_tflite_model", "--num_tflite_pools=3", "--num_tflite_interpreters_per_pool=4"], 12),
        (["--prefer_tflite_model", "--num_tflite_pools=-3"], 1),
        (["--prefer_tflite_model", "--num_tflite_pools=99999"], 4_096),
    ],
)
def test_interpreters_of_a_tflite_model(flags: list[str], interpreters: int) -> None:
    assert plan(BASE, *flags).worker.tflite_interpreters == interpreters


def test_grpc_on_a_unix_socket_alone() -> None:
    assert plan(BASE, "--port=0", "--grpc_socket_path=/tmp/s").frontend.grpc_port == 0


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        (
            "--rest_api_port=8500",
            "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
            "Skipped exporting HTTP/REST API.",
        ),
        ("--rest_api_port=70000", "Failed to start HTTP Server at localhost:70000"),
        ("--rest_api_port=-1", "Failed to start HTTP Server at localhost:-1"),
    ],
)
def test_a_bad_rest_port_takes_only_rest_down(flag: str, complaint: str) -> None:
    started = plan(BASE, flag)
    assert (started.frontend.grpc_port, started.frontend.rest_port) == (8500, 0)
    assert started.complaints == (complaint,)


def test_complaints_name_what_is_ignored() -> None:
    assert plan(BASE, "--skip_initialize_tpu", "--typo=1", "more").complaints == (
        "unknown argument: --typo=1 (ignored)",
        "unknown argument: more (ignored)",
        "--skip_initialize_tpu is not available in tensormux yet and is ignored",
    )


def test_processes_that_are_started_elsewhere() -> None:
    started = plan(BASE, "--external_workers=2", "--external_frontends", "--control_endpoint=tcp://*:9000")
    assert (started.devices, started.num_frontends) == ((), 0)


def test_number_of_front_ends() -> None:
    assert plan(BASE, "--num_frontends=5").num_frontends == 5
    assert prepare(parse([BASE], {}), NO_GPU, cpus=2).num_frontends == 1


@pytest.mark.parametrize(
    ("flags", "cpus", "expected"),
    [
        (["--rest_api_port=8501"], 1, 1),
        (["--rest_api_port=8501"], 2, 2),
        (["--rest_api_port=8501"], 32, 8),
        (["--rest_api_port=8501", "--num_bulk_frontends=0"], 32, 0),
        (["--rest_api_port=8501", "--num_bulk_frontends=3"], 2, 3),
        ([], 2, 0),
    ],
)
def test_number_of_bulk_front_ends(flags: list[str], cpus: int, expected: int) -> None:
    assert prepare(parse([BASE, *flags], {}), NO_GPU, cpus=cpus).num_bulk_frontends == expected


def test_connections_with_tls_cannot_be_passed_on(tmp_path: Path) -> None:
    pair = server_pair()
    path = tmp_path / "ssl.pbtxt"
    path.write_text(f"server_key: {json.dumps(pair.key)} server_cert: {json.dumps(pair.certificates)}")
    assert plan(BASE, "--rest_api_port=8501", f"--rest_ssl_config_file={path}").num_bulk_frontends == 0


def test_model_config_file(tmp_path: Path) -> None:
    text = """
    # Two models.
    model_config_list: {
      config: {name: "a", base_path: "/models/a", model_platform: "tensorflow"},
      config { name: "b" base_path: "/models/b" model_platform: "tensorflow" model_version_policy { all {} } }
    }
    """
    started = plan(f"--model_config_file={write(tmp_path, 'models', text)}", "--model_name=ignored")
    assert [model.name for model in started.model_config.model_config_list.config] == ["a", "b"]
    assert started.notes == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "INVALID_ARGUMENT: {}; Invalid argument"),
        ("model_config_list {", "INVALID_ARGUMENT: Invalid protobuf file: '{}'"),
        (
            'model_config_list { config { name: "a" base_path: "a" model_platform: "tensorflow" } }',
            "INVALID_ARGUMENT: Expected model a to have an absolute path or URI; got base_path()=a",
        ),
    ],
)
def test_bad_model_config_file(tmp_path: Path, text: str, error: str) -> None:
    path = write(tmp_path, "models", text)
    assert refusal(f"--model_config_file={path}") == error.format(path)


def test_a_config_file_without_models_is_fine(tmp_path: Path) -> None:
    started = plan(f"--model_config_file={write(tmp_path, 'models', '# nothing yet')}")
    assert started.model_config.WhichOneof("config") is None


def test_batching(tmp_path: Path) -> None:
    assert plan(BASE).worker.batching is None
    assert plan(BASE, "--enable_batching").worker.batching == BatchingConfig(num_batch_threads=CPUS)
    path = write(tmp_path, "batching", "max_batch_size { value: 128 } num_batch_threads { value: 8 }")
    assert plan(BASE, "--enable_batching", f"--batching_parameters_file={path}").worker.batching == BatchingConfig(
        max_batch_size=128, max_execution_batch_size=128, num_batch_threads=8
    )
    path = write(tmp_path, "bad", "num_batch_threads { value: 0 }")
    assert refusal(BASE, "--enable_batching", f"--batching_parameters_file={path}") == (
        "INVALID_ARGUMENT: num_batch_threads must be positive; was 0"
    )


SESSION = """
intra_op_parallelism_threads: 3
inter_op_parallelism_threads: 4
gpu_options { allow_growth: true per_process_gpu_memory_fraction: 0.25 }
"""


@pytest.mark.parametrize(
    ("flags", "intra", "inter", "fraction"),
    [
        ([], 3, 4, 0.25),
        (["--per_process_gpu_memory_fraction=0.5"], 3, 4, 0.5),
        (["--per_process_gpu_memory_fraction=0"], 3, 4, 0.0),
        (["--tensorflow_session_parallelism=7"], 7, 7, 0.25),
        (["--tensorflow_session_parallelism=0"], 0, 0, 0.25),
        (["--tensorflow_intra_op_parallelism=1"], 1, 4, 0.25),
        (["--tensorflow_inter_op_parallelism=1"], 3, 1, 0.25),
        (["--tensorflow_intra_op_parallelism=1", "--tensorflow_inter_op_parallelism=0"], 1, 0, 0.25),
        (["--tensorflow_intra_op_parallelism=1", "--tensorflow_session_parallelism=7"], 1, 4, 0.25),
        (["--tensorflow_intra_op_parallelism=0", "--tensorflow_session_parallelism=7"], 7, 7, 0.25),
    ],
)
def test_only_flags_that_were_given_override_the_session_file(
    tmp_path: Path, flags: list[str], intra: int, inter: int, fraction: float
) -> None:
    path = write(tmp_path, "session", SESSION)
    config = ConfigProto.FromString(
        plan(BASE, f"--tensorflow_session_config_file={path}", *flags).worker.session_config
    )
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (intra, inter)
    assert config.gpu_options.per_process_gpu_memory_fraction == fraction
    assert config.gpu_options.allow_growth


def test_flags_alone_make_a_session_config() -> None:
    config = ConfigProto.FromString(plan(BASE, "--tensorflow_session_parallelism=5").worker.session_config)
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (5, 5)
    assert plan(BASE).worker.session_config == b""


def test_all_models_switch_so_that_they_stay_available_by_default() -> None:
    assert (plan(BASE).transition, plan(BASE).transitions) == (Transition.AVAILABILITY_PRESERVING, {})


@pytest.mark.parametrize("transition", Transition)
def test_how_all_models_switch(transition: Transition) -> None:
    assert plan(BASE, f"--aspired_version_policy={transition.value}").transition is transition


@pytest.mark.parametrize(
    ("value", "transitions"),
    [
        ("", {}),
        ("a=rolling", {"a": Transition.ROLLING}),
        (
            "a=rolling,b=resource_preserving",
            {"a": Transition.ROLLING, "b": Transition.RESOURCE_PRESERVING},
        ),
        ("odd=name=rolling", {"odd=name": Transition.ROLLING}),
        ("a b=availability_preserving", {"a b": Transition.AVAILABILITY_PRESERVING}),
    ],
)
def test_how_single_models_switch(value: str, transitions: dict[str, Transition]) -> None:
    assert plan(BASE, f"--aspired_version_policy_by_model={value}").transitions == transitions


KNOWN = "knows availability_preserving, resource_preserving, rolling; was"


@pytest.mark.parametrize(
    ("flag", "error"),
    [
        ("--aspired_version_policy=ROLLING", f"--aspired_version_policy {KNOWN} ROLLING"),
        ("--aspired_version_policy=", f"--aspired_version_policy {KNOWN} "),
        ("--aspired_version_policy_by_model=a=fast", f"--aspired_version_policy_by_model {KNOWN} fast"),
        ("--aspired_version_policy_by_model=rolling", "must be model=policy,model=policy; was rolling"),
        ("--aspired_version_policy_by_model==rolling", "must be model=policy,model=policy; was =rolling"),
        ("--aspired_version_policy_by_model=a=rolling,", "must be model=policy,model=policy; was a=rolling,"),
    ],
)
def test_a_policy_that_does_not_exist(flag: str, error: str) -> None:
    assert error in refusal(BASE, flag)
