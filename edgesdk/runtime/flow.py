"""One camera's frames, from the ring to the results of every application that wants them.

A :class:`CameraFlow` belongs to the dispatcher: all its methods run on that thread, and nothing in
it blocks. What takes time (inference, the user's own operators) is handed to other threads and
comes back as a call on the dispatcher.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from edgesdk.errors import BackendError, EdgeError, PeerFailed
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.records import Provenance
from edgesdk.runtime.executor import Outcome
from edgesdk.runtime.ledger import End, State
from edgesdk.runtime.outlet import Outlet
from edgesdk.runtime.own_times import OwnTimes
from edgesdk.runtime.program import CameraProgram, Stage, Wish
from edgesdk.runtime.seldom import Seldom
from edgesdk.runtime.sequencer import Sequencer
from edgesdk.runtime.services import Port, Services, StageClock
from edgesdk.runtime.task import CropResults, Mark, Missing, Task, Wanted

__all__ = ["CameraFlow", "Port", "Services", "StageClock"]

_seldom = Seldom(logging.getLogger(__name__))

# A source that waits for us (pace=fast) has no clock that its frames could be late by.
NO_DEADLINE_NS = 3600 * 1_000_000_000
_FOREVER_NS = 1 << 62


class CameraFlow:
    """Runs one camera's program. *ports* has an entry for each stage that an executor runs: each
    inference and, where other nodes may do it, each operator of the user's own without state.

    Under way it may :meth:`adopt` another program, with which it shares stages by their index.
    """

    def __init__(
        self,
        program: CameraProgram,
        outlets: dict[str, Outlet],
        ports: dict[int, Port],
        clocks: Mapping[int, StageClock],
        services: Services,
        *,
        lossless: bool = False,
    ) -> None:
        self.program = program
        self.outlets = outlets
        self.keep_pixels = False
        self.touched = False
        self.lossless = lossless
        self._ports = dict(ports)
        self._patience_ns = max(outlet.deadline_ns for outlet in outlets.values())
        self._clocks = dict(clocks)
        self._services = services
        self._own_times = OwnTimes()
        self._order: dict[int, Sequencer[Any]] = {}
        self._stages: dict[int, Stage] = {}
        self._leaving: list[Outlet] = []
        self._tasks: dict[int, Task] = {}
        self._next_key = 0
        self._adopted_key = 0
        self._know(program)

    def adopt(
        self,
        program: CameraProgram,
        outlets: dict[str, Outlet],
        ports: Mapping[int, Port],
        clocks: Mapping[int, StageClock],
    ) -> None:
        """Frames from here on go through *program*, made of the present one; those under way end
        as they began. *outlets* that go on are the same objects. Until :attr:`settled`, what the
        new program lacks is still in use; then call :meth:`shed`."""
        kept = set(map(id, outlets.values()))
        self._leaving += [outlet for outlet in self.outlets.values() if id(outlet) not in kept]
        self.program = program
        self.outlets = outlets
        self._ports |= ports
        self._clocks |= clocks
        self._patience_ns = max(outlet.deadline_ns for outlet in outlets.values())
        self._adopted_key = self._next_key
        self._know(program)

    def _know(self, program: CameraProgram) -> None:
        self._stages |= program.stages
        for stage in program.stages.values():
            if stage.stateful:
                self._order.setdefault(stage.index, Sequencer())

    @property
    def settled(self) -> bool:
        """Whether every frame of the programs before has ended."""
        return next(iter(self._tasks), self._adopted_key) >= self._adopted_key

    def give_up(self) -> None:
        """Ends as dropped (``shutdown``) what frames of the programs before still wait for and
        the present one does not have."""
        missing = Missing(End(State.DROPPED, "shutdown"))
        for task in [t for key, t in self._tasks.items() if key < self._adopted_key]:
            for stage in task.stages:
                if stage.index not in self.program.stages and not task.settled(stage.index):
                    task.values[stage.index] = missing
            self._advance(task)
        for outlet in self._leaving:
            outlet.release(_FOREVER_NS)

    def shed(self) -> None:
        """Forgets what only programs before the present one had."""
        here = self.program.stages
        self._stages = dict(here)
        self._ports = {i: port for i, port in self._ports.items() if i in here}
        self._clocks = {i: clock for i, clock in self._clocks.items() if i in here}
        self._order = {i: order for i, order in self._order.items() if i in here}
        self._leaving.clear()

    def frame(self, info: FrameInfo, view: FrameView, now_ns: int) -> None:
        """A frame came out of the ring."""
        choice, values = self.program.look(info, view)
        # A firmware that leaves the time out, or another clock: its frames are taken as new.
        known = not self.lossless and 0 < info.capture_mono_ns <= now_ns
        base = info.capture_mono_ns if known else now_ns
        wanted: list[Wanted] = []
        for wish in choice.wishes:
            outlet = self.outlets[wish.app]
            if wish.verdict == "skipped_sample":
                outlet.channel.skip(info.incarnation, info.sequence)
            elif wish.verdict == "held":
                outlet.channel.hold(info.incarnation, info.sequence)
            else:
                patience = NO_DEADLINE_NS if self.lossless else outlet.deadline_ns
                wanted.append(Wanted(outlet, wish, base + patience))
        if choice.stages:
            self._start(info, view, base, wanted, choice.stages, values)
        elif self.keep_pixels:
            self._services.observed(self.program.camera, info, view, ())

    def abandon(self) -> None:
        """Ends what is still open as dropped (``shutdown``): nobody will finish it."""
        missing = Missing(End(State.DROPPED, "shutdown"))
        for task in list(self._tasks.values()):
            for stage in task.stages:
                if not task.settled(stage.index):
                    task.values[stage.index] = missing
            self._close(task)
        for outlet in (*self.outlets.values(), *self._leaving):
            outlet.release(_FOREVER_NS)

    @property
    def open_tasks(self) -> int:
        """Frames on their way."""
        return len(self._tasks)

    def lost(self, frames: int) -> None:
        """*frames* were overwritten in the ring before this node saw them."""
        for outlet in self.outlets.values():
            outlet.channel.lose(frames, "overrun")

    def reject(self, info: FrameInfo, reason: str) -> None:
        """A frame came whose bytes are none: it failed for every application."""
        now = time.monotonic_ns()
        missing = Missing(End(State.FAILED, f"{self._services.name}: {reason}"[:500]))
        wanted = []
        for app, outlet in self.outlets.items():
            wish = Wish(app, "passed", {"": -1}, {}, (-1,))
            wanted.append(Wanted(outlet, wish, now))
        self._start(info, None, now, wanted, (), {-1: missing})

    def tick(self, now_ns: int) -> None:
        """Gives up waiting for results whose deadline has passed and that block newer ones."""
        self._own_times.look(self.program, self._clocks, now_ns)
        for index in self._order:
            self._run_in_order(self._stages[index], now_ns)
        for outlet in (*self.outlets.values(), *self._leaving):
            outlet.release(now_ns)

    def _start(
        self,
        info: FrameInfo,
        view: FrameView | None,
        base_ns: int,
        wanted: list[Wanted],
        stages: Sequence[Stage],
        values: dict[int, Any],
    ) -> None:
        key = self._next_key
        self._next_key += 1
        deadline = max(w.deadline_ns for w in wanted) if wanted else base_ns + self._patience_ns
        task = Task(key, info, view, base_ns, stages, values, wanted, deadline)
        self._tasks[key] = task
        for w in wanted:
            w.outlet.open(task, w.deadline_ns)
        for stage in stages:
            if stage.stateful:
                self._order[stage.index].expect(key, deadline)
        self._advance(task)

    def _advance(self, task: Task) -> None:
        """Starts every stage whose inputs are there, and ends what can end."""
        for stage in task.stages:
            if stage.index not in task.values and all(map(task.settled, stage.inputs)):
                self._begin(task, stage, [task.values[i] for i in stage.inputs])
        if task.view is not None and not self.keep_pixels:
            self._release_pixels(task)
        self._close(task)

    def _begin(self, task: Task, stage: Stage, inputs: list[Any]) -> None:
        missing = [value for value in inputs if isinstance(value, Missing)]
        if stage.stateful:
            task.values[stage.index] = Mark.RUNNING
            self._order[stage.index].settle(task.key, missing[0] if missing else inputs)
            self._run_in_order(stage, time.monotonic_ns())
        elif missing:
            task.values[stage.index] = missing[0]
        elif stage.index in self._ports and not self._own_times.is_brief(stage.index):
            self._infer(task, stage, inputs)
        elif stage.own:
            task.made.append(stage.index)
            task.values[stage.index] = Mark.RUNNING
            self._call(task, stage, partial(stage.run, inputs, task.info))
        else:
            started = time.monotonic_ns()
            try:
                task.values[stage.index] = stage.run(inputs, task.info)
            except Exception as error:
                task.values[stage.index] = self._failure(stage, error)
            self._clocks[stage.index].add(time.monotonic_ns() - started)

    def _infer(self, task: Task, stage: Stage, inputs: list[Any]) -> None:
        port = self._ports[stage.index]
        pictures = stage.asks(inputs, task.info)
        task.made.append(stage.index)
        if not pictures:
            task.values[stage.index] = []
            return
        task.values[stage.index] = Mark.RUNNING
        groups = [
            (first, pictures[first : first + port.group])
            for first in range(0, len(pictures), port.group)
        ]
        task.crops[stage.index] = CropResults([None] * len(pictures), len(groups))
        deadline = self._job_deadline(task, stage, time.monotonic_ns())
        for first, group in groups:
            self._ask(task, stage, first, group, deadline)

    def _ask(
        self,
        task: Task,
        stage: Stage,
        first: int,
        pictures: Sequence[Any],
        deadline_ns: int,
    ) -> None:
        port = self._ports[stage.index]
        done = partial(self._inferred, task, stage, first)
        if port.terms is None:
            self._services.infer(port, pictures, deadline_ns, done)
        else:
            until = self._own_times.until(stage.index, deadline_ns, time.monotonic_ns())
            self._services.place(port, pictures, until, done, task.started_ns)

    def _job_deadline(self, task: Task, stage: Stage, after_ns: int) -> int:
        """The earliest deadline after *after_ns* of those that want this stage, else the last."""
        apps = stage.planned.applications
        wanting = [w.deadline_ns for w in task.wanted if w.wish.app in apps]
        return min((d for d in wanting if d > after_ns), default=task.deadline_ns)

    def _inferred(self, task: Task, stage: Stage, first: int, outcome: Outcome) -> None:
        if task.key not in self._tasks:
            return  # given up
        if outcome.dropped == "deadline" and self._try_later(task, stage, first, outcome):
            return
        gathered = task.crops[stage.index]
        gathered.left -= 1
        task.times.append(outcome.times)
        clock = self._clocks[stage.index]
        clock.add(outcome.times.prepare + outcome.times.infer + outcome.times.decode)
        if outcome.execution is not None:
            gathered.elsewhere.append(outcome)
        else:
            gathered.here += outcome.values is not None
        if outcome.values is not None:
            gathered.values[first : first + len(outcome.values)] = outcome.values
        elif task.values[stage.index] is Mark.RUNNING:
            self._settle(task, stage, self._missing(stage, outcome))
        if gathered.left == 0 and task.values[stage.index] is Mark.RUNNING:
            self._settle(task, stage, stage.gathered(gathered.values))

    def _try_later(self, task: Task, stage: Stage, first: int, outcome: Outcome) -> bool:
        """Asks again where another application has a later deadline than the one given up."""
        request = outcome.request
        assert request is not None
        placed = request.terms is not None
        given = request.deadline_ns + (self._own_times.after(stage.index) if placed else 0)
        later = self._job_deadline(task, stage, given)
        if later <= given or task.values.get(stage.index) is not Mark.RUNNING:
            return False
        self._ask(task, stage, first, request.pictures, later)
        return True

    def _call(self, task: Task, stage: Stage, function: Callable[[], Any]) -> None:
        self._services.call(stage.app, function, partial(self._called, task, stage))

    def _called(self, task: Task, stage: Stage, outcome: Outcome) -> None:
        if task.key not in self._tasks:
            return  # given up
        self._clocks[stage.index].add(outcome.times.infer)
        value = outcome.values[0] if outcome.values else self._missing(stage, outcome)
        self._settle(task, stage, value)

    def _settle(self, task: Task, stage: Stage, value: Any) -> None:
        if task.key not in self._tasks:
            return  # given up
        task.values[stage.index] = value
        self.touched = True
        self._advance(task)

    def _run_in_order(self, stage: Stage, now_ns: int) -> None:
        for released in self._order[stage.index].ready(now_ns):
            task = self._tasks.get(released.key)
            if task is None:
                continue  # given up
            if released.value is None:
                end = End(State.DROPPED, "deadline")
                self._settle(task, stage, Missing(end))
            elif isinstance(released.value, Missing):
                self._settle(task, stage, released.value)
            elif stage.own:
                self._call(task, stage, partial(stage.run, released.value, task.info))
            else:
                started = time.monotonic_ns()
                try:
                    value = stage.run(released.value, task.info)
                except Exception as error:
                    value = self._failure(stage, error)
                self._clocks[stage.index].add(time.monotonic_ns() - started)
                self._settle(task, stage, value)

    def _missing(self, stage: Stage, outcome: Outcome) -> Missing:
        if outcome.dropped is not None:
            return Missing(End(State.DROPPED, outcome.dropped))
        assert outcome.error is not None
        return self._failure(stage, outcome.error)

    def _failure(self, stage: Stage, error: Exception) -> Missing:
        node = error.node if isinstance(error, PeerFailed) else self._services.name
        where = f"{node}: {stage.where}"
        if isinstance(error, BackendError) and error.backend:
            where += f": {error.backend}:{error.device}"
        what = str(error) if isinstance(error, EdgeError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, EdgeError):
            words = f"{stage.where} failed on {self.program.camera}"
            _seldom.warn(words, error, time.monotonic_ns())
        return Missing(End(State.FAILED, f"{where}: {' '.join(what.split())}"[:500]))

    def _release_pixels(self, task: Task) -> None:
        for stage in task.stages:
            waits = stage.stateful and task.values.get(stage.index) is Mark.RUNNING
            if stage.takes_frames and (waits or stage.index not in task.values):
                return
        for index, value in task.values.items():
            if isinstance(value, FrameView):
                task.values[index] = Mark.GONE
        task.view = None

    def _close(self, task: Task) -> None:
        for wanted in list(task.wanted):
            if all(map(task.settled, wanted.wish.operators)):
                task.wanted.remove(wanted)
                now = time.monotonic_ns()
                made_by = self._made_by(task, wanted.wish.app)
                task.ended.append(wanted.outlet.close(task, wanted, made_by, now))
                wanted.outlet.release(now)
        if task.wanted or task.key not in self._tasks or task.running():
            return
        del self._tasks[task.key]
        if task.view is not None:
            self._services.observed(self.program.camera, task.info, task.view, task.ended)
            task.view = None

    def _made_by(self, task: Task, app: str) -> list[Provenance]:
        made_by: list[Provenance] = []
        for stage in task.stages:
            if stage.index not in task.made or app not in stage.planned.applications:
                continue
            gathered = task.crops.get(stage.index)
            elsewhere = gathered.elsewhere if gathered else []
            camera = self.program.camera
            if not elsewhere or (gathered and gathered.here):
                here = self._services.provenance(stage, camera)
                made_by += () if here is None else (here,)
            once = {outcome.execution: outcome for outcome in elsewhere}
            made_by += [self._services.provenance_of(stage, camera, o) for o in once.values()]
        return made_by
