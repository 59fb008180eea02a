"""X.509 as this house writes it: a cluster's CA, a node's certificate, the revocation list.

EC P-256 with SHA-256 throughout. A node's certificate has CN = node id, serialNumber = node number,
OU = role. Pure but for keys and serial numbers, which come from the system's randomness; the time
is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgesdk.errors import BundleError

__all__ = [
    "EARLY",
    "NODE_ID",
    "Role",
    "Subject",
    "fingerprint_of",
    "key_pem",
    "make_authority",
    "make_key",
    "make_node_certificate",
    "make_revocation_list",
    "pem",
    "revocation_number",
    "subject_of",
]

Role = Literal["node", "operator"]
_ROLES: dict[str, Role] = {"node": "node", "operator": "operator"}

# 63: what a DNS label holds, for discovery announces it.
NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

EARLY = timedelta(days=1)
"""A certificate starts so long before its issue: cameras without a clock battery lag behind."""

_CA_DAYS = 20 * 365


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names."""

    node_id: str
    number: int
    role: Role


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> x509.Certificate:
    """The self-signed certificate of a cluster called *name*, valid for 20 years.

    Its subject ends in random digits: two clusters of one name are told apart by their issuers.
    """
    serial = x509.random_serial_number()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "edgesdk cluster"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name[:40]} {serial & 0xFFFFFFFF:08x}"),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - EARLY)
        .not_valid_after(now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def make_node_certificate(
    subject: Subject,
    public_key: ec.EllipticCurvePublicKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
) -> x509.Certificate:
    """A certificate for both sides of a connection, valid from a day ago for *days* days on."""
    ends = min(now + timedelta(days=days), authority.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.COMMON_NAME, subject.node_id),
                    x509.NameAttribute(NameOID.SERIAL_NUMBER, str(subject.number)),
                    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, subject.role),
                ]
            )
        )
        .issuer_name(authority.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )


def make_revocation_list(
    revoked: Mapping[int, datetime],
    number: int,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The *number*-th list of certificates' serials, each with when it was revoked.

    It starts a day early and ends with the CA: a list is replaced by a newer one, not by time.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - EARLY)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    for serial, when in sorted(revoked.items()):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
        )
    return builder.sign(authority_key, hashes.SHA256())


def subject_of(certificate: x509.Certificate) -> Subject:
    """Whom *certificate* names. Raises BundleError for one that is no node's of any cluster."""
    found: dict[x509.ObjectIdentifier, str] = {}
    try:
        for attribute in certificate.subject:
            if attribute.oid in found or not isinstance(attribute.value, str):
                raise ValueError("an attribute twice")
            found[attribute.oid] = attribute.value
        node_id = found[NameOID.COMMON_NAME]
        number_text = found[NameOID.SERIAL_NUMBER]
        role = found[NameOID.ORGANIZATIONAL_UNIT_NAME]
    except (KeyError, ValueError):
        raise BundleError("the certificate's subject is not a node's (CN, number, role)") from None
    if NODE_ID.fullmatch(node_id) is None:
        raise BundleError(f"the certificate names {node_id[:80]!r}: no node id")
    if re.fullmatch(r"[1-9][0-9]{0,9}", number_text) is None or int(number_text) > 0xFFFFFFFF:
        raise BundleError(f"the certificate's node number is {number_text[:80]!r}: not 1 to 2^32-1")
    if role not in _ROLES:
        raise BundleError(f"the certificate's role is {role[:80]!r}: neither node nor operator")
    return Subject(node_id, int(number_text), _ROLES[role])


def revocation_number(revoked: x509.CertificateRevocationList) -> int:
    """The list's number, 0 where it has none."""
    try:
        return revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return 0


def fingerprint_of(authority: x509.Certificate) -> str:
    """The cluster's fingerprint: SHA-256 of its CA's certificate, 64 hex digits."""
    return authority.fingerprint(hashes.SHA256()).hex()


def pem(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """*certificate* as a PEM block."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """*key* as a PEM block, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
