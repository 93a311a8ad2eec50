"""PEM texts are taken, or refused with words that say what is wrong and show nothing of the key."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from protos.configs import FrontendConfig, TlsConfig
from protos.errors import Code, ServingError
from protos.messages import Welcome
from protos.tls import server_context
from tests import certificates

PAIR = certificates.server_pair()
OTHER = certificates.trusted().issue("localhost")
CA = certificates.trusted().pem

_RSA = rsa.generate_private_key(65537, 2048)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"", *, old: bool = False) -> str:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    form = serialization.PrivateFormat.TraditionalOpenSSL if old else serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


def encrypted(*, old: bool) -> str:
    key = serialization.load_pem_private_key(PAIR.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return pem(key, b"secret", old=old)


def tls(**changes: object) -> TlsConfig:
    return TlsConfig(**{"key": PAIR.key, "certificates": PAIR.certificates, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": ""}, "server_key is empty"),
        ({"certificates": ""}, "server_cert is empty"),
        ({"key": "text"}, "server_key holds no readable PEM private key"),
        ({"key": PAIR.key[:100]}, "server_key holds no readable PEM private key"),
        ({"key": PAIR.certificates}, "server_key holds no readable PEM private key"),
        ({"key": OTHER.key}, "server_key does not belong to the first certificate in server_cert"),
        ({"key": pem(_RSA)}, "server_key does not belong to the first certificate in server_cert"),
        ({"key": encrypted(old=False)}, "server_key is encrypted; it must be a PEM private key without a password"),
        ({"key": encrypted(old=True)}, "server_key is encrypted; it must be a PEM private key without a password"),
        ({"certificates": "text"}, "server_cert holds no readable PEM certificates"),
        ({"certificates": PAIR.certificates[:300]}, "server_cert holds no readable PEM certificates"),
        ({"certificates": PAIR.key}, "server_cert holds no readable PEM certificates"),
        ({"client_ca": "text"}, "custom_ca holds no readable PEM certificates"),
        ({"client_ca": "text", "verify_clients": True}, "custom_ca holds no readable PEM certificates"),
        ({"client_ca": CA + CA[:200], "verify_clients": True}, "custom_ca holds no readable PEM certificates"),
    ],
)
def test_what_is_refused(changes: dict[str, object], error: str) -> None:
    with pytest.raises(ServingError) as refused:
        server_context(tls(**changes), alpn=("h2",))
    assert refused.value.code == Code.INVALID_ARGUMENT
    assert refused.value.message.startswith(error)
    assert not any(line in str(refused.value) for line in PAIR.key.splitlines())


def test_what_is_taken() -> None:
    context = server_context(tls(), alpn=("h2",))
    assert context.verify_mode == ssl.CERT_NONE
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    # Comments, in whatever language, are no part of PEM.
    context = server_context(
        tls(certificates=f"# für uns\n{PAIR.certificates}", client_ca=f"# für sie\n{CA}"), alpn=("h2",)
    )
    assert context.verify_mode == ssl.CERT_NONE


def test_client_verification() -> None:
    ours = server_context(tls(client_ca=CA, verify_clients=True), alpn=("h2",))
    assert ours.verify_mode == ssl.CERT_REQUIRED
    assert len(ours.get_ca_certs()) == 1


def test_the_authorities_of_the_system_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text(CA)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    context = server_context(tls(verify_clients=True), alpn=("h2",))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert [dict(entry) for entry in context.get_ca_certs()] == [
        dict(entry) for entry in server_context(tls(client_ca=CA, verify_clients=True), alpn=()).get_ca_certs()
    ]


def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    server_context(tls(client_ca=CA), alpn=("h2",))
    with pytest.raises(ServingError):
        server_context(tls(key="text"), alpn=("h2",))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_key_is_never_shown() -> None:
    config = FrontendConfig(tls=tls(), rest_tls=tls(verify_clients=True))
    told = Welcome(protocol=1, frontend=config)
    for text in (repr(config), str(told), f"{tls()}"):
        assert "BEGIN" not in text
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Welcome) == told
