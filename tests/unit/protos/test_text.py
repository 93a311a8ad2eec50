"""Strict text format, and the errors of configuration files."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos import public, text
from protos.errors import Code, ServingError
from protos.text import parse_text, read_text_file

_ONE_MODEL = public.ModelServerConfig(
    model_config_list={"config": [{"name": "a", "base_path": "/m/a", "model_platform": "tensorflow"}]}
)
_TWO_MODELS = public.ModelServerConfig(model_config_list={"config": [{"name": "a"}, {"name": "b"}]})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", public.ModelServerConfig()),
        (" \n\t\r\n", public.ModelServerConfig()),
        ("# only a comment", public.ModelServerConfig()),
        ("model_config_list {}", public.ModelServerConfig(model_config_list={})),
        (
            'model_config_list { config { name: "a" base_path: "/m/a" model_platform: "tensorflow" } }',
            _ONE_MODEL,
        ),
        (
            '# first\nmodel_config_list: {\n  config: { # here\n    name: "a",\n    base_path: "/m/a",\n'
            '    model_platform: "tensorflow"\n  },\n}\n',
            _ONE_MODEL,
        ),
        ("model_config_list < config < name: 'a'; base_path: '/m' '/a' model_platform: \"tensorflow\" > >", _ONE_MODEL),
        ('model_config_list { config: [{ name: "a" }, { name: "b" }] }', _TWO_MODELS),
        ('model_config_list { config [< name: "a" >, < name: "b" >] }', _TWO_MODELS),
        ('model_config_list { config { name: "a" } config { name: "b" } }', _TWO_MODELS),
        (
            'model_config_list { config { model_version_policy { specific { versions: [42, 0x2b] versions: 052 } } '
            'version_labels { key: "stable" value: 42 } version_labels { key: "canary", value: 43 } } }',
            public.ModelServerConfig(
                model_config_list={
                    "config": [
                        {
                            "model_version_policy": {"specific": {"versions": [42, 43, 42]}},
                            "version_labels": {"stable": 42, "canary": 43},
                        }
                    ]
                }
            ),
        ),
        (
            "model_config_list { config { model_version_policy { all {} } } }",
            public.ModelServerConfig(model_config_list={"config": [{"model_version_policy": {"all": {}}}]}),
        ),
        (
            r'model_config_list { config { name: "\303\251\n\x41\u00e9" } }',
            public.ModelServerConfig(model_config_list={"config": [{"name": "é\nAé"}]}),
        ),
        ("max_batch_size { value: 128 } batch_timeout_micros { value: 0 } num_batch_threads: { value: 8 }",
         public.BatchingParameters(
             max_batch_size={"value": 128}, batch_timeout_micros={}, num_batch_threads={"value": 8})),
        ("allowed_batch_sizes: 1 allowed_batch_sizes: [2, 4]",
         public.BatchingParameters(allowed_batch_sizes=[1, 2, 4])),
        ("max_batch_size {} allowed_batch_sizes: []", public.BatchingParameters(max_batch_size={})),
        ('prometheus_config: {\n  enable: true,\n  path: "/metrics"\n}',
         public.MonitoringConfig(prometheus_config={"enable": True, "path": "/metrics"})),
        ("gpu_options { allow_growth: true }", public.ConfigProto(gpu_options={"allow_growth": True})),
        ("graph_options { optimizer_options { global_jit_level: ON_1 opt_level: L0 } }",
         public.ConfigProto(graph_options={"optimizer_options": {"global_jit_level": 1, "opt_level": -1}})),
        ('server_key: "k" client_verify: false', public.SSLConfig(server_key="k")),
    ],
)  # fmt: skip
def test_accepts(source: str, expected: public.SSLConfig) -> None:
    assert parse_text(type(expected), source, path="p") == expected
    assert parse_text(type(expected), source.encode(), path="p") == expected
    assert parse_text(type(expected), source.replace("\n", "\r\n"), path="p") == expected


def test_accepts_any_written_out() -> None:
    source = """
    platform_configs {
      key: "tensorflow"
      value {
        source_adapter_config {
          [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
            legacy_config { saved_model_tags: "serve" enable_model_warmup: true }
          }
        }
      }
    }
    """
    parsed = parse_text(public.PlatformConfigMap, source, path="p")
    adapter = public.SavedModelBundleSourceAdapterConfig()
    assert parsed.platform_configs["tensorflow"].source_adapter_config.Unpack(adapter)
    assert adapter.legacy_config == public.SessionBundleConfig(saved_model_tags=["serve"], enable_model_warmup=True)


_MODELS = "tensorflow.serving.ModelServerConfig"


@pytest.mark.parametrize(
    ("message_class", "source", "problem"),
    [
        (public.ModelServerConfig, "improperly formatted file",
         f'{_MODELS}: 1:1: Message type "{_MODELS}" has no field named "improperly".'),
        (public.ModelServerConfig, "\n\n  model_config {}",
         f'{_MODELS}: 3:3: Message type "{_MODELS}" has no field named "model_config".'),
        (public.ModelServerConfig, 'model_config_list { config { name: "a" name: "b" } }',
         f'{_MODELS}: 1:46: Message type "tensorflow.serving.ModelConfig" should not have multiple "name" fields.'),
        (public.ModelServerConfig, "model_config_list {} model_config_list {}",
         f'{_MODELS}: 1:40: Message type "{_MODELS}" should not have multiple "model_config_list" fields.'),
        (public.ModelServerConfig, "model_config_list {} custom_model_config {}",
         f'{_MODELS}: 1:22: Field "custom_model_config" is specified along with field "model_config_list", '
         f'another member of oneof "config" for message type "{_MODELS}".'),
        (public.ModelServerConfig, "model_config_list {", f'{_MODELS}: 1:19: Expected "}}".'),
        (public.ModelServerConfig, "model_config_list { config [{}, ] }", f'{_MODELS}: 1:33: Expected "{{".'),
        (public.ModelServerConfig, "}", f"{_MODELS}: 1:1: Expected identifier or number, got }}."),
        (public.ModelServerConfig, "custom_model_config { [type.googleapis.com/no.Such] {} }",
         f"{_MODELS}: Type no.Such not found in descriptor pool"),
        (public.ModelServerConfig, "custom_model_config { " + "[x.y/google.protobuf.Any] {" * 2000,
         f"{_MODELS}: Nested too deeply."),
        (public.ModelServerConfig, b'model_config_list {\n  # \xff\n}', f"{_MODELS}: 2:5: Not UTF-8."),
        (public.SSLConfig, 'server_key: 3', "tensorflow.serving.SSLConfig: 1:13: Expected string but found: '3'"),
        (public.SSLConfig, 'server_key "x"', 'tensorflow.serving.SSLConfig: 1:12: Expected ":".'),
        (public.SSLConfig, "client_verify: maybe",
         'tensorflow.serving.SSLConfig: 1:16: Expected "true" or "false".'),
        (public.SSLConfig, 'client_verify: true 1: "x"',
         'tensorflow.serving.SSLConfig: 1:21: Message type "tensorflow.serving.SSLConfig" has no field named "1".'),
        (public.BatchingParameters, "max_batch_size { value: 9223372036854775808 }",
         "tensorflow.serving.BatchingParameters: 1:25: Value out of range: 9223372036854775808"),
        (public.ConfigProto, "graph_options { optimizer_options { opt_level: L9 } }",
         'tensorflow.ConfigProto: 1:48: Enum type "tensorflow.OptimizerOptions.Level" has no value named L9.'),
    ],
)  # fmt: skip
def test_refuses_and_says_where(
    message_class: type[public.SSLConfig], source: str | bytes, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ServingError) as caught:
        parse_text(message_class, source, path="/etc/models.txt")
    assert str(caught.value) == "INVALID_ARGUMENT: Invalid protobuf file: '/etc/models.txt'"
    assert capsys.readouterr().err == f"Error parsing text-format {problem}\n"


@pytest.mark.parametrize(
    "source",
    [
        'server_key: "SECRET" client_verify: maybe',
        'server_key: "SECRET',
        "server_key: 'SECRET\n'",
        'server_key: "SECRET\': X" 3',
        'server_key: "SECRET\\377"',
        'server_key: "SECRET\\ud800"',
        'server_key: "SECRET" server_key: "SECRET"',
        'server_key: "SECRET" "SECRET',
    ],
)
def test_strings_of_the_file_stay_out_of_the_log(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServingError):
        parse_text(public.SSLConfig, source, path="p")
    printed = capsys.readouterr().err
    assert printed.startswith("Error parsing text-format tensorflow.serving.SSLConfig: ")
    assert printed.count("\n") == 1
    assert "SECRET" not in printed


_TOKENS = (
    "model_config_list config custom_model_config name version_labels key value model_version_policy latest all "
    '{ } < > [ ] : , ; "a" \' " \\ - 3 1e400 inf true / # type.googleapis.com/tensorflow.serving.ModelSpec '
    'google.protobuf.Any "\\ud800" "\\400" "\\U00110000" \n é'
)
_TOKEN_TEXT = st.lists(st.sampled_from(_TOKENS.split(" ")), max_size=14).map(" ".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(_TOKEN_TEXT, st.text(max_size=40), st.binary(max_size=40)))
def test_parses_or_raises_serving_error(capsys: pytest.CaptureFixture[str], source: str | bytes) -> None:
    try:
        parsed = parse_text(public.ModelServerConfig, source, path="p")
    except ServingError as error:
        assert error.code == Code.INVALID_ARGUMENT
        assert error.message == "Invalid protobuf file: 'p'"
        assert capsys.readouterr().err.count("\n") == 1
    else:
        assert isinstance(parsed, public.ModelServerConfig)
        assert capsys.readouterr().err == ""


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_LABELS = st.dictionaries(_TEXT, st.integers(-(2**63), 2**63 - 1), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_TEXT, _TEXT, st.dictionaries(_TEXT, st.integers(-(2**63), 2**63 - 1), max_size=3)), max_size=4)
)
def test_what_protobuf_prints_is_read_back(models: list[tuple[str, str, dict[str, int]]]) -> None:
    config = public.ModelServerConfig(model_config_list={})
    for name, base_path, labels in models:
        config.model_config_list.config.add(name=name, base_path=base_path, version_labels=labels)
    assert parse_text(public.ModelServerConfig, str(config), path="p") == config


def _failure(path: object) -> tuple[int, str]:
    with pytest.raises(ServingError) as caught:
        read_text_file(str(path), public.MonitoringConfig)
    return caught.value.code, caught.value.message


def test_reads_a_file_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("prometheus_config { enable: true }")
    (tmp_path / "link").symlink_to("real")
    expected = public.MonitoringConfig(prometheus_config={"enable": True})
    assert read_text_file(str(tmp_path / "link"), public.MonitoringConfig) == expected


def test_file_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, bad, pipe = tmp_path / "empty", tmp_path / "bad", tmp_path / "pipe"
    empty.write_bytes(b"")
    bad.write_text("prometheus_config { enabled: true }")
    os.mkfifo(pipe)
    gone = tmp_path / "gone"
    open_before = len(os.listdir("/dev/fd"))
    assert _failure(gone) == (Code.NOT_FOUND, f"{gone}; No such file or directory")
    assert _failure("") == (Code.NOT_FOUND, "; No such file or directory")
    assert _failure(empty) == (Code.INVALID_ARGUMENT, f"{empty}; Invalid argument")
    assert _failure("a\0b") == (Code.INVALID_ARGUMENT, "a\0b; Invalid argument")
    assert _failure(tmp_path) == (Code.FAILED_PRECONDITION, f"{tmp_path}; Is a directory")
    assert _failure(bad / "x") == (Code.FAILED_PRECONDITION, f"{bad}/x; Not a directory")
    assert _failure(pipe) == (Code.FAILED_PRECONDITION, f"{pipe}; Not a regular file")
    assert capsys.readouterr().err == ""
    assert len(os.listdir("/dev/fd")) == open_before
    assert _failure(bad) == (Code.INVALID_ARGUMENT, f"Invalid protobuf file: '{bad}'")
    assert capsys.readouterr().err == (
        "Error parsing text-format tensorflow.serving.MonitoringConfig: 1:21: "
        'Message type "tensorflow.serving.PrometheusConfig" has no field named "enabled".\n'
    )


def test_unreadable_file_is_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything, so the refusal of the system is played.
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(text.os, "open", refuse)
    path = tmp_path / "secret"
    assert _failure(path) == (Code.PERMISSION_DENIED, f"{path}; Permission denied")


def test_file_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_FILE_BYTES", 8)
    path = tmp_path / "file"
    path.write_bytes(b"# 345678")
    assert read_text_file(str(path), public.MonitoringConfig) == public.MonitoringConfig()
    path.write_bytes(b"# 3456789")
    assert _failure(path) == (Code.INVALID_ARGUMENT, f"{path}; Larger than 8 bytes")


def test_white_space_file_is_an_empty_message(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\n")
    assert read_text_file(str(path), public.MonitoringConfig) == public.MonitoringConfig()
