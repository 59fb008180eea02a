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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from edgesdk.capture import CaptureSupervisor
from edgesdk.config import Config
from edgesdk.core.ring import Bell
from edgesdk.errors import Cancelled, EdgeError, UsageError
from edgesdk.graph import Application
from edgesdk.graph.plan import Plan
from edgesdk.models import ModelRegistry
from edgesdk.records import RunSummary, SinkStats
from edgesdk.runtime import report
from edgesdk.runtime.blueprint import Blueprint, Pairs, draw
from edgesdk.runtime.camera import CameraFeed
from edgesdk.runtime.changes import Changes
from edgesdk.runtime.completion import Completion
from edgesdk.runtime.dispatcher import Dispatcher
from edgesdk.runtime.emulated import EmulatedDevice
from edgesdk.runtime.executor import Outcome
from edgesdk.runtime.flow import StageClock
from edgesdk.runtime.history import History, open_history
from edgesdk.runtime.ledger import Ledger
from edgesdk.runtime.leftovers import own_name, sweep
from edgesdk.runtime.outlet import Outlet
from edgesdk.runtime.paths import cache_directory, node_name
from edgesdk.runtime.placing import Placer
from edgesdk.runtime.preparation import Progress, open_sessions, prepare_models, silent
from edgesdk.runtime.preview import Previews
from edgesdk.runtime.reconfiguration import Reconfiguration
from edgesdk.runtime.residency import Residency
from edgesdk.runtime.sessions import KnownModel
from edgesdk.runtime.stations import Stations
from edgesdk.runtime.wiring import Connection, Wiring
from edgesdk.runtime.workshop import Observer, Workshop
from edgesdk.snapshot import NodeSnapshot, Preview

__all__ = ["Node", "Observer"]

