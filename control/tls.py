"""SSLConfig files, as far as control goes: read, check, and hand on only where nobody else can listen."""

from __future__ import annotations

from protos.configs import TlsConfig
from protos.errors import ServingError, invalid_argument
from protos.public import SSLConfig
from protos.text import read_text_file
from protos.tls import server_context


def read_tls(path: str, *, alpn: str) -> TlsConfig:
    """The checked contents of a text SSLConfig.

    Raises:
        ServingError: as `read_text_file` says; INVALID_ARGUMENT, naming the file, when a key or certificate cannot be
            used.
    """
    message = read_text_file(path, SSLConfig)
    config = TlsConfig(
        key=message.server_key,
        certificates=message.server_cert,
        client_ca=message.custom_ca,
        verify_clients=message.client_verify,
    )
    try:
        server_context(config, alpn=(alpn,))
    except ServingError as error:
        raise ServingError(error.code, f"{path}: {error.message}") from None
    return config


def check_endpoint_for_keys(endpoint: str) -> None:
    """Whether keys may be sent to front ends over `endpoint`: `tcp://`, which is encrypted, or a unix socket's file.

    Raises:
        ServingError: INVALID_ARGUMENT, others could connect there and be told the keys.
    """
    if not endpoint.startswith(("tcp://", "ipc://")) or endpoint.startswith(("ipc://@", "ipc://*")):
        raise invalid_argument(
            f"--control_endpoint={endpoint} cannot carry TLS keys to front ends: use tcp://, which is encrypted, or "
            "ipc:// with a path"
        )
