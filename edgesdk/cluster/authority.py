"""The operator's side: the folder with the CA's key, and what is done with it.

::

    DIR/cluster.json      who is who: numbers, certificates, removals
    DIR/ca.pem  ca.key    the CA; the key is 0600 and never leaves the folder
    DIR/revoked.pem       the newest revocation list
    DIR/operator.bundle   the operator's own identity, for status, remove and doctor
    DIR/NAME.bundle       what `add` made, unless it was told another place
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgesdk.cluster import certificates
from edgesdk.cluster.certificates import NODE_ID, Role, Subject
from edgesdk.cluster.files import locked, read_bounded, write_whole
from edgesdk.cluster.identity import make_bundle
from edgesdk.errors import BundleError, UsageError

__all__ = ["Authority", "Issued", "MemberEntry", "Registry", "default_folder"]

_MAX_REGISTRY_BYTES = 16 << 20
_MAX_DAYS = 3650


class CertificateEntry(msgspec.Struct, kw_only=True):
    """A certificate that was issued; *serial* is hex."""

    serial: str
    issued: datetime
    expires: datetime
    revoked: datetime | None = None


class MemberEntry(msgspec.Struct, kw_only=True):
    """A member, present or removed; a number is never given twice."""

    number: int
    role: Role
    certificates: list[CertificateEntry]
    removed: datetime | None = None


class Registry(msgspec.Struct, kw_only=True):
    """``cluster.json``."""

    schema: Literal[1] = 1
    name: str
    created: datetime
    fingerprint: str
    next_number: int = 1
    list_number: int = 1
    members: dict[str, list[MemberEntry]] = {}


@dataclass(frozen=True, slots=True)
class Issued:
    """A bundle that was written."""

    subject: Subject
    bundle: Path
    expires: datetime


class Authority:
    """The operator's folder, open. One process at a time changes it; each call is whole or nothing.

    Every call raises BundleError (the folder) or UsageError (the call).
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._registry: Registry
        self._authority: x509.Certificate
        self._revoked: x509.CertificateRevocationList
        self._read()

    @staticmethod
    def create(folder: str | Path, name: str = "", *, now: datetime | None = None) -> Authority:
        """Makes a cluster in *folder*: its CA, an empty revocation list, an operator's bundle."""
        place = Path(folder)
        called = name or place.resolve().name
        moment = _moment(now)
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BundleError(f"{place}: {error.strerror}") from None
        with locked(place):
            for part in ("ca.key", "ca.pem", "cluster.json"):
                if (place / part).exists():
                    raise BundleError(
                        f"{place / part}: exists already: there is a cluster here, and its keys "
                        "are never overwritten; choose another folder"
                    )
            key = certificates.make_key()
            authority = certificates.make_authority(key, called, moment)
            revoked = certificates.make_revocation_list({}, 1, authority, key, moment)
            registry = Registry(
                name=called,
                created=moment,
                fingerprint=certificates.fingerprint_of(authority),
            )
            write_whole(place / "ca.key", certificates.key_pem(key))
            write_whole(place / "ca.pem", certificates.pem(authority), mode=0o644)
            write_whole(place / "revoked.pem", certificates.pem(revoked), mode=0o644)
            write_whole(place / "cluster.json", _encode(registry))
        made = Authority(place)
        # As good as the CA's key beside it, so it need not be renewed every year.
        made.add("operator", role="operator", days=_MAX_DAYS, now=now)
        return made

    @property
    def registry(self) -> Registry:
        """Who is who, as of the last call."""
        return self._registry

    @property
    def revoked_der(self) -> bytes:
        """The newest revocation list, as nodes take it."""
        return self._revoked.public_bytes(serialization.Encoding.DER)

    @property
    def operator_bundle(self) -> Path:
        """The operator's own bundle."""
        return self.folder / "operator.bundle"

    def add(
        self,
        name: str,
        *,
        role: Role = "node",
        days: int = 365,
        out: Path | None = None,
        now: datetime | None = None,
    ) -> Issued:
        """Makes a member and its bundle at *out* (default ``DIR/NAME.bundle``)."""
        if NODE_ID.fullmatch(name) is None:
            raise UsageError(
                f"{name!r}: expected a name of letters, digits, '.', '_' and '-', 63 at most"
            )
        with self._changing():
            if self._present(name) is not None:
                raise UsageError(
                    f"{name} is a member already; edgesdk cluster rotate {name} gives it a new "
                    f"certificate, edgesdk cluster remove {name} makes its name free"
                )
            number = self._registry.next_number
            if number > 0xFFFFFFFF:
                raise BundleError("all node numbers are given: make a new cluster")
            entry = MemberEntry(number=number, role=role, certificates=[])
            self._registry.next_number += 1
            self._registry.members.setdefault(name, []).append(entry)
            target = out or self.folder / f"{name}.bundle"
            try:
                return self._issue(name, entry, days, target, now=_moment(now))
            except BaseException:
                self._registry.members[name].remove(entry)
                raise

    def rotate(
        self,
        name: str,
        *,
        days: int = 365,
        out: Path | None = None,
        revoke: bool = False,
        now: datetime | None = None,
    ) -> Issued:
        """A new key and certificate for *name*, in a new file (default ``DIR/NAME-SERIAL.bundle``).

        The old certificate is good until it expires, so that the node can change over while it
        runs; *revoke* ends it now (its key was stolen).
        """
        with self._changing():
            entry = self._member(name)
            moment = _moment(now)
            old = list(entry.certificates)
            target = out or self._free_place(name)
            issued = self._issue(name, entry, days, target, now=moment)
            if revoke:
                self._revoke(old, moment)
            return issued

    def remove(self, name: str, *, now: datetime | None = None) -> MemberEntry:
        """Revokes every certificate of *name*; the list must then reach the nodes.

        One that was removed before stays so, and nothing changes.
        """
        with self._changing():
            if self._present(name) is None and self._registry.members.get(name):
                return self._registry.members[name][-1]
            entry = self._member(name)
            moment = _moment(now)
            entry.removed = moment
            self._revoke(entry.certificates, moment)
            return entry

    def _issue(
        self,
        name: str,
        entry: MemberEntry,
        days: int,
        target: Path,
        *,
        now: datetime,
    ) -> Issued:
        if not 1 <= days <= _MAX_DAYS:
            raise UsageError(f"--days {days}: expected 1 to {_MAX_DAYS}")
        subject = Subject(name, entry.number, entry.role)
        key = certificates.make_key()
        certificate = certificates.make_node_certificate(
            subject, key.public_key(), self._authority, self._key(), now, days
        )
        made = CertificateEntry(
            serial=f"{certificate.serial_number:x}",
            issued=now,
            expires=certificate.not_valid_after_utc,
        )
        # Known before it exists: a certificate that the folder forgot could never be revoked.
        entry.certificates.append(made)
        self._save()
        try:
            write_whole(target, make_bundle(certificate, key, self._authority, self._revoked))
        except BundleError:
            entry.certificates.remove(made)
            raise
        return Issued(subject, target, certificate.not_valid_after_utc)

    def _free_place(self, name: str) -> Path:
        for turn in range(1, 10_000):
            place = self.folder / f"{name}-{turn}.bundle"
            if not place.exists():
                return place
        raise BundleError(f"{self.folder}: too many bundles of {name}; say --out FILE")

    def _revoke(self, entries: list[CertificateEntry], now: datetime) -> None:
        for certificate in entries:
            certificate.revoked = certificate.revoked or now
        # A call that was cut off may have signed a list that cluster.json does not know of.
        signed = max(self._registry.list_number, certificates.revocation_number(self._revoked))
        self._registry.list_number = signed + 1
        # An expired certificate needs no revocation, but for clocks that are off: a year of grace.
        kept = now - timedelta(days=365)
        serials = {
            int(certificate.serial, 16): certificate.revoked
            for members in self._registry.members.values()
            for member in members
            for certificate in member.certificates
            if certificate.revoked is not None and certificate.expires > kept
        }
        self._revoked = certificates.make_revocation_list(
            serials, self._registry.list_number, self._authority, self._key(), now
        )
        write_whole(
            self.folder / "revoked.pem",
            certificates.pem(self._revoked),
            mode=0o644,
            replace=True,
        )

    def _member(self, name: str) -> MemberEntry:
        entry = self._present(name)
        if entry is None:
            known = sorted(n for n in self._registry.members if self._present(n))
            raise UsageError(f"{name!r} is no member; there are: {', '.join(known) or 'none'}")
        return entry

    def _present(self, name: str) -> MemberEntry | None:
        entries = self._registry.members.get(name, [])
        return next((e for e in entries if e.removed is None), None)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with locked(self.folder):
            self._read()
            try:
                yield
            finally:
                self._save()

    def _save(self) -> None:
        write_whole(self.folder / "cluster.json", _encode(self._registry), replace=True)

    def _read(self) -> None:
        file = self.folder / "cluster.json"
        if not file.exists():
            raise BundleError(
                f"{self.folder}: no cluster here (no cluster.json); edgesdk cluster init DIR makes "
                "one, --dir DIR or EDGESDK_CLUSTER says where it is"
            )
        try:
            self._registry = msgspec.json.decode(
                read_bounded(file, _MAX_REGISTRY_BYTES, private=True), type=Registry
            )
        except msgspec.DecodeError as error:
            raise BundleError(f"{file}: damaged: {error}") from None
        authority = self.folder / "ca.pem"
        revoked = self.folder / "revoked.pem"
        try:
            self._authority = x509.load_pem_x509_certificate(
                read_bounded(authority, 64 * 1024, private=False)
            )
            self._revoked = x509.load_pem_x509_crl(read_bounded(revoked, 1 << 20, private=False))
        except ValueError as error:
            raise BundleError(f"{self.folder}: ca.pem or revoked.pem is damaged: {error}") from None
        if certificates.fingerprint_of(self._authority) != self._registry.fingerprint:
            raise BundleError(f"{authority}: not the CA that cluster.json names")

    def _key(self) -> ec.EllipticCurvePrivateKey:
        file = self.folder / "ca.key"
        try:
            key = serialization.load_pem_private_key(
                read_bounded(file, 64 * 1024, private=True), password=None
            )
        except (ValueError, TypeError) as error:
            raise BundleError(f"{file}: damaged: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            key.public_key() != self._authority.public_key()
        ):
            raise BundleError(f"{file}: not the key of ca.pem")
        return key


def _moment(now: datetime | None) -> datetime:
    moment = datetime.now(timezone.utc) if now is None else now
    return moment.replace(microsecond=0)


def _encode(registry: Registry) -> bytes:
    return msgspec.json.format(msgspec.json.encode(registry), indent=1) + b"\n"


def default_folder() -> Path:
    """Where the operator's folder is if no option says so: ``EDGESDK_CLUSTER``, or here."""
    return Path(os.environ.get("EDGESDK_CLUSTER") or ".")
