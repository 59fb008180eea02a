"""The control plane of a node: one UDP socket, one thread, authenticated datagrams to its peers."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeGuard

from edgesdk.cluster.datagrams import DatagramSocket
from edgesdk.cluster.dialing import Dialling
from edgesdk.cluster.greetings import Hello
from edgesdk.cluster.happenings import Address, Event, Failed, Joined, Left, Limits, Peer, Said
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.links import MAX_MESSAGE, Links
from edgesdk.errors import ClusterError, PeerError

__all__ = ["MAX_MESSAGE", "Control", "Failure", "Hello", "Limits", "Peer"]

_log = logging.getLogger(__name__)

_LATE_NS = 20_000_000
_BUSY_NS = 20_000_000
_LOOK_UP_SECONDS = 30.0
_BATCH = 64
_MAX_FAILURES = 256


class Failure(NamedTuple):
    """The last handshake with an address that failed.

    at_ns: CLOCK_MONOTONIC. dialled: this node began it; else somebody else knocked here.
    """

    address: Address
    error: PeerError
    at_ns: int
    dialled: bool


class Control:
    """Associations with other nodes of the cluster, over DTLS 1.2.

    received(peer, data): a message. joined(peer): a peer is reachable, or what it says of itself
    has changed (the same number again, no *left* between). left(peer, reason): it said good-bye
    ("closed"), was "removed", its certificate "expired", its machine says that nothing listens
    ("not listening"), it was "silent" for ``limits.silence_ns``, "restarted", was "evicted" as the
    one longest unused, or its address is now another node's ("replaced").
    timer(now_ns, late_ns): called when the instant it returned last has come (None: not before
    :meth:`wake`), and whenever this thread was held up for more than 20 ms; late_ns says for how
    long, so that a node which was frozen or starved doubts itself before others. It runs before the
    datagrams that waited meanwhile.

    All four run on the control thread, without locks held; an exception in one is logged. ``send``,
    ``reach``, ``wake``, ``peers`` and ``counters`` may be called from any thread, and from them.
    """

    def __init__(
        self,
        identity: Identity,
        listen: Address,
        *,
        hello: Hello,
        received: Callable[[Peer, bytes], None],
        joined: Callable[[Peer], None],
        left: Callable[[Peer, str], None],
        timer: Callable[[int, int], int | None],
        limits: Limits | None = None,
    ) -> None:
        self._received, self._joined, self._left, self._timer = received, joined, left, timer
        self._lock = threading.RLock()
        self._socket = DatagramSocket(listen)
        self._ring, self._rung = socket.socketpair()
        for end in (self._ring, self._rung):
            end.setblocking(False)
        now = time.monotonic_ns()
        self._links = Links(identity, hello, limits or Limits(), now, utc_ns=time.time_ns)
        self._dialling = Dialling(random.Random())  # noqa: S311  # jitter
        self._failures: dict[Address, Failure] = {}
        self._traffic = dict.fromkeys(
            ("datagrams_sent", "bytes_sent", "datagrams_received", "bytes_received"), 0
        )
        self._woken = True
        self._newer = False
        self._end = threading.Event()
        self._following_ns = now
        self._thread = threading.Thread(target=self._run, name="edgesdk-control", daemon=True)
        identity.revocations.subscribe(self._revoked)
        self.identity = identity

    @property
    def address(self) -> Address:
        """Host and port of the socket."""
        return self._socket.address

    def start(self) -> None:
        """Begins to listen and to dial."""
        self._thread.start()

    def close(self) -> None:
        """Says good-bye to every peer and ends the thread; no callback comes after."""
        self.identity.revocations.unsubscribe(self._revoked)
        with self._lock:
            if self._end.is_set():
                return
            self._end.set()
        self._knock()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(5)
        with self._lock:
            self._links.close(time.monotonic_ns())
            self._flush()
            self._socket.close()
            self._ring.close()
            self._rung.close()

    def reach(self, host: str, port: int, *, forever: bool = False) -> None:
        """Try to meet the node at this address: for ever (a seed), or for 15 minutes (a hint).

        A name is looked up in a thread of its own; that of a seed every 30 s, for it may move.
        """
        try:
            address = (str(ipaddress.ip_address(host)), port)
        except ValueError:
            looking = threading.Thread(
                target=self._look_up, args=(host, port, forever), daemon=True
            )
            looking.start()
            return
        with self._lock:
            if self._links.known(address) and not forever:
                return
            self._dialling.want(address, time.monotonic_ns(), forever=forever)
        self._knock()

    def meet(self, node_id: str, hosts: Sequence[str], port: int) -> None:
        """A hint that *node_id* is at one of these numeric addresses; nothing if it is linked."""
        with self._lock:
            if any(peer.node_id == node_id for peer in self._links.peers()):
                return
        for host in hosts:
            self.reach(host, port)

    def send(self, number: int, data: bytes) -> bool:
        """Sends *data*, ``MAX_MESSAGE`` bytes at most, to a peer; False if it is not reachable.

        True promises nothing: a datagram may be lost. Raises ValueError for one that is too long.
        """
        with self._lock:
            if self._end.is_set():
                return False
            sent = self._links.send(number, data, time.monotonic_ns())
            self._flush()
        if self._links.out.events:
            self._knock()
        return sent

    def wake(self) -> None:
        """Has the timer called at once."""
        self._woken = True
        self._knock()

    def peers(self) -> list[Peer]:
        """The reachable nodes."""
        with self._lock:
            return [peer for peer in self._links.peers() if peer.role == "node"]

    def failures(self) -> list[Failure]:
        """Addresses whose last handshake failed, and why; the 256 newest."""
        with self._lock:
            return list(self._failures.values())

    def counters(self) -> dict[str, int]:
        """What went over the wire, headers and handshakes included, and what was dropped.

        datagrams_sent, bytes_sent, datagrams_received, bytes_received, unsent, half_open, peers;
        dropped: garbage, oversized, unknown (no association), discarded (replayed, forged or of an
        older association), malformed, early (before its greeting), limited (strangers' rate),
        half_open_evicted, refused_CAUSE; cookies (answers to strangers), glare.
        """
        with self._lock:
            return {
                **self._traffic,
                **self._links.out.counts,
                "unsent": self._socket.unsent,
                "half_open": len(self._links.handshakes),
                "peers": len(self._links.peers()),
            }

    def _look_up(self, host: str, port: int, forever: bool) -> None:
        while True:
            with contextlib.suppress(OSError):
                found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
                for *_, name in found[:4]:
                    self.reach(str(name[0]), port)
            if not forever or self._end.wait(_LOOK_UP_SECONDS):
                return

    def _revoked(self) -> None:
        self._newer = True
        self._knock()

    def _knock(self) -> None:
        with contextlib.suppress(OSError):
            self._ring.send(b"\0")

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN | select.POLLERR)
        poll.register(self._rung.fileno(), select.POLLIN)
        timer_ns: int | None = None
        while not self._end.is_set():
            due = self._following_ns if timer_ns is None else min(self._following_ns, timer_ns)
            wait_ns = 0 if self._woken else max(0, due - time.monotonic_ns())
            ready = {number for number, _ in poll.poll(-(-wait_ns // 1_000_000))}
            if self._end.is_set():
                return
            now = time.monotonic_ns()
            late = now - due
            if late <= _LATE_NS:  # as poll() is: it counts in milliseconds
                late = 0
            else:
                with self._lock:
                    self._links.excuse(late, now)
            if self._woken or late or (timer_ns is not None and now >= timer_ns):
                self._woken = False
                timer_ns = self._ask_timer(now, late)
            try:
                self._step(ready)
            except Exception:
                # Whatever a stranger has found: the others must not pay for it.
                _log.exception("the control plane met a bug in edgesdk")
                self._following_ns = time.monotonic_ns() + 250_000_000

    def _step(self, ready: set[int]) -> None:
        rung = self._rung.fileno() in ready
        if rung:
            with contextlib.suppress(OSError):
                self._rung.recv(4096)
        if self._socket.fileno() in ready:
            self._read()
        now = time.monotonic_ns()
        if rung or now >= self._following_ns:
            self._following_ns = self._tick(now)
        elif self._links.handshakes:
            self._following_ns = min(self._following_ns, now + _BUSY_NS)
        self._tell()

    def _ask_timer(self, now: int, late: int) -> int | None:
        try:
            return self._timer(now, late)
        except Exception:
            _log.exception("the control plane's timer failed")
            return now + 1_000_000_000

    def _read(self) -> None:
        refused = self._socket.refused()
        datagrams = octets = 0
        with self._lock:
            now = time.monotonic_ns()
            for address, datagram in self._socket.receive(_BATCH):
                datagrams += 1
                octets += len(datagram)
                self._links.received(address, datagram, now)
            # Last, or what a peer sent before it died would count as a sign of life.
            for address in refused:
                self._links.doubt(address, "not listening", now)
            self._flush()
            self._traffic["datagrams_received"] += datagrams
            self._traffic["bytes_received"] += octets + datagrams * self._socket.overhead

    def _tick(self, now: int) -> int:
        with self._lock:
            if self._newer:
                self._newer = False
                self._links.refresh(now)
            for address in self._dialling.due(now):
                if not self._links.known(address):
                    self._links.handshakes.dial(address, now)
            following = self._links.tick(now)
            self._flush()
            dial_ns = self._dialling.next_ns()
            return following if dial_ns is None else min(following, dial_ns)

    def _flush(self) -> None:
        outgoing, self._links.out.outgoing = self._links.out.outgoing, []
        for address, datagram in outgoing:
            self._traffic["datagrams_sent"] += 1
            self._traffic["bytes_sent"] += len(datagram) + self._socket.overhead
            self._socket.send(address, datagram)

    def _tell(self) -> None:
        while True:
            with self._lock:
                events, self._links.out.events = self._links.out.events, []
            if not events:
                return
            for event in events:
                self._tell_one(event)

    def _tell_one(self, event: Event) -> None:
        try:
            self._tell_what(event, time.monotonic_ns())
        except Exception:
            _log.exception("the control plane's listener failed")

    def _tell_what(self, event: Event, now: int) -> None:
        if isinstance(event, Said):
            self._received(event.peer, event.data)
        elif isinstance(event, Joined):
            with self._lock:
                self._dialling.reached(event.peer.address, now)
                self._failures.pop(event.peer.address, None)
            self._joined(event.peer)
        elif isinstance(event, Left):
            if event.redial:
                with self._lock:
                    self._dialling.want(event.peer.address, now)
            self._left(event.peer, event.reason)
        else:
            self._note_failure(event, now)

    def _note_failure(self, event: Failed, now: int) -> None:
        with self._lock:
            if event.address in self._links.handshakes.itself:
                self._dialling.forget(event.address)
                return
            if event.dialled:
                self._dialling.failed(event.address, event.error.cause, now)
            before = self._failures.pop(event.address, None)
            if _is_half_of(before, event):
                self._failures[event.address] = before
                return
            self._failures[event.address] = Failure(event.address, event.error, now, event.dialled)
            if len(self._failures) > _MAX_FAILURES:
                # Whoever floods does not push out what became of the seeds.
                knocked = (a for a, f in self._failures.items() if not f.dialled)
                del self._failures[next(knocked, next(iter(self._failures)))]
        if before is None or before.error.cause != event.error.cause:
            host, port = event.address
            level = logging.INFO if event.dialled else logging.DEBUG
            _log.log(level, "no association with %s:%d: %s", host, port, event.error)


def _is_half_of(before: Failure | None, event: Failed) -> TypeGuard[Failure]:
    """Whether a stranger's knock tells less than what this side found when it dialled it: two
    clocks, two verdicts, by turns."""
    if before is None or event.dialled or not before.dialled:
        return False
    return before.error.cause in ("another cluster", "removed", "expired", "clock")


def parse_address(text: str) -> Address:
    """Host and port of ``HOST:PORT``. Raises ClusterError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ClusterError(f"{text!r}: expected HOST:PORT, such as 10.0.0.2:7440")
    return host.strip("[]"), int(port)
