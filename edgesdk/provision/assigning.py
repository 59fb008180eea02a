"""Tells every machine which streams are its, and sees to it that none is dropped on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgesdk.errors import EdgeError
from edgesdk.planner.running import RunningFleet
from edgesdk.provision.handing_over import hand_over, streaming
from edgesdk.provision.live_records import LiveMachine, LiveStream
from edgesdk.provision.provider import Ask, Host

__all__ = ["Assigner"]

_OPENING_S = 6.0
_LOOK_S = 0.1


class Assigner:
    """Carries out what *fleet* (only read) says: where each stream is meant to be.

    left: streams that keep state and the machine that they move from, until they have moved.
    guests: streams whose machine is not there yet, and the one that runs them until then.
    """

    def __init__(
        self,
        streams: Sequence[LiveStream],
        fleet: RunningFleet,
        ask: Ask,
        told: Callable[[str], None],
    ) -> None:
        self._streams, self._fleet, self._ask, self._told = streams, fleet, ask, told
        self._revision = 0
        self.left: dict[int, str] = {}
        self.guests: dict[int, str] = {}

    def assign(
        self, machines: Mapping[str, LiveMachine], hosts: Mapping[str, Host], now_s: float
    ) -> None:
        """Tells those whose streams changed; the new place first, then the old. What a machine
        does not take it is asked again at the next call."""
        self._tell_changed(machines, hosts, now_s)
        gone = [s for s, id_ in self.guests.items() if self._runs_elsewhere(s, id_, machines)]
        for stream in gone:
            del self.guests[stream]
        if gone:
            self._tell_changed(machines, hosts, now_s)

    def _tell_changed(
        self, machines: Mapping[str, LiveMachine], hosts: Mapping[str, Host], now_s: float
    ) -> None:
        changed = []
        for id_, machine in machines.items():
            placed = {int(s) for s in (self._fleet.machine == machine.slot).nonzero()[0]}
            mine = tuple(sorted(placed | {s for s, at in self.guests.items() if at == id_}))
            host = hosts.get(id_)
            if mine != machine.told and host is not None and host.state == "ready" and host.address:
                changed.append((len(set(mine) - set(machine.told or ())) == 0, id_, host, mine))
        for _, id_, host, mine in sorted(changed, key=lambda item: item[:2]):
            before = machines[id_].told or ()
            if any(not self._runs_elsewhere(s, id_, machines) for s in set(before) - set(mine)):
                continue  # its new place has not taken it yet: it goes on here
            if self._tell(host, mine, set(mine) - set(before), hosts):
                machines[id_].told = mine
                machines[id_].told_s = now_s

    def document(self, slots: Sequence[int], awaits: Sequence[str] = ()) -> dict[str, Any]:
        """For a machine that has the streams *slots*: see ``runtime.assignment``."""
        cameras = {self._streams[s].camera: {"uri": self._streams[s].uri} for s in slots}
        apps: dict[str, Any] = {}
        for s in slots:
            stream = self._streams[s]
            app = apps.setdefault(stream.klass, {"app": stream.app, "cameras": []})
            app["cameras"].append(stream.camera)
        found = {"schema": 1, "revision": self._revision, "cameras": cameras, "apps": apps}
        return {**found, "awaits": list(awaits)} if awaits else found

    def _tell(
        self, host: Host, mine: Sequence[int], new: set[int], hosts: Mapping[str, Host]
    ) -> bool:
        assert host.address is not None
        guests = {s: id_ for s, id_ in self.guests.items() if id_ != host.id and s in new}
        kept = {s: id_ for s, id_ in guests.items() if not self._streams[s].stateless}
        origins = self._origins({s: at for s, at in (self.left | kept).items() if s in new}, hosts)
        awaits = sorted({self._streams[s].camera for s in origins})
        self._revision += 1
        try:
            self._ask(host.address, "assign", self.document(mine, awaits))
        except EdgeError as error:
            self._told(f"{host.id} does not take its streams: {error}")
            return False
        if origins:
            self._wait_for_cameras(host, origins)
        for source in dict.fromkeys(origins.values()):
            moved = [s for s, origin in origins.items() if origin == source]
            named = [(self._streams[s].klass, self._streams[s].camera) for s in moved]
            hand_over(self._ask, source, host.address, named, self._told)
        for stream in mine:
            self.left.pop(stream, None)
        return True

    def _origins(
        self, left: Mapping[int, str], hosts: Mapping[str, Host]
    ) -> dict[int, tuple[str, int]]:
        """Where the states of the streams *left* can be asked for; it says whose cannot."""
        found = {}
        for stream, id_ in sorted(left.items()):
            source = hosts.get(id_)
            if source is not None and source.state == "ready" and source.address is not None:
                found[stream] = source.address
            else:
                one = self._streams[stream]
                self._told(f"{one.klass}/{one.camera}: starts anew: {id_} is gone")
        return found

    def _wait_for_cameras(self, host: Host, streams: Mapping[int, Any]) -> None:
        """Until the cameras of *streams* are open at *host*, so that what their operators know is
        asked for as late as may be; their old place goes on as long."""
        assert host.address is not None
        wanted = {self._streams[s].camera for s in streams}
        end = time.monotonic() + _OPENING_S
        while time.monotonic() < end:
            if wanted <= streaming(self._ask, host.address):
                return
            time.sleep(_LOOK_S)

    def _runs_elsewhere(self, stream: int, but: str, machines: Mapping[str, LiveMachine]) -> bool:
        """Whether the machine where *stream* is meant to be was told of it."""
        place = int(self._fleet.machine[stream])
        return any(
            m.slot == place and m.told is not None and stream in m.told
            for id_, m in machines.items()
            if id_ != but
        )
