"""Who a node is to its cluster: the bundle that the operator gave it, read and checked.

A bundle is one PEM file of mode 0600: the node's certificate, its key, the cluster's CA, the
revocation list of the day it was made. A newer list that came by gossip lies beside it, as
``BUNDLE.revoked``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgesdk.cluster.certificates import Role, fingerprint_of, key_pem, pem, subject_of
from edgesdk.cluster.files import read_bounded
from edgesdk.cluster.revocation import MAX_LIST_BYTES, Revocations
from edgesdk.errors import BundleError, MalformedMessage, PeerError

__all__ = ["Identity", "certificate_problem", "make_bundle"]

MAX_BUNDLE_BYTES = 2 * MAX_LIST_BYTES + 16 * 1024
_BLOCK = re.compile(
    rb"-----BEGIN (CERTIFICATE|PRIVATE KEY|EC PRIVATE KEY|X509 CRL)-----\r?\n"
    rb"[A-Za-z0-9+/=\r\n]+"
    rb"-----END \1-----"
)
_REMEDY = "the operator makes bundles: edgesdk cluster add NAME"


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's (or operator's) identity. Immutable but for *revocations*; any thread may use it."""

    node_id: str
    number: int
    role: Role
    fingerprint: str
    """Of the cluster: SHA-256 of its CA's certificate, hex."""
    starts: datetime
    expires: datetime
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    authority: x509.Certificate
    revocations: Revocations
    path: Path | None = None

    @staticmethod
    def load(path: str | Path, *, now: datetime | None = None) -> Identity:
        """The identity in the bundle *path*.

        now: the time to judge its validity by, default this machine's. Raises BundleError, which
        names the file, what is wrong with it, and the way out.
        """
        file = Path(path)
        data = read_bounded(file, MAX_BUNDLE_BYTES, private=True)
        try:
            identity = _assemble(data, file)
        except (BundleError, MalformedMessage) as error:
            raise BundleError(f"{file}: {error}") from None
        if problem := identity.problem(datetime.now(timezone.utc) if now is None else now):
            raise BundleError(f"{file}: {problem}")
        return identity

    def problem(self, now: datetime) -> str:
        """Why this identity is worth nothing at *now*; empty if it is good."""
        if found := certificate_problem(self.certificate, now):
            return f"the certificate of {self.node_id} {found[1]}"
        if self.revocations.revoked(self.certificate.serial_number):
            return f"{self.node_id} was removed from the cluster; {_REMEDY}"
        return ""

    def check(self, certificate: x509.Certificate, now: datetime) -> None:
        """Raises PeerError if *certificate* is not that of a member of this cluster at *now*."""
        try:
            certificate.verify_directly_issued_by(self.authority)
        except (ValueError, TypeError, InvalidSignature):
            raise PeerError("a certificate of another cluster", cause="another cluster") from None
        if found := certificate_problem(certificate, now):
            raise PeerError(
                f"its certificate {found[1]}",
                cause="clock" if found[0] == "early" else "expired",
            )
        if self.revocations.revoked(certificate.serial_number):
            raise PeerError("the certificate of a removed node", cause="removed")

    @property
    def certificate_pem(self) -> bytes:
        """The node's certificate as PEM."""
        return pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The node's key as PEM, not encrypted: never log it, write it to nothing but memory."""
        return key_pem(self.key)

    @property
    def authority_pem(self) -> bytes:
        """The cluster's CA as PEM."""
        return pem(self.authority)


def certificate_problem(certificate: x509.Certificate, now: datetime) -> tuple[str, str] | None:
    """("early" or "expired", words) if *certificate* is not valid at *now*, else None."""
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    clock = f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC"
    if now < starts:
        return "early", (
            f"is not valid before {starts:%Y-%m-%d %H:%M} UTC, and {clock}: one clock is wrong "
            "(timedatectl shows it; set it, or run NTP)"
        )
    if now > ends:
        return "expired", (
            f"expired at {ends:%Y-%m-%d %H:%M} UTC ({clock}); the operator renews it: "
            "edgesdk cluster rotate NAME"
        )
    return None


def make_bundle(
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    revoked: x509.CertificateRevocationList,
) -> bytes:
    """The bytes of a bundle."""
    subject = subject_of(certificate)
    title = (
        f"edgesdk cluster bundle: {subject.role} {subject.node_id}, number {subject.number}, "
        f"until {certificate.not_valid_after_utc:%Y-%m-%d}. Keep it secret: it holds a key.\n"
    )
    return b"".join([title.encode(), pem(certificate), key_pem(key), pem(authority), pem(revoked)])


def _assemble(data: bytes, file: Path) -> Identity:
    blocks: dict[bytes, list[bytes]] = {}
    for found in _BLOCK.finditer(data):
        blocks.setdefault(found[1].replace(b"EC ", b""), []).append(found[0])
    counts = {kind: len(some) for kind, some in blocks.items()}
    if counts != {b"CERTIFICATE": 2, b"PRIVATE KEY": 1, b"X509 CRL": 1}:
        raise BundleError(
            "not a node bundle (certificate, key, CA and revocation list in one PEM file); "
            + _REMEDY
        )
    try:
        certificate, authority = (x509.load_pem_x509_certificate(b) for b in blocks[b"CERTIFICATE"])
        key = serialization.load_pem_private_key(blocks[b"PRIVATE KEY"][0], password=None)
        revoked = x509.load_pem_x509_crl(blocks[b"X509 CRL"][0])
        extensions = authority.extensions.get_extension_for_class(x509.BasicConstraints)
        authority.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise BundleError(f"damaged ({type(error).__name__}: {error}); {_REMEDY}") from None
    if not extensions.value.ca or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BundleError(f"not a node bundle (its second certificate is no CA); {_REMEDY}")
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise BundleError(
            f"the certificate of another cluster: its issuer is not the CA in the bundle; {_REMEDY}"
        ) from None
    if certificate.public_key() != key.public_key():
        raise BundleError(f"the key is not the certificate's; {_REMEDY}")
    subject = subject_of(certificate)
    return Identity(
        node_id=subject.node_id,
        number=subject.number,
        role=subject.role,
        fingerprint=fingerprint_of(authority),
        starts=certificate.not_valid_before_utc,
        expires=certificate.not_valid_after_utc,
        certificate=certificate,
        key=key,
        authority=authority,
        revocations=Revocations(authority, revoked, kept=file.with_name(f"{file.name}.revoked")),
        path=file,
    )
