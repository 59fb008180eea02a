"""Associations with other nodes, without sockets, threads or clocks: datagrams in, datagrams out.

Who may cost what:

* a ClientHello without a good cookie: one HMAC, an answer of 60 bytes, within its host's rate;
* a handshake under way: an association among *half_open* of them, 16 of one host; the oldest of
  the host (or of all) makes room, a live peer never does;
* a live peer: an association among *max_peers*; the one longest unused makes room.

A second handshake from a live peer's address runs beside the association and replaces it only once
it is authenticated (RFC 6347, 4.2.8). Where both sides spoke first, the hello with the greater
random stays.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from edgesdk.cluster import greetings, records
from edgesdk.cluster.admittance import Cookies, Rates
from edgesdk.cluster.dtls import Association, Contexts
from edgesdk.cluster.greetings import Greeting, Hello, Ping, Pong
from edgesdk.cluster.identity import Identity, certificate_problem
from edgesdk.cluster.spreading import Spreading
from edgesdk.errors import MalformedMessage, PeerError

__all__ = ["Address", "Event", "Failed", "Joined", "Left", "Limits", "Links", "Peer", "Said"]

Address = tuple[str, int]
_MS = 1_000_000
_SECOND = 1_000 * _MS
MAX_MESSAGE = records.MAX_DATAGRAM - 37
"""Bytes that one message has at most."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An authenticated node. *incarnation* tells its process from the one before a restart."""

    number: int
    node_id: str
    site: str
    address: Address
    data_address: Address
    version: str
    expires: datetime
    incarnation: int = 0
    role: str = "node"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and times; nanoseconds."""

    max_peers: int = 256
    half_open: int = 64
    half_open_host: int = 16
    handshake_ns: int = 5 * _SECOND
    keepalive_ns: int = 5 * _SECOND
    silence_ns: int = 12 * _SECOND
    doubt_ns: int = 60 * _MS
    resend_ns: int = 150 * _MS


@dataclass(frozen=True, slots=True)
class Joined:
    """A peer is reachable, or what is known of it has changed."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class Left:
    """A peer is not reachable any more. *redial*: worth trying again by ourselves."""

    peer: Peer
    reason: str
    redial: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a peer."""

    peer: Peer
    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """A handshake failed; *dialled* if this side began it."""

    address: Address
    error: PeerError
    dialled: bool


Event = Joined | Left | Said | Failed


@dataclass(slots=True, eq=False)
class _Link:
    address: Address
    association: Association
    born_ns: int
    heard_ns: int
    hello_random: bytes = b""
    flight: list[bytes] = field(default_factory=list)
    flight_ns: int = 0
    peer: Peer | None = None
    was: Peer | None = None  # of the association that this one replaced
    greeted: bool = False  # it has said that it heard our greeting
    greeting_ns: int = 0
    greetings: int = 0
    pinged_ns: int = 0
    doubt_ns: int = 0
    doubt: str = ""


class Links:
    """The table of associations. Not thread-safe. Drain *outgoing* and *events* after each call."""

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
        self.outgoing: list[tuple[Address, bytes]] = []
        self.events: list[Event] = []
        self.counts: dict[str, int] = {}
        self._hello, self._limits, self._utc_ns = hello, limits, utc_ns
        self._contexts = Contexts(identity)
        self._cookies = Cookies(secrets.token_bytes(32), now_ns)
        self._answers = Rates(rate=200, burst=200, total=5000, now_ns=now_ns)
        self._starts = Rates(rate=50, burst=50, total=500, now_ns=now_ns)
        self._half: OrderedDict[Address, _Link] = OrderedDict()
        self._links: OrderedDict[Address, _Link] = OrderedDict()
        self._numbers: dict[int, _Link] = {}
        self._incarnation = secrets.randbits(62)
        self._spreading = Spreading(identity.revocations)
        self._expiry_ns = now_ns
        self.own_addresses: set[Address] = set()

    def peers(self) -> list[Peer]:
        """Those that have greeted, one for each number."""
        return [link.peer for link in self._numbers.values() if link.peer is not None]

    def known(self, address: Address) -> bool:
        """Whether a peer is linked, or a handshake under way, with *address*."""
        return address in self._links or address in self._half or address in self.own_addresses

    def half_open(self) -> int:
        """Handshakes under way."""
        return len(self._half)

    def dial(self, address: Address, now_ns: int) -> None:
        """Begins a handshake, unless one is under way."""
        if address in self._half or address in self.own_addresses:
            return
        association = Association(self._contexts, client=True)
        self._make_room(address[0], client=True)
        link = _Link(address, association, now_ns, 0)
        self._half[address] = link
        association.start()
        link.hello_random = association.client_random
        self._flush(link, now_ns)

    def send(self, number: int, data: bytes, now_ns: int) -> bool:
        """Seals and sends; False if there is no such peer."""
        link = self._numbers.get(number)
        if link is None or link.peer is None or link.peer.role != "node":
            return False
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(data)} bytes: over {MAX_MESSAGE}")
        self._links.move_to_end(link.address)
        return self._say(link, data, now_ns)

    def received(self, address: Address, datagram: bytes, now_ns: int) -> None:
        """A datagram has come from *address*."""
        if len(datagram) > 2 * records.MAX_DATAGRAM:
            return self._count("oversized")
        record = records.first_record(datagram)
        if record is None:
            return self._count("garbage")
        if record.epoch == 0 and record.kind == records.HANDSHAKE and datagram[13:14] == b"\1":
            return self._greeted_by_stranger(address, datagram, now_ns)
        half, link = self._half.get(address), self._links.get(address)
        if half is None and link is None:
            return self._unknown(address, record, now_ns)
        if link is not None and record.epoch == 0 and record.kind == records.ALERT:
            if half is None:
                self.doubt(address, "restarted", now_ns)
            link = None if half is not None else link
        if half is not None:
            self._feed(half, datagram, now_ns)
        if link is not None and (half is None or record.epoch):
            self._feed(link, datagram, now_ns)
        return None

    def doubt(self, address: Address, reason: str, now_ns: int) -> None:
        """A hint, which anybody can forge, that nobody listens at *address*: ask, wait a little."""
        half = self._half.get(address)
        if half is not None and half.association.client and reason == "not listening":
            self._fail(half, PeerError("nothing listens there", cause="not listening"))
        link = self._links.get(address)
        if link is not None and not link.doubt_ns:
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

    def tick(self, now_ns: int) -> int:
        """Whatever time has brought; returns the next instant to call again."""
        busy = bool(self._half)
        for half in list(self._half.values()):
            self._tick_half(half, now_ns)
        for link in list(self._links.values()):
            busy = self._tick_link(link, now_ns) or busy
        if now_ns >= self._expiry_ns:
            self._expiry_ns = now_ns + 30 * _SECOND
            self._drop_expired(now_ns)
        return now_ns + (20 if busy else 250) * _MS

    def close(self, now_ns: int) -> None:
        """Says good-bye to every peer."""
        for link in list(self._links.values()):
            link.association.close()
            self._flush(link, now_ns)
        self._links.clear()
        self._half.clear()
        self._numbers.clear()

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def _unknown(self, address: Address, record: records.Record, now_ns: int) -> None:
        self._count("unknown")
        sealed = record.kind == records.APPLICATION_DATA and record.epoch and record.length > 24
        if sealed and self._answers.take(address[0], now_ns):
            self.outgoing.append((address, records.no_association_alert()))

    def _greeted_by_stranger(self, address: Address, datagram: bytes, now_ns: int) -> None:
        try:
            hello = records.parse_client_hello(datagram)
        except MalformedMessage:
            return self._count("garbage")
        if not hello.cookie or not self._cookies.good(address, hello, now_ns):
            answer = records.hello_verify_request(hello, bytes(32))
            if len(answer) > len(datagram):
                return self._count("garbage")
            if not self._answers.take(address[0], now_ns):
                return self._count("limited")
            cookie = self._cookies.make(address, hello, now_ns)
            self.outgoing.append((address, records.hello_verify_request(hello, cookie)))
            return self._count("cookies")
        half = self._half.get(address)
        if half is not None:
            if half.hello_random == hello.random:
                if half.association.client:
                    self._met_itself(half)
                return None  # said again; our flight has a timer of its own
            answered = half.heard_ns or now_ns - half.born_ns < self._limits.resend_ns * 4
            if half.association.client and answered and half.hello_random > hello.random:
                return self._count("glare")
            del self._half[address]
        if address not in self._links and not self._starts.take(address[0], now_ns):
            return self._count("limited")
        self._make_room(address[0], client=False)
        association = Association(self._contexts, client=False)
        link = _Link(address, association, now_ns, now_ns, hello.random)
        self._half[address] = link
        try:
            association.accept_hello(datagram)
        except PeerError as error:
            self._fail(link, error)
        self._flush(link, now_ns)
        return None

    def _make_room(self, host: str, *, client: bool) -> None:
        """The oldest handshake of a host with too many, else the oldest of all, gives way.

        Strangers' handshakes and our own are bounded apart: a flood does not end our dialling.
        """
        mine = [a for a, half in self._half.items() if half.association.client == client]
        of_host = [] if client else [a for a in mine if a[0] == host]
        if len(of_host) >= self._limits.half_open_host:
            victim = of_host[0]
        elif len(mine) >= self._limits.half_open:
            victim = mine[0]
        else:
            return
        self._count("half_open_evicted")
        error = PeerError("too many handshakes at once", cause="silent")
        self._fail(self._half[victim], error)

    def _feed(self, link: _Link, datagram: bytes, now_ns: int) -> None:
        was = link.association.established
        try:
            said = link.association.receive(datagram)
        except PeerError as error:
            self._flush(link, now_ns)
            if was:
                self._drop(link, "protocol", now_ns)
            else:
                self._fail(link, error)
            return
        if not was:
            link.heard_ns = now_ns
        if link.association.outgoing:
            self._flush(link, now_ns)
        if link.association.established and not was:
            self._promote(link, now_ns)
        if said:
            link.heard_ns, link.doubt_ns = now_ns, 0
        elif was and not link.association.closed_by_peer:
            self._count("discarded")
        for message in said:
            self._take(link, message, now_ns)
        if link.association.closed_by_peer:
            self._drop(link, "closed", now_ns)

    def _promote(self, link: _Link, now_ns: int) -> None:
        subject = link.association.subject
        assert subject is not None
        if self._half.get(link.address) is link:
            del self._half[link.address]
        if subject.number == self.identity.number:
            self._met_itself(link)
            return
        old = self._links.pop(link.address, None)
        if old is not None:
            if old.association.subject == subject:
                link.was = old.peer or old.was
                if self._numbers.get(subject.number) is old:
                    self._numbers[subject.number] = link
            else:
                self._links[link.address] = old
                self._drop(old, "replaced", now_ns)
        self._links[link.address] = link
        while len(self._links) > self._limits.max_peers:
            self._drop(next(iter(self._links.values())), "evicted", now_ns)
        self._greet(link, now_ns)

    def _met_itself(self, link: _Link) -> None:
        self.own_addresses.add(link.address)
        self._fail(link, PeerError("that is this node itself", cause="refused"))

    def _take(self, link: _Link, data: bytes, now_ns: int) -> None:
        if not data or data[0] < 0x80:
            if data and link.peer is not None and link.peer.role == "node":
                self._links.move_to_end(link.address)
                self.events.append(Said(link.peer, data))
            else:
                self._count("early")
            return
        try:
            message = greetings.decode(data)
        except MalformedMessage:
            return self._count("malformed")
        if isinstance(message, Greeting):
            self._take_greeting(link, message, now_ns)
        elif isinstance(message, Ping):
            self._say(link, greetings.encode(Pong(message.token, self._utc_ns())), now_ns)
        elif message is not None and not isinstance(message, Pong):
            try:
                answer = self._spreading.received(link.address, message, now_ns)
            except MalformedMessage:
                return self._count("malformed")
            if answer is not None:
                self._say(link, greetings.encode(answer), now_ns)

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
            self._left(old, "restarted", redial=False)
            old = None
        if old != peer and peer.role == "node":
            self.events.append(Joined(peer))
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
        self._flush(link, now_ns)
        return True

    def _flush(self, link: _Link, now_ns: int) -> None:
        datagrams, link.association.outgoing = link.association.outgoing, []
        self.outgoing += [(link.address, datagram) for datagram in datagrams]
        if datagrams and not link.association.established:
            link.flight, link.flight_ns = datagrams, now_ns

    def _tick_half(self, half: _Link, now_ns: int) -> None:
        if now_ns - half.born_ns > self._limits.handshake_ns:
            return self._fail(half, PeerError("no answer to the handshake", cause="silent"))
        if half.flight and now_ns - half.flight_ns > self._limits.resend_ns:
            # OpenSSL's own timer starts at a second: too long for a node's first peer.
            self.outgoing += [(half.address, datagram) for datagram in half.flight]
            half.flight = []
        if half.association.timeout() == 0:
            try:
                half.association.retransmit()
            except PeerError as error:
                return self._fail(half, error)
            self._flush(half, now_ns)
            half.flight = []
        return None

    def _tick_link(self, link: _Link, now_ns: int) -> bool:
        """Returns whether the link needs looking at soon."""
        limits = self._limits
        if link.doubt_ns and now_ns >= link.doubt_ns:
            self._drop(link, link.doubt, now_ns)
            return True
        silent = now_ns - link.heard_ns
        if silent > limits.silence_ns:
            self._drop(link, "silent", now_ns)
            return True
        if silent > limits.keepalive_ns and now_ns - link.pinged_ns > limits.keepalive_ns // 4:
            self._ping(link, now_ns)
        if not link.greeted and link.greetings < 6:
            if now_ns - link.greeting_ns > (100 * _MS) << link.greetings:
                link.greetings += 1
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

    def _fail(self, link: _Link, error: PeerError) -> None:
        if self._half.get(link.address) is link:
            del self._half[link.address]
        self._count(f"refused_{error.cause.replace(' ', '_')}")
        self.events.append(Failed(link.address, error, link.association.client))

    def _drop(self, link: _Link, reason: str, now_ns: int) -> None:
        """Ends an established link; its number lives on if another link has it."""
        if self._links.get(link.address) is not link:
            return
        del self._links[link.address]
        self._spreading.gone(link.address)
        if not link.association.closed_by_peer:
            link.association.close()
            self._flush(link, now_ns)
        subject = link.association.subject
        assert subject is not None
        if self._numbers.get(subject.number) is not link:
            return
        del self._numbers[subject.number]
        other = next(
            (o for o in self._links.values() if o.peer and o.peer.number == subject.number), None
        )
        if other is not None and reason != "removed":
            assert other.peer is not None
            self._numbers[subject.number] = other
            self.events.append(Joined(other.peer))
        elif gone := link.peer or link.was:
            redial = reason in ("silent", "not listening", "restarted", "protocol")
            self._left(replace(gone, address=link.address), reason, redial=redial)

    def _left(self, peer: Peer, reason: str, *, redial: bool) -> None:
        if peer.role == "node":
            self.events.append(Left(peer, reason, redial))
