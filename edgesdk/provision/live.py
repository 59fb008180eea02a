"""A plan carried out and watched: machines are started, told what is theirs, and looked after."""

from __future__ import annotations

from collections import Counter
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
from edgesdk.provision.finding import match_machines
from edgesdk.provision.handing_over import hand_over
from edgesdk.provision.live_records import LiveMachine, LiveStream, Loss
from edgesdk.provision.provider import Host, Provider

__all__ = ["Live"]

Ask = Callable[[tuple[str, int], str, Any], Any]
"""Address, verb and body to a node's answer; raises EdgeError."""

_MACHINES = 512
_LEAST_S = 4.0


@dataclass(eq=False)
class Live:
    """Not thread-safe; the caller calls :meth:`step` every so often, with its clock's seconds.

    streams: in the order of slots. told: each thing that is done, for people. warm_s: for so long
    after a machine was told its streams its use does not count: to start cameras and to load
    models costs what running them does not.
    """

    problem: Problem
    streams: Sequence[LiveStream]
    provider: Provider
    ask: Ask
    budget: Budget | None = None
    settings: WatchSettings = field(default_factory=WatchSettings)
    told: Callable[[str], None] = lambda words: None
    warm_s: float = 15.0

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
        self.machines: dict[str, LiveMachine] = {}
        self.rates: dict[int, Rate] = {}
        self.revision = 0
        self.migrations = 0
        self.losses: list[Loss] = []
        self._leaving: set[str] = set()
        self._lost: dict[str, set[int]] = {}
        self._left: dict[int, str] = {}  # streams that keep state: the machine that they move from
        self._measured = self._planned.copy()
        self._wanted: dict[int, int] = {}  # machine slot -> kind, asked for and not started yet

    def carry_out(self, plan: Plan, now_s: float) -> None:
        """Starts what *plan* needs, or takes what is there, and gives each its streams."""
        free = {id_: host for id_, host in self.provider.hosts().items() if host.state != "gone"}
        running = {id_: self._running(host) for id_, host in free.items()}
        left = {
            name: [i for i, s in enumerate(self.streams) if s.klass == name]
            for name in dict.fromkeys(s.klass for s in self.streams)
        }
        kinds = [kind.name for kind in self.kinds]
        self.fleet.started_s[:] = now_s
        known = match_machines(
            plan.machines,
            {id_: host.kind for id_, host in free.items()},
            {id_: Counter(self.streams[s].klass for s in here) for id_, here in running.items()},
        )
        slots: dict[str, int] = {}
        wanted = {machine.id: dict(machine.streams) for machine in plan.machines}
        # Streams that run somewhere stay there as far as the plan lets them.
        for machine in plan.machines:
            here = known.get(machine.id) or self._start(machine.type, now_s)
            if here is None:
                continue
            free.pop(here, None)
            slot = slots[machine.id] = self._adopt(here, kinds.index(machine.type), now_s)
            for stream in running.get(here, ()):
                name = self.streams[stream].klass
                if wanted[machine.id].get(name) and stream in left[name]:
                    self._settle_in(stream, slot, left[name], wanted[machine.id])
        for machine_id, slot in slots.items():
            for name, count in list(wanted[machine_id].items()):
                for _ in range(count):
                    self._settle_in(left[name][-1], slot, left[name], wanted[machine_id])
        for id_, host in free.items():
            if host.kind in kinds and not self.provider.spends:
                self._adopt(id_, kinds.index(host.kind), now_s)
        self.fleet.observe(now_s, self._planned)

    def _settle_in(self, stream: int, slot: int, left: list[int], wanted: dict[str, int]) -> None:
        left.remove(stream)
        wanted[self.streams[stream].klass] -= 1
        self.fleet.machine[stream] = slot

    def _running(self, host: Host) -> list[int]:
        """The slots of the streams that *host* has, from an earlier manager."""
        if host.state != "ready" or host.address is None:
            return []
        try:
            seen = msgspec.convert(self.ask(host.address, "status", {}), MemberStatus)
        except (EdgeError, msgspec.ValidationError):
            return []
        here = {(s.app, s.camera) for s in seen.streams if s.camera_state not in ("", "ended")}
        return [i for i, s in enumerate(self.streams) if (s.klass, s.camera) in here]

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
        self._release(now_s)
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
        self.machines[id_] = LiveMachine(slot, kind)
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
            mine = np.flatnonzero(self.fleet.machine == self.machines[id_].slot)
            why = "it is not there any more" if host is None else host.reason
            self.told(f"lost {id_}: {why}; {len(mine)} streams move")
            self._lost[id_] = {int(s) for s in mine}
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
            before, then = machine.seen, machine.at_s
            if before is not None and before.pid == seen.pid and now_s - then < _LEAST_S:
                continue  # a few frames more or less would be a large share of so short a time
            machine.seen, machine.at_s = seen, now_s
            if before is None or before.pid != seen.pid:
                continue
            self._compare(machine, before, seen, now_s - then)

    def _compare(
        self, machine: LiveMachine, before: MemberStatus, seen: MemberStatus, seconds: float
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
            if resource is None or machine.at_s - machine.told_s < self.warm_s:
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
                if not stream.stateless and before in names:
                    self._left.setdefault(move.stream, names[before])
            degraded = ", degraded" if move.stream in decisions.degraded else ""
            origin = names.get(before, "nowhere")
            where = names.get(target, "nowhere")
            self.told(f"{stream.klass}/{stream.camera}: {origin} -> {where}{degraded}")
        self._say_what_covers(decisions, set(slots.values()))
        if self.provider.spends:
            self._leaving.update(names[slot] for slot in decisions.releases if slot in names)

    def _say_what_covers(self, decisions: Decisions, booting: set[int]) -> None:
        """What became of the streams of lost machines."""
        for id_, streams in self._lost.items():
            degraded = streams & set(decisions.degraded)
            waiting = {
                s
                for s in streams - degraded
                if (place := int(self.fleet.machine[s])) == NOWHERE or place in booting
            }
            headroom = len(streams) - len(degraded) - len(waiting)
            self.losses.append(Loss(id_, headroom, len(degraded), len(waiting)))
            keep = [s for s in streams if not self.streams[s].stateless]
            self.told(str(self.losses[-1]))
            if keep:
                names = ", ".join(f"{self.streams[s].klass}/{self.streams[s].camera}" for s in keep)
                self.told(f"{names}: their state was on {id_} and starts anew")
        self._lost.clear()

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
            before = self.machines[id_].told or ()
            if any(not self._runs_elsewhere(s, id_) for s in set(before) - set(mine)):
                continue  # its new place has not taken it yet: it goes on here
            self._hand_over(hosts, host.address, set(mine) - set(before))
            try:
                self.ask(host.address, "assign", self.assignment(mine))
            except EdgeError as error:
                self.told(f"{id_} does not take its streams: {error}")
                continue
            for stream in mine:
                self._left.pop(stream, None)
            self.machines[id_].told = mine
            self.machines[id_].told_s = now_s

    def _release(self, now_s: float) -> None:
        """Gives back what was to be emptied, once nothing runs there any more."""
        for id_ in sorted(self._leaving):
            machine = self.machines.get(id_)
            if machine is None or bool((self.fleet.machine == machine.slot).any()):
                self._leaving.discard(id_)
            elif not machine.told:
                self._leaving.discard(id_)
                self._give_back(id_, now_s, "the fleet is cheaper without it")

    def _runs_elsewhere(self, stream: int, but: str) -> bool:
        """Whether the machine where *stream* is meant to be was told of it."""
        place = int(self.fleet.machine[stream])
        return any(
            m.slot == place and m.told is not None and stream in m.told
            for id_, m in self.machines.items()
            if id_ != but
        )

    def _hand_over(self, hosts: Mapping[str, Host], target: tuple[str, int], new: set[int]) -> None:
        """State of streams that move goes before them, from machines that still live."""
        sources: dict[str, list[int]] = {}
        for stream in sorted(new & self._left.keys()):
            sources.setdefault(self._left[stream], []).append(stream)
        for id_, streams in sources.items():
            host = hosts.get(id_)
            named = [(self.streams[s].klass, self.streams[s].camera) for s in streams]
            if host is not None and host.state == "ready" and host.address is not None:
                hand_over(self.ask, host.address, target, named, self.told)
            else:
                self.told(f"{', '.join('/'.join(n) for n in named)}: starts anew: {id_} is gone")

    def assignment(self, slots: Sequence[int]) -> dict[str, Any]:
        """The document for a machine that has the streams *slots*: see ``runtime.assignment``."""
        cameras = {self.streams[s].camera: {"uri": self.streams[s].uri} for s in slots}
        apps: dict[str, Any] = {}
        for s in slots:
            stream = self.streams[s]
            app = apps.setdefault(stream.klass, {"app": stream.app, "cameras": []})
            app["cameras"].append(stream.camera)
        return {"schema": 1, "revision": self.revision, "cameras": cameras, "apps": apps}
