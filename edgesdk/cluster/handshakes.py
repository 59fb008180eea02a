"""Handshakes under way: what strangers may cost until they are known, and who speaks first.

* A stranger's datagram is looked at within the rate of its address, of its host and of all. A
  ClientHello without a good cookie then costs one HMAC and an answer of 60 bytes.
* A handshake begun by others is one of ``half_open``, ``half_open_host`` of them of one host; the
  oldest of the host, or of all, makes room. Handshakes that this node began are bounded apart, so
  that a flood does not end its dialling.
* Where both sides spoke first, the hello with the greater random stays.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from edgesdk.cluster import records
from edgesdk.cluster.admittance import Cookies, Rates
from edgesdk.cluster.dtls import Association, Contexts
from edgesdk.cluster.happenings import Address, Failed, Happenings, Limits
from edgesdk.errors import Cause, MalformedMessage, PeerError

__all__ = ["Handshakes"]


@dataclass(slots=True, eq=False)
class _Handshake:
    address: Address
    association: Association
    born_ns: int
    heard: bool
    random: bytes
    flight: list[bytes] = field(default_factory=list)
    flight_ns: int = 0
    hello: list[bytes] = field(default_factory=list)  # of a side that dials


class Handshakes:
    """The table of handshakes; not thread-safe. *done* is called for one that is authenticated,
    with its last flight, which the peer may have missed.
    """

    def __init__(
        self,
        contexts: Contexts,
        limits: Limits,
        out: Happenings,
        now_ns: int,
        *,
        done: Callable[[Address, Association, list[bytes], int], None],
    ) -> None:
        self._contexts, self._limits, self._out, self._done = contexts, limits, out, done
        self._cookies = Cookies(secrets.token_bytes(32), now_ns)
        # An address that floods does not use up its host's share, nor a host that of all.
        self._addresses = Rates(rate=50, burst=50, total=50_000, now_ns=now_ns, kept=4096)
        self._hosts = Rates(rate=200, burst=200, total=5000, now_ns=now_ns)
        self._starts = Rates(rate=50, burst=50, total=500, now_ns=now_ns)
        self._table: OrderedDict[Address, _Handshake] = OrderedDict()
        self.itself: set[Address] = set()
        """Addresses where this node has met itself."""

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, address: object) -> bool:
        return address in self._table

    def dial(self, address: Address, now_ns: int) -> None:
        """Begins a handshake, unless one is under way or the address is this node's own."""
        if address in self._table or address in self.itself:
            return
        self._make_room(address[0], client=True)
        association = Association(self._contexts, client=True)
        association.start()
        handshake = _Handshake(address, association, now_ns, False, association.client_random)
        self._table[address] = handshake
        self._flush(handshake, now_ns)
        handshake.hello = handshake.flight

    def hello(self, address: Address, datagram: bytes, now_ns: int, *, live: bool) -> None:
        """A ClientHello came. live: from the address of a peer, whom no rate holds up."""
        try:
            hello = records.parse_client_hello(datagram)
        except MalformedMessage:
            return self._out.count("garbage")
        if not hello.cookie or not self._cookies.good(address, hello, now_ns):
            known = live or address in self._table
            if not known or self.admit(address, now_ns):
                self._ask_for_cookie(address, hello, len(datagram), now_ns)
            return None
        under_way = self._table.get(address)
        if under_way is not None:
            if under_way.random == hello.random:
                if under_way.association.client:
                    self.met_itself(address)
                return None  # said again; our flight has a timer of its own
            if self._goes_on(under_way, hello.random, now_ns):
                if not under_way.heard:
                    # Ours was said before anybody was there to hear it.
                    self._out.outgoing += [(address, d) for d in under_way.hello]
                return self._out.count("glare")
            del self._table[address]
        if not live and not self._starts.take(address[0], now_ns):
            return self._out.count("limited")
        self._make_room(address[0], client=False)
        association = Association(self._contexts, client=False)
        handshake = _Handshake(address, association, now_ns, True, hello.random)
        self._table[address] = handshake
        try:
            association.accept_hello(datagram)
        except PeerError as error:
            self._fail(handshake, error)
        return self._flush(handshake, now_ns)

    def feed(self, address: Address, datagram: bytes, now_ns: int) -> list[bytes]:
        """A datagram for the handshake with *address*; returns what was said right behind it."""
        handshake = self._table[address]
        try:
            said = handshake.association.receive(datagram)
        except PeerError as error:
            self._flush(handshake, now_ns)
            self._fail(handshake, error)
            return []
        handshake.heard = True
        self._flush(handshake, now_ns)
        if handshake.association.established:
            del self._table[address]
            self._done(address, handshake.association, handshake.flight, now_ns)
        return said

    def refuse(self, address: Address, error: PeerError) -> None:
        """The machine at *address* says that it is in vain."""
        handshake = self._table.get(address)
        if handshake is not None and handshake.association.client:
            self._fail(handshake, error)

    def met_itself(self, address: Address) -> None:
        """*address* is this node's own: it is never dialled again."""
        self.itself.add(address)
        self._table.pop(address, None)
        self._tell(address, "that is this node itself", "refused", dialled=True)

    def admit(self, address: Address, now_ns: int) -> bool:
        """Whether a datagram of a stranger at *address* is looked at: some 2 us if not."""
        if self._addresses.take(address, now_ns) and self._hosts.take(address[0], now_ns):
            return True
        self._out.count("limited")
        return False

    def excuse(self, late_ns: int) -> None:
        """This node itself was held up for so long."""
        for handshake in self._table.values():
            handshake.born_ns += late_ns

    def tick(self, now_ns: int) -> None:
        """Sends flights again that time, or a loss, has eaten; gives up what takes too long."""
        for handshake in list(self._table.values()):
            self._tick(handshake, now_ns)

    def clear(self) -> None:
        """Forgets them all."""
        self._table.clear()

    def _goes_on(self, mine: _Handshake, random: bytes, now_ns: int) -> bool:
        """Whether ours goes on although the other side speaks first too.

        Not if nothing has come back for a while: our hellos may not get through at all.
        """
        patience = now_ns - mine.born_ns < self._limits.resend_ns * 4
        return mine.association.client and (mine.heard or patience) and mine.random > random

    def _ask_for_cookie(
        self, address: Address, hello: records.ClientHello, size: int, now_ns: int
    ) -> None:
        if size <= records.HELLO_VERIFY_BYTES:
            return self._out.count("garbage")
        cookie = self._cookies.make(address, hello, now_ns)
        self._out.outgoing.append((address, records.hello_verify_request(hello, cookie)))
        return self._out.count("cookies")

    def _make_room(self, host: str, *, client: bool) -> None:
        alike = [a for a, h in self._table.items() if h.association.client == client]
        of_host = [] if client else [a for a in alike if a[0] == host]
        if len(of_host) >= self._limits.half_open_host:
            victim = of_host[0]
        elif len(alike) >= self._limits.half_open:
            victim = alike[0]
        else:
            return
        self._out.count("half_open_evicted")
        del self._table[victim]
        self._tell(victim, "too many handshakes at once", "silent", dialled=client)

    def _flush(self, handshake: _Handshake, now_ns: int) -> None:
        datagrams, handshake.association.outgoing = handshake.association.outgoing, []
        self._out.outgoing += [(handshake.address, datagram) for datagram in datagrams]
        if datagrams:
            handshake.flight, handshake.flight_ns = datagrams, now_ns

    def _tick(self, handshake: _Handshake, now_ns: int) -> None:
        limits = self._limits
        patience = limits.handshake_ns if handshake.heard else limits.first_answer_ns
        if now_ns - handshake.born_ns > patience:
            return self._fail(handshake, PeerError("no answer to the handshake", cause="silent"))
        if handshake.flight and now_ns - handshake.flight_ns > self._limits.resend_ns:
            # OpenSSL's own timer starts at a second: too long for a node's first peer.
            self._out.outgoing += [(handshake.address, d) for d in handshake.flight]
            handshake.flight = []
        if handshake.association.timeout() == 0:
            try:
                handshake.association.retransmit()
            except PeerError as error:
                return self._fail(handshake, error)
            self._flush(handshake, now_ns)
            handshake.flight = []
        return None

    def _fail(self, handshake: _Handshake, error: PeerError) -> None:
        if self._table.get(handshake.address) is handshake:
            del self._table[handshake.address]
        self._tell(handshake.address, str(error), error.cause, dialled=handshake.association.client)

    def _tell(self, address: Address, words: str, cause: Cause, *, dialled: bool) -> None:
        self._out.count(f"refused_{cause.replace(' ', '_')}")
        self._out.events.append(Failed(address, PeerError(words, cause=cause), dialled))
