"""A plan carried out and watched: machines are started, told what is theirs, and looked after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from edgesdk.cluster.status import MemberStatus
from edgesdk.errors import EdgeError, ProviderError
from edgesdk.planner.migration import MachineKind
from edgesdk.planner.plan import Plan
from edgesdk.planner.problem import Problem
from edgesdk.planner.rates import Rate, Seen, hidden_need, judge
from edgesdk.planner.running import NOWHERE, RunningFleet
from edgesdk.planner.watch import Decisions, Watcher, WatchSettings
from edgesdk.provision.budget import Budget
from edgesdk.provision.provider import Host, Provider

__all__ = ["Live", "LiveStream"]

Ask = Callable[[tuple[str, int], str, Any], Any]
"""Address, verb and body to a node's answer; raises EdgeError."""

_MACHINES = 512
# To start cameras and to load models costs what running them does not.
_WARM_S = 15.0


@dataclass(frozen=True, slots=True)
class LiveStream:
    """One camera of one class: what runs on it, and at which rate it is wanted."""

    klass: str
    camera: str
    uri: str
    app: str
    fps: float
    pixels: int = 0
    stateless: bool = True


@dataclass(eq=False)
class _Machine:
    slot: int
    kind: int
    told: tuple[int, ...] | None = None
    """The streams of its last assignment; None before the first."""
    seen: MemberStatus | None = None
    at_s: float = 0.0
    told_s: float = 0.0


