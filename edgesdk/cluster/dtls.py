"""One DTLS 1.2 association: OpenSSL between memory buffers, datagrams in and out.

Not thread-safe; :mod:`edgesdk.cluster.control` holds a lock. A datagram that is replayed, forged,
truncated or of an older association vanishes inside OpenSSL, as RFC 6347 (4.1.2.7) wants it.
"""

from __future__ import annotations

import weakref
from datetime import datetime, timezone
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto

from edgesdk.cluster.certificates import Subject, subject_of
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.records import MAX_DATAGRAM, gather
from edgesdk.cluster.refusals import alert_cause, verify_cause
from edgesdk.errors import BundleError, PeerError

__all__ = ["Association", "Contexts"]

_CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
_NO_AUTO_CHAIN, _RELEASE_BUFFERS = 0x08, 0x10
_NO_QUERY_MTU = 0x1000
_NO_RENEGOTIATION = 1 << 30
_NO_TICKET = 1 << 14
_COOKIE_EXCHANGE = 1 << 13
_MAX_CLEAR = 16384


class Contexts:
    """What associations of an identity are made from; made anew for a newer revocation list."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._contexts: tuple[int, SSL.Context] | None = None

    def current(self) -> SSL.Context:
        """The context with the newest revocation list."""
        number = self.identity.revocations.number
        if self._contexts is None or self._contexts[0] != number:
            self._contexts = (number, self._make())
        return self._contexts[1]

    def _make(self) -> SSL.Context:
        identity = self.identity
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(0xFEFD)
        context.set_cipher_list(_CIPHERS)
        context.set_options(_NO_QUERY_MTU | _NO_RENEGOTIATION | _NO_TICKET | _COOKIE_EXCHANGE)
        # The peer has the CA: to send it along would be 450 bytes a handshake and side.
        context.set_mode(_NO_AUTO_CHAIN | _RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.use_certificate(identity.certificate)
        context.use_privatekey(identity.key)
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(identity.authority))
        store.add_crl(identity.revocations.current)
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
        context.set_verify_depth(1)
        # The cookie was checked before there was an association (records.make_cookie).
        context.set_cookie_generate_callback(lambda connection: b"checked")
        context.set_cookie_verify_callback(lambda connection, cookie: True)
        return context


def _verified(connection: Any, certificate: Any, error: int, depth: int, ok: int) -> bool:
    if not ok:
        association: Association | None = connection.get_app_data()()
        if association is not None:
            association.verify_error = association.verify_error or error
    return bool(ok)


class Association:
    """A handshake and then a channel with one address.

    *client*: this side speaks first. *outgoing* collects datagrams to send; the owner takes them
    after each call. A failed handshake raises PeerError with its cause.
    """

    def __init__(self, contexts: Contexts, *, client: bool) -> None:
        self.client = client
        self.established = False
        self.closed_by_peer = False
        self.verify_error = 0
        self.subject: Subject | None = None
        self.certificate: x509.Certificate | None = None
        self.outgoing: list[bytes] = []
        self._identity = contexts.identity
        self._ssl = SSL.Connection(contexts.current(), None)
        # Weak, lest a flood of handshakes waits for the garbage collector.
        self._ssl.set_app_data(weakref.ref(self))
        self._ssl.set_ciphertext_mtu(MAX_DATAGRAM)
        if client:
            self._ssl.set_connect_state()
        else:
            self._ssl.set_accept_state()

    def start(self) -> None:
        """The client's first flight."""
        self._handshake()

    def accept_hello(self, datagram: bytes) -> None:
        """The server's start: *datagram* is a ClientHello whose cookie was good."""
        self._ssl.bio_write(datagram)
        try:
            self._ssl.DTLSv1_listen()
        except SSL.Error as error:
            raise PeerError("a ClientHello that OpenSSL refuses", cause="protocol") from error
        self._handshake()

    @property
    def client_random(self) -> bytes:
        """Of this association's own hello; both sides compare it when both speak first."""
        return self._ssl.client_random() or b""

    def receive(self, datagram: bytes) -> list[bytes]:
        """What the peer said in *datagram*; empty while shaking hands or for garbage.

        Raises PeerError if the handshake failed.
        """
        self._ssl.bio_write(datagram)
        if not self.established:
            self._handshake()
            if not self.established:
                return []
        said = []
        try:
            while True:
                said.append(self._ssl.recv(_MAX_CLEAR))
        except SSL.WantReadError:
            pass
        except SSL.Error:
            # A good-bye, or a fatal alert; only what is authenticated comes so far.
            self.closed_by_peer = True
        self._drain()
        return said

    def send(self, data: bytes) -> None:
        """Seals *data* as one record. Raises PeerError if the association is over."""
        try:
            self._ssl.send(data)
        except SSL.Error as error:
            raise PeerError("the association is over", cause="protocol") from error
        self._drain()

    def close(self) -> None:
        """Tells the peer, if there is one, that this side leaves."""
        try:
            if self.established:
                self._ssl.shutdown()
        except SSL.Error:
            pass
        self._drain()

    def timeout(self) -> float | None:
        """Seconds until the handshake's flight must be sent again; None if nothing waits."""
        return None if self.established else self._ssl.DTLSv1_get_timeout()

    def retransmit(self) -> None:
        """Sends the last flight again, its timer having run out. Raises PeerError when in vain."""
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error:
            raise PeerError("no answer to the handshake", cause="silent") from None
        self._drain()

    def _handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._drain()
            raise self._refusal(error) from None
        else:
            self._authenticate()
        self._drain()

    def _authenticate(self) -> None:
        found = self._ssl.get_peer_certificate(as_cryptography=True)
        if found is None:
            raise PeerError("no certificate", cause="protocol")
        # Once more by our own code: the list may be newer than the context.
        self._identity.check(found, datetime.now(timezone.utc))
        try:
            self.subject = subject_of(found)
        except BundleError as error:
            raise PeerError(str(error), cause="protocol") from None
        self.certificate = found
        self.established = True

    def _refusal(self, error: SSL.Error) -> PeerError:
        if self.verify_error:
            return verify_cause(self.verify_error)
        reasons = [str(entry[-1]) for entry in (error.args[0] if error.args else ()) if entry]
        return alert_cause(reasons)

    def _drain(self) -> None:
        try:
            stream = self._ssl.bio_read(1 << 16)
        except SSL.WantReadError:
            return
        self.outgoing += gather(stream)
