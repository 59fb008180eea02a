"""The watching policy: what leaves a machine, where it goes, what boots, what is released."""

import numpy as np
import pytest

from edgesdk.planner.migration import MachineKind, in_order_of_preference
from edgesdk.planner.running import NOWHERE, RunningFleet
from edgesdk.planner.watch import Watcher, WatchSettings

KINDS = (MachineKind("small", (4.0, 16.0), 0.2), MachineKind("large", (8.0, 32.0), 0.4))


def fleet_of(*machines, slots=8):
    """Machines as (kind, [(cpu, memory), ...]), all ready, streams observed twice."""
    streams = [(m, need) for m, (_, needs) in enumerate(machines) for need in needs]
    fleet = RunningFleet(resources=2, streams=len(streams) + 4, machines=slots, groups=1)
    for m, (kind, _) in enumerate(machines):
        fleet.there[m] = True
        fleet.kind[m], fleet.price[m] = kind, KINDS[kind].price
        fleet.capacity[m] = KINDS[kind].capacity
    measured = np.zeros_like(fleet.need)
    for s, (m, need) in enumerate(streams):
        fleet.active[s], fleet.machine[s], measured[s] = True, m, need
        fleet.fps[s], fleet.stateless[s] = 1.0, True
    for minute in range(20):
        fleet.observe(60.0 * minute - 1200.0, measured)
    return fleet


def watcher(**settings):
    found = Watcher(KINDS, WatchSettings(**settings))
    found._allowance = 100.0
    return found


def test_a_fleet_that_is_well_filled_is_left_alone():
    decisions = watcher().step(0.0, fleet_of((0, [(0.85, 1.0)] * 4), (0, [(0.85, 1.0)] * 4)))
    assert (decisions.moves, decisions.boots, decisions.releases) == ((), (), ())


def test_a_machine_over_the_threshold_in_cpu_loses_a_stream_at_once():
    decisions = watcher().step(0.0, fleet_of((0, [(0.93, 1.0)] * 4), (0, [(1.2, 1.0)] * 2)))
    assert [move.machine for move in decisions.moves] == [1]
    assert decisions.boots == ()


def test_so_does_one_over_it_in_memory():
    decisions = watcher().step(0.0, fleet_of((0, [(0.1, 3.7)] * 4), (0, [(1.5, 4.0)] * 2)))
    assert [move.machine for move in decisions.moves] == [1]


def test_where_no_machine_has_room_one_is_booted_for_it():
    decisions = watcher().step(0.0, fleet_of((0, [(0.93, 1.0)] * 4), (0, [(0.85, 1.0)] * 4)))
    assert len(decisions.boots) == 1
    assert {move.machine for move in decisions.moves} == {decisions.boots[0].machine}


def test_a_machine_that_the_fleet_is_cheaper_without_is_emptied_and_released():
    decisions = watcher().step(0.0, fleet_of((0, [(0.5, 1.0)] * 3), (0, [(0.4, 1.0)] * 2)))
    assert decisions.releases == (1,)
    assert {move.machine for move in decisions.moves} == {0}


def test_it_is_kept_while_its_paid_hour_lasts():
    fleet = fleet_of((0, [(0.5, 1.0)] * 3), (0, [(0.4, 1.0)] * 2))
    fleet.began_s[:] = -1200.0
    assert watcher(paid_s=3600.0).step(0.0, fleet).releases == ()
    fleet.began_s[:] = -3300.0
    assert watcher(paid_s=3600.0).step(0.0, fleet).releases == (1,)


def test_machines_are_exchanged_for_one_that_is_cheaper_than_they_were():
    half = [(0.85, 3.6)] * 2
    decisions = watcher(exchange_every_s=0.0).step(
        0.0, fleet_of((1, half), (1, [(3.0, 12.0), (2.9, 11.0)]))
    )
    assert [boot.kind for boot in decisions.boots] == [0]
    assert decisions.releases == (0,)


def test_streams_of_a_lost_machine_find_room_and_no_other_stream_moves():
    fleet = fleet_of((0, [(0.5, 1.0)] * 3), (0, [(0.4, 1.0)] * 2), (0, [(0.6, 2.0)] * 2))
    fleet.there[1], fleet.capacity[1], fleet.price[1] = False, 0.0, 0.0
    fleet.machine[3:5] = NOWHERE
    decisions = watcher().step(1e6, fleet)
    assert {move.stream for move in decisions.moves} == {3, 4}


def test_all_that_was_lost_at_once_finds_a_new_machine():
    fleet = fleet_of((0, [(0.5, 1.0)] * 3))
    fleet.there[0], fleet.capacity[0], fleet.price[0] = False, 0.0, 0.0
    fleet.machine[:3] = NOWHERE
    decisions = watcher().step(0.0, fleet)
    assert len(decisions.boots) == 1
    assert len(decisions.moves) == 3


def test_where_nothing_may_boot_lost_streams_run_slower_and_it_says_which():
    limited = (MachineKind("small", (4.0, 16.0), 0.2, limit=1),)
    fleet = fleet_of((0, [(0.85, 1.0)] * 4))
    fleet.active[4], fleet.machine[4] = True, NOWHERE
    fleet.need[4] = (0.8, 1.0)
    decisions = Watcher(limited, WatchSettings()).step(0.0, fleet)
    assert decisions.degraded == (4,)
    assert [move.machine for move in decisions.moves] == [0]


def test_a_stream_that_has_just_moved_stays():
    fleet = fleet_of((0, [(0.5, 1.0)] * 3), (0, [(0.4, 1.0)] * 2))
    fleet.moved_s[:5] = -60.0
    assert watcher().step(0.0, fleet).moves == ()


def test_saving_costs_no_more_moves_than_are_allowed():
    policy = watcher()
    policy._allowance = 1.0
    assert policy.step(0.0, fleet_of((0, [(0.5, 1.0)] * 3), (0, [(0.4, 1.0)] * 2))).moves == ()


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"stateless": (1, True)}, 1),
        ({"fps": (2, 0.2)}, 2),
        ({"need": (3, (0.9, 1.0))}, 3),
        ({"pixels": (1, 1280 * 720)}, 1),
        ({"started_s": (2, 500.0)}, 2),
    ],
)
def test_the_papers_preferences_say_which_stream_goes_first(change, first):
    fleet = fleet_of((0, [(0.5, 1.0)] * 4))
    fleet.stateless[:] = False
    for name, (stream, value) in change.items():
        getattr(fleet, name)[stream] = value
    order = in_order_of_preference(fleet, np.arange(4), fleet.need[:, 0])
    assert order[0] == first


def test_stateless_outranks_a_low_frame_rate():
    fleet = fleet_of((0, [(0.5, 1.0)] * 2))
    fleet.stateless[:] = (True, False, False, False, False, False)
    fleet.fps[:2] = (30.0, 0.2)
    assert list(in_order_of_preference(fleet, np.arange(2), fleet.need[:, 0])) == [0, 1]
