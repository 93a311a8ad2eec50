"""Certificates for tests: one authority that everybody trusts, one that nobody should, and texts of SSLConfig files."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from google.protobuf import text_format

from protos.configs import TlsConfig
from protos.public import SSLConfig


@dataclass(frozen=True)
class Pair:
    """PEM texts of a certificate chain and its key."""

    certificates: str
    key: str


class Authority:
    """Signs certificates."""

    def __init__(self) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.pem = self._ca.cert_pem.bytes().decode()

    def issue(self, *names: str) -> Pair:
        """A new certificate for these names (of hosts), and its key."""
        issued = self._ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA)
        chain = "".join(blob.bytes().decode() for blob in issued.cert_chain_pems)
        return Pair(chain, issued.private_key_pem.bytes().decode())

    def client_context(self, pair: Pair | None = None, *, folder: Path | None = None) -> ssl.SSLContext:
        """A client's side that trusts this authority and shows `pair` (which is written to `folder`)."""
        context = ssl.create_default_context(cadata=self.pem)
        if pair is not None:
            assert folder is not None
            path = folder / "client.pem"
            path.write_text(pair.key + pair.certificates)
            context.load_cert_chain(path)
        return context


@functools.cache
def trusted() -> Authority:
    """The one that servers and clients share."""
    return Authority()


@functools.cache
def stranger() -> Authority:
    """Another one."""
    return Authority()


@functools.cache
def server_pair() -> Pair:
    """For servers on this box."""
    return trusted().issue("localhost", "127.0.0.1")


@functools.cache
def client_pair() -> Pair:
    """For clients that servers accept."""
    return trusted().issue("client.test")


def tls_config(*, verify_clients: bool = False) -> TlsConfig:
    """What control would tell a front end."""
    pair = server_pair()
    return TlsConfig(
        key=pair.key,
        certificates=pair.certificates,
        client_ca=trusted().pem if verify_clients else "",
        verify_clients=verify_clients,
    )


def write_ssl_config(path: Path, tls: TlsConfig) -> str:
    """Write a text SSLConfig, as users do; its path."""
    message = SSLConfig(
        server_key=tls.key, server_cert=tls.certificates, custom_ca=tls.client_ca, client_verify=tls.verify_clients
    )
    path.write_text(text_format.MessageToString(message))
    path.chmod(0o600)
    return str(path)
