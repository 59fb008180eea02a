"""A node: cameras, applications, and everything between them, in one process.

::

    from edgesdk.runtime import Node

    with Node([people], {"door": "rtsp://host/stream"}, on_result=print) as node:
        node.wait(60)
    print(node.summary())
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from edgesdk.capture import CaptureSupervisor, Source, parse_source
from edgesdk.config import CameraConfig, Config
from edgesdk.core.ring import Bell
from edgesdk.errors import Cancelled, CaptureError, EdgeError
from edgesdk.graph import Application, compile_applications
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.plan import Plan
from edgesdk.models import ModelRegistry
from edgesdk.models.encoding import Shrunk
from edgesdk.records import Provenance, RunSummary, SinkStats
from edgesdk.runtime import report
from edgesdk.runtime.applications import applications_of
from edgesdk.runtime.camera import CameraFeed, slots_needed
from edgesdk.runtime.completion import Completion
from edgesdk.runtime.dispatcher import Dispatcher
from edgesdk.runtime.executor import Outcome, Request
from edgesdk.runtime.flow import CameraFlow, Port, StageClock
from edgesdk.runtime.history import History, open_history
from edgesdk.runtime.ledger import Ledger
from edgesdk.runtime.leftovers import own_name, sweep
from edgesdk.runtime.outlet import Delivery, Outlet
from edgesdk.runtime.own_code import OwnCode
from edgesdk.runtime.paths import cache_directory, node_name
from edgesdk.runtime.placing import Placer
from edgesdk.runtime.preparation import Progress, prepare_models, silent
from edgesdk.runtime.preview import Previews
from edgesdk.runtime.program import CameraProgram, Stage
from edgesdk.runtime.results import decoder_of, provenance
from edgesdk.runtime.results_ring import ResultsRing
from edgesdk.runtime.sessions import LoadedModel, Picture, Sessions
from edgesdk.runtime.wiring import Wiring, connect
from edgesdk.snapshot import NodeSnapshot, Preview

__all__ = ["Node", "Observer"]

log = logging.getLogger(__name__)

Observer = Callable[[str, FrameInfo, FrameView, Sequence[Delivery]], None]

# SIGTERM allows 2 s for all of it. Capture stops meanwhile, in a thread of its own.
# By when, after it began, each step gives up; idle ones take no time.
_FINISH_S = 0.5
_EXECUTORS_S = 0.9
_DISPATCHER_S = 1.3
_SINKS_S = 1.7
_SINKS_LEAST_S = 0.2


class Node:
    """Runs *apps* on *cameras* until they end or :meth:`stop`.

    apps: applications, or their addresses (``"people.py:people"``); each runs on every camera it
    wants. cameras: URI by name. Both add to what *config* says. out: a file that gets every result
    as a JSON line. on_result: called with each result record (a dict), on a thread of its own;
    results wait for it in a bounded outbox. frames: how many to take of each camera. placer: where
    the inferences of live cameras go instead of this node's executors (see
    :class:`~edgesdk.runtime.placing.Placer`).

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. Methods may be called from
    any thread. The constructor raises UsageError (GraphError, ConfigError); start raises also
    ModelError, BackendError, SinkError and AdmissionRefused. Once started, nothing that a camera
    or a model does raises here: it shows in the results and the counts.
    """

    def __init__(
        self,
        apps: Sequence[Application[Any] | str] = (),
        cameras: Mapping[str, str] | None = None,
        *,
        config: Config | None = None,
        out: str | Path | None = None,
        on_result: Callable[[dict[str, Any]], object] | None = None,
        frames: int | None = None,
        placer: Placer | None = None,
    ) -> None:
        self.config = config or Config()
        self.name = node_name(self.config.node)
        self.cameras = {
            **self.config.cameras,
            **{name: CameraConfig(uri=uri) for name, uri in (cameras or {}).items()},
        }
        self.sources: dict[str, Source] = {
            name: parse_source(camera.uri) for name, camera in self.cameras.items()
        }
        self._placements = applications_of(apps, self.config, list(self.cameras))
        self._out = None if out is None else Path(out)
        self._on_result = on_result
        self._frames = frames
        self._placer = placer
        self._observers: list[Observer] = []
        self._started_ns = 0
        self._stopped_ns = 0
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self.ledger = Ledger()
        self.plan: Plan | None = None
        self.feeds: dict[str, CameraFeed] = {}
        self.clocks: dict[int, StageClock] = {}
        self.inferences: dict[str, int] = {}
        self.offloaded = 0
        self.duplicates = 0
        self.wiring = Wiring()
        self.previews = Previews(self._keep_pixels)
        self.supervisor: CaptureSupervisor | None = None
        self._models: dict[str, LoadedModel] = {}
        self._sessions: Sessions | None = None
        self._history: History | None = None
        self._dispatcher: Dispatcher | None = None
        self._bell: Bell | None = None
        self._own_code = OwnCode(self._post)
        self._results_rings: dict[str, ResultsRing] = {}
        self._provenance: dict[tuple[int, str], Provenance] = {}

    def start(self, progress: Progress = silent, cancel: threading.Event | None = None) -> None:
        """Compiles, loads and warms every model, opens the sinks, then starts the cameras.

        progress: told what is going on (see :class:`~edgesdk.runtime.preparation.Progress`).
        cancel: set from another thread, it makes start raise Cancelled soon.
        """
        cancel = cancel or threading.Event()
        for name, source in self.sources.items():
            _check(name, source)
        cache = cache_directory(self.config.node)
        registry = ModelRegistry(cache)
        pairs = [(p.application, camera) for p in self._placements for camera in p.cameras]
        plan = self.plan = compile_applications(pairs, registry.resolve)
        try:
            self._sessions, self._models = prepare_models(
                plan, registry, self.config.node, progress, cancel
            )
            self._history = open_history(
                self.config, plan, node=self.name, out=self._out, on_result=self._on_result
            )
            self.ledger = Ledger(self._history.journal)
            self._assemble(plan)
            if cancel.is_set():
                raise Cancelled("stopped before the first frame")
            self._go()
        except BaseException:
            self.stop()
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until every camera has ended (or given its *frames*) and all results are out.

        False if *timeout* seconds passed first. Raises EdgeError if the node itself broke.
        """
        ended = self._finished.wait(timeout)
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.failure is not None:
            raise EdgeError(f"the dispatcher died: {dispatcher.failure!r}") from dispatcher.failure
        return ended

    def stop(self) -> None:
        """Finishes what is in flight, flushes the sinks, and ends; within 2 s. Idempotent."""
        with self._lock:
            if self._stopped_ns:
                return
            self._stopped_ns = time.monotonic_ns()
        began = time.monotonic()

        def left(end: float) -> float:
            return max(0.0, began + end - time.monotonic())

        dispatcher = self._dispatcher
        closing = threading.Thread(target=self._close_capture, daemon=True)
        if dispatcher is None or dispatcher.failure is not None:
            closing.start()
        else:
            dispatcher.post([self._halt, closing.start])
            self._finished.wait(_FINISH_S)
        if self._placer is not None and self._started_ns:
            self._placer.close()
            self._placer = None
        idle = True
        for executor in self.wiring.executors.values():
            idle = executor.stop(left(_EXECUTORS_S)) and idle
        self._own_code.stop()
        if dispatcher is not None:
            dispatcher.post([self._abandon])
            dispatcher.stop(left(_DISPATCHER_S))
        if closing.ident is not None:
            closing.join(left(_DISPATCHER_S))
        for told in self._results_rings.values():
            told.close()
        if self._history is not None:
            self._history.close(max(_SINKS_LEAST_S, left(_SINKS_S)))
        self.previews.close()
        if self._sessions is not None and idle:
            # To unload a model waits for its inference; one that hangs has had its time.
            self._sessions.close()
        if dispatcher is not None:
            dispatcher.close()
        elif self._bell is not None:
            self._bell.close()
        self._finished.set()

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def snapshot(self) -> NodeSnapshot:
        """What the node shows of itself now; cheap enough for twice a second."""
        return report.snapshot(self)

    def summary(self) -> RunSummary:
        """The counts so far; after :meth:`stop`, the final ones."""
        return report.summary(self)

    def preview(self, camera: str) -> Preview:
        """Starts to look at *camera*; KeyError if there is none. Close it when done."""
        if camera not in self.cameras:
            raise KeyError(camera)
        return self.previews.open(camera)

    def observe(self, observer: Observer) -> None:
        """Calls *observer* with each frame that passed and its results, pixels included.

        On the node's own thread: it must be quick, and copy what it keeps. Before :meth:`start`.
        """
        self._observers.append(observer)

    @property
    def sinks(self) -> dict[str, SinkStats]:
        """Where each sink stands, by name."""
        return {} if self._history is None else self._history.deliverer.stats()

    @property
    def seconds(self) -> float:
        if not self._started_ns:
            return 0.0
        return ((self._stopped_ns or time.monotonic_ns()) - self._started_ns) / 1e9

    @property
    def ready(self) -> bool:
        return self._started_ns > 0

    def infer(
        self,
        port: Port,
        pictures: Sequence[Picture | Shrunk],
        deadline_ns: int,
        done: Callable[[Outcome], None],
    ) -> None:
        """For flows: see :class:`~edgesdk.runtime.flow.Services`."""
        executor = self.wiring.executor_of(port.model)
        executor.submit(Request(port.stream, port.model, pictures, deadline_ns, done, port.options))

    def place(
        self,
        port: Port,
        pictures: Sequence[Picture | Shrunk],
        deadline_ns: int,
        done: Callable[[Outcome], None],
        captured_ns: int,
    ) -> None:
        """For flows."""
        request = Request(port.stream, port.model, pictures, deadline_ns, done, port.options)
        request.captured_ns, request.terms = captured_ns, port.terms
        if self._placer is None:
            self.report([Outcome(request, dropped="shutdown")])
        else:
            self._placer.place(request)

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
                request.done(outcome)
            else:
                calls.append(partial(self._settle, request, outcome))
        if calls:
            self._post(calls)

    def call(self, app: str, function: Callable[[], Any], done: Callable[[Outcome], None]) -> None:
        """For flows."""
        self._own_code.call(app, function, done)

    def provenance(self, stage: Stage, camera: str) -> Provenance:
        """For flows."""
        key = (stage.index, camera)
        found = self._provenance.get(key)
        if found is None:
            model = self._models[stage.planned.card_digest or ""]
            decoder = decoder_of(self.sources[camera])
            found = provenance(
                stage.planned.kind, stage.planned.id, model, node=self.name, decoder=decoder
            )
            self._provenance[key] = found
        return found

    def observed(
        self, camera: str, info: FrameInfo, view: FrameView, results: Sequence[Delivery]
    ) -> None:
        """For flows."""
        self.previews.show(camera, info, view, results)
        for observer in self._observers if results else ():
            observer(camera, info, view, results)

    def _assemble(self, plan: Plan) -> None:
        history = self._history
        assert history is not None
        sweep()
        self._bell = Bell(own_name())
        self.supervisor = CaptureSupervisor()
        programs = [CameraProgram(plan, camera) for camera in plan.cameras]
        lossless = {camera: self.sources[camera].lossless for camera in plan.cameras}
        queues = {camera: self.cameras[camera].queue for camera in plan.cameras}
        self.wiring = connect(
            plan, programs, self._models, queues=queues, lossless=lossless, report=self.report
        )
        self.clocks = {
            p.index: StageClock(p.name, p.id)
            for p in plan.operators
            if p.role not in ("source", "selector")
        }
        for app, camera in plan.outputs:
            self.ledger.channel(app, camera)
        for program in programs:
            camera = program.camera
            outlets = {
                app: Outlet(
                    self.ledger.channel(app, camera),
                    plan.applications[app].deadline_ns,
                    partial(self._deliver, camera),
                )
                for app in program.apps
            }
            flow = CameraFlow(
                program,
                outlets,
                self.wiring.ports[camera],
                self.clocks,
                self,
                lossless=lossless[camera],
            )
            flow.keep_pixels = bool(self._observers)
            self.feeds[camera] = CameraFeed(
                camera,
                self.sources[camera],
                flow,
                self.supervisor,
                self._bell,
                incarnations_before=history.incarnations.get(camera, 0),
                frames=self._frames,
                on_incarnation=self._note_incarnation,
            )
            if self.sources[camera].kind == "ring":
                ring = self.sources[camera].location
                self._results_rings[camera] = ResultsRing(ring, camera, self.feeds[camera].epoch_of)
        self._dispatcher = Dispatcher(
            self._bell,
            [*self.feeds.values(), Completion(self._acknowledge, self.feeds, self._finished)],
        )

    def _deliver(self, camera: str, delivery: Delivery, done: Callable[[], None]) -> None:
        told = self._results_rings.get(camera)
        if told is not None:
            told.tell(delivery)
        assert self._history is not None
        self._history.deliverer.deliver(delivery, done)

    def _go(self) -> None:
        assert self.supervisor is not None
        assert self._dispatcher is not None
        if self._placer is not None:
            self._placer.attach(self)
        self._started_ns = time.monotonic_ns()
        for executor in self.wiring.executors.values():
            executor.start()
        for camera, feed in self.feeds.items():
            self.supervisor.add(camera, feed.source, ring=own_name(), slots=self._slots_of(feed))
        self._dispatcher.start()

    def _slots_of(self, feed: CameraFeed) -> int:
        keeps_pixels = bool(self._observers) or self.config.web.listen is not None
        wanted = self.cameras[feed.name]
        return slots_needed(feed.flow, wanted.slots, wanted.queue, keeps_pixels=keeps_pixels)

    def _acknowledge(self) -> None:
        if self._history is not None:
            self._history.deliverer.acknowledge()

    def _halt(self) -> None:
        for feed in self.feeds.values():
            feed.finish()

    def _abandon(self) -> None:
        for feed in self.feeds.values():
            feed.flow.abandon()

    def _close_capture(self) -> None:
        if self.supervisor is not None:
            self.supervisor.close()

    def _note_incarnation(self, camera: str, number: int) -> None:
        if self._history is not None and self._history.journal is not None:
            self._history.journal.note_incarnation(camera, number)

    def _keep_pixels(self, camera: str, keep: bool) -> None:
        feed = self.feeds.get(camera)
        if feed is not None:
            feed.flow.keep_pixels = keep or bool(self._observers)

    def _post(self, calls: Sequence[Callable[[], None]]) -> None:
        if self._dispatcher is not None:
            self._dispatcher.post(calls)

    def _settle(self, request: Request, outcome: Outcome) -> None:
        if request.ended:
            if outcome.values is not None and request.terms is not None:
                self.duplicates += 1
                self.ledger.repeated(request.terms.apps, request.terms.camera)
            return
        request.ended = True
        if outcome.values is not None:
            card = request.model.card.name
            self.inferences[card] = self.inferences.get(card, 0) + len(outcome.values)
            self.offloaded += outcome.execution is not None
        request.done(outcome)


def _check(camera: str, source: Source) -> None:
    try:
        source.check()
    except CaptureError as error:
        raise CaptureError(f"camera {camera}: {error}") from None
