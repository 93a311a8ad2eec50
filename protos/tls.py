"""TLS on the server's side: PEM texts to an `ssl.SSLContext`, checked with words for what is wrong with them.

Control makes a context at the start to find mistakes, front ends make theirs from the same texts. TLS 1.2 and later,
with the ciphers that Python takes by default. Python's `ssl` reads keys from files only; here these are in memory, only
this process can open them, and they are gone when the context is made.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator, Sequence

from protos.configs import TlsConfig
from protos.errors import ServingError, invalid_argument

# What OpenSSL says of a pair that is none; the last one when they are of two kinds (RSA, EC).
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class _Encrypted(Exception):
    """The key asks for a password."""


def server_context(config: TlsConfig, *, alpn: Sequence[str]) -> ssl.SSLContext:
    """A context that serves with `config` and offers the protocols `alpn` (RFC 7301), the preferred one first.

    Raises:
        ServingError: INVALID_ARGUMENT; the text never holds anything of the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that negotiates again and again would cost us a handshake's work for a few bytes each time.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(alpn))
    _load_key_pair(context, config)
    if config.client_ca:
        try:
            _load_authorities(context, config.client_ca)
        except ssl.SSLError as error:
            raise _refusal("custom_ca holds no readable PEM certificates", error) from None
    elif config.verify_clients:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    if config.verify_clients:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_key_pair(context: ssl.SSLContext, config: TlsConfig) -> None:
    if not config.certificates:
        raise invalid_argument("server_cert is empty")
    if not config.key:
        raise invalid_argument("server_key is empty")
    try:
        # On a context of its own, only to tell what is wrong with the certificates from what is with the key.
        _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config.certificates)
    except ssl.SSLError as error:
        raise _refusal("server_cert holds no readable PEM certificates", error) from None

    def password() -> str:
        # Without this OpenSSL would ask the terminal.
        raise _Encrypted

    try:
        with _file(config.certificates) as certificates, _file(config.key) as key:
            context.load_cert_chain(certificates, key, password=password)
    except _Encrypted:
        raise invalid_argument("server_key is encrypted; it must be a PEM private key without a password") from None
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            raise invalid_argument("server_key does not belong to the first certificate in server_cert") from None
        if error.reason and error.reason.startswith(("EE_", "CA_")):
            raise _refusal("server_cert is refused", error) from None
        raise _refusal("server_key holds no readable PEM private key", error) from None


def _load_authorities(context: ssl.SSLContext, pem: str) -> None:
    with _file(pem) as path:
        context.load_verify_locations(cafile=path)


def _refusal(text: str, error: ssl.SSLError) -> ServingError:
    return invalid_argument(f"{text}: {error.reason}" if error.reason else text)


@contextlib.contextmanager
def _file(text: str) -> Iterator[str]:
    """A path under which this process alone can read `text`, as long as the block lasts."""
    descriptor = os.memfd_create("tensormux-tls", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
