"""Which machine gets which part of a plan, when some of it runs already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgesdk.planner.plan import Machine

__all__ = ["match_machines"]


def match_machines(
    wanted: Sequence[Machine], kinds: Mapping[str, str], running: Mapping[str, Mapping[str, int]]
) -> dict[str, str]:
    """The host of each planned machine, by their ids; those without one have to be started.

    kinds: the type of each host. running: how many streams of each class run there. Hosts keep as
    many of their streams as they can: the pair with the most in common first.
    """
    pairs = []
    for order, machine in enumerate(wanted):
        for host, kind in kinds.items():
            if kind == machine.type:
                here = running.get(host, {})
                common = sum(min(n, here.get(name, 0)) for name, n in machine.streams.items())
                pairs.append((-common, order, host, machine.id))
    found: dict[str, str] = {}
    taken: set[str] = set()
    for _, _, host, machine_id in sorted(pairs):
        if machine_id not in found and host not in taken:
            found[machine_id] = host
            taken.add(host)
    return found
