"""The file that TENSORMUX_CURVE_KEY_FILE names."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from protos.channel import ENV_CURVE_FILE, ENV_CURVE_PUBLIC, ENV_CURVE_SECRET, Channel, Curve

PUBLIC, SECRET = zmq.curve_keypair()
PAIR = {ENV_CURVE_PUBLIC: PUBLIC.decode(), ENV_CURVE_SECRET: SECRET.decode()}
OTHER_PUBLIC, OTHER_SECRET = zmq.curve_keypair()


def test_an_empty_name_is_none():
    assert Curve.from_env({ENV_CURVE_PUBLIC: "", ENV_CURVE_SECRET: "", ENV_CURVE_FILE: ""}) is None


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_the_environment_goes_before_the_file(tmp_path: Path, quote: str):
    path = tmp_path / "keys"
    lines = [f"{name}={quote}{value}{quote}" for name, value in PAIR.items()]
    path.write_text("# a pair\n\n" + "\n".join(lines) + "\n")
    assert Curve.from_env({ENV_CURVE_FILE: str(path)}) == Curve(PUBLIC, SECRET)
    other = {ENV_CURVE_PUBLIC: OTHER_PUBLIC.decode(), ENV_CURVE_SECRET: OTHER_SECRET.decode()}
    assert Curve.from_env({ENV_CURVE_FILE: str(path), **other}) == Curve(OTHER_PUBLIC, OTHER_SECRET)


@pytest.mark.parametrize(
    "content",
    [
        f"{ENV_CURVE_PUBLIC}={PAIR[ENV_CURVE_PUBLIC]}\n",
        f"{ENV_CURVE_SECRET}={PAIR[ENV_CURVE_SECRET]}\n",
        f"{ENV_CURVE_PUBLIC}={OTHER_PUBLIC.decode()}\n{ENV_CURVE_SECRET}={PAIR[ENV_CURVE_SECRET]}\n",
        f"{ENV_CURVE_PUBLIC}\n{ENV_CURVE_SECRET}\n",
        "",
    ],
)
def test_names_the_file_that_holds_no_pair(tmp_path: Path, content: str):
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(ValueError, match="keys: .* must be set together and be a CURVE key pair"):
        Curve.from_env({ENV_CURVE_FILE: str(path)})


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_names_the_file_that_cannot_be_read(tmp_path: Path, content: bytes | None):
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read {ENV_CURVE_FILE}=.*keys: "):
        Curve.from_env({ENV_CURVE_FILE: str(path)})


def test_tcp_without_keys_names_all_the_variables():
    channel = Channel()
    try:
        with pytest.raises(ValueError, match=f"{ENV_CURVE_PUBLIC} and {ENV_CURVE_SECRET}, or {ENV_CURVE_FILE}"):
            channel.bind_router("tcp://127.0.0.1:*")
    finally:
        channel.close()
