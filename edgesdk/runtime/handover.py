"""The state of stateful operators, on its way from one node to another with its stream.

State is data: what JSON has, and bytes. An operator of the user's own can hand its state over if it
is a dict of that, or if its class has ``export_state()`` and ``import_state(state)``; the built-in
ones have them. What cannot be handed over starts anew, and whoever asked is told.

Nothing is missed or told twice if the new node opens the camera first and lets its frames pass
unseen, waiting for what the old one knows up to this moment: see ``Assignments.awaits``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgesdk.graph.plan import Step
from edgesdk.runtime.executor import Outcome
from edgesdk.runtime.program import CameraProgram, Stage

if TYPE_CHECKING:
    from edgesdk.runtime.node import Node

__all__ = [
    "WAIT_NS",
    "Bequest",
    "Bequests",
    "Estate",
    "NotMoved",
    "bequests_of",
    "give",
    "inherit",
    "take",
]

log = logging.getLogger(__name__)

MAX_STATE_BYTES = 64 << 10
"""Of one operator, as msgpack."""

_MAX_BYTES = 768 << 10  # of all that are handed over at once: a request holds 1 MiB
_MAX_DEPTH = 16
_WAIT_S = 4.0
WAIT_NS = 10_000_000_000
"""So long a camera waits for states that were announced and do not come."""

_TRANSIT_NS = 60_000_000_000  # longer ago: not the same clock, whatever the machine says of itself

Key = tuple[str, str]
"""A camera and an operator's id, which is the same on every node."""

Bequests = dict[Key, tuple[Any, int]]
"""States, and by how much this node's clock is ahead of the one in their times, in ns."""


class Bequest(msgspec.Struct, frozen=True, kw_only=True):
    """One operator's state on one camera."""

    camera: str
    operator: str
    name: str = ""
    state: Any = None


class NotMoved(msgspec.Struct, frozen=True, kw_only=True):
    """An operator that starts anew, and why."""

    camera: str
    operator: str
    name: str
    why: str


class Estate(msgspec.Struct, frozen=True, kw_only=True):
    """What a node hands over of some streams, of *cameras*, at *taken_ns* of its CLOCK_MONOTONIC.

    *boot*: names the run of its machine, whose agents have that clock in common.
    """

    states: list[Bequest] = []
    anew: list[NotMoved] = []
    cameras: list[str] = []
    taken_ns: int = 0
    boot: str = ""


def take(node: Node, streams: Sequence[tuple[str, str]], wait_s: float = _WAIT_S) -> Estate:
    """The states of *streams* (application, camera) as they are between two frames.

    Any thread; the streams go on. An operator that is in a step for longer than *wait_s* starts
    anew elsewhere.
    """
    wanted = [
        (camera, stage)
        for camera, stage in _stateful(node)
        if any((app, camera) in streams for app in stage.planned.applications)
    ]
    taken_ns = time.monotonic_ns()
    found: dict[Key, Any] = {}
    all_there = threading.Event()

    def keep(key: Key, outcome: Outcome) -> None:
        found[key] = outcome.values[0] if outcome.values else _Nothing(str(outcome.error))
        if len(found) == len(wanted):
            all_there.set()

    def ask() -> None:
        for camera, stage in wanted:
            done = partial(keep, (camera, stage.planned.id))
            export = partial(_exported, stage.step)
            if stage.own:
                # On the application's own thread, where its steps are. They may be many: streams
                # leave machines that are too full.
                node.workshop.own_code.interject(stage.app, export, done)
            else:
                done(Outcome(values=[export()]))

    if wanted and node.dispatcher is not None:
        node.dispatcher.post([ask])
        all_there.wait(wait_s)
    states: list[Bequest] = []
    anew: list[NotMoved] = []
    left = _MAX_BYTES
    for camera, stage in wanted:
        planned = stage.planned
        value = found.get((camera, planned.id), _Nothing(f"it gave none within {wait_s:g} s"))
        size = 0 if isinstance(value, _Nothing) else len(msgspec.msgpack.encode(value))
        if size > left:
            value = _Nothing("too much is handed over at once")
        if isinstance(value, _Nothing):
            anew.append(
                NotMoved(camera=camera, operator=planned.id, name=planned.name, why=value.why[:200])
            )
            continue
        left -= size
        states.append(Bequest(camera=camera, operator=planned.id, name=planned.name, state=value))
    return Estate(
        states=states,
        anew=anew,
        cameras=sorted({camera for _, camera in streams}),
        taken_ns=taken_ns,
        boot=_boot(),
    )


