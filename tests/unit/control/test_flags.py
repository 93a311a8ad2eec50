from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.flags import FlagExit, docker_arguments, parse, unknown_arguments_text, usage, version_text
from control.options import FLAGS, Options, schedulable_cpus, unavailable_flags_given

CPUS = schedulable_cpus()

# TensorFlow Serving's flags: name, type, default.
UPSTREAM = """
port int32 8500
grpc_socket_path string
rest_api_port int32 0
rest_api_num_threads int32 4*CPU
rest_api_timeout_in_ms int32 30000
rest_api_enable_cors_support bool false
enable_batching bool false
allow_version_labels_for_unavailable_models bool false
batching_parameters_file string
enable_per_model_batching_parameters bool false
model_config_file string
model_config_file_poll_wait_seconds int32 0
model_name string default
model_base_path string
num_load_threads int32 0
num_unload_threads int32 0
max_num_load_retries int32 5
load_retry_interval_micros int64 60000000
file_system_poll_wait_seconds int32 1
flush_filesystem_caches bool true
tensorflow_session_parallelism int64 0
tensorflow_session_config_file string
tensorflow_intra_op_parallelism int64 0
tensorflow_inter_op_parallelism int64 0
use_alts_credentials bool false
ssl_config_file string
platform_config_file string
per_process_gpu_memory_fraction float 0
saved_model_tags string serve
grpc_channel_arguments string
grpc_max_threads int32 4*CPU
enable_model_warmup bool true
num_request_iterations_for_warmup int32 0
version bool false
monitoring_config_file string
remove_unused_fields_from_bundle_metagraph bool true
prefer_tflite_model bool false
num_tflite_pools int32 CPU
num_tflite_interpreters_per_pool int32 1
enable_signature_method_name_check bool false
xla_cpu_compilation_enabled bool false
xla_gpu_compilation_enabled bool false
enable_profiler bool true
thread_pool_factory_config_file string
mixed_precision string
skip_initialize_tpu bool false
enable_grpc_healthcheck_service bool false
enable_serialization_as_tensor_content bool false
"""


def _default(kind: str, text: str) -> object:
    if kind == "bool":
        return text == "true"
    if kind == "string":
        return text
    if text.endswith("CPU"):
        return 4 * CPUS if text.startswith("4*") else CPUS
    return float(text) if kind == "float" else int(text)


@pytest.mark.parametrize("line", UPSTREAM.split("\n")[1:-1])
def test_upstream_flag_has_its_type_and_default(line: str) -> None:
    name, kind, *rest = line.split(" ")
    flag = FLAGS[name]
    assert (flag.type, flag.default, flag.own) == (kind, _default(kind, rest[0] if rest else ""), False)
    assert getattr(parse([], {}), name) == flag.default


def test_no_flag_is_missing_and_the_others_are_ours() -> None:
    upstream = {line.split(" ")[0] for line in UPSTREAM.split("\n")[1:-1]}
    assert {flag.name for flag in FLAGS.values() if not flag.own} == upstream
    assert {option.name for option in fields(Options)} - FLAGS.keys() == {"given", "unknown_arguments"}


