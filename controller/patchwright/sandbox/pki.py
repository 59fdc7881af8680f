"""The sandbox's own certificate authority: server certificates, and a client certificate for whoever is to log in.

RBAC sees the common name as the user and the organisations as its groups. Keys are P-256: made in a millisecond.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import oid

MASTERS = "system:masters"
_LIFE = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """The files of a sandbox's certificate authority, in ``directory``."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """The certificate that clients and servers trust."""
        return self.directory / "ca.crt"

    @property
    def server(self) -> tuple[Path, Path]:
        """Certificate and key of every server, for loopback."""
        return self.directory / "server.crt", self.directory / "server.key"

    @property
    def service_accounts(self) -> tuple[Path, Path]:
        """Public and private key of service account tokens."""
        return self.directory / "sa.pub", self.directory / "sa.key"

    def create(self) -> None:
        """Write the authority, the server certificate and the service account keys, once."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.certificate.exists():
            return
        ca_key = ec.generate_private_key(ec.SECP256R1())
        authority = _authority(ca_key)
        _write(self.directory / "ca.key", _pem(ca_key))
        _write(self.server[0], (pair := _issue(authority, ca_key, user="sandbox", server=True)).certificate)
        _write(self.server[1], pair.key)
        self._create_service_account_keys()
        # Last: its existence says that the rest is there.
        _write(self.certificate, authority)

    def client(self, user: str, groups: Sequence[str] = ()) -> Pair:
        """Issue a client certificate for ``user`` in ``groups``."""
        key = serialization.load_pem_private_key((self.directory / "ca.key").read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return _issue(self.certificate.read_bytes(), key, user=user, groups=groups)

    def kubeconfig(self, path: Path, *, url: str, user: str, groups: Sequence[str] = ()) -> Path:
        """Write a kubeconfig that logs in at ``url`` as ``user``; give its path."""
        pair = self.client(user, groups)
        cluster = {"server": url, "certificate-authority-data": _b64(self.certificate.read_bytes())}
        login = {"client-certificate-data": _b64(pair.certificate), "client-key-data": _b64(pair.key)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "users": [{"name": user, "user": login}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": user}}],
            "current-context": "sandbox",
        }
        _write(path, yaml.safe_dump(document, sort_keys=False).encode())
        return path

    def _create_service_account_keys(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write(self.service_accounts[0], public)
        _write(self.service_accounts[1], _pem(key))


def _authority(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = _name("patchwright sandbox", ())
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(usage, critical=True).add_extension(identifier, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _issue(
    authority: bytes,
    ca_key: ec.EllipticCurvePrivateKey,
    *,
    user: str,
    groups: Sequence[str] = (),
    server: bool = False,
) -> Pair:
    issuer = x509.load_pem_x509_certificate(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = oid.ExtendedKeyUsageOID.SERVER_AUTH if server else oid.ExtendedKeyUsageOID.CLIENT_AUTH
    # Python's ssl verifies strictly (RFC 5280) and wants the authority key identifier.
    link = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = _builder(_name(user, groups), issuer.subject, key)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(link, critical=False)
    if server:
        builder = builder.add_extension(_loopback(), critical=False)
    signed = builder.sign(ca_key, hashes.SHA256())
    return Pair(signed.public_bytes(serialization.Encoding.PEM), _pem(key))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    # An hour back, for clocks that are put right while a sandbox starts.
    return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + _LIFE)


def _loopback() -> x509.SubjectAlternativeName:
    hosts = [x509.DNSName(name) for name in ("localhost", "kubernetes.default.svc")]
    return x509.SubjectAlternativeName([*hosts, x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])


def _name(user: str, groups: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(oid.NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(oid.NameOID.COMMON_NAME, user)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _write(path: Path, data: bytes) -> None:
    # Private before there is anything in it.
    path.touch(mode=0o600)
    path.write_bytes(data)
