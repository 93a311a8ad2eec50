"""Percentiles, the arithmetic of a result, its table, and the requests that are sent."""

import numpy as np
import orjson
import pytest

from bench import generator, measure, payloads, report, server, startup, yardstick
from bench.__main__ import main
from bench.generator import Load
from bench.scenarios import MODELS, SCENARIOS
from protos import public

LOAD = Load(completed=1000, failed=100, seconds=2.0, p50_ms=1.5, p99_ms=9.0, generator_cpu_seconds=0.02)
SCENARIO = SCENARIOS["grpc-half_plus_two"]


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7], 50, 7),
        ([7], 99, 7),
        ([1, 2], 50, 1),
        ([1, 2, 3], 50, 2),
        ([1, 2, 3, 4], 0, 1),
        ([1, 2, 3, 4], 100, 4),
        (range(1, 101), 99, 99),
        (range(1, 102), 99, 100),
        (range(1, 1001), 99.9, 999),
    ],
)
def test_percentile(values, percent, expected):
    assert generator.percentile(np.array(values), percent) == expected


def test_result_counts_right_answers_and_cpu_of_all():
    result = measure.result_of(SCENARIO, LOAD, {"frontend": 0.03, "worker": 0.01})
    assert result.ok_per_second == 450
    assert result.cpu_us == pytest.approx({"frontend": 30, "worker": 10})
    assert result.server_cpu_us == pytest.approx(40)
    assert result.generator_cpu_us == pytest.approx(20)


def test_table_has_a_column_for_each_role():
    result = measure.result_of(SCENARIO, LOAD._replace(problem="too bad"), {"frontend": 0.03, "worker": 0.01})
    result = result._replace(yardstick_ms=7.5)
    roles = report.roles_of(result)
    assert report.heading(roles).split()[-6:] == ["frontend", "worker", "control", "generator", "yard", "ms"]
    first, second = report.line(result, roles).splitlines()
    assert first.split() == ["grpc-half_plus_two", "450", "1.50", "9.00", "40.0", "30.0", "10.0", "-", "20.0", "7.5"]
    assert len(first) == len(report.heading(roles))
    assert second == "  FAILED: too bad"
    other = measure.result_of(SCENARIO, LOAD, {"tensorflow_model_server": 0.05})
    assert report.roles_of(other) == ["tensorflow_model_server"]
    document = report.as_json([result], server="x", seconds=2)
    assert document["results"][0]["server_cpu_us"] == pytest.approx(40)
    assert document["results"][0]["problem"] == "too bad"


def test_a_missing_generator_is_named_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(generator.GeneratorFailed, match="nghttp2-client"):
        generator.run(["h2load"], 1)


def test_a_failing_generator_is_an_error(tmp_path, monkeypatch):
    program = tmp_path / "wrk"
    program.write_text("#!/bin/sh\necho unable to connect >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(generator.GeneratorFailed, match="wrk ended with 3: unable to connect"):
        generator.run(["wrk"], 1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [1, 3])
def test_requests_carry_their_tensor(model, rows):
    payload = payloads.make(model, rows)
    assert len(payload.value) == len(payload.expected) == rows
    request = public.PredictRequest.FromString(payloads.grpc_message(payload))
    tensor = request.inputs[payload.alias]
    assert request.model_spec.name == model
    assert [dim.size for dim in tensor.tensor_shape.dim] == list(payload.value.shape)
    if model == "ctr":
        assert list(tensor.string_val) == payload.value.ravel().tolist()
        return
    content = np.frombuffer(tensor.tensor_content, "<f4") if tensor.tensor_content else np.float32(tensor.float_val)
    assert content.tolist() == payload.value.ravel().tolist()
    parsed = np.array(orjson.loads(payloads.rest_body(payload))["instances"], np.float32)
    assert np.array_equal(parsed, payload.value)


def test_rest_strings():
    payload = payloads.make("ctr", 2)
    instances = orjson.loads(payloads.rest_body(payload))["instances"]
    assert [[item.encode() for item in row] for row in instances] == payload.value.tolist()


def test_sizes_of_the_large_requests():
    payload = payloads.make("image", 1)
    assert 602_112 <= len(payloads.grpc_message(payload)) < 603_000
    assert 2_900_000 < len(payloads.rest_body(payload)) < 3_300_000


def test_wrong_answers_are_refused():
    payload = payloads.make("mlp", 2)
    payloads.check(payload, payload.expected * np.float32(1.0001))
    with pytest.raises(payloads.WrongAnswer, match="shape"):
        payloads.check(payload, payload.expected[:1])
    with pytest.raises(payloads.WrongAnswer, match="answered"):
        payloads.check(payload, payload.expected + 1)


@pytest.mark.parametrize(
    ("text", "host", "ports"),
    [("localhost:8500:8501", "localhost", (8500, 8501)), ("[::1]:1:2", "[::1]", (1, 2))],
)
def test_target(text, host, ports):
    target = server.Target.parse(text)
    assert target.url_host == host
    assert (target.grpc_port, target.rest_port) == ports


@pytest.mark.parametrize("text", ["localhost", "localhost:8500", "localhost:a:b"])
def test_bad_target(text):
    with pytest.raises(ValueError, match="HOST:GRPC_PORT:REST_PORT"):
        server.Target.parse(text)


def test_config_names_every_model(tmp_path):
    text = server.write_config(tmp_path / "models", ["a", "b"], tmp_path).read_text()
    assert text.count("config {") == 2
    assert f'base_path: "{tmp_path}/models/b"' in text


@pytest.mark.parametrize(
    "arguments",
    [["--scenario", "nothing"], ["--seconds", "0"], ["--pid", "1"], ["--target", "a:1:2", "--server-flags", "--x"]],
)
def test_bad_command_lines(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_an_unreachable_server_is_a_failed_scenario(tmp_path, capsys):
    (port,) = server.free_ports(1)
    arguments = ["--target", f"127.0.0.1:{port}:{port}", "--json", str(tmp_path / "out" / "result.json")]
    assert main([*arguments, "--scenario", "rest-half_plus_two"]) == 1
    assert "FAILED" in capsys.readouterr().err
    assert b"ConnectionRefusedError" in (tmp_path / "out" / "result.json").read_bytes()


def test_a_slow_or_large_start_is_a_miss():
    memory = [("control", 81.0, 90.0), ("worker", 900.0, 900.0), ("frontend", 79.0, 120.0)]
    assert startup.misses({"control": 0.2, "frontend": 0.6}, memory) == [
        "frontend took 0.60 s",
        "control takes 81 MB",
    ]


def test_the_yardstick_is_cpu_time():
    assert 0.1 < yardstick.yardstick_ms() < 10_000
