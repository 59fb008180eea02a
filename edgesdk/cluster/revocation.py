"""The list of removed nodes' certificates: verified, replaced by newer ones only, kept on disk.

The operator signs it with the CA's key, so it may come from anybody: from the bundle, from a peer's
gossip, from the operator's push, from a file. The list with the highest number holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from edgesdk.cluster.certificates import pem, revocation_number
from edgesdk.cluster.files import read_bounded, write_whole
from edgesdk.errors import BundleError, MalformedMessage

__all__ = ["MAX_LIST_BYTES", "Revocations"]

MAX_LIST_BYTES = 256 * 1024
"""Of DER: some 6,000 removed certificates."""

_log = logging.getLogger(__name__)


class Revocations:
    """The newest revocation list that this node has seen. Methods are thread-safe.

    *kept*: the file that newer lists are written to, so that a node which restarts while the
    operator is away still knows whom the cluster removed; None keeps nothing.
    """

    def __init__(
        self,
        authority: x509.Certificate,
        first: x509.CertificateRevocationList,
        *,
        kept: Path | None = None,
    ) -> None:
        self._authority = authority
        self._kept = kept
        self._lock = threading.Lock()
        self._told: list[Callable[[], None]] = []
        self._verify(first)
        self._take(first)
        if kept is not None and kept.exists():
            self._read_kept(kept)

    @property
    def number(self) -> int:
        """The list's number; a newer list has a higher one."""
        return self._number

    @property
    def der(self) -> bytes:
        """The list as it travels."""
        return self._der

    @property
    def current(self) -> x509.CertificateRevocationList:
        """The list itself; immutable."""
        return self._current

    def revoked(self, serial: int) -> bool:
        """Whether the certificate with this serial is of a removed node."""
        return serial in self._serials

    def subscribe(self, told: Callable[[], None]) -> None:
        """Calls *told* after each newer list, on the thread that brought it."""
        with self._lock:
            self._told.append(told)

    def unsubscribe(self, told: Callable[[], None]) -> None:
        """Ends it; does nothing where there is no such subscription."""
        with self._lock:
            if told in self._told:
                self._told.remove(told)

    def offer(self, der: bytes) -> bool:
        """Takes a list in DER if it is newer; returns whether it was.

        Raises MalformedMessage for bytes that are no list, or one that the CA did not sign.
        """
        if len(der) > MAX_LIST_BYTES:
            raise MalformedMessage(f"a revocation list of {len(der)} bytes: over {MAX_LIST_BYTES}")
        try:
            found = x509.load_der_x509_crl(der)
        except (ValueError, TypeError) as error:
            raise MalformedMessage(f"no revocation list: {error}") from None
        self._verify(found)
        with self._lock:
            if revocation_number(found) <= self._number:
                return False
            self._take(found)
            told = list(self._told)
            if self._kept is not None:
                try:
                    write_whole(self._kept, pem(found), replace=True)
                except BundleError as error:
                    _log.warning("the newer revocation list is not kept: %s", error)
        for listener in told:
            listener()
        return True

    def _verify(self, found: x509.CertificateRevocationList) -> None:
        key = self._authority.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise MalformedMessage("the cluster's CA has no key that signs lists")
        try:
            signed = found.issuer == self._authority.subject and found.is_signature_valid(key)
            number = revocation_number(found)
        except (ValueError, TypeError) as error:
            raise MalformedMessage(f"no revocation list: {error}") from None
        if not signed:
            raise MalformedMessage("a revocation list that this cluster's CA did not sign")
        if not 0 < number < 1 << 63:
            raise MalformedMessage("a revocation list without a number")

    def _take(self, found: x509.CertificateRevocationList) -> None:
        self._serials = frozenset(entry.serial_number for entry in found)
        self._der = found.public_bytes(Encoding.DER)
        self._current = found
        self._number = revocation_number(found)

    def _read_kept(self, kept: Path) -> None:
        try:
            data = read_bounded(kept, 2 * MAX_LIST_BYTES, private=False)
            found = x509.load_pem_x509_crl(data)
            self._verify(found)
        except (BundleError, MalformedMessage, ValueError) as error:
            _log.warning("%s is left aside: %s", kept, error)
            return
        if revocation_number(found) > self._number:
            self._take(found)