def test_every_flag_is_described_and_its_default_has_its_type() -> None:
    types = {"bool": bool, "int32": int, "int64": int, "float": float, "string": str}
    for flag in FLAGS.values():
        assert flag.help
        assert type(flag.default) is types[flag.type]


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--port=1", "port", 1),
        ("--port=+7", "port", 7),
        ("--port=-1", "port", -1),
        ("--port=2147483647", "port", 2**31 - 1),
        ("--load_retry_interval_micros=9223372036854775807", "load_retry_interval_micros", 2**63 - 1),
        ("--enable_batching", "enable_batching", True),
        ("--enable_batching=TRUE", "enable_batching", True),
        ("--enable_batching=1", "enable_batching", True),
        ("--enable_model_warmup=False", "enable_model_warmup", False),
        ("--enable_model_warmup=0", "enable_model_warmup", False),
        ("--per_process_gpu_memory_fraction=.5", "per_process_gpu_memory_fraction", 0.5),
        ("--per_process_gpu_memory_fraction=1e-1", "per_process_gpu_memory_fraction", 0.1),
        ("--model_name=", "model_name", ""),
        ("--model_name=a=b c", "model_name", "a=b c"),
    ],
)
def test_value(argument: str, name: str, value: object) -> None:
    options = parse([argument], {})
    assert getattr(options, name) == value
    assert options.given == {name}
    assert options.unknown_arguments == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", ""),
        ("port", "8500x"),
        ("port", "1.5"),
        ("port", "0x10"),
        ("port", "1_000"),
        ("port", "\u0663"),
        ("port", "2147483648"),
        ("port", "-2147483649"),
        ("load_retry_interval_micros", "9223372036854775808"),
        ("load_retry_interval_micros", "9" * 5000),
        ("enable_batching", ""),
        ("enable_batching", "yes"),
        ("per_process_gpu_memory_fraction", "half"),
        ("per_process_gpu_memory_fraction", "nan"),
        ("per_process_gpu_memory_fraction", "inf"),
        ("per_process_gpu_memory_fraction", "1e999"),
        ("per_process_gpu_memory_fraction", ""),
    ],
)
def test_value_that_cannot_be_read(name: str, value: str) -> None:
    with pytest.raises(FlagExit) as refused:
        parse([f"--{name}={value}", "--version"], {})
    assert refused.value.status == 255
    assert refused.value.stderr == f"Couldn't interpret value {value} for flag {name}.\n"
    assert refused.value.stdout == usage()


def test_every_bad_value_is_named() -> None:
    with pytest.raises(FlagExit) as refused:
        parse(["--port=x", "--enable_batching=maybe"], {})
    assert refused.value.stderr.count("Couldn't interpret value") == 2


def test_the_last_occurrence_wins() -> None:
    assert parse(["--port=1", "--port=2", "--enable_batching", "--enable_batching=false"], {}).port == 2
    assert parse(["--enable_batching", "--enable_batching=false"], {}).enable_batching is False


@pytest.mark.parametrize(
    ("argv", "unknown"),
    [
        (["--prot=1"], ("--prot=1",)),
        (["-port=1"], ("-port=1",)),
        (["--port", "1"], ("--port", "1")),
        (["--model_name"], ("--model_name",)),
        (["positional", "--port=5"], ("positional",)),
        (["--enable_batchingx"], ("--enable_batchingx",)),
        (["--given=x", "--unknown_arguments=y"], ("--given=x", "--unknown_arguments=y")),
        (["--port=5", "--", "--port=6", "x"], ("--port=6", "x")),
        (["--port=5", "--"], ()),
        ([""], ("",)),
        (["-", "--=3"], ("-", "--=3")),
    ],
)
def test_what_no_flag_takes_is_left_over(argv: list[str], unknown: tuple[str, ...]) -> None:
    options = parse(argv, {})
    assert options.unknown_arguments == unknown
    assert options.port == (5 if "--port=5" in argv else 8500)


def test_text_for_unknown_arguments() -> None:
    options = parse(["--first", "second"], {})
    assert unknown_arguments_text(options) == "unknown argument: --first\n" + usage()


def test_strict_flags_make_an_unknown_argument_fatal() -> None:
    for argv, env in ((["--strict_flags", "--typo=1"], {}), (["--typo=1"], {"TENSORMUX_STRICT_FLAGS": "true"})):
        with pytest.raises(FlagExit) as refused:
            parse(argv, env)
        assert refused.value.status == 255
        assert refused.value.stdout.startswith("unknown argument: --typo=1\n")
    assert parse(["--strict_flags", "--port=1"], {}).port == 1


def test_help_counts_only_as_the_first_left_over() -> None:
    with pytest.raises(FlagExit) as asked:
        parse(["--port=1", "--help", "--version"], {})
    assert (asked.value.status, asked.value.stdout) == (255, usage())
    assert parse(["x", "--help"], {}).unknown_arguments == ("x", "--help")


