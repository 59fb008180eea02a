"""How a running node goes over from one blueprint to the next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from edgesdk.errors import Cancelled, EdgeError
from edgesdk.graph.plan import Plan
from edgesdk.runtime.blueprint import Blueprint, Pairs, changes
from edgesdk.runtime.changes import Changes
from edgesdk.runtime.preparation import Progress, prepare_models
from edgesdk.runtime.sessions import KnownModel
from edgesdk.runtime.stations import Turn
from edgesdk.runtime.wiring import Connection
from edgesdk.sinks import Sink

if TYPE_CHECKING:
    from edgesdk.runtime.node import Node

__all__ = ["Reconfiguration"]

log = logging.getLogger(__name__)

# So long what was removed may take to end by itself; then it is dropped (``shutdown``).
_LEAVE_S = 1.5
_SINKS_S = 1.0
_SWITCH_S = 10.0
_LOOK_S = 0.05


class Reconfiguration:
    """One of them, on *node*. Everything that can fail is done first, beside what runs; then the
    dispatcher goes over between two frames; then what nobody needs any more is put away."""

    def __init__(self, node: Node, after: Blueprint) -> None:
        assert node.stations is not None
        assert node.history is not None
        assert node.dispatcher is not None
        assert node.plan is not None
        self._node = node
        self._stations = node.stations
        self._deliverer = node.history.deliverer
        self._dispatcher = node.dispatcher
        self._before, self._after = node.blueprint, after
        self._was: Plan = node.plan

    def run(self, progress: Progress, cancel: threading.Event) -> Changes:
        node, before, after = self._node, self._before, self._after
        after.check(before)
        since = self._since()
        plan = after.compile(node.registry.resolve, since)
        node.residency.check(plan.models)
        held = set(node.residency.models)
        sinks_before = self._deliverer.sinks()
        installed = node.workshop.installed
        had = installed.ids
        try:
            models = prepare_models(
                plan, node.residency.own, node.registry, progress, cancel, standing=True
            )
            numbers = self._deliverer.declare(plan)
            everything = self._everything()
            operators = node.install(after, plan)
            turn = self._stations.prepare(after, plan, before, numbers)
            connection = node.wiring.connect(
                plan, turn.programs.values(), models, after, node.connection
            )
        except BaseException:
            installed.keep(had)
            self._undo(plan, held, sinks_before)
            raise
        found = changes(before, after, self._was, plan, began_with=node.began_with)
        old = node.connection
        try:
            self._switch(turn, connection, everything, since)
        except Cancelled:
            installed.keep(had)
            self._undo(plan, held, sinks_before)
            raise
        node.residency.keep(models.keys())
        self._put_away(turn, old, numbers, everything)
        installed.keep(operators)
        unused = held - models.keys()
        unloaded = self._make_room(models, unused) if node.placed else self._unload(unused)
        here = node.residency.models.keys() & models.keys()
        return msgspec.structs.replace(
            found,
            models_loaded=sorted(models[digest].card.name for digest in here - held),
            models_unloaded=sorted(unloaded),
        )

    def _since(self) -> dict[tuple[str, str], int]:
        """Pairs that go on keep the number of the turn in which they began."""
        node = self._node
        node.turns += 1
        moved = {c for c in self._after.cameras if self._after.moved(self._before, c)}
        return {
            pair: node.turns if pair[1] in moved else node.since.get(pair, node.turns)
            for pair in self._after.pairs
        }

    def _everything(self) -> list[Sink]:
        """The sinks that get the records of all applications."""
        kept = self._deliverer.everything
        if self._after.out == self._before.out:
            return kept
        gone = None if self._before.out is None else str(self._before.out)
        kept = [sink for sink in kept if not (sink.kind == "jsonl" and sink.target == gone)]
        if self._after.out is not None:
            kept.append(self._deliverer.open("jsonl", {"path": self._after.out}))
        return kept

    def _switch(
        self, turn: Turn, connection: Connection, everything: list[Sink], since: Pairs
    ) -> None:
        node, stations = self._node, self._stations

        def go_over() -> None:
            node.resume()
            self._deliverer.begin(everything)
            stations.turn(turn, connection.ports)
            node.blueprint, node.plan, node.connection = turn.blueprint, turn.plan, connection
            node.since = since
            self._follow(turn)

        with node.running():
            done = self._soon(go_over)
        if not self._await(done, _SWITCH_S):
            raise EdgeError("the node's dispatcher does not answer")
        # Not before: a camera that moved has the name of the one that ended.
        stations.end(turn)
        with node.running():
            stations.begin(turn, connection.ports)
            self._soon(lambda: self._join(turn))

    def _join(self, turn: Turn) -> None:
        self._node.workshop.note_sources(turn.blueprint.sources, turn.begin)
        self._follow(turn)

    def _follow(self, turn: Turn) -> None:
        feeds = (*self._stations.feeds.values(), *turn.gone)
        self._dispatcher.follow([*feeds, self._node.completion])

    def _put_away(
        self, turn: Turn, old: Connection, numbers: tuple[int, ...], everything: list[Sink]
    ) -> None:
        """Waits for what was removed to end, then forgets it."""
        node, stations, deliverer = self._node, self._stations, self._deliverer
        left_over = node.wiring.left_over(old, node.connection)
        self._wait_for(
            lambda: (
                stations.settled(turn)
                and not any(executor.waiting_in(stream) for executor, stream in left_over)
            )
        )
        unused: list[Sink] = []

        def leave() -> None:
            stations.leave(turn)
            turn.gone.clear()
            self._follow(turn)
            unused.extend(deliverer.retain(numbers, everything))

        self._await(self._soon(leave), _SWITCH_S)
        node.wiring.disconnect(old, node.connection)
        node.wiring.weigh(turn.plan)
        if unused:
            deliverer.release(unused, _SINKS_S)
            self._soon(lambda: deliverer.forget(unused))

    def _make_room(self, models: Mapping[str, KnownModel], unused: set[str]) -> list[str]:
        """In a cluster others may have come to need a model that this node does not: it goes only
        where one that the node does need has no room. Those are loaded while others do its work.
        """
        residency, gone = self._node.residency, []
        own = {operator.card_digest for operator in self._was.operators}
        spare = [digest for digest in unused if digest in own]
        for digest, model in models.items():
            if digest in residency.models:
                continue
            if residency.full and spare:
                gone += self._unload({spare.pop()})
            try:
                residency.load_soon(model.card)
            except EdgeError as error:
                log.info("left to other nodes: %s", error)
        return gone

    def _unload(self, digests: set[str]) -> list[str]:
        """Unloads what only the plan before needed; the names of the cards."""
        found = self._node.residency.models
        names = {digest: found[digest].card.name for digest in digests if digest in found}
        return [name for digest, name in names.items() if self._node.residency.unload(digest)]

    def _undo(self, plan: Plan, held: set[str], sinks: list[Sink]) -> None:
        """Puts away what was opened for *plan*, which is not to be."""
        wanted = {operator.card_digest for operator in plan.operators}
        self._unload({d for d in self._node.residency.models if d in wanted} - held)
        fresh = [sink for sink in self._deliverer.sinks() if sink not in sinks]
        if fresh:
            self._deliverer.release(fresh, _SINKS_S)

    def _soon(self, call: Callable[[], None]) -> threading.Event:
        """Runs *call* on the dispatcher; the event says when it is done, well or not."""
        done = threading.Event()

        def work() -> None:
            try:
                call()
            finally:
                done.set()

        self._dispatcher.post([work])
        return done

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        event = threading.Event()
        self._dispatcher.post([lambda: self._node.completion.watch(condition, event)])
        self._await(event, _LEAVE_S)
        event.set()

    def _await(self, event: threading.Event, seconds: float) -> bool:
        """Whether *event* came in time; a node that is stopped answers nobody any more."""
        end = time.monotonic() + seconds
        while not event.wait(_LOOK_S) and not self._node.stopping.is_set():
            if time.monotonic() >= end:
                break
        return event.is_set()
