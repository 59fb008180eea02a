"""This node's own groups: what the balancer decided about each is done here, and told to the node.

Pictures are made small as soon as a group does not start here at once, while the peers think about
it: the ring's slots are few. While most groups that are offered find a peer, they are coded then
too, so that all that remains when one accepts is to send.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from edgesdk.balance import CancelDelivery, Deliver, Drop, Group, Reach, Run
from edgesdk.cluster import payload
from edgesdk.cluster.data import DataPlane, Delivery, Failure, Reply
from edgesdk.cluster.forms import form_of
from edgesdk.cluster.groups import MAX_GROUP_BYTES
from edgesdk.cluster.local import NodeLocal, execution_key, model_key
from edgesdk.cluster.workbench import Haste, Workbench
from edgesdk.errors import PeerFailed, WireError
from edgesdk.runtime.request import Outcome, Request
from edgesdk.runtime.runnable import Asked

if TYPE_CHECKING:
    from edgesdk.cluster.control import Peer

__all__ = ["Asking", "Verdicts"]

log = logging.getLogger(__name__)

# A group that waits longer than this for its turn here gives its slot of the ring back.
_SOON_NS = 10_000_000
# Coding ahead is work for nothing where a group ends here after all: so often they must go.
_LIKELY = 0.5
_REACH = {"node": Reach.NODE, "site": Reach.SITE, "cluster": Reach.CLUSTER}


class Verdicts(Protocol):
    """Whom the outcome of a delivery is told; each call may bring new actions.

    *misbehaved*: the peer of that number answered what nobody could mean.
    """

    def finished(self, group: int, wire_ns: int) -> None: ...
    def failed(self, group: int, why: str) -> None: ...
    def misbehaved(self, number: int, what: str) -> None: ...


@dataclass(eq=False, slots=True)
class _Asked:
    group: Group
    requests: Sequence[Request]
    items: Sequence[int]
    exact: bool
    left_ns: int  # to its deadline, when it came
    small: list[Any] | None = None
    sought: bool = False  # not decided at once: peers were asked
    wanted: Deliver | None = None
    delivery: Delivery | None = None
    blame: PeerFailed | None = None  # of the last peer that tried and could not


@dataclass(slots=True)
class Counts:
    """Groups of this node's own cameras since the start."""

    kept: int = 0
    offloaded: int = 0
    dropped: int = 0
    retried: int = 0
    bytes: int = 0
    sent: dict[int, int] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)
    wire_ns: dict[int, int] = field(default_factory=dict)


