"""Streams of a lost machine run on others until their new one is there."""

import numpy as np

from edgesdk.planner.running import RunningFleet
from edgesdk.provision.standing_in import stand_ins

CPU_IS_SOFT = np.array([False, True])


def fleet(*machines, streams):
    """Machines of (cpu, memory); streams of (machine, cpu, memory), all measured."""
    made = RunningFleet(resources=2, streams=len(streams), machines=len(machines), groups=1)
    made.there[:] = made.active[:] = True
    made.capacity[:] = machines
    for slot, (machine, *need) in enumerate(streams):
        made.machine[slot] = machine
        made.need[slot] = need
    return made


def test_the_least_loaded_machine_stands_in_even_if_its_streams_run_slower():
    found = fleet((1, 8), (1, 8), (1, 8), streams=[(0, 0.9, 1), (1, 0.7, 1), (2, 0.5, 1)])
    assert stand_ins(found, [2], [0, 1], CPU_IS_SOFT) == {2: 1}


def test_memory_is_not_given_twice():
    found = fleet((1, 8), (1, 8), (1, 8), streams=[(0, 0.1, 7.5), (1, 0.9, 2), (2, 0.5, 1)])
    assert stand_ins(found, [2], [0, 1], CPU_IS_SOFT) == {2: 1}
    assert stand_ins(found, [2], [0], CPU_IS_SOFT) == {}


def test_several_are_spread_and_no_machine_is_asked_for_more_than_twice_what_it_has():
    lost = [(2, 0.6, 1)] * 5
    found = fleet((1, 8), (1, 8), (4, 8), streams=[(0, 0.5, 1), (1, 0.5, 1), *lost])
    placed = stand_ins(found, [2, 3, 4, 5, 6], [0, 1], CPU_IS_SOFT)
    assert sorted(placed.values()) == [0, 0, 1, 1]
