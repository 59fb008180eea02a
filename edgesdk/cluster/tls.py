"""TLS 1.3 with the cluster's certificates on both sides, revocation list included."""

from __future__ import annotations

import os
import ssl
from datetime import datetime, timezone

from cryptography import x509

from edgesdk.cluster.certificates import Subject, pem, subject_of
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.refusals import alert_cause, verify_cause
from edgesdk.errors import BundleError, PeerError

__all__ = ["authenticated", "client_context", "explain", "server_context"]


def server_context(identity: Identity) -> ssl.SSLContext:
    """A context that shows *identity* and accepts members only, as of the newest list."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # every connection is checked afresh
    return _prepared(context, identity)


def client_context(identity: Identity) -> ssl.SSLContext:
    """Likewise, for the side that connects. Names are not compared with addresses (DHCP)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _prepared(context, identity)


def authenticated(connection: ssl.SSLSocket, identity: Identity) -> Subject:
    """Who is at the other end. Raises PeerError for one who is no member."""
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise PeerError("the peer shows no certificate", cause="protocol")
    try:
        certificate = x509.load_der_x509_certificate(der)
        identity.check(certificate, datetime.now(timezone.utc))
        return subject_of(certificate)
    except (ValueError, BundleError) as error:
        raise PeerError(f"the peer's certificate is no node's: {error}", cause="protocol") from None


def explain(error: OSError, where: str) -> PeerError:
    """What an error of connecting, of the handshake or of reading means."""
    found: PeerError
    if isinstance(error, ssl.SSLCertVerificationError):
        found = verify_cause(error.verify_code)
    elif isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError)):
        found = PeerError("the peer broke the connection off", cause="refused")
    elif isinstance(error, ssl.SSLError):
        found = alert_cause([error.reason or "", str(error)])
    elif isinstance(error, ConnectionRefusedError):
        found = PeerError(
            "nothing listens there: is the agent running, is this its port?", cause="not listening"
        )
    elif isinstance(error, TimeoutError):
        found = PeerError("no answer: is a firewall in between?", cause="silent")
    else:
        found = PeerError(f"no way there: {error.strerror or error}", cause="unreachable")
    return PeerError(f"{where}: {found}", cause=found.cause)


def _prepared(context: ssl.SSLContext, identity: Identity) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    trusted = identity.authority_pem + pem(identity.revocations.current)
    with _InMemory(trusted) as path:
        context.load_verify_locations(path)
    with _InMemory(identity.certificate_pem + identity.key_pem) as path:
        context.load_cert_chain(path)
    return context


class _InMemory:
    """Bytes as a file's path, for an interface that takes nothing else; they touch no disk."""

    def __init__(self, data: bytes) -> None:
        self._descriptor = os.memfd_create("edgesdk", os.MFD_CLOEXEC)
        os.write(self._descriptor, data)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
