"""Where a node's frames are worked on: executors, models, the users' own code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from edgesdk.capture import Source
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.plan import PlannedOperator
from edgesdk.records import Offload, Provenance
from edgesdk.runtime.emulated import EmulatedDevice
from edgesdk.runtime.execution import Execution
from edgesdk.runtime.flow import Port
from edgesdk.runtime.installed import Installed
from edgesdk.runtime.ledger import Ledger
from edgesdk.runtime.outlet import Delivery
from edgesdk.runtime.own_code import OwnCode
from edgesdk.runtime.own_operator import execution_of
from edgesdk.runtime.placing import Placer
from edgesdk.runtime.preview import Previews
from edgesdk.runtime.program import Stage
from edgesdk.runtime.request import Outcome, Request
from edgesdk.runtime.residency import Residency
from edgesdk.runtime.results import decoder_of, provenance
from edgesdk.runtime.sessions import KnownModel, Sessions
from edgesdk.runtime.wiring import Wiring

__all__ = ["Observer", "Workshop"]

log = logging.getLogger(__name__)

Observer = Callable[[str, FrameInfo, FrameView, Sequence[Delivery]], None]


class Workshop:
    """What flows ask of their node (:class:`~edgesdk.runtime.flow.Services`).

    Owned by the dispatcher, but for :meth:`report`. *post* runs calls there. *placer*: where
    inferences of live cameras go instead of the executors; *device*: emulated, that they run on.
    ``ledger`` is the node's, once it has started.
    """

    def __init__(
        self,
        name: str,
        sessions: Sessions,
        previews: Previews,
        post: Callable[[Sequence[Callable[[], None]]], None],
        *,
        placer: Placer | None = None,
        device: EmulatedDevice | None = None,
    ) -> None:
        self.name = name
        self.placer = placer
        self.ledger = Ledger()
        self.inferences: dict[str, int] = {}
        self.offloaded = 0
        self.duplicates = 0
        self.observers: list[Observer] = []
        self.own_code = OwnCode(post)
        self.installed = Installed(self.own_code, self.report)
        self.wiring = Wiring(self.report, installed=None if placer is None else self.installed)
        self.residency = Residency(
            sessions, self.wiring, elsewhere=placer is not None, device=device
        )
        self._previews = previews
        self._post = post
        self._provenance: dict[tuple[str, str], Provenance] = {}
        self._decoders: dict[str, str] = {}

    def note_sources(self, sources: Mapping[str, Source], cameras: Iterable[str]) -> None:
        """*cameras* begin, with these *sources*."""
        for camera in cameras:
            self._decoders[camera] = decoder_of(sources[camera])
            for key in [key for key in self._provenance if key[1] == camera]:
                del self._provenance[key]

    def close_placer(self) -> None:
        """No request goes there any more. Any thread."""
        placer, self.placer = self.placer, None
        if placer is not None:
            placer.close()

    def infer(
        self,
        port: Port,
        pictures: Sequence[Any],
        deadline_ns: int,
        done: Callable[[Outcome], None],
    ) -> None:
        """For flows: see :class:`~edgesdk.runtime.flow.Services`."""
        executor = self.wiring.executor_of(port.model)
        request = Request(port.stream, port.model, pictures, deadline_ns, done, port.options)
        request.exact = port.exact
        executor.submit(request)

    def place(
        self,
        port: Port,
        pictures: Sequence[Any],
        deadline_ns: int,
        done: Callable[[Outcome], None],
        captured_ns: int,
    ) -> None:
        """For flows."""
        request = Request(port.stream, port.model, pictures, deadline_ns, done, port.options)
        request.captured_ns, request.terms = captured_ns, port.terms
        request.exact = port.exact
        placer = self.placer
        if placer is None:
            self.report([Outcome(request, dropped="shutdown")])
            return
        try:
            placer.place(request)
        except Exception as error:
            log.exception("work could not be placed")
            self.report([Outcome(request, error=error)])

    def report(self, outcomes: Sequence[Outcome]) -> None:
        """How requests ended; for executors and placers, from any thread.

        Requests of other nodes are told at once, on the caller's thread; this node's own on the
        dispatcher's.
        """
        calls = []
        for outcome in outcomes:
            request = outcome.request
            assert request is not None
            if request.origin:
                _tell(request, outcome)
            else:
                calls.append(partial(self._settle, request, outcome))
        if calls:
            self._post(calls)

    def call(self, app: str, function: Callable[[], Any], done: Callable[[Outcome], None]) -> None:
        """For flows."""
        self.own_code.call(app, function, done)

    def provenance(self, stage: Stage, camera: str) -> Provenance | None:
        """For flows."""
        key = stage.planned.id, camera
        found = self._provenance.get(key)
        if found is None:
            ran = self._execution(stage.planned)
            if ran is None:
                return None
            found = self._provenance[key] = provenance(
                stage.planned,
                msgspec.structs.replace(ran, node=self.name),
                decoder=self._decoders[camera],
            )
        return found

    def provenance_of(self, stage: Stage, camera: str, outcome: Outcome) -> Provenance:
        """For flows."""
        ran = outcome.execution
        assert ran is not None
        mine = self._execution(stage.planned)
        offload = Offload(
            origin=self.name,
            codec=ran.codec,
            wire_ns=outcome.times.wire,
            differs=None if mine is None else ran.differences(mine),
        )
        return provenance(
            stage.planned,
            ran,
            decoder=self._decoders[camera],
            offload=offload,
        )

    def observed(
        self, camera: str, info: FrameInfo, view: FrameView, results: Sequence[Delivery]
    ) -> None:
        """For flows."""
        self._previews.show(camera, info, view, results)
        for observer in self.observers if results else ():
            observer(camera, info, view, results)

    def _execution(self, planned: PlannedOperator) -> Execution | None:
        """What does *planned* on this node, whose name it leaves out; None if nothing ever did."""
        if planned.custom is not None:
            return execution_of(planned.custom)
        return self.residency.executions.get(planned.card_digest or "")

    def _settle(self, request: Request, outcome: Outcome) -> None:
        if request.ended:
            if outcome.values is not None and request.terms is not None:
                self.duplicates += 1
                self.ledger.repeated(request.terms.apps, request.terms.camera)
            return
        request.ended = True
        if outcome.values is not None:
            if isinstance(request.model, KnownModel):
                card = request.model.name
                self.inferences[card] = self.inferences.get(card, 0) + len(outcome.values)
            self.offloaded += outcome.execution is not None
        request.done(outcome)


def _tell(request: Request, outcome: Outcome) -> None:
    try:
        request.done(outcome)
    except Exception:
        log.exception("%s could not be told what came of its request", request.origin)
