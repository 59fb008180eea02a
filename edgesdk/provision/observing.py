"""What machines and streams use and reach, as their agents say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgesdk.cluster.status import MemberStatus
from edgesdk.errors import EdgeError, PeerError
from edgesdk.planner.problem import Problem
from edgesdk.planner.rates import Rate, Seen, hidden_need, judge
from edgesdk.planner.running import RunningFleet
from edgesdk.provision.live_records import LiveMachine, LiveStream
from edgesdk.provision.provider import Ask, Host

__all__ = ["Observer", "status_of"]

_LEAST_S = 4.0
_AT_ONCE = 16


def status_of(ask: Ask, host: Host) -> MemberStatus:
    """Raises EdgeError where nobody answers, or not what this version can read."""
    if host.address is None:
        raise PeerError(f"{host.id} has no address yet", cause="unreachable")
    try:
        return msgspec.convert(ask(host.address, "status", {}), MemberStatus)
    except msgspec.ValidationError as error:
        said = f"{host.id} answers what this version cannot read: {error}"
        raise PeerError(said, cause="protocol") from None


class Observer:
    """Keeps what every stream uses: *measured*, and *planned* until then, (streams, resources) in
    the units of the fleet; and its *rates*, by slot. *fleet* is only read.

    warm_s: see :class:`~edgesdk.provision.live.Live`.
    """

    def __init__(
        self,
        problem: Problem,
        streams: Sequence[LiveStream],
        fleet: RunningFleet,
        ask: Ask,
        told: Callable[[str], None],
        warm_s: float,
    ) -> None:
        self._streams, self._fleet = streams, fleet
        self._ask, self._told, self._warm_s = ask, told, warm_s
        scale = np.array([r.scale for r in problem.resources], float)
        classes = {c.name: c for c in problem.classes}
        self.planned: NDArray[np.float64] = (
            np.array([classes[s.klass].needs for s in streams]) / scale
        )
        self.measured = self.planned.copy()
        self.rates: dict[int, Rate] = {}
        names = [r.name for r in problem.resources]
        self._cpu = names.index("cpu") if "cpu" in names else None
        self._memory = names.index("memory") if "memory" in names else None

    def _answers(self, hosts: Sequence[Host]) -> dict[str, MemberStatus | EdgeError]:
        """What each says of itself, asked side by side: one that hangs holds up no other."""

        def one(host: Host) -> MemberStatus | EdgeError:
            try:
                return status_of(self._ask, host)
            except EdgeError as error:
                return error

        if not hosts:
            return {}
        with ThreadPoolExecutor(min(_AT_ONCE, len(hosts)), thread_name_prefix="look") as pool:
            return dict(zip((host.id for host in hosts), pool.map(one, hosts), strict=True))

    def look(
        self,
        machines: Mapping[str, LiveMachine],
        hosts: Mapping[str, Host],
        now_s: float,
        *,
        also: AbstractSet[str] = frozenset(),
        guests: AbstractSet[str] = frozenset(),
    ) -> set[str]:
        """Looks at all that are ready; where one does not answer, what was known holds.

        *also*: others to ask; those of them that do not answer are returned. *guests*: machines
        whose use is not that of their own streams alone, and says nothing of these.
        """
        ids = [*machines, *sorted(also - machines.keys())]
        ready = [hosts[id_] for id_ in ids if id_ in hosts and hosts[id_].state == "ready"]
        silent = set()
        for id_, seen in self._answers(ready).items():
            if id_ not in machines:
                if isinstance(seen, EdgeError):
                    silent.add(id_)
                continue
            machine = machines[id_]
            if isinstance(seen, EdgeError):
                machine.refuses = isinstance(seen, PeerError) and seen.cause == "not listening"
                machine.unanswered += 1
                if machine.unanswered == 1:
                    self._told(f"{id_} does not say how it is: {seen}")
                continue
            machine.unanswered, machine.heard_s = 0, now_s
            before, then = machine.seen, machine.at_s
            if before is not None and before.pid == seen.pid and now_s - then < _LEAST_S:
                continue  # a few frames more or less would be a large share of so short a time
            machine.seen, machine.at_s = seen, now_s
            if before is not None and before.pid == seen.pid:
                if id_ in guests:
                    continue
                self._compare(machine, before, seen, now_s - then)
            elif before is not None:
                machine.told = None  # another process: it may not have what the one before had
        return silent

    def _compare(
        self, machine: LiveMachine, before: MemberStatus, seen: MemberStatus, seconds: float
    ) -> None:
        mine = [s for s in range(len(self._streams)) if self._fleet.machine[s] == machine.slot]
        if before.machine is None or seen.machine is None or not mine:
            return
        then = {(s.app, s.camera): s for s in before.streams}
        now = {(s.app, s.camera): s for s in seen.streams}
        for slot in mine:
            stream = self._streams[slot]
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
        used: dict[Any, float] = {
            self._cpu: (seen.machine.cpu_seconds - before.machine.cpu_seconds) / seconds,
            self._memory: seen.machine.memory / 1e9,
        }
        for resource, amount in used.items():
            if resource is None or machine.at_s - machine.told_s < self._warm_s:
                continue
            shares = self.planned[mine, resource]
            total = float(shares.sum())
            for slot, share in zip(mine, shares, strict=True):
                part = amount * (float(share) / total if total else 1 / len(mine))
                if resource == self._cpu and slot in self.rates:
                    part = hidden_need(part, self.rates[slot])
                self.measured[slot, resource] = part