def test_version_wins_over_unknown_arguments() -> None:
    with pytest.raises(FlagExit) as asked:
        parse(["--version", "--strict_flags", "x"], {})
    assert (asked.value.status, asked.value.stdout, asked.value.stderr) == (0, version_text(), "")
    lines = version_text().splitlines()
    assert lines[0].startswith("TensorFlow ModelServer: ")
    assert lines[1].startswith("TensorFlow Library: ")


def test_usage_has_a_line_for_every_flag() -> None:
    lines = usage("server").splitlines()
    assert lines[:2] == ["usage: server", "Flags:"]
    assert [line.split("=")[0].strip() for line in lines[2:]] == [f"--{name}" for name in FLAGS]
    assert lines[2].split("\t")[1:3] == ["--port=8500".ljust(48), "int32"]


def test_our_flags_come_from_the_environment_too_and_the_flag_beats_it() -> None:
    env = {
        "TENSORMUX_DEVICES": "cpu:2",
        "TENSORMUX_DRAIN_SECONDS": "2.5",
        "TENSORMUX_PORT": "1",
        "TENSORMUX_NUM_FRONTENDS": "",
    }
    options = parse([], env)
    assert (options.devices, options.drain_seconds, options.port, options.num_frontends) == ("cpu:2", 2.5, 8500, 0)
    assert options.given == {"devices", "drain_seconds"}
    assert parse(["--devices=0"], env).devices == "0"


def test_a_bad_value_in_the_environment_says_where_it_is() -> None:
    with pytest.raises(FlagExit) as refused:
        parse([], {"TENSORMUX_NUM_FRONTENDS": "many"})
    assert refused.value.stderr == (
        "Couldn't interpret value many for flag num_frontends. (from TENSORMUX_NUM_FRONTENDS)\n"
    )


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({}, "/models/model"),
        ({"MODEL_NAME": "half"}, "/models/half"),
        ({"MODEL_BASE_PATH": "/data"}, "/data/model"),
        ({"MODEL_NAME": "half", "MODEL_BASE_PATH": "/data"}, "/data/half"),
    ],
)
def test_docker_arguments(env: dict[str, str], path: str) -> None:
    options = parse(docker_arguments(env, ["--rest_api_port=9000"]), env)
    assert (options.port, options.rest_api_port, options.model_base_path) == (8500, 9000, path)
    assert options.model_name == env.get("MODEL_NAME", "model")


@pytest.mark.parametrize(
    ("argv", "env", "name", "path"),
    [
        ([], {}, "default", ""),
        ([], {"MODEL_NAME": "half"}, "half", "/models/half"),
        ([], {"MODEL_BASE_PATH": "/data"}, "model", "/data/model"),
        (["--model_base_path=/x"], {"MODEL_NAME": "half"}, "default", "/x"),
        (["--model_name=y"], {"MODEL_BASE_PATH": "/data"}, "y", ""),
        (["--model_config_file=/c"], {"MODEL_NAME": "half", "MODEL_BASE_PATH": "/data"}, "default", ""),
    ],
)
def test_the_images_variables_name_the_model_when_no_flag_does(
    argv: list[str], env: dict[str, str], name: str, path: str
) -> None:
    options = parse(argv, env)
    assert (options.model_name, options.model_base_path) == (name, path)


def test_unavailable_flags_count_when_they_differ_from_their_default() -> None:
    argv = ["--prefer_tflite_model=false", "--mixed_precision=bfloat16", "--enable_profiler=false", "--port=1"]
    assert unavailable_flags_given(parse(argv, {})) == ["enable_profiler", "mixed_precision"]


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from([f"--{name}" for name in FLAGS]),
            st.from_regex(r"--(port|version|devices|enable_batching)=.{0,5}", fullmatch=True),
        ),
        max_size=6,
    )
)
def test_any_command_line_is_parsed_or_refused(argv: list[str]) -> None:
    try:
        options = parse(argv, {})
    except FlagExit as end:
        assert end.status in (0, 255)
        assert end.stdout
    else:
        assert set(options.unknown_arguments) <= set(argv)
        assert options.given <= FLAGS.keys()