@dataclass(eq=False)
class Live:
    """Not thread-safe; the caller calls :meth:`step` every so often, with its clock's seconds.

    streams: in the order of slots. needs: by class, in the problem's units, what was planned.
    told: each thing that is done, for people.
    """

    problem: Problem
    streams: Sequence[LiveStream]
    provider: Provider
    ask: Ask
    budget: Budget | None = None
    settings: WatchSettings = field(default_factory=WatchSettings)
    told: Callable[[str], None] = lambda words: None

    def __post_init__(self) -> None:
        problem = self.problem
        scale = np.array([r.scale for r in problem.resources], float)
        self.kinds = tuple(
            MachineKind(
                m.name, tuple(np.array(m.capacity) / scale), m.microusd / 1e6, limit=m.limit
            )
            for m in problem.machines
        )
        self.watcher = Watcher(self.kinds, self.settings)
        groups = {name: i for i, name in enumerate(dict.fromkeys(s.klass for s in self.streams))}
        self.fleet = RunningFleet(
            resources=len(problem.resources),
            streams=len(self.streams),
            machines=_MACHINES,
            groups=max(len(groups), 1),
        )
        classes = {c.name: c for c in problem.classes}
        self._planned = np.array([classes[s.klass].needs for s in self.streams]) / scale
        names = [r.name for r in problem.resources]
        self._cpu = names.index("cpu") if "cpu" in names else None
        self._memory = names.index("memory") if "memory" in names else None
        for slot, stream in enumerate(self.streams):
            self.fleet.group[slot] = groups[stream.klass]
            self.fleet.fps[slot] = stream.fps
            self.fleet.pixels[slot] = stream.pixels
            self.fleet.stateless[slot] = stream.stateless
        self.fleet.active[:] = True
        self.machines: dict[str, _Machine] = {}
        self.rates: dict[int, Rate] = {}
        self.revision = 0
        self.migrations = 0
        self._measured = self._planned.copy()
        self._wanted: dict[int, int] = {}  # machine slot -> kind, asked for and not started yet

    def carry_out(self, plan: Plan, now_s: float) -> None:
        """Starts what *plan* needs, or takes what is there, and gives each its streams."""
        free = {id_: host for id_, host in self.provider.hosts().items() if host.state != "gone"}
        left = {
            name: [i for i, s in enumerate(self.streams) if s.klass == name]
            for name in dict.fromkeys(s.klass for s in self.streams)
        }
        kinds = [kind.name for kind in self.kinds]
        self.fleet.started_s[:] = now_s
        for machine in plan.machines:
            here = next((i for i, h in free.items() if h.kind == machine.type), None)
            if here is not None:
                del free[here]
            else:
                here = self._start(machine.type, now_s)
            if here is None:
                continue
            slot = self._adopt(here, kinds.index(machine.type), now_s)
            for name, count in machine.streams.items():
                for _ in range(count):
                    self.fleet.machine[left[name].pop()] = slot
        for id_, host in free.items():
            if host.kind in kinds and not self.provider.spends:
                self._adopt(id_, kinds.index(host.kind), now_s)
        self.fleet.observe(now_s, self._planned)

    def step(self, now_s: float) -> Decisions:
        """Looks at every machine, decides, and does it. Errors of machines are told, not raised."""
        hosts = self.provider.hosts()
        self._note_losses(hosts, now_s)
        self._look(hosts, now_s)
        self.fleet.observe(now_s, self._measured)
        decisions = self.watcher.step(now_s, self.fleet)
        self._do(decisions, now_s)
        self._stop_for_money(now_s)
        self._assign(hosts, now_s)
        return decisions

    @property
    def settled(self) -> bool:
        """Whether every stream has a machine that was told of it."""
        placed = self.fleet.machine
        told = {
            slot: set(m.told) for m in self.machines.values() if m.told is not None
            for slot in [m.slot]
        }  # fmt: skip
        return all(
            int(placed[s]) != NOWHERE and s in told.get(int(placed[s]), ())
            for s in range(len(self.streams))
        )

    def where(self) -> dict[str, str]:
        """The machine of each camera; those without one are absent."""
        names = {m.slot: id_ for id_, m in self.machines.items()}
        found = {}
        for slot, stream in enumerate(self.streams):
            if (place := int(self.fleet.machine[slot])) in names:
                found[f"{stream.klass}/{stream.camera}"] = names[place]
        return found

    def _start(self, kind: str, now_s: float) -> str | None:
        price = next(k.price for k in self.kinds if k.name == kind)
        if self.budget is not None and price and not self.budget.may_rent(price, now_s):
            self.told(f"no machine of type {kind}: the budget of ${self.budget.usd:g} is used up")
            return None
        try:
            found = self.provider.start(kind)
        except ProviderError as error:
            self.told(str(error))
            return None
        if self.budget is not None and price:
            self.budget.rented(found, price, now_s)
        self.told(f"started {found} ({kind})")
        return found

    def _adopt(self, id_: str, kind: int, now_s: float) -> int:
        fleet = self.fleet
        slot = int(np.flatnonzero(~fleet.there)[0])
        fleet.there[slot] = True
        fleet.kind[slot] = kind
        fleet.capacity[slot] = self.kinds[kind].capacity
        fleet.price[slot] = self.kinds[kind].price
        fleet.began_s[slot] = now_s
        self.machines[id_] = _Machine(slot, kind)
        return slot

    def _drop(self, id_: str) -> None:
        fleet, machine = self.fleet, self.machines.pop(id_)
        fleet.machine[fleet.machine == machine.slot] = NOWHERE
        fleet.there[machine.slot] = False
        fleet.capacity[machine.slot] = 0
        fleet.price[machine.slot] = 0

    def _note_losses(self, hosts: Mapping[str, Host], now_s: float) -> None:
        for id_ in list(self.machines):
            host = hosts.get(id_)
            if host is not None and host.state != "gone":
                continue
            slot = self.machines[id_].slot
            count = int((self.fleet.machine == slot).sum())
            why = "it is not there any more" if host is None else host.reason
            self.told(f"lost {id_}: {why}; {count} streams move")
            self._drop(id_)
            if self.budget is not None:
                self.budget.returned(id_, now_s)
        kinds = [kind.name for kind in self.kinds]
        for id_, host in hosts.items():
            new = id_ not in self.machines and host.state == "ready" and host.kind in kinds
            if new and not self.provider.spends:
                self._adopt(id_, kinds.index(host.kind), now_s)

    def _look(self, hosts: Mapping[str, Host], now_s: float) -> None:
        """What machines and streams use and reach; where nothing answers, what was known holds."""
        for id_, machine in self.machines.items():
            host = hosts[id_]
            if host.state != "ready" or host.address is None:
                continue
            try:
                seen = msgspec.convert(self.ask(host.address, "status", {}), MemberStatus)
            except (EdgeError, msgspec.ValidationError) as error:
                self.told(f"{id_} does not say how it is: {error}")
                continue
            before, then, machine.seen, machine.at_s = machine.seen, machine.at_s, seen, now_s
            if before is None or now_s - then <= 0 or before.pid != seen.pid:
                continue
            self._compare(machine, before, seen, now_s - then)

    def _compare(
        self, machine: _Machine, before: MemberStatus, seen: MemberStatus, seconds: float
    ) -> None:
        mine = [s for s in range(len(self.streams)) if self.fleet.machine[s] == machine.slot]
        if before.machine is None or seen.machine is None or not mine:
            return
        used = {
            self._cpu: (seen.machine.cpu_seconds - before.machine.cpu_seconds) / seconds,
            self._memory: seen.machine.memory / 1e9,
        }
        then = {(s.app, s.camera): s for s in before.streams}
        now = {(s.app, s.camera): s for s in seen.streams}
        for slot in mine:
            stream = self.streams[slot]
            key = (stream.klass, stream.camera)
            if key in then and key in now:
                a, b = then[key], now[key]
                looked = Seen(
                    seconds=seconds,
                    captured=b.captured - a.captured,
                    analysed=(b.ok + b.late + b.held) - (a.ok + a.late + a.held),
                    missed=(b.dropped + b.failed) - (a.dropped + a.failed),
                    streaming=b.camera_state == "streaming",
                )
                self.rates[slot] = judge(looked, stream.fps)
        for resource, amount in used.items():
            if resource is None or machine.at_s - machine.told_s < _WARM_S:
                continue
            shares = self._planned[mine, resource]
            total = float(shares.sum())
            for slot, share in zip(mine, shares, strict=True):
                part = amount * (float(share) / total if total else 1 / len(mine))
                if resource == self._cpu and slot in self.rates:
                    part = hidden_need(part, self.rates[slot])
                self._measured[slot, resource] = part

    def _do(self, decisions: Decisions, now_s: float) -> None:
        slots: dict[int, int] = {}
        for boot in decisions.boots:
            started = self._start(self.kinds[boot.kind].name, now_s)
            slots[boot.machine] = NOWHERE if started is None else self._adopt(
                started, boot.kind, now_s
            )  # fmt: skip
        names = {m.slot: id_ for id_, m in self.machines.items()}
        for move in decisions.moves:
            target = slots.get(move.machine, move.machine)
            before = int(self.fleet.machine[move.stream])
            if target == NOWHERE and before != NOWHERE:
                continue
            stream = self.streams[move.stream]
            self.fleet.machine[move.stream] = target
            if before != NOWHERE:
                self.migrations += 1
                self.fleet.moved_s[move.stream] = now_s
            degraded = ", degraded" if move.stream in decisions.degraded else ""
            origin = names.get(before, "nowhere")
            where = names.get(target, "nowhere")
            self.told(f"{stream.klass}/{stream.camera}: {origin} -> {where}{degraded}")
        for slot in decisions.releases:
            if self.provider.spends and slot in names:
                self._give_back(names[slot], now_s, "the fleet is cheaper without it")

    def _give_back(self, id_: str, now_s: float, why: str) -> None:
        self.told(f"gave {id_} back: {why}")
        self._drop(id_)
        try:
            self.provider.stop(id_)
        except ProviderError as error:
            self.told(str(error))
        if self.budget is not None:
            self.budget.returned(id_, now_s)

    def _stop_for_money(self, now_s: float) -> None:
        if self.budget is None:
            return
        for id_ in self.budget.must_stop(now_s, self.settings.boot_s):
            if id_ in self.machines:
                self._give_back(id_, now_s, f"the budget of ${self.budget.usd:g} is used up")

    def _assign(self, hosts: Mapping[str, Host], now_s: float) -> None:
        """Tells every machine whose streams changed; the new place first, then the old."""
        placed = self.fleet.machine
        changed = []
        for id_, machine in self.machines.items():
            mine = tuple(s for s in range(len(self.streams)) if placed[s] == machine.slot)
            host = hosts.get(id_)
            if mine != machine.told and host is not None and host.state == "ready" and host.address:
                changed.append((len(set(mine) - set(machine.told or ())) == 0, id_, host, mine))
        for _, id_, host, mine in sorted(changed, key=lambda item: item[:2]):
            self.revision += 1
            assert host.address is not None
            try:
                self.ask(host.address, "assign", self.assignment(mine))
            except EdgeError as error:
                self.told(f"{id_} does not take its streams: {error}")
                continue
            self.machines[id_].told = mine
            self.machines[id_].told_s = now_s

    def assignment(self, slots: Sequence[int]) -> dict[str, Any]:
        """The document for a machine that has the streams *slots*: see ``runtime.assignment``."""
        cameras = {self.streams[s].camera: {"uri": self.streams[s].uri} for s in slots}
        apps: dict[str, Any] = {}
        for s in slots:
            stream = self.streams[s]
            app = apps.setdefault(stream.klass, {"app": stream.app, "cameras": []})
            app["cameras"].append(stream.camera)
        return {"schema": 1, "revision": self.revision, "cameras": cameras, "apps": apps}