def bequests_of(estate: Estate, now_ns: int) -> Bequests:
    """By operator. What was on its way from a machine with another clock took no time."""
    ahead = now_ns - estate.taken_ns
    if estate.boot == _boot() != "" and 0 <= ahead < _TRANSIT_NS:
        ahead = 0
    return {(state.camera, state.operator): (state.state, ahead) for state in estate.states}


def give(node: Node, left: Bequests, cameras: Sequence[str]) -> dict[str, int]:
    """Gives those of *cameras* that wait what is *left* them, and lets them begin; by camera how
    many states there were. Any thread."""
    feeds = {camera: node.feeds[camera] for camera in cameras if camera in node.feeds}
    claimed: list[str] = []
    until = time.monotonic_ns() + WAIT_NS
    _on_dispatcher(node, lambda: claimed.extend(c for c, f in feeds.items() if f.claim(until)))
    for camera in feeds.keys() - claimed:
        log.warning("camera %s began before what another node knows of it came", camera)
    if claimed:
        inherit({camera: feeds[camera].flow.program for camera in claimed}, {}, left)
        _on_dispatcher(node, lambda: [feeds[camera].claim(0) for camera in claimed])
    return {camera: sum(key[0] == camera for key in left) for camera in claimed}


def _on_dispatcher(node: Node, call: Callable[[], object]) -> None:
    done = threading.Event()

    def work() -> None:
        try:
            call()
        finally:
            done.set()

    if node.dispatcher is not None:
        node.dispatcher.post([work])
        done.wait(_WAIT_S)


def inherit(
    programs: Mapping[str, CameraProgram], here: Mapping[str, CameraProgram], left: Bequests
) -> None:
    """Gives operators of *programs* that begin now (*here* has none of them) what is *left* them.

    What an operator does not take it goes without; that is logged. Behind a tracker that begins
    anew nothing goes on either: its ids are not those that were counted.
    """
    for camera, program in programs.items():
        before = here[camera].by_key if camera in here else {}
        if not any(key[0] == camera for key in left):
            continue
        renamed: set[int] = set()
        for stage in program.stages.values():
            behind = not renamed.isdisjoint(stage.inputs)
            if behind:
                renamed.add(stage.index)
            if not stage.stateful or stage.planned.key in before:
                continue
            came = left.get((camera, stage.planned.id))
            took = came is not None and not behind and _takes(stage, camera, *came)
            if not took and stage.planned.kind == "track":
                renamed.add(stage.index)


def _takes(stage: Stage, camera: str, state: Any, ahead_ns: int) -> bool:
    take_over: Callable[[Any, int], None] | None = getattr(stage.step, "import_state", None)
    try:
        if take_over is None:
            raise TypeError("it takes no state")
        take_over(state, ahead_ns)
    except Exception as error:  # the user's own code, and a state from elsewhere
        log.warning("%s on %s starts anew: %s", stage.where, camera, error)
        stage.step = stage.planned.start()
        return False
    log.info("%s on %s goes on with the state that came", stage.where, camera)
    return True


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class _Nothing:
    def __init__(self, why: str) -> None:
        self.why = why


def _stateful(node: Node) -> list[tuple[str, Stage]]:
    return [
        (camera, stage)
        for camera, feed in node.feeds.items()
        for stage in feed.flow.program.stages.values()
        if stage.stateful
    ]


def _exported(step: Step | None) -> Any:
    export: Callable[[], Any] | None = getattr(step, "export_state", None)
    if export is None:
        return _Nothing("it cannot export its state")
    try:
        state = export()
        kind = _not_plain(state)
        if kind is not None:
            return _Nothing(f"its state holds {kind}, which is no plain data")
        # A copy: the operator goes on changing its own.
        data = msgspec.msgpack.encode(state)
    except Exception as error:  # the user's own code
        return _Nothing(f"{type(error).__name__}: {error}")
    if len(data) > MAX_STATE_BYTES:
        return _Nothing(f"its state is larger than {MAX_STATE_BYTES} bytes")
    return msgspec.msgpack.decode(data)


def _not_plain(value: Any, depth: int = 0) -> str | None:
    """What in *value* another node could not have from data alone; None where all is plain."""
    if depth > _MAX_DEPTH:
        return "tables nested too deeply"
    if value is None or type(value) in (bool, float, str, bytes):
        return None
    if type(value) is int:
        return None if -(1 << 63) <= value < 1 << 64 else "an integer beyond 64 bits"
    if type(value) is list:
        return next((k for v in value if (k := _not_plain(v, depth + 1))), None)
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            return "keys that are neither text nor integers"
        return next((k for v in value.values() if (k := _not_plain(v, depth + 1))), None)
    return f"a value of type {type(value).__name__}"
