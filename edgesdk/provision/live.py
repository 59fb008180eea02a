"""A plan carried out and watched: machines are started, told what is theirs, and looked after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgesdk.errors import EdgeError, ProviderError
from edgesdk.planner.migration import MachineKind
from edgesdk.planner.plan import Plan
from edgesdk.planner.problem import Problem
from edgesdk.planner.rates import Rate
from edgesdk.planner.running import NOWHERE, RunningFleet
from edgesdk.planner.watch import Decisions, Watcher, WatchSettings
from edgesdk.provision.assigning import Assigner
from edgesdk.provision.budget import Budget
from edgesdk.provision.finding import match_machines
from edgesdk.provision.live_records import LiveMachine, LiveStream, Loss
from edgesdk.provision.observing import Observer, status_of
from edgesdk.provision.provider import Ask, Host, Provider
from edgesdk.provision.standing_in import stand_ins

__all__ = ["Live"]

_MACHINES = 512
_SAY_S = 60.0
_REFUSED = 0.4  # of the time: a machine that answers for its agent knows that there is none
_BOOTS = 5  # times as long as a machine takes to come: then it does not


@dataclass(eq=False)
class Live:
    """Not thread-safe; the caller calls :meth:`step` every so often, with its clock's seconds.

    streams: in the order of slots. told: each thing that is done, for people. warm_s: for so long
    after a machine was told its streams its use does not count: to start cameras and to load
    models costs what running them does not. silent_s: a machine that does not answer for so long,
    asked twice at least, is lost.
    """

    problem: Problem
    streams: Sequence[LiveStream]
    provider: Provider
    ask: Ask
    budget: Budget | None = None
    settings: WatchSettings = field(default_factory=WatchSettings)
    told: Callable[[str], None] = lambda words: None
    warm_s: float = 15.0
    silent_s: float = 15.0

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
        for slot, stream in enumerate(self.streams):
            self.fleet.group[slot] = groups[stream.klass]
            self.fleet.fps[slot] = stream.fps
            self.fleet.pixels[slot] = stream.pixels
            self.fleet.stateless[slot] = stream.stateless
        self.fleet.active[:] = True
        self.machines: dict[str, LiveMachine] = {}
        self.migrations = 0
        self.losses: list[Loss] = []
        self.observer = Observer(
            problem, self.streams, self.fleet, self.ask, self.told, self.warm_s
        )
        self.assigner = Assigner(self.streams, self.fleet, self.ask, self.told)
        self._leaving: set[str] = set()
        self._lost: dict[str, set[int]] = {}
        self._uncovered: set[int] = set()  # lost streams that run nowhere yet
        self._hard = np.array([r.name != "cpu" for r in problem.resources])
        self._silent: set[str] = set()  # lost, and yet there
        self._asked: set[str] = set()  # those of them that are asked at the next look
        self._unreturned: set[str] = set()
        self._said: dict[str, float] = {}

    @property
    def rates(self) -> dict[int, Rate]:
        """What each stream reached of its rate when it was looked at last, by slot; one that no
        machine was found for reaches none of it."""
        nowhere = np.flatnonzero(self.fleet.active & (self.fleet.machine == NOWHERE))
        lacking = {int(s): Rate(0.0, "machine") for s in nowhere if s not in self.assigner.guests}
        return {**self.observer.rates, **lacking}

    @property
    def troubled(self) -> bool:
        """Whether a machine did not answer when it was asked last: look again soon."""
        return any(machine.unanswered for machine in self.machines.values())

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
            if host.kind in kinds:  # also what an earlier manager rented: it may go, or be of use
                self._adopt(id_, kinds.index(host.kind), now_s)
        self._move_what_runs(running, now_s)
        self.fleet.observe(now_s, self.observer.planned)

    def _move_what_runs(self, running: Mapping[str, Sequence[int]], now_s: float) -> None:
        """What the plan puts elsewhere than where it runs goes on there until its new place has it,
        and takes its state along."""
        names = {m.slot: id_ for id_, m in self.machines.items()}
        for id_, here in running.items():
            machine = self.machines.get(id_)
            places = {stream: int(self.fleet.machine[stream]) for stream in here}
            leaving = [
                s for s, at in places.items() if machine and at in names and names[at] != id_
            ]
            if machine is None or not leaving:
                continue
            machine.told, machine.told_s = tuple(sorted(here)), now_s
            for stream in leaving:
                one = self.streams[stream]
                self.migrations += 1
                if not one.stateless:
                    self.assigner.left.setdefault(stream, id_)
                self.told(f"{one.klass}/{one.camera}: {id_} -> {names[places[stream]]}")

    def _settle_in(self, stream: int, slot: int, left: list[int], wanted: dict[str, int]) -> None:
        left.remove(stream)
        wanted[self.streams[stream].klass] -= 1
        self.fleet.machine[stream] = slot

    def _running(self, host: Host) -> list[int]:
        """The slots of the streams that *host* has, from an earlier manager."""
        if host.state != "ready":
            return []
        try:
            seen = status_of(self.ask, host)
        except EdgeError:
            return []
        here = {(s.app, s.camera) for s in seen.streams if s.camera_state not in ("", "ended")}
        return [i for i, s in enumerate(self.streams) if (s.klass, s.camera) in here]

    def step(self, now_s: float) -> Decisions:
        """Looks at every machine, decides, and does it. Errors of machines are told, not raised."""
        try:
            hosts = self.provider.hosts()
        except ProviderError as error:
            self._complain(f"nothing is known of the machines: {error}", now_s)
            self._stop_for_money(now_s)
            return Decisions()
        silent = self._look(hosts, now_s)
        self._note_losses(hosts, now_s)
        self._welcome(hosts, silent, now_s)
        self.fleet.observe(now_s, self.observer.measured)
        decisions = self.watcher.step(now_s, self.fleet)
        self._do(decisions, now_s)
        self._cover(hosts)
        self._say_what_covers(decisions)
        self._stop_for_money(now_s)
        self.assigner.assign(self.machines, hosts, now_s)
        self._release(now_s)
        self._return(now_s)
        return decisions

    @property
    def settled(self) -> bool:
        """Whether every stream has a machine that was told of it."""
        told = {m.slot: set(m.told) for m in self.machines.values() if m.told is not None}
        placed = self.fleet.machine.tolist()
        return all(s in told.get(placed[s], ()) for s in range(len(self.streams)))

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
            words = f"no machine of type {kind}: the budget of ${self.budget.usd:g} is used up"
            self._complain(words, now_s)
            return None
        try:
            found = self.provider.start(kind)
        except EdgeError as error:
            self._complain(str(error), now_s)
            return None
        if self.budget is not None and price:
            self.budget.rented(found, price, now_s)
        self.told(f"started {found} ({kind})")
        return found

    def _complain(self, words: str, now_s: float) -> None:
        """Says what is in the way once a minute, however often it is tried."""
        if now_s - self._said.get(words, -np.inf) >= _SAY_S:
            self._said[words] = now_s
            self.told(words)

    def _adopt(self, id_: str, kind: int, now_s: float) -> int:
        fleet = self.fleet
        slot = int(np.flatnonzero(~fleet.there)[0])
        fleet.there[slot] = True
        fleet.kind[slot] = kind
        fleet.capacity[slot] = self.kinds[kind].capacity
        fleet.price[slot] = self.kinds[kind].price
        fleet.began_s[slot] = now_s
        self.machines[id_] = LiveMachine(slot, kind, began_s=now_s, heard_s=now_s)
        price = self.kinds[kind].price
        if self.budget is not None and price and not self.budget.knows(id_):
            self.budget.rented(id_, price, now_s)  # by whoever managed it before
        return slot

    def _drop(self, id_: str) -> None:
        fleet, machine = self.fleet, self.machines.pop(id_)
        fleet.machine[fleet.machine == machine.slot] = NOWHERE
        fleet.there[machine.slot] = False
        fleet.capacity[machine.slot] = 0
        fleet.price[machine.slot] = 0

    def _note_losses(self, hosts: Mapping[str, Host], now_s: float) -> None:
        for id_, machine in list(self.machines.items()):
            why = self._loss(machine, hosts.get(id_), now_s)
            if why is None:
                continue
            mine = np.flatnonzero(self.fleet.machine == machine.slot)
            self.told(f"lost {id_}: {why}; {len(mine)} streams move")
            self._lost[id_] = {int(s) for s in mine}
            self._uncovered |= self._lost[id_]
            self._drop(id_)
            host = hosts.get(id_)
            if host is not None and host.state != "gone":
                # Another is started in its place, or it may come to itself.
                (self._unreturned if self.provider.owns else self._silent).add(id_)
            elif self.budget is not None:
                self.budget.returned(id_, now_s)

    def _loss(self, machine: LiveMachine, host: Host | None, now_s: float) -> str | None:
        """Why *machine* is lost; None where it is not."""
        if host is None:
            return "it is not there any more"
        if host.state == "gone":
            return host.reason
        if host.state == "booting":
            waited = now_s - machine.began_s
            late = waited > _BOOTS * self.settings.boot_s
            return f"its agent did not come in {waited:.0f} s" if late else None
        limit = self.silent_s * (_REFUSED if machine.refuses else 1.0)
        if machine.unanswered > 1 and now_s - machine.heard_s >= limit:
            return f"silent for {now_s - machine.heard_s:.0f} s"
        return None

    def _look(self, hosts: Mapping[str, Host], now_s: float) -> set[str]:
        """At all machines, and at those that were lost: which of them are still silent."""
        self._silent &= {id_ for id_, host in hosts.items() if host.state == "ready"}
        guests = set(self.assigner.guests.values())
        return self.observer.look(self.machines, hosts, now_s, also=self._silent, guests=guests)

    def _welcome(self, hosts: Mapping[str, Host], silent: set[str], now_s: float) -> None:
        """Machines that are new, and those that were lost and answer again: they are told what is
        theirs now, if only that it is nothing."""
        if self.provider.owns:
            return
        kinds = [kind.name for kind in self.kinds]
        for id_ in sorted(self._silent - silent):
            if id_ in self._asked:
                self._silent.discard(id_)
                self.told(f"{id_} answers again")
        self._asked = set(self._silent)
        for id_, host in hosts.items():
            new = id_ not in self.machines and id_ not in self._silent
            if new and host.state == "ready" and host.kind in kinds:
                self._adopt(id_, kinds.index(host.kind), now_s)

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
            if target == NOWHERE:
                continue
            stream = self.streams[move.stream]
            self.fleet.machine[move.stream] = target
            if before != NOWHERE:
                self.migrations += 1
                self.fleet.moved_s[move.stream] = now_s
                if not stream.stateless and before in names:
                    self.assigner.left.setdefault(move.stream, names[before])
            degraded = ", degraded" if move.stream in decisions.degraded else ""
            origin = names.get(before, "nowhere")
            where = names.get(target, "nowhere")
            self.told(f"{stream.klass}/{stream.camera}: {origin} -> {where}{degraded}")
        if self.provider.spends:
            self._leaving.update(names[slot] for slot in decisions.releases if slot in names)

    def _cover(self, hosts: Mapping[str, Host]) -> None:
        """Lost streams whose new machine is not there yet run as guests on others until then."""
        names = {m.slot: id_ for id_, m in self.machines.items()}
        ready = {s for s, id_ in names.items() if id_ in hosts and hosts[id_].state == "ready"}
        guests = self.assigner.guests
        for stream, id_ in list(guests.items()):
            if id_ not in self.machines:
                del guests[stream]
                self._uncovered.add(stream)
        waiting = {s for s in self._uncovered if int(self.fleet.machine[s]) not in ready}
        for stream, slot in stand_ins(self.fleet, waiting, sorted(ready), self._hard).items():
            one = self.streams[stream]
            guests[stream] = names[slot]
            self.told(f"{one.klass}/{one.camera}: runs on {names[slot]} until then")
        self._uncovered = waiting - guests.keys()

    def _say_what_covers(self, decisions: Decisions) -> None:
        """What became of the streams of lost machines."""
        for id_, streams in self._lost.items():
            degraded = streams & (set(decisions.degraded) | self.assigner.guests.keys())
            waiting = (streams & self._uncovered) - degraded
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
        self._unreturned.add(id_)
        self._return(now_s)

    def _return(self, now_s: float) -> None:
        """What could not be given back costs on, and is tried again."""
        for id_ in sorted(self._unreturned):
            try:
                self.provider.stop(id_)
            except ProviderError as error:
                self._complain(str(error), now_s)
                continue
            self._unreturned.discard(id_)
            if self.budget is not None:
                self.budget.returned(id_, now_s)

    def _stop_for_money(self, now_s: float) -> None:
        if self.budget is None:
            return
        for id_ in self.budget.must_stop(now_s, self.settings.boot_s):
            if id_ in self.machines:
                self._give_back(id_, now_s, f"the budget of ${self.budget.usd:g} is used up")

    def _release(self, now_s: float) -> None:
        """Gives back what was to be emptied, once nothing runs there any more."""
        for id_ in sorted(self._leaving):
            machine = self.machines.get(id_)
            if machine is None or bool((self.fleet.machine == machine.slot).any()):
                self._leaving.discard(id_)
            elif not machine.told:
                self._leaving.discard(id_)
                self._give_back(id_, now_s, "the fleet is cheaper without it")
