"""Associations with other nodes, without sockets, threads or clocks: datagrams in, datagrams out.

A peer is one of ``max_peers``; the one longest unused makes room. A second handshake from a live
peer's address runs beside the association and replaces it only once it is authenticated (RFC 6347,
4.2.8).
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from edgesdk.cluster import greetings, records
from edgesdk.cluster.dtls import Association, Contexts
from edgesdk.cluster.greetings import Greeting, Hello, Ping, Pong
from edgesdk.cluster.handshakes import Handshakes
from edgesdk.cluster.happenings import Address, Happenings, Joined, Left, Limits, Peer, Said
from edgesdk.cluster.identity import Identity, certificate_problem
from edgesdk.cluster.spreading import Spreading
from edgesdk.errors import MalformedMessage, PeerError

__all__ = ["MAX_MESSAGE", "Links"]

_MS = 1_000_000
_SECOND = 1_000 * _MS
_RECORD_OVERHEAD = 37
MAX_MESSAGE = records.MAX_DATAGRAM - _RECORD_OVERHEAD
"""Bytes that one message has at most."""

# Pings of idle peers must not cost more than the balancing itself: a node may know hundreds.
_IDLE_PATIENCE = 12

_WORTH_REDIALLING = {"silent", "not listening", "restarted", "protocol"}
# Hints that nobody listens are looked into so seldom, or whoever forges them would have this node
# send more than they do.
_HINTS_NS = 250 * _MS
# A node that was away for so long is told good-bye by peers that took it for dead: it meets them
# again by itself, for they look for it ever more seldom.
_AWAY_NS, _BACK_NS = 2 * _SECOND, 5 * _SECOND


@dataclass(slots=True, eq=False)
class _Link:
    address: Address
    association: Association
    number: int
    heard_ns: int
    used_ns: int
    flight: list[bytes]  # the handshake's last, until it is known to have come
    peer: Peer | None = None
    was: Peer | None = None  # of the association that this one replaced
    greeted: bool = False  # it has said that it heard our greeting
    greeting_ns: int = 0
    greetings: int = 0
    pinged_ns: int = 0
    doubt_ns: int = 0
    doubt: str = ""
    doubted_ns: int = -_SECOND


class Links:
    """The table of associations. Not thread-safe. Drain *out* after each call."""

    def __init__(
        self,
        identity: Identity,
        hello: Hello,
        limits: Limits,
        now_ns: int,
        *,
        utc_ns: Callable[[], int],
    ) -> None:
        self.identity = identity
        self.out = Happenings()
        self.handshakes = Handshakes(
            Contexts(identity), limits, self.out, now_ns, done=self._promote
        )
        self._hello, self._limits, self._utc_ns = hello, limits, utc_ns
        self._links: OrderedDict[Address, _Link] = OrderedDict()
        self._numbers: dict[int, _Link] = {}
        self._incarnation = secrets.randbits(62)
        self._spreading = Spreading(identity.revocations)
        self._expiry_ns = now_ns
        self._back_ns = now_ns

    def peers(self) -> list[Peer]:
        """Those that have greeted, one for each number."""
        return [link.peer for link in self._numbers.values() if link.peer is not None]

    def known(self, address: Address) -> bool:
        """Whether *address* need not be dialled: a peer's, a handshake's, this node's own."""
        return (
            address in self._links
            or address in self.handshakes
            or address in self.handshakes.itself
        )

    def send(self, number: int, data: bytes, now_ns: int) -> bool:
        """Seals and sends; False if there is no such peer."""
        link = self._numbers.get(number)
        if link is None or link.peer is None or link.peer.role != "node":
            return False
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(data)} bytes: over {MAX_MESSAGE}")
        self._use(link, now_ns)
        return self._say(link, data, now_ns)

    def received(self, address: Address, datagram: bytes, now_ns: int) -> None:
        """A datagram has come from *address*."""
        if len(datagram) > 2 * records.MAX_DATAGRAM:
            return self.out.count("oversized")
        live = address in self._links
        if not (live or address in self.handshakes or self.handshakes.admit(address, now_ns)):
            return None
        record = records.first_record(datagram)
        if record is None:
            return self.out.count("garbage")
        in_clear = record.epoch == 0
        if in_clear and record.kind == records.HANDSHAKE and datagram[13:14] == b"\1":
            return self.handshakes.hello(address, datagram, now_ns, live=live)
        if address in self.handshakes:
            said = self.handshakes.feed(address, datagram, now_ns)
            if said:
                self._hear(self._links.get(address), said, now_ns)
            # What is sealed may also belong to the association that is about to be replaced.
            if live and not in_clear and not said:
                self._feed(address, datagram, now_ns)
        elif live and in_clear and record.kind == records.ALERT:
            self.doubt(address, "restarted", now_ns)
        elif live:
            self._feed(address, datagram, now_ns)
        else:
            self._unknown(address, record)
        return None

    def doubt(self, address: Address, reason: str, now_ns: int) -> None:
        """A hint, which anybody can forge, that nobody listens at *address*: ask, wait a little."""
        if reason == "not listening":
            error = PeerError("nothing listens there", cause="not listening")
            self.handshakes.refuse(address, error)
        link = self._links.get(address)
        if link is not None and now_ns >= link.doubted_ns + _HINTS_NS:
            link.doubted_ns = now_ns
            link.doubt_ns, link.doubt = now_ns + self._limits.doubt_ns, reason
            self._ping(link, now_ns)

    def refresh(self, now_ns: int) -> None:
        """The revocation list is newer: cut who was removed off, tell the others."""
        revoked = self.identity.revocations.revoked
        for link in list(self._links.values()):
            certificate = link.association.certificate
            if certificate is not None and revoked(certificate.serial_number):
                self._drop(link, "removed", now_ns)
            else:
                self._greet(link, now_ns)

    def excuse(self, late_ns: int, now_ns: int) -> None:
        """This node itself was held up for so long: nobody was silent meanwhile but itself."""
        if late_ns > _AWAY_NS:
            self._back_ns = now_ns + _BACK_NS
        for link in self._links.values():
            link.heard_ns += late_ns
            link.used_ns += late_ns
            link.doubt_ns += late_ns if link.doubt_ns else 0
        self.handshakes.excuse(late_ns)

    def tick(self, now_ns: int) -> int:
        """Whatever time has brought; returns the next instant to call again."""
        self.handshakes.tick(now_ns)
        busy = bool(self.handshakes)
        for link in list(self._links.values()):
            busy = self._tick_link(link, now_ns) or busy
        if now_ns >= self._expiry_ns:
            self._expiry_ns = now_ns + 30 * _SECOND
            self._drop_expired(now_ns)
        return now_ns + (20 if busy else 250) * _MS

    def close(self, now_ns: int) -> None:
        """Says good-bye to every peer."""
        for link in self._links.values():
            link.association.close()
            self._flush(link)
        self._links.clear()
        self._numbers.clear()
        self.handshakes.clear()

    def _unknown(self, address: Address, record: records.Record) -> None:
        self.out.count("unknown")
        if record.kind == records.APPLICATION_DATA and record.epoch and record.length > 24:
            self.out.outgoing.append((address, records.no_association_alert()))

    def _feed(self, address: Address, datagram: bytes, now_ns: int) -> None:
        link = self._links.get(address)
        if link is None:
            return
        try:
            said = link.association.receive(datagram)
        except PeerError:
            return self._drop(link, "protocol", now_ns)
        if link.association.outgoing:
            self._flush(link)
        if not said and not link.association.closed_by_peer:
            self.out.count("discarded")
        return self._hear(link, said, now_ns)

    def _hear(self, link: _Link | None, said: list[bytes], now_ns: int) -> None:
        if link is None:
            return
        if said:
            link.heard_ns, link.doubt_ns = now_ns, 0
        for message in said:
            self._take(link, message, now_ns)
        if link.association.closed_by_peer:
            self._drop(link, "closed", now_ns)

    def _promote(
        self, address: Address, association: Association, flight: list[bytes], now_ns: int
    ) -> None:
        subject = association.subject
        assert subject is not None
        if subject.number == self.identity.number:
            return self.handshakes.met_itself(address)
        link = _Link(address, association, subject.number, now_ns, now_ns, flight)
        old = self._links.get(address)
        if old is not None and old.number == link.number:
            del self._links[address]
            link.was = old.peer or old.was
            if self._numbers.get(link.number) is old:
                self._numbers[link.number] = link
        elif old is not None:
            self._drop(old, "replaced", now_ns)
        self._links[address] = link
        while len(self._links) > self._limits.max_peers:
            self._drop(next(iter(self._links.values())), "evicted", now_ns)
        return self._greet(link, now_ns)

    def _use(self, link: _Link, now_ns: int) -> None:
        link.used_ns = now_ns
        self._links.move_to_end(link.address)

    def _take(self, link: _Link, data: bytes, now_ns: int) -> None:
        if not data or data[0] < 0x80:
            if data and link.peer is not None and link.peer.role == "node":
                self._use(link, now_ns)
                self.out.events.append(Said(link.peer, data))
            else:
                self.out.count("early")
            return
        try:
            message = greetings.decode(data)
            if isinstance(message, Greeting):
                self._take_greeting(link, message, now_ns)
            elif isinstance(message, Ping):
                self._say(link, greetings.encode(Pong(message.token, self._utc_ns())), now_ns)
            elif message is not None and not isinstance(message, Pong):
                answer = self._spreading.received(link.address, message, now_ns)
                if answer is not None:
                    self._say(link, greetings.encode(answer), now_ns)
        except MalformedMessage:
            self.out.count("malformed")

    def _take_greeting(self, link: _Link, said: Greeting, now_ns: int) -> None:
        link.greeted = link.greeted or said.heard
        subject, certificate = link.association.subject, link.association.certificate
        assert subject is not None
        assert certificate is not None
        peer = Peer(
            number=subject.number,
            node_id=subject.node_id,
            site=said.site,
            address=link.address,
            data_address=(link.address[0], said.data_port),
            version=said.version,
            expires=certificate.not_valid_after_utc,
            incarnation=said.incarnation,
            role=subject.role,
        )
        before = self._numbers.get(subject.number)
        old = link.peer or link.was or (before.peer if before is not None else None)
        link.peer, link.was = peer, None
        self._numbers[subject.number] = link
        if old is not None and old.incarnation != peer.incarnation:
            self._tell_left(old, "restarted", now_ns)
            old = None
        if old != peer and peer.role == "node":
            self.out.events.append(Joined(peer))
        if not said.heard:
            self._greet(link, now_ns)
        wanted = self._spreading.heard(link.address, said.revocations, now_ns)
        if wanted is not None:
            self._say(link, greetings.encode(wanted), now_ns)

    def _greet(self, link: _Link, now_ns: int) -> None:
        greeting = Greeting(
            protocol=greetings.PROTOCOL,
            site=self._hello.site,
            data_port=self._hello.data_port,
            version=self._hello.version,
            incarnation=self._incarnation,
            revocations=self.identity.revocations.number,
            clock_s=self._utc_ns() // _SECOND,
            heard=link.peer is not None,
        )
        link.greeting_ns = now_ns
        self._say(link, greetings.encode(greeting), now_ns)

    def _ping(self, link: _Link, now_ns: int) -> None:
        link.pinged_ns = now_ns
        self._say(link, greetings.encode(Ping(secrets.randbits(32))), now_ns)

    def _say(self, link: _Link, data: bytes, now_ns: int) -> bool:
        try:
            link.association.send(data)
        except PeerError:
            self._drop(link, "protocol", now_ns)
            return False
        self._flush(link)
        return True

    def _flush(self, link: _Link) -> None:
        datagrams, link.association.outgoing = link.association.outgoing, []
        self.out.outgoing += [(link.address, datagram) for datagram in datagrams]

    def _tick_link(self, link: _Link, now_ns: int) -> bool:
        """Returns whether the link needs looking at soon."""
        limits = self._limits
        patience = _IDLE_PATIENCE if now_ns - link.used_ns > limits.idle_ns else 1
        keepalive_ns = limits.keepalive_ns * patience
        silent = now_ns - link.heard_ns
        if link.doubt_ns and now_ns >= link.doubt_ns:
            self._drop(link, link.doubt, now_ns)
            return True
        if silent > limits.silence_ns * patience:
            self._drop(link, "silent", now_ns)
            return True
        if silent > keepalive_ns and now_ns - link.pinged_ns > keepalive_ns // 4:
            self._ping(link, now_ns)
        if not link.greeted and link.greetings < 6:
            if now_ns - link.greeting_ns > (100 * _MS) << link.greetings:
                link.greetings += 1
                if link.peer is None:
                    self.out.outgoing += [(link.address, datagram) for datagram in link.flight]
                link.flight = []
                self._greet(link, now_ns)
            return True
        wanted = self._spreading.again(link.address, now_ns)
        if wanted is not None:
            self._say(link, greetings.encode(wanted), now_ns)
        return bool(link.doubt_ns)

    def _drop_expired(self, now_ns: int) -> None:
        moment = datetime.fromtimestamp(self._utc_ns() / _SECOND, timezone.utc)
        for link in list(self._links.values()):
            certificate = link.association.certificate
            if certificate is not None and certificate_problem(certificate, moment):
                self._drop(link, "expired", now_ns)

    def _drop(self, link: _Link, reason: str, now_ns: int) -> None:
        """Ends a link; its peer stays if another link, of its second address, is alive."""
        if self._links.get(link.address) is not link:
            return
        del self._links[link.address]
        self._spreading.gone(link.address)
        if not link.association.closed_by_peer:
            link.association.close()
            self._flush(link)
        if self._numbers.get(link.number) is not link:
            return
        del self._numbers[link.number]
        gone = link.peer or link.was
        other = next((o for o in self._links.values() if o.number == link.number and o.peer), None)
        if other is not None and other.peer is not None and reason != "removed":
            self._numbers[link.number] = other
            if other.peer.role == "node":
                self.out.events.append(Joined(other.peer))
        elif gone is not None:
            self._tell_left(replace(gone, address=link.address), reason, now_ns)

    def _tell_left(self, peer: Peer, reason: str, now_ns: int) -> None:
        redial = reason in _WORTH_REDIALLING or (reason == "closed" and now_ns < self._back_ns)
        if peer.role == "node":
            self.out.events.append(Left(peer, reason, redial))