class Asking:
    """Groups from their requests to their outcomes.

    report: ``node.report``. peer: who has a number, None if nobody is reachable by it. ``note`` is
    called with the member's lock held, in the order of the balancer's decisions; ``act`` after it,
    without; so that a decision which an act finds overtaken is left undone.
    """

    def __init__(
        self,
        local: NodeLocal,
        data: DataPlane,
        verdicts: Verdicts,
        *,
        report: Callable[[Sequence[Outcome]], None],
        peer: Callable[[int], Peer | None],
    ) -> None:
        self.counts = Counts()
        self._local = local
        self._data = data
        self._verdicts = verdicts
        self._report = report
        self._peer = peer
        self._lock = threading.Lock()
        self._asked: dict[int, _Asked] = {}
        self._next = 1
        self._bench = Workbench("encode")
        # Lately: the share of all groups that went to a peer, and of those that sought one.
        self._leaving, self._found = 0.0, 1.0
        self._sizes: dict[tuple[int, bool], float] = {}
        self._homebound: set[int] = set()  # of which something was met that cannot travel

    def open(self) -> int:
        """Groups that have not ended, as far as the balancer knows."""
        return len(self._asked)

    def ask(self, requests: Sequence[Request]) -> Group:
        """The group of *requests*, which are of one camera and operator; it is now known here."""
        first = requests[0]
        terms = first.terms
        assert terms is not None
        key = model_key(first.model.digest)
        counts = [len(request.pictures) for request in requests]
        items = sum(counts)
        variant = self._local.variant_of(first.model) if terms.exact else 0
        size = items * self._size(key, first, terms.exact)
        # Who does not know what it would have made itself cannot ask others for the same.
        stays = terms.exact and not variant
        stays = stays or not first.model.travels or key in self._homebound or size > MAX_GROUP_BYTES
        with self._lock:
            number = self._next
            self._next += 1
            group = Group(
                id=number,
                model=key,
                variant=variant,
                items=items,
                captured_ns=min(r.captured_ns for r in requests) or time.monotonic_ns(),
                deadline_ns=min(r.deadline_ns for r in requests),
                payload_bytes=0 if stays else int(size),
                app=zlib.crc32(terms.app.encode()),
                weight=terms.weight,
                reach=Reach.NODE if stays else _REACH[terms.reach],
            )
            left = group.deadline_ns - time.monotonic_ns()
            self._asked[number] = _Asked(group, requests, counts, terms.exact, left)
        return group

    def prepare(self, group: Group) -> None:
        """It was not decided at once: takes the pictures off the ring."""
        asked = self._asked.get(group.id)
        if asked is not None:
            asked.sought = group.reach is not Reach.NODE
            self._shrink_soon(asked)
            if asked.sought and self._found > _LIKELY:
                self._bench.do(Haste.AHEAD, lambda: self._code(asked))

    def shrink(self, request: Request) -> None:
        """It waits for others of its camera: takes its pictures off the ring."""
        terms = request.terms
        assert terms is not None

        def code() -> None:
            if request.pictures:
                _code(request.model, _shrunk(request), exact=terms.exact)

        self._bench.do(Haste.SHRINK, lambda: _shrunk(request))
        if self._leaving > _LIKELY and terms.reach != "node":
            self._bench.do(Haste.AHEAD, code)

    def note(self, action: Run | Deliver | CancelDelivery | Drop) -> Callable[[], None] | None:
        """Takes a decision in; returns what is to be done about it without the lock."""
        asked = self._asked.get(action.group.id)
        if asked is None:
            return None
        if isinstance(action, Run):
            self._forget(asked)
            self._went(asked, False)
            self.counts.kept += 1
            return lambda: self._run(asked, action)
        if isinstance(action, Drop):
            self._forget(asked)
            self._went(asked, False)
            self.counts.dropped += 1
            return lambda: self._give_up(asked, action)
        if isinstance(action, Deliver):
            asked.wanted = action
            self._went(asked, True)
            return lambda: self._bench.do(Haste.SEND, lambda: self._send(asked, action))
        asked.wanted = None
        self.counts.retried += 1
        _add(self.counts.failed, action.peer, 1)
        delivery, asked.delivery = asked.delivery, None
        return None if delivery is None else delivery.cancel

    def close(self) -> None:
        """No more is encoded; what is open is reported as dropped, and deliveries end by
        themselves."""
        self._bench.close()
        with self._lock:
            left, self._asked = list(self._asked.values()), {}
        outcomes = [Outcome(r, dropped="shutdown") for asked in left for r in asked.requests]
        if outcomes:
            self._report(outcomes)

    def _forget(self, asked: _Asked) -> None:
        asked.wanted = None
        with self._lock:
            self._asked.pop(asked.group.id, None)

    def _give_up(self, asked: _Asked, action: Drop) -> None:
        self._local.doubt(asked.group.model, asked.group.items, asked.left_ns)
        self._report([_given_up(asked, r, action) for r in asked.requests])

    def _run(self, asked: _Asked, action: Run) -> None:
        found = self._local.take(action.promise)
        if found is not None:
            waits_ns = action.promise.ends_ns - time.monotonic_ns()
            if waits_ns > _SOON_NS + self._local.cost_ns(action.group.model, action.group.items):
                self._shrink_soon(asked)
            if found[0].claim(asked.requests, found[1]):
                return
        # The place was lost between the decision and now: as if there were no cluster.
        for request in asked.requests:
            self._submit(request)

    def _submit(self, request: Request) -> None:
        executor = self._local.executor_of(request.model)
        if executor is None:
            self._report([Outcome(request, dropped="deadline")])
        else:
            executor.submit(request)

    def _went(self, asked: _Asked, away: bool) -> None:
        """A group was decided: to a peer, or not."""
        self._leaving += (away - self._leaving) / 16
        if asked.sought or away:
            self._found += (away - self._found) / 16

    def _shrink_soon(self, asked: _Asked) -> None:
        self._bench.do(Haste.SHRINK, lambda: self._shrink(asked))

    def _shrink(self, asked: _Asked) -> list[Any]:
        if asked.small is None:
            asked.small = [small for request in asked.requests for small in _shrunk(request)]
        return asked.small

    def _code(self, asked: _Asked) -> None:
        if asked.group.id in self._asked:
            _code(asked.requests[0].model, self._shrink(asked), exact=asked.exact)

    def _send(self, asked: _Asked, action: Deliver) -> None:
        group = asked.group
        if asked.wanted is not action:
            return
        peer = self._peer(action.peer)
        if peer is None:
            self._verdicts.failed(group.id, "unreachable")
            return
        first = asked.requests[0]
        try:
            header, parts = form_of(first.model).encode(
                group, self._shrink(asked), first.options, exact=asked.exact
            )
        except WireError as error:
            self._stays(asked, str(error))
            self._verdicts.failed(group.id, "unsendable")
            return
        size = sum(map(len, parts))
        self._learn(group, asked.exact, size)
        left_ns = group.deadline_ns - time.monotonic_ns()
        if left_ns <= 0:
            self._verdicts.failed(group.id, "late")
            return
        delivery = self._data.deliver(
            peer,
            action.token,
            header,
            parts,
            time_left_ns=left_ns,
            done=lambda outcome: self._done(asked, action, outcome),
        )
        self.counts.bytes += size
        _add(self.counts.sent, action.peer, 1)
        asked.delivery = delivery
        if asked.wanted is not action:
            delivery.cancel()

    def _done(self, asked: _Asked, action: Deliver, outcome: Reply | Failure) -> None:
        """On a thread of the data plane."""
        current = asked.wanted is action
        outcomes: Sequence[Outcome] = ()
        if isinstance(outcome, Reply):
            try:
                outcomes = payload.unpack(outcome, asked.requests, asked.items)
                made = outcomes[0].execution
                if asked.exact and made and execution_key(made) != asked.group.variant:
                    raise WireError("made by another variant or runtime than was asked for")
            except WireError as error:
                outcome = Failure("malformed", str(error), sent=True)
        if isinstance(outcome, Reply):
            # Even where it was given up meanwhile: the first result counts, whoever brings it.
            self._report(outcomes)
            if current:
                self._forget(asked)
                self.counts.offloaded += 1
                self.counts.wire_ns[action.peer] = outcome.wire_ns
                self._verdicts.finished(asked.group.id, outcome.wire_ns)
            return
        if current:
            asked.wanted = asked.delivery = None
            if outcome.reason == "unsendable":
                self._stays(asked, outcome.message)
            if outcome.reason in ("failed", "unsendable"):
                peer = self._peer(action.peer)
                name = str(action.peer) if peer is None else peer.node_id
                asked.blame = PeerFailed(outcome.message, node=name)
            self.counts.retried += 1
            _add(self.counts.failed, action.peer, 1)
            self._verdicts.failed(asked.group.id, outcome.reason)
        if outcome.reason == "malformed":
            self._verdicts.misbehaved(action.peer, f"an answer to a group: {outcome.message}")

    def _stays(self, asked: _Asked, why: str) -> None:
        """Something of what is asked cannot travel: from here on it runs at home."""
        log.warning("%s runs on this node only: %s", asked.requests[0].model.name, why)
        self._homebound.add(asked.group.model)

    def _size(self, key: int, request: Request, exact: bool) -> float:
        """Bytes that a picture will have on the wire, as they came out lately."""
        found = self._sizes.get((key, exact))
        if found is None:
            found = form_of(request.model).expected_bytes(request.pictures[0], exact=exact)
        return found

    def _learn(self, group: Group, exact: bool, size: int) -> None:
        each = size / group.items
        self._sizes[group.model, exact] = (
            0.8 * self._sizes.get((group.model, exact), each) + 0.2 * each
        )


def _code(model: Asked, small: Sequence[Any], *, exact: bool) -> None:
    """Ahead of time: what cannot travel is told once it is to be sent."""
    with suppress(WireError):
        form_of(model).code(small, exact=exact)


def _shrunk(request: Request) -> list[Any]:
    """The pictures of *request*, which keeps them so if it has not been run meanwhile."""
    made = form_of(request.model).small(list(request.pictures))
    if request.pictures:
        request.pictures = made
    return made


def _add(counts: dict[int, int], key: int, amount: int) -> None:
    counts[key] = counts.get(key, 0) + amount


def _given_up(asked: _Asked, request: Request, action: Drop) -> Outcome:
    """A model that broke on a peer is a failure, and not a lack of time."""
    if asked.blame is not None:
        return Outcome(request, error=asked.blame)
    return Outcome(request, dropped=action.reason)
