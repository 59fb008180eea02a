"""The cameras of a node at work, and how they go over from one plan to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from edgesdk.capture import CaptureSupervisor
from edgesdk.core.ring import Bell
from edgesdk.graph.plan import Plan
from edgesdk.runtime.blueprint import Blueprint
from edgesdk.runtime.camera import CameraFeed, slots_needed
from edgesdk.runtime.flow import CameraFlow, Port, Services, StageClock
from edgesdk.runtime.handover import Bequests, inherit
from edgesdk.runtime.history import History
from edgesdk.runtime.ledger import Ledger
from edgesdk.runtime.leftovers import own_name
from edgesdk.runtime.outlet import Delivery, Outlet
from edgesdk.runtime.program import CameraProgram
from edgesdk.runtime.results_ring import ResultsRing

__all__ = ["Stations", "Turn"]

# A standing node's rings have room for inferences of applications that come later.
_SPARE_SLOTS = 4


@dataclass(frozen=True, eq=False)
class Turn:
    """The way to one plan from the one before: cameras that begin, go on, and end.

    *outlets* are by camera and application.
    """

    blueprint: Blueprint
    plan: Plan
    programs: Mapping[str, CameraProgram]
    outlets: Mapping[str, dict[str, Outlet]]
    begin: Sequence[str]
    go_on: Sequence[str]
    end: Sequence[str]
    gone: list[CameraFeed] = field(default_factory=list)


class Stations:
    """Feeds, flows and outlets of all cameras.

    ``feeds`` and ``outlets`` are replaced and never changed, so that any thread may read them.
    ``outlets`` has those of pairs that were removed too: their counts stay part of the sums.
    """

    def __init__(
        self,
        services: Services,
        ledger: Ledger,
        history: History,
        supervisor: CaptureSupervisor,
        bell: Bell,
        *,
        frames: int | None = None,
        standing: bool = False,
        keep_pixels: Callable[[], bool] = lambda: False,
    ) -> None:
        self.feeds: Mapping[str, CameraFeed] = {}
        self.outlets: Mapping[tuple[str, str], Outlet] = {}
        self.clocks: Mapping[tuple[str, str], StageClock] = {}
        self.supervisor = supervisor
        self.bequests: Bequests = {}
        """States from other nodes, for operators of the next turn."""
        self.awaiting: Mapping[str, int] = {}
        """Cameras of the next turn whose states are still to come, and until when they wait."""
        self._services = services
        self._ledger = ledger
        self._history = history
        self._bell = bell
        self._frames = frames
        self._standing = standing
        self._keep_pixels = keep_pixels
        self._rings: dict[str, ResultsRing] = {}
        self._incarnations = dict(history.incarnations)

    def prepare(
        self, blueprint: Blueprint, plan: Plan, before: Blueprint | None, sinks: Sequence[int]
    ) -> Turn:
        """Works out the turn to *plan*; what runs does not notice. *sinks* numbers the plan's."""
        self._open_channels(plan, first=before is None)
        here = self.feeds
        moved = {c for c in here if c in plan.cameras and before and blueprint.moved(before, c)}
        go_on = [c for c in plan.cameras if c in here and c not in moved]
        programs = {
            camera: CameraProgram(
                plan,
                camera,
                before=here[camera].flow.program if camera in go_on else None,
                sinks=sinks,
            )
            for camera in plan.cameras
        }
        inherit(programs, {c: here[c].flow.program for c in go_on}, self.bequests)
        outlets = {
            camera: {
                app: self._outlet(plan, app, camera, kept=camera in go_on)
                for app in programs[camera].apps
            }
            for camera in plan.cameras
        }
        begin = [camera for camera in plan.cameras if camera not in go_on]
        end = [camera for camera in here if camera not in go_on]
        return Turn(blueprint, plan, programs, outlets, begin, go_on, end)

    def turn(self, turn: Turn, ports: Mapping[str, Mapping[int, Port]]) -> None:
        """From here on frames of cameras that go on have the new plan, and those that end give no
        more. On the dispatcher."""
        self._announce(turn)
        for camera in turn.go_on:
            program = turn.programs[camera]
            outlets = turn.outlets[camera]
            for app, outlet in outlets.items():
                outlet.deadline_ns = turn.plan.applications[app].deadline_ns
            flow = self.feeds[camera].flow
            flow.adopt(program, outlets, ports[camera], self._clocks_of(program))
        for camera in turn.end:
            feed = self.feeds[camera]
            feed.finish()
            turn.gone.append(feed)
            last = max(feed.incarnation, self._incarnations.get(camera, 0))
            self._incarnations[camera] = last
            told = self._rings.pop(camera, None)
            if told is not None:
                told.close()
        self.feeds = {camera: self.feeds[camera] for camera in turn.go_on}

    def begin(self, turn: Turn, ports: Mapping[str, Mapping[int, Port]]) -> None:
        """Starts to capture the cameras that begin; :meth:`join` takes their frames."""
        for camera in turn.begin:
            program = turn.programs[camera]
            source = turn.blueprint.sources[camera]
            flow = CameraFlow(
                program,
                turn.outlets[camera],
                dict(ports[camera]),
                self._clocks_of(program),
                self._services,
                lossless=source.lossless,
            )
            flow.keep_pixels = self._keep_pixels()
            feed = CameraFeed(
                camera,
                source,
                flow,
                self.supervisor,
                self._bell,
                incarnations_before=self._incarnations.get(camera, 0),
                frames=self._frames,
                on_incarnation=self._note_incarnation,
                waits_until_ns=self.awaiting.get(camera, 0),
            )
            self.feeds = {**self.feeds, camera: feed}
            self.supervisor.add(
                camera, source, ring=own_name(), slots=self._slots(turn.blueprint, feed)
            )
            if source.kind == "ring":
                self._rings[camera] = ResultsRing(source.location, camera, feed.epoch_of)

    def end(self, turn: Turn) -> None:
        """Ends the capture of the cameras that ended; may take a second."""
        for camera in turn.end:
            self.supervisor.remove(camera)

    def leave(self, turn: Turn) -> None:
        """Forgets what only the plan before had, finished or not. On the dispatcher."""
        for feed in turn.gone:
            feed.flow.abandon()
        for camera in turn.go_on:
            flow = self.feeds[camera].flow
            if not flow.settled:
                flow.give_up()
            flow.shed()
        used = {(p.camera, p.id) for p in turn.plan.operators}
        self.clocks = {key: clock for key, clock in self.clocks.items() if key in used}

    def settled(self, turn: Turn) -> bool:
        """Whether all frames of the plan before have ended. On the dispatcher."""
        return not any(feed.flow.open_tasks for feed in turn.gone) and all(
            self.feeds[camera].flow.settled for camera in turn.go_on
        )

    def finish(self) -> None:
        """Takes no more frames. On the dispatcher."""
        for feed in self.feeds.values():
            feed.finish()

    def abandon(self) -> None:
        """Ends what is open. On the dispatcher."""
        for feed in self.feeds.values():
            feed.flow.abandon()

    def tell(self, camera: str, delivery: Delivery) -> None:
        """Tells the firmware whose ring the camera's frames come from, if so. On the dispatcher."""
        told = self._rings.get(camera)
        if told is not None:
            told.tell(delivery)

    def close_rings(self) -> None:
        for told in self._rings.values():
            told.close()

    def _open_channels(self, plan: Plan, *, first: bool) -> None:
        known = {(channel.app, channel.camera) for channel in self._ledger.channels()}
        fresh = [pair for pair in plan.outputs if pair not in known]
        if self._history.journal is not None and not first:
            self._history.journal.add(fresh)
        for app, camera in fresh:
            self._ledger.channel(app, camera)

    def _announce(self, turn: Turn) -> None:
        found = {
            (app, camera): outlet
            for camera, outlets in turn.outlets.items()
            for app, outlet in outlets.items()
        }
        self.outlets = {**self.outlets, **found}

    def _outlet(self, plan: Plan, app: str, camera: str, *, kept: bool) -> Outlet:
        known = self.outlets.get((app, camera))
        present = kept and app in self.feeds[camera].flow.outlets
        if known is not None and present:
            return known
        channel = self._ledger.channel(app, camera)
        deliver = partial(self._deliver, camera)
        return Outlet(channel, plan.applications[app].deadline_ns, deliver)

    def _deliver(self, camera: str, delivery: Delivery, done: Callable[[], None]) -> None:
        self.tell(camera, delivery)
        self._history.deliverer.deliver(delivery, done)

    def _clocks_of(self, program: CameraProgram) -> dict[int, StageClock]:
        found, clocks = {}, dict(self.clocks)
        for stage in program.stages.values():
            if stage.planned.role not in ("source", "selector"):
                key = program.camera, stage.planned.id
                clocks.setdefault(key, StageClock(stage.planned.name, stage.planned.id))
                found[stage.index] = clocks[key]
        self.clocks = clocks
        return found

    def _slots(self, blueprint: Blueprint, feed: CameraFeed) -> int:
        looked_at = self._keep_pixels() or blueprint.config.web.listen is not None
        wanted = blueprint.cameras[feed.name]
        spare = _SPARE_SLOTS if self._standing else 0
        return slots_needed(
            feed.flow, wanted.slots, wanted.queue, keeps_pixels=looked_at, spare=spare
        )

    def _note_incarnation(self, camera: str, number: int) -> None:
        if self._history.journal is not None:
            self._history.journal.note_incarnation(camera, number)
