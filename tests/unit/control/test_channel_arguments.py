"""--grpc_channel_arguments: what is honoured, what the log says of the rest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control import flags
from control.channel_arguments import parse_channel_arguments
from control.startup import Startup, prepare
from protos.configs import GrpcConfig

FLAG = "--grpc_channel_arguments"


def plan(*arguments: str) -> Startup:
    return prepare(flags.parse(["--model_base_path=/m", *arguments], {}), {}, cpus=1)


def test_nothing() -> None:
    parsed = parse_channel_arguments("")
    assert parsed.grpc == GrpcConfig()
    assert (parsed.max_streams, parsed.max_message_bytes, parsed.complaints, parsed.notes) == (None, None, (), ())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("grpc.max_connection_age_ms=2000", GrpcConfig(max_age_seconds=2.0)),
        ("grpc.max_connection_age_ms=2147483647", GrpcConfig(max_age_seconds=0.0)),
        ("grpc.max_connection_age_grace_ms=0", GrpcConfig(age_grace_seconds=0.0)),
        ("grpc.max_connection_age_grace_ms=2147483647", GrpcConfig(age_grace_seconds=-1.0)),
        ("grpc.max_connection_idle_ms=1500", GrpcConfig(idle_seconds=1.5)),
        ("grpc.keepalive_time_ms=2147483647", GrpcConfig(keepalive_seconds=0.0)),
        (
            "grpc.keepalive_time_ms=10000,grpc.keepalive_timeout_ms=500",
            GrpcConfig(keepalive_seconds=10.0, keepalive_timeout_seconds=0.5),
        ),
        ("grpc.max_send_message_length=7", GrpcConfig(max_send_bytes=7)),
        ("grpc.max_send_message_length=-1", GrpcConfig(max_send_bytes=-1)),
        ("grpc.max_metadata_size=32768", GrpcConfig(max_metadata_bytes=32768)),
        ("grpc.http2.max_frame_size=16384", GrpcConfig(max_frame_bytes=16384)),
        # How it is taken apart.
        ("grpc.max_send_message_length= +7 ", GrpcConfig(max_send_bytes=7)),
        ("grpc.max_send_message_length=7=8", GrpcConfig(max_send_bytes=7)),
        ("grpc.max_send_message_length=7,grpc.max_send_message_length=8", GrpcConfig(max_send_bytes=8)),
    ],
)
def test_what_is_honoured(text: str, wanted: GrpcConfig) -> None:
    parsed = parse_channel_arguments(text)
    assert parsed.grpc == wanted
    assert not parsed.complaints and not parsed.notes


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("grpc.max_connection_age_ms", "ignored 'grpc.max_connection_age_ms', which is not name=value"),
        (",", "ignored '', which is not name=value"),
        ("grpc.lb_policy_name=grpclb", "grpc.lb_policy_name has no effect in tensormux"),
        ("Grpc.max_send_message_length=7", "Grpc.max_send_message_length has no effect in tensormux"),
        ("=7", " has no effect in tensormux"),
        ("grpc.so_reuseport=0", "grpc.so_reuseport cannot be turned off, ignored '0'"),
    ],
)
def test_what_is_not(text: str, complaint: str) -> None:
    parsed = parse_channel_arguments(text)
    assert parsed.grpc == GrpcConfig()
    assert set(parsed.complaints) == {f"{FLAG}: {complaint}"}


@pytest.mark.parametrize("value", ["", "soon", "1.5", "0", "-1", "2147483648", "9" * 5000, "١"])
def test_numbers_that_cannot_be(value: str) -> None:
    parsed = parse_channel_arguments(f"grpc.max_connection_age_ms={value}")
    assert parsed.grpc == GrpcConfig()
    assert parsed.complaints == (
        f"{FLAG}: grpc.max_connection_age_ms must be a whole number from 1 to 2147483647, ignored '{value}'",
    )


@pytest.mark.parametrize("name", ["grpc.so_reuseport", "grpc.so_reuseaddr", "grpc.keepalive_permit_without_calls"])
def test_what_is_always_so(name: str) -> None:
    parsed = parse_channel_arguments(f"{name}=1")
    assert parsed.notes == (f"{FLAG}: {name} is always so",) and not parsed.complaints


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="grpc.max_send_message_length=,-019 \n\0", max_size=80) | st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    parsed = parse_channel_arguments(text)
    items = text.split(",") if text else []
    assert len(parsed.complaints) + len(parsed.notes) <= len(items)


def test_the_plan_has_them() -> None:
    started = plan(
        f"{FLAG}=grpc.max_concurrent_streams=7,grpc.max_receive_message_length=99,grpc.so_reuseport=1,grpc.x=1"
    )
    assert (started.frontend.max_streams, started.frontend.max_message_bytes) == (7, 99)
    assert started.complaints == (f"{FLAG}: grpc.x has no effect in tensormux",)
    assert f"{FLAG}: grpc.so_reuseport is always so" in started.notes
    assert plan(f"{FLAG}=grpc.max_receive_message_length=-1").frontend.max_message_bytes == (1 << 31) - 1
    assert plan(f"{FLAG}=grpc.max_connection_age_ms=2000").frontend.grpc.max_age_seconds == 2.0


def test_flags_of_our_own_count_for_more() -> None:
    own = ("--max_streams_per_connection=5", "--max_message_bytes=50")
    frontend = plan(f"{FLAG}=grpc.max_concurrent_streams=7,grpc.max_receive_message_length=99", *own).frontend
    assert (frontend.max_streams, frontend.max_message_bytes) == (5, 50)


def test_the_health_service_is_a_flag() -> None:
    assert not plan().frontend.grpc_health
    assert plan("--enable_grpc_healthcheck_service").frontend.grpc_health