log = logging.getLogger(__name__)


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
    as a JSON line; default: ``[results] out``. on_result: called with each result record (a dict),
    on a thread of its own; results wait for it in a bounded outbox. frames: how many to take of
    each camera. placer: where the inferences of live cameras go instead of this node's executors
    (see :class:`~edgesdk.runtime.placing.Placer`). standing: it may have nothing to do, and be
    given other things to do: see :meth:`apply`. device: an emulated one that all models run on;
    default: what ``[emulated]`` says.

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
        standing: bool = False,
        device: EmulatedDevice | None = None,
    ) -> None:
        self._apps, self._uris = tuple(apps), dict(cameras or {})
        self._out = None if out is None else Path(out)
        self._standing = standing
        self.blueprint = self._draw(config or Config())
        self.began_with = self.blueprint.config
        self.name = node_name(self.config.node)
        self._on_result = on_result
        self._frames = frames
        self._started_ns = 0
        self._stopped_ns = 0
        self._joined = False
        self._lock = threading.Lock()
        self._applying = threading.Lock()
        self.stopping = threading.Event()
        self._finished = threading.Event()
        self.ledger = Ledger()
        self.plan: Plan | None = None
        self.connection = Connection()
        self.since: Pairs = dict.fromkeys(self.blueprint.pairs, 0)
        self.turns = 0
        self.previews = Previews(self._keep_pixels)
        self.registry = ModelRegistry(cache_directory(self.config.node))
        emulated = self.config.emulated
        if device is None and emulated is not None:
            device = EmulatedDevice(emulated)
        self.emulated = device
        self.workshop = Workshop(
            self.name,
            open_sessions(self.registry, self.config.node),
            self.previews,
            self._post,
            placer=placer,
            device=self.emulated,
        )
        self.supervisor: CaptureSupervisor | None = None
        self.stations: Stations | None = None
        self.history: History | None = None
        self.dispatcher: Dispatcher | None = None
        self.completion = Completion(self._acknowledge, lambda: self.feeds.values(), self._finished)
        self._bell: Bell | None = None

    def _draw(self, config: Config) -> Blueprint:
        return draw(config, self._apps, self._uris, out=self._out, standing=self._standing)

    @property
    def config(self) -> Config:
        """The one in force."""
        return self.blueprint.config

    @property
    def feeds(self) -> Mapping[str, CameraFeed]:
        return {} if self.stations is None else self.stations.feeds

    @property
    def outlets(self) -> Mapping[tuple[str, str], Outlet]:
        """By application and camera; those that were removed too."""
        return {} if self.stations is None else self.stations.outlets

    @property
    def clocks(self) -> Mapping[tuple[str, str], StageClock]:
        """By camera and operator id."""
        return {} if self.stations is None else self.stations.clocks

    def start(self, progress: Progress = silent, cancel: threading.Event | None = None) -> None:
        """Compiles, loads and warms every model, opens the sinks, then starts the cameras.

        progress: told what is going on (see :class:`~edgesdk.runtime.preparation.Progress`).
        cancel: set from another thread, it makes start raise Cancelled soon.
        """
        cancel = cancel or threading.Event()
        self.blueprint.check()
        plan = self.plan = self.blueprint.compile(self.registry.resolve, {})
        self.residency.check(plan.models)
        try:
            if self.workshop.placer is not None:
                self.workshop.placer.join(self)
                self._joined = True
            models = prepare_models(
                plan,
                self.residency.own,
                self.registry,
                progress,
                cancel,
                standing=self._standing or self.placed,
            )
            self.residency.keep(models.keys())
            self._assemble(plan)
            if cancel.is_set():
                raise Cancelled("stopped before the first frame")
            self._go(plan, models)
        except BaseException:
            self.stop()
            raise

    def apply(
        self,
        config: Config,
        progress: Progress = silent,
        cancel: threading.Event | None = None,
    ) -> Changes:
        """Goes over to *config*, under way; what it does not change does not notice.

        Models are loaded before, while everything goes on. Returns what changed, once it did and
        what was removed has come to its end (two seconds at most). Of a *standing* node that was
        started; calls wait for each other. Whatever it raises (as the constructor and
        :meth:`start` do; Cancelled if the node was stopped), nothing has changed.
        """
        if not self._standing:
            raise UsageError("this node was not made to be reconfigured: Node(..., standing=True)")
        with self._applying:
            if not self.ready:
                raise UsageError("a node is started before it is reconfigured")
            cancel = cancel or self.stopping
            return Reconfiguration(self, self._draw(config)).run(progress, cancel)

    @contextmanager
    def running(self) -> Iterator[None]:
        """For reconfigurations: what is done within is done before :meth:`stop`, or not at all.
        Raises Cancelled."""
        with self._lock:
            if self._stopped_ns:
                raise Cancelled("the node was stopped")
            yield

    def install(self, blueprint: Blueprint, plan: Plan) -> frozenset[str]:
        """Makes the users' operators of *blueprint*, whose plan is *plan*, able to run for any
        camera of a cluster; their ids. For reconfigurations."""
        if not self.placed:
            return frozenset()
        return self.workshop.installed.add([plan, blueprint.idle(self.registry.resolve)])

    def resume(self) -> None:
        """For reconfigurations, on the dispatcher: there may be cameras again."""
        self._finished.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until every camera has ended (or given its *frames*) and all results are out.

        False if *timeout* seconds passed first. Raises EdgeError if the node itself broke.
        """
        ended = self._finished.wait(timeout)
        self.check()
        return ended

    def check(self) -> None:
        """Raises EdgeError if the node itself broke."""
        dispatcher = self.dispatcher
        if dispatcher is not None and dispatcher.failure is not None:
            raise EdgeError(f"the dispatcher died: {dispatcher.failure!r}") from dispatcher.failure

    def stop(self) -> None:
        """Finishes what is in flight, flushes the sinks, and ends; within 2 s. Idempotent."""
        with self._lock:
            if self._stopped_ns:
                return
            self._stopped_ns = time.monotonic_ns()
        self.stopping.set()
        self.residency.interrupt()
        began = time.monotonic()

        def left(end: float) -> float:
            return max(0.0, began + end - time.monotonic())

        dispatcher, stations = self.dispatcher, self.stations
        closing = threading.Thread(target=self._close_capture, daemon=True)
        if dispatcher is None or stations is None or not dispatcher.running:
            closing.start()
        else:
            self._finished.clear()
            dispatcher.post([stations.finish, closing.start])
            self._finished.wait(_FINISH_S)
        if self._joined:
            self.workshop.close_placer()
        idle = True
        for executor in self.wiring.executors.values():
            idle = executor.stop(left(_EXECUTORS_S)) and idle
        self.workshop.installed.stop()
        self.workshop.own_code.stop()
        if dispatcher is not None and stations is not None:
            dispatcher.post([stations.abandon])
            dispatcher.stop(left(_DISPATCHER_S))
        if closing.ident is not None:
            closing.join(left(_DISPATCHER_S))
        if stations is not None:
            stations.close_rings()
        if self.history is not None:
            self.history.close(max(_SINKS_LEAST_S, left(_SINKS_S)))
        self.previews.close()
        if idle:
            # To unload a model waits for its inference; one that hangs has had its time.
            self.residency.close()
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
        if camera not in self.blueprint.cameras:
            raise KeyError(camera)
        return self.previews.open(camera)

    def observe(self, observer: Observer) -> None:
        """Calls *observer* with each frame that passed and its results, pixels included.

        On the node's own thread: it must be quick, and copy what it keeps. Before :meth:`start`.
        """
        self.workshop.observers.append(observer)

    @property
    def sinks(self) -> dict[str, SinkStats]:
        """Where each sink stands, by name."""
        return {} if self.history is None else self.history.deliverer.stats()

    @property
    def seconds(self) -> float:
        if not self._started_ns:
            return 0.0
        return ((self._stopped_ns or time.monotonic_ns()) - self._started_ns) / 1e9

    @property
    def seconds_silent(self) -> float:
        """Since the dispatcher showed that it lives: it does so fifty times a second."""
        if not self._started_ns:
            return 0.0
        return (time.monotonic_ns() - max(self.completion.polled_ns, self._started_ns)) / 1e9

    @property
    def placed(self) -> bool:
        """Whether a placer decides where inferences of live cameras run."""
        return self.workshop.placer is not None

    @property
    def ready(self) -> bool:
        return self._started_ns > 0

    @property
    def wiring(self) -> Wiring:
        """The executors."""
        return self.workshop.wiring

    @property
    def residency(self) -> Residency:
        """The models."""
        return self.workshop.residency

    @property
    def inferences(self) -> Mapping[str, int]:
        """Frames and crops that each model ran on, by its card's name."""
        return self.workshop.inferences

    @property
    def offloaded(self) -> int:
        """Requests that other nodes did for this one."""
        return self.workshop.offloaded

    @property
    def duplicates(self) -> int:
        """Results that came after the first one of their request."""
        return self.workshop.duplicates

    def report(self, outcomes: Sequence[Outcome]) -> None:
        """How requests ended; for placers: see :meth:`Workshop.report`."""
        self.workshop.report(outcomes)

    def _assemble(self, plan: Plan) -> None:
        self.history = open_history(
            self.config,
            plan,
            node=self.name,
            out=self.blueprint.out,
            on_result=self._on_result,
            standing=self._standing,
        )
        self.ledger = self.workshop.ledger = Ledger(self.history.journal)
        sweep()
        self._bell = Bell(own_name())
        self.supervisor = CaptureSupervisor()
        self.stations = Stations(
            self.workshop,
            self.ledger,
            self.history,
            self.supervisor,
            self._bell,
            frames=self._frames,
            standing=self._standing,
            keep_pixels=lambda: bool(self.workshop.observers),
        )
        self.dispatcher = Dispatcher(self._bell, [self.completion])

    def _go(self, plan: Plan, models: Mapping[str, KnownModel]) -> None:
        assert self.stations is not None
        assert self.history is not None
        assert self.dispatcher is not None
        self.install(self.blueprint, plan)
        turn = self.stations.prepare(self.blueprint, plan, None, self.history.sinks)
        self.connection = self.wiring.connect(plan, turn.programs.values(), models, self.blueprint)
        if self.workshop.placer is not None:
            self.workshop.placer.attach()
        self._started_ns = time.monotonic_ns()
        self.wiring.start()
        self.workshop.note_sources(self.blueprint.sources, turn.begin)
        self.stations.turn(turn, self.connection.ports)
        self.stations.begin(turn, self.connection.ports)
        self.dispatcher.follow([*self.feeds.values(), self.completion])
        self.dispatcher.start()

    def _acknowledge(self) -> None:
        if self.history is not None:
            self.history.deliverer.acknowledge()

    def _close_capture(self) -> None:
        if self.supervisor is not None:
            self.supervisor.close()

    def _keep_pixels(self, camera: str, keep: bool) -> None:
        feed = self.feeds.get(camera)
        if feed is not None:
            feed.flow.keep_pixels = keep or bool(self.workshop.observers)

    def _post(self, calls: Sequence[Callable[[], None]]) -> None:
        if self.dispatcher is not None:
            self.dispatcher.post(calls)
