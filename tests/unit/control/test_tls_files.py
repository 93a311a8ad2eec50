"""SSLConfig files as flags name them: read and checked before anything starts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from control.flags import parse
from control.startup import Startup, prepare
from protos.channel import Channel
from protos.configs import TlsConfig
from protos.errors import ServingError
from tests import certificates

FLAGS = ("ssl_config_file", "rest_ssl_config_file")


def plan(*argv: str) -> Startup:
    argv = ("--model_base_path=/models/m", *argv)
    return prepare(parse(argv, {}), {"CUDA_VISIBLE_DEVICES": "-1"}, cpus=1)


def refusal(*argv: str) -> str:
    with pytest.raises(ServingError) as refused:
        plan(*argv)
    return str(refused.value)


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("verify_clients", [False, True])
def test_front_ends_are_told(tmp_path: Path, flag: str, verify_clients: bool) -> None:
    tls = certificates.tls_config(verify_clients=verify_clients)
    config = plan(f"--{flag}={certificates.write_ssl_config(tmp_path / 'ssl', tls)}").frontend
    told = {"ssl_config_file": config.tls, "rest_ssl_config_file": config.rest_tls}
    assert told == {**dict.fromkeys(FLAGS), flag: tls}


@pytest.mark.parametrize("flag", FLAGS)
def test_files_that_stop_the_start(tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ssl"
    argument = f"--{flag}={path}"
    assert refusal(argument) == f"NOT_FOUND: {path}; No such file or directory"
    path.write_text("")
    assert refusal(argument) == f"INVALID_ARGUMENT: {path}; Invalid argument"
    key = certificates.server_pair().key
    path.write_text(f'server_key: "{key}"')  # lines must be escaped in a string
    assert refusal(argument) == f"INVALID_ARGUMENT: Invalid protobuf file: '{path}'"
    said = capsys.readouterr().err
    assert said.startswith("Error parsing text-format tensorflow.serving.SSLConfig: 1:")
    assert not any(line in said for line in key.splitlines())
    path.write_text("# nothing is set")
    assert refusal(argument) == f"INVALID_ARGUMENT: {path}: server_cert is empty"
    bad = msgspec.structs.replace(certificates.tls_config(), key=certificates.trusted().issue("x").key)
    certificates.write_ssl_config(path, bad)
    assert refusal(argument) == (
        f"INVALID_ARGUMENT: {path}: server_key does not belong to the first certificate in server_cert"
    )


def test_alts_stays_refused() -> None:
    assert refusal("--use_alts_credentials").startswith("UNIMPLEMENTED: --use_alts_credentials is not available")


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("", True),
        ("tcp://127.0.0.1:9000", True),
        ("ipc:///run/tensormux/control.sock", True),
        ("ipc://@abstract", False),
        ("ipc://*", False),
        ("ws://127.0.0.1:9000", False),
    ],
)
def test_where_keys_may_travel(tmp_path: Path, endpoint: str, allowed: bool) -> None:
    path = certificates.write_ssl_config(tmp_path / "ssl", certificates.tls_config())
    argv = (f"--ssl_config_file={path}", f"--control_endpoint={endpoint}")
    if allowed:
        assert isinstance(plan(*argv).frontend.tls, TlsConfig)
    else:
        assert refusal(*argv).startswith(
            f"INVALID_ARGUMENT: --control_endpoint={endpoint} cannot carry TLS keys to front ends"
        )
    assert plan(argv[1]).frontend.tls is None


def test_a_unix_endpoint_is_for_its_user_alone(tmp_path: Path) -> None:
    channel = Channel()
    umask = os.umask(0)
    try:
        sock, _ = channel.bind_router(f"ipc://{tmp_path}/control.sock")
        sock.close()
        assert os.umask(0) == 0
    finally:
        os.umask(umask)
        channel.close()
    mode = stat.S_IMODE((tmp_path / "control.sock").stat().st_mode)
    assert mode & 0o077 == 0, oct(mode)
