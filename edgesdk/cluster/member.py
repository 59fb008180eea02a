"""A node as a member of its cluster: the balancer with everything that it needs around it.

The policy decides under one lock; what it decides is done after the lock is given back. Whoever
brings news runs the policy: the dispatcher with a frame, the control thread with a datagram or
when time is up, the data plane with an answer. None of them waits for another but for that lock.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from edgesdk import __version__
from edgesdk.balance import (
    Action,
    Balancer,
    CancelDelivery,
    Deliver,
    Drop,
    Evict,
    Load,
    Meet,
    Promise,
    Run,
    Send,
    Settings,
)
from edgesdk.cluster.addresses import pack_address, parse_address, site_number, unpack_address
from edgesdk.cluster.administration import Administration, Handler
from edgesdk.cluster.asking import Asking
from edgesdk.cluster.conduct import Conduct
from edgesdk.cluster.control import Control, Hello, Peer
from edgesdk.cluster.data import DataPlane
from edgesdk.cluster.discovery import Discovery, Found
from edgesdk.cluster.entrance import Entrance
from edgesdk.cluster.gathering import Gathering
from edgesdk.cluster.lending import Lending
from edgesdk.cluster.loading import Loader
from edgesdk.cluster.local import Loads, NodeLocal, model_key
from edgesdk.cluster.serving import Serving
from edgesdk.cluster.standing import Standing
from edgesdk.errors import MessageError

if TYPE_CHECKING:
    from edgesdk.balance.peers import Peer as Seen
    from edgesdk.cluster.identity import Identity
    from edgesdk.config import ClusterConfig
    from edgesdk.runtime import Node
    from edgesdk.runtime.request import Request

__all__ = ["Member"]

log = logging.getLogger(__name__)

_REFRESH_NS = 500_000_000
# From this utilisation on groups may soon have to go elsewhere, and opening a session takes longer
# than a promise waits for its data.
_BUSY = 0.5
# With so many peers sessions are open before that, for the first group of a spike.
_AT_HAND = 4


class Member:
    """Implements the runtime's :class:`~edgesdk.runtime.placing.Placer`. Thread-safe.

    config: where to listen, whom to look for. identity: who this node is. settings: the policy's.
    slots: models that fit on this node. service_class: equal on nodes of equal speed, 0 to 255.
    verbs: further verbs of the administration channel, beside ``status`` and what it has itself.
    """

    def __init__(
        self,
        config: ClusterConfig,
        identity: Identity,
        *,
        settings: Settings | None = None,
        slots: int = 8,
        service_class: int = 0,
        verbs: Mapping[str, Handler] | None = None,
    ) -> None:
        self.config = config
        self.identity = identity
        self.loads = Loads(slots)
        self.started_ns = time.monotonic_ns()
        self.refused_datagrams = 0
        self._standing = Standing(identity)
        self._settings = settings or Settings()
        self._service_class = service_class
        self._verbs = dict(verbs or {})
        self._lock = threading.Lock()
        self._peers: dict[int, Peer] = {}
        self.conduct = Conduct(self.started_ns, who=self._name, leave_out=self._leave_out)
        self._told_ns: int | None = None
        self._refresh_ns = 0
        self._closed = False
        self.node: Node | None = None

    def join(self, node: Node) -> None:
        """See the Placer: as a node that has no model yet, and says which it is loading."""
        self.node = node
        self.local = NodeLocal(
            lambda: node.wiring.executors.values(),
            self.loads,
            lambda: node.workshop.installed.executors.values(),
        )
        self.loader = Loader(node, self.loads, self._look_at_models)
        self.lending = Lending(
            node,
            self.identity,
            self.local,
            self.loads,
            peers=self.peers,
            came=self.loader.look_again,
        )
        self.balancer = Balancer(
            self._settings,
            node=self.identity.number,
            site=site_number(self.config.site),
            service_class=self._service_class,
            local=self.local,
            rng=random.SystemRandom(),
        )
        self.gathering = Gathering(
            lambda request, items: self.local.cost_ns(model_key(request.model.digest), items)
        )
        self.serving = Serving(
            self.local, node.name, claimed=self._claim, who=lambda number: self._name(number)
        )
        control = parse_address(self.config.listen)
        data = parse_address(self.config.data) if self.config.data else (control[0], control[1] + 1)
        self.data = DataPlane(
            self.identity,
            data,
            arrived=self.serving.arrived,
            known=self.balancer.holds,
            source=control[0],
            member=lambda node_id: any(peer.node_id == node_id for peer in self.peers()),
            greedy=self._greedy,
        )
        self.entrance = Entrance(self.data.admit, peers=self.peers, is_out=self.conduct.is_out)
        self.asking = Asking(self.local, self.data, self, report=node.report, peer=self._peers.get)
        hello = Hello(site=self.config.site, data_port=self.data.address[1], version=__version__)
        self.control = Control(
            self.identity,
            control,
            hello=hello,
            received=self._received,
            joined=self._joined,
            left=self._left,
            timer=self._timer,
        )
        self.discovery = None
        if self.config.discovery:
            self.discovery = Discovery(
                self.identity,
                control[0],
                self.control.address[1],
                found=self._found,
                version=__version__,
            )
        self.administration = Administration(
            self.identity,
            control,
            self._handlers(),
            version=__version__,
            about={"data_port": self.data.address[1], "site": self.config.site},
            met=self.entrance.met,
        )
        try:
            self.loader.expect()
            self.data.start()
            self.entrance.look()
            self.administration.start()
            for seed in self.config.seeds:
                self.control.reach(*parse_address(seed), forever=True)
            self.control.start()
            if self.discovery is not None:
                self.discovery.start()
        except BaseException:
            self.administration.close()
            self.control.close()
            self.data.close()
            raise

    def attach(self) -> None:
        """See the Placer."""
        self.loader.start()
        self._look_at_models()

    def place(self, request: Request) -> None:
        """See the Placer."""
        if self._closed:
            self._report_shutdown(request)
            return
        now = time.monotonic_ns()
        with self._lock:
            groups = self.gathering.add(request, now, idle=self.local.idle(request.model))
            held = not any(request in group for group in groups)
            wake = held and self._is_earlier(self.gathering.next_ns)
        for requests in groups:
            self._place(requests)
        if held:
            self.asking.shrink(request)
        if wake:
            self.control.wake()

    def _place(self, requests: list[Request]) -> None:
        group = self.asking.ask(requests)

        def decide(balancer: Balancer, now: int) -> None:
            balancer.place(group, now)

        if not self._step(decide, unless=group.id):
            self.asking.prepare(group)

    def close(self) -> None:
        """See the Placer. The control plane says good-bye, so that peers plan again at once."""
        self._closed = True
        closing = threading.Thread(target=self._close, name="cluster-close", daemon=True)
        closing.start()
        closing.join(0.3)

    def finished(self, group: int, wire_ns: int) -> None:
        """See :class:`~edgesdk.cluster.asking.Verdicts`."""
        self._step(lambda balancer, now: balancer.finished(group, now, wire_ns=wire_ns))

    def failed(self, group: int, why: str) -> None:
        """See :class:`~edgesdk.cluster.asking.Verdicts`."""
        self._step(lambda balancer, now: balancer.failed(group, now, why=why))

    def misbehaved(self, number: int, what: str) -> None:
        """See :class:`~edgesdk.cluster.asking.Verdicts`; any thread."""
        self.conduct.offence(number, what, time.monotonic_ns())

    def _leave_out(self, number: int) -> None:
        self._step(lambda balancer, now: balancer.gone(number, now))
        self.entrance.look()

    def seen(self) -> tuple[dict[int, Seen], set[int]]:
        """What the balancer knows of each member, and the numbers of those in its view."""
        with self._lock:
            return dict(self.balancer.members()), set(self.balancer.watched())

    def peers(self) -> list[Peer]:
        """The members that are reachable."""
        return list(self._peers.values())

    def _close(self) -> None:
        self.loader.close()
        self.lending.close()
        # First of all the good-bye: peers plan again at once what this node has of theirs.
        self.control.close()
        self.administration.close()
        if self.discovery is not None:
            self.discovery.close()
        with self._lock:
            held = self.gathering.take_all()
        for request in held:
            self._report_shutdown(request)
        self.asking.close()
        self.data.close()

    def _handlers(self) -> dict[str, Handler]:
        from msgspec import to_builtins

        from edgesdk.cluster.telling import status_of

        return {
            "status": Handler(lambda caller, body: to_builtins(status_of(self))),
            **self.lending.handlers(),
            **self._verbs,
        }

    def _report_shutdown(self, request: Request) -> None:
        from edgesdk.runtime.request import Outcome

        assert self.node is not None
        self.node.report([Outcome(request, dropped="shutdown")])

    def _step(
        self, change: Callable[[Balancer, int], object], *, unless: int | None = None
    ) -> bool:
        """Has the balancer take something in, and does what it decides.

        True if the group *unless* came to its end with it.
        """
        later: list[Callable[[], object]] = []
        ended = False
        with self._lock:
            change(self.balancer, time.monotonic_ns())
            for action in self.balancer.actions():
                ended = ended or (isinstance(action, Run | Drop) and action.group.id == unless)
                act = self._note(action)
                if act is not None:
                    later.append(act)
            earlier = self._is_earlier(self.balancer.next_ns)
        for act in later:
            act()
        if earlier:
            self.control.wake()
        return ended

    def _is_earlier(self, wanted_ns: int | None) -> bool:
        """Whether the timer must be told of *wanted_ns*. Holds the lock."""
        earlier = wanted_ns is not None and (self._told_ns is None or wanted_ns < self._told_ns)
        if earlier:
            self._told_ns = wanted_ns
        return earlier

    def _note(self, action: Action) -> Callable[[], object] | None:
        if isinstance(action, Send):
            return partial(self.control.send, action.peer, action.data)
        if isinstance(action, Run | Deliver | CancelDelivery | Drop):
            return self.asking.note(action)
        if isinstance(action, Meet):
            return partial(self._meet, action)
        if isinstance(action, Load | Evict):
            return self.loader.note(action)
        raise AssertionError(action)

    def _look_at_models(self) -> None:
        if self.local.refresh():
            self._step(lambda balancer, now: balancer.residents_changed(now))

    def _claim(self, origin: int, token: bytes) -> Promise | None:
        with self._lock:
            return self.balancer.claimed(origin, token, time.monotonic_ns())

    def _name(self, number: int) -> str:
        peer = self._peers.get(number)
        return "" if peer is None else peer.node_id

    # On the control thread.

    def _received(self, peer: Peer, data: bytes) -> None:
        if not self.conduct.hears(peer.number, data, time.monotonic_ns()):
            self.refused_datagrams += 1
            return
        try:
            self._step(lambda balancer, now: balancer.received(peer.number, data, now))
        except MessageError as error:
            self.refused_datagrams += 1
            self.misbehaved(peer.number, f"a datagram that cannot be read: {error}")

    def _joined(self, peer: Peer) -> None:
        known = self._peers.get(peer.number)
        self._peers[peer.number] = peer
        self.entrance.look()
        if known is not None and known.incarnation != peer.incarnation:
            self._step(lambda balancer, now: balancer.gone(peer.number, now))
            self.data.forget(peer.node_id)
        self._introduce(peer)

    def _introduce(self, peer: Peer) -> None:
        if self.conduct.is_out(peer.number):
            return
        site = site_number(peer.site)
        address = pack_address(peer.address)
        self._step(
            lambda balancer, now: balancer.member(
                peer.number, site=site, now_ns=now, address=address
            )
        )
        self._prepare({peer.number})

    def _prepare(self, numbers: Iterable[int]) -> None:
        """Opens sessions with those of *numbers* that may soon be needed."""
        busy = self.local.utilisation() > _BUSY
        for number in numbers:
            peer = self._peers.get(number)
            if peer is not None and (busy or len(self.data.sessions()) < _AT_HAND):
                self.data.prepare(peer)

    def _left(self, peer: Peer, reason: str) -> None:
        log.info("%s left: %s", peer.node_id, reason)
        self._peers.pop(peer.number, None)
        self.entrance.look()
        self._step(lambda balancer, now: balancer.gone(peer.number, now))
        if reason == "removed":
            self.data.dismiss(peer.node_id)
        else:
            self.data.forget(peer.node_id)

    def _greedy(self, node_id: str) -> None:
        """On a thread of the data plane."""
        peer = next((peer for peer in self.peers() if peer.node_id == node_id), None)
        if peer is not None:
            self.misbehaved(peer.number, "more sessions with the data port than one node needs")

    def _timer(self, now_ns: int, late_ns: int) -> int | None:
        if now_ns >= self._refresh_ns:
            self._refresh_ns = now_ns + _REFRESH_NS
            self._look_at_models()
            self._standing.look()
            members, view = self.seen()
            self.lending.look(members, now_ns)
            self._prepare(view)
            self._pardon(now_ns)

        def advance(balancer: Balancer, now: int) -> None:
            if late_ns:
                self.lending.held_up(now)
                balancer.delayed(late_ns)
            balancer.advance(now)

        with self._lock:
            self._told_ns = 0  # whatever is wanted meanwhile is told below
        self._step(advance)
        with self._lock:
            groups = self.gathering.due(now_ns)
        for requests in groups:
            self._place(requests)
        with self._lock:
            times = (self.balancer.next_ns, self.gathering.next_ns, self._refresh_ns)
            self._told_ns = min(at for at in times if at is not None)
            return self._told_ns

    def _pardon(self, now_ns: int) -> None:
        for peer in map(self._peers.get, self.conduct.pardoned(now_ns)):
            if peer is not None:
                self.entrance.look()
                self._introduce(peer)

    def _found(self, node: Found) -> None:
        """On a thread of the discovery: a hint, whom certificates will confirm or not."""
        if all(peer.node_id != node.node_id for peer in self.peers()):
            for address in node.addresses[:4]:
                self.control.reach(address, node.port)

    def _meet(self, action: Meet) -> None:
        address = unpack_address(action.address)
        if action.number not in self._peers and address is not None:
            self.control.reach(*address)
