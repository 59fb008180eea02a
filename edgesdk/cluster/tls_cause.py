"""Why there is no TLS session with a peer: zenoh only says that there is none, and waits for it.

Called before zenoh may try, since its own attempt lasts as long as the kernel's, and a listener
pauses for 100 ms after a handshake that was broken off; one that was completed costs it nothing.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Literal

from edgesdk.cluster.refusals import alert_cause, verify_cause

if TYPE_CHECKING:
    from edgesdk.cluster.zenoh_sessions import Credentials

__all__ = ["Cause", "client_context", "find_cause"]

Cause = tuple[Literal["unreachable", "certificate", "identity"], str]

# A peer that refuses our certificate says so after the handshake, if it says so.
_WORD_SECONDS = 0.25


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """A context that shows *credentials* and trusts their CA only. The key touches no disk."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # addresses change; the CN is compared by the caller
    context.load_verify_locations(cadata=credentials.authority_pem.decode())
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, credentials.certificate_pem + b"\n" + credentials.key_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def find_cause(
    credentials: Credentials,
    expected: str,
    address: tuple[str, int],
    timeout: float,
    *,
    patient: bool = True,
) -> Cause | None:
    """Shakes hands with *address* and says what is wrong with it; None: nothing that shows.

    expected: the node id that should answer there. timeout: in seconds, for each of connecting and
    the handshake. patient: wait a moment for the peer's word on this node's certificate, which in
    TLS 1.3 comes after the handshake.
    """
    where = f"{address[0]}:{address[1]}"
    try:
        connection = socket.create_connection(address, timeout)
    except ConnectionRefusedError:
        return "unreachable", f"nothing listens at {where}"
    except TimeoutError:
        return "unreachable", f"{where} does not answer"
    except OSError as error:
        return "unreachable", f"{where}: {(error.strerror or str(error)).lower()}"
    with connection:
        try:
            with client_context(credentials).wrap_socket(connection) as secured:
                return _after_handshake(secured, expected, where, patient)
        except ssl.SSLCertVerificationError as error:
            return "certificate", f"{where}: {verify_cause(error.verify_code)}"
        except ssl.SSLError as error:
            return "certificate", f"{where}: {alert_cause([error.reason or str(error)])}"
        except TimeoutError:
            return "unreachable", f"{where} accepts connections but does not answer"
        except OSError as error:
            return "unreachable", f"{where} breaks off: {(error.strerror or str(error)).lower()}"


def _after_handshake(
    secured: ssl.SSLSocket, expected: str, where: str, patient: bool
) -> Cause | None:
    named = _common_name(secured)
    if named != expected:
        return "identity", f"{where} is {named!r} now, not {expected!r}"
    if not patient:
        return None
    secured.settimeout(_WORD_SECONDS)
    try:
        if not secured.recv(1):
            return "unreachable", f"{where} closes the connection"
    except TimeoutError:
        pass
    return None


def _common_name(secured: ssl.SSLSocket) -> str:
    certificate = secured.getpeercert() or {}
    subject = certificate.get("subject", ())
    for name in subject if isinstance(subject, tuple) else ():
        for key, value in name:  # type: ignore[misc]
            if key == "commonName":
                return str(value)
    return ""
