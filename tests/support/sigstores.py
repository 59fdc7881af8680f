"""A Sigstore of one's own: a certificate authority, a log of certificates, a log of signatures, and keyless signatures.

What Fulcio, the certificate log and Rekor (version 1) would answer is made here, by the same formats: RFC 6962 and
Sigstore's bundles. It is what sigstore-python, and cosign with ``--trusted-root``, verify against this root.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from patchwright.domain.images.trust import Document, Form
from support import vouching
from support.vouching import b64

ISSUER: Final = "https://token.actions.githubusercontent.com"
SUBJECT: Final = "https://github.com/acme/api/.github/workflows/release.yaml@refs/tags/v1.4.3"
NOW: Final = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
_ISSUER_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_SCT_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ORIGIN: Final = "rekor.test"
_LIFE: Final = timedelta(minutes=10)

Key = ec.EllipticCurvePrivateKey


def _key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _sign(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _der(key: Key) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def _id(key: Key) -> bytes:
    return hashlib.sha256(_der(key)).digest()


@dataclass(frozen=True)
class Sigstore:
    """The authority and both logs."""

    authority: Key = field(default_factory=_key)
    certificates: Key = field(default_factory=_key)
    log: Key = field(default_factory=_key)

    @property
    def root(self) -> bytes:
        """The trusted root, as ``cosign trusted-root create`` writes it."""
        valid = {"start": "2026-01-01T00:00:00Z"}
        authority = self._root_certificate().public_bytes(serialization.Encoding.DER)
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log("https://rekor.test", self.log)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "acme", "commonName": "acme"},
                    "uri": "https://fulcio.test",
                    "certChain": {"certificates": [{"rawBytes": b64(authority)}]},
                    "validFor": valid,
                }
            ],
            "ctlogs": [_log("https://ctlog.test", self.certificates)],
            "timestampAuthorities": list[Any](),
        }
        return json.dumps(document).encode()

    def bundle(
        self, body: bytes | None = None, *, issuer: str = ISSUER, subject: str = SUBJECT, at: datetime = NOW
    ) -> Document:
        """Sign a statement as somebody."""
        return Document(Form.BUNDLE, json.dumps(self.document(body, issuer=issuer, subject=subject, at=at)).encode())

    def document(
        self, body: bytes | None = None, *, issuer: str = ISSUER, subject: str = SUBJECT, at: datetime = NOW
    ) -> dict[str, Any]:
        """Give the bundle as an object."""
        key = _key()
        certificate = self._certificate(key, issuer=issuer, subject=subject, at=at)
        signer = vouching.Signer(b"", lambda data: _sign(key, data))
        envelope = vouching.envelope(signer, body)
        return {
            "mediaType": Form.BUNDLE.value,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(certificate.public_bytes(serialization.Encoding.DER))},
                "tlogEntries": [self._entry(envelope, certificate, at=at)],
            },
            "dsseEnvelope": envelope,
        }

    def _root_certificate(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        public = self.authority.public_key()
        return (
            x509.CertificateBuilder(name, name, public, 1)
            .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.authority, hashes.SHA256())
        )

    def _certificate(self, key: Key, *, issuer: str, subject: str, at: datetime) -> x509.Certificate:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        who: x509.GeneralName = x509.RFC822Name(subject) if "@" in subject.partition("/")[0] else _uri(subject)
        authority = self._root_certificate()
        builder = (
            x509.CertificateBuilder(authority.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + _LIFE)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([who]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_OID, _tagged(12, issuer.encode())), critical=False)
        )
        bare = builder.sign(self.authority, hashes.SHA256())
        promise = self._promise(bare.tbs_certificate_bytes, at)
        return builder.add_extension(x509.UnrecognizedExtension(_SCT_OID, promise), critical=False).sign(
            self.authority, hashes.SHA256()
        )

    def _promise(self, certificate: bytes, at: datetime) -> bytes:
        """Give a list of one signed certificate timestamp (RFC 6962, 3.2 and 3.3)."""
        when = (int(at.timestamp()) * 1000).to_bytes(8, "big")
        entry = b"\x00\x01" + _id(self.authority) + len(certificate).to_bytes(3, "big") + certificate
        signature = _sign(self.certificates, b"\x00\x00" + when + entry + b"\x00\x00")
        promise = b"\x00" + _id(self.certificates) + when + b"\x00\x00" + b"\x04\x03" + _counted(signature)
        listed = _counted(_counted(promise))
        return _tagged(4, listed)

    def _entry(self, envelope: dict[str, Any], certificate: x509.Certificate, *, at: datetime) -> dict[str, Any]:
        """Give the log's entry of a tree that has no other."""
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        signatures = [{"signature": each["sig"], "verifier": b64(pem)} for each in envelope["signatures"]]
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(_canonical(envelope)).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(_decoded(envelope["payload"])).hexdigest()},
            "signatures": signatures,
        }
        body = _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\x00" + body).digest()
        note = f"{_ORIGIN} - 1\n1\n{b64(root)}\n"
        signed = b64(_id(self.log)[:4] + _sign(self.log, note.encode()))
        when = int(at.timestamp())
        promised = {"body": b64(body), "integratedTime": when, "logID": _id(self.log).hex(), "logIndex": 0}
        return {
            "logIndex": "0",
            "logId": {"keyId": b64(_id(self.log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(when),
            "inclusionPromise": {"signedEntryTimestamp": b64(_sign(self.log, _canonical(promised)))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": b64(root),
                "treeSize": "1",
                "hashes": list[str](),
                "checkpoint": {"envelope": f"{note}\n— {_ORIGIN} {signed}\n"},
            },
            "canonicalizedBody": b64(body),
        }


def _uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def _log(url: str, key: Key) -> dict[str, Any]:
    public = {
        "rawBytes": b64(_der(key)),
        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        "validFor": {"start": "2026-01-01T00:00:00Z"},
    }
    return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": {"keyId": b64(_id(key))}}


def _tagged(tag: int, data: bytes) -> bytes:
    """Give DER."""
    size = bytes([len(data)]) if len(data) < 128 else bytes([0x81, len(data)])
    return bytes([tag]) + size + data


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)
