"""A short day of a small fleet, and what never changes whatever the policy does."""

import numpy as np
import pytest

from edgesdk.errors import UsageError
from edgesdk.planner.migration import MachineKind
from edgesdk.planner.watch import Watcher, WatchSettings
from edgesdk.sim.day import clairvoyant_usd, fluid_usd, run_day
from edgesdk.sim.day_fleets import ffod_fleet, planned_fleet
from edgesdk.sim.day_policies import PaperRules, Static
from edgesdk.sim.day_world import Day, StreamKind

KINDS = (MachineKind("m", (4.0, 16.0), 0.239), MachineKind("c", (4.0, 7.5), 0.209))
STREAMS = (
    StreamKind("DETECT", "detect", 60, 0.4, 0.024, 0.2, 921_600, True, 13.0),
    StreamKind("TRACK", "track", 240, 0.03, 0.14, 0.2, 307_200, False, 15.0),
)


@pytest.fixture(scope="module")
def day():
    return Day(STREAMS, seed=3)


@pytest.fixture(scope="module")
def results(day):
    active, now = day.active(0), day.mean_cpu(0)
    peak = np.column_stack([day.peak(), day.memory])
    settings = WatchSettings()
    shares = (settings.fill, settings.brim)
    clock = iter(range(10**9)).__next__
    return {
        "static": run_day(
            day, Static(KINDS, peak), KINDS, ffod_fleet(day, KINDS, day.peak(), active, 0.9)
        ),
        "paper": run_day(day, PaperRules(KINDS), KINDS, ffod_fleet(day, KINDS, now, active, 0.9)),
        "ours": run_day(
            day,
            Watcher(KINDS, settings),
            KINDS,
            planned_fleet(day, KINDS, now, active, shares, lambda: clock() * 0.01),
        ),
    }


def test_ours_is_cheaper_than_a_static_fleet_and_the_papers_rules(results):
    ours = results["ours"].usd_per_second_billing
    assert ours < 0.8 * results["static"].usd_per_second_billing
    assert ours < results["paper"].usd_per_second_billing


def test_nothing_is_cheaper_than_the_clairvoyant_bound(results, day):
    bound = clairvoyant_usd(day, KINDS)
    assert all(r.usd_hourly_billing >= bound for r in results.values())


def test_the_streams_of_every_program_are_served(results):
    assert all(min(r.eta.values()) > 0.98 for r in results.values())


def test_no_stream_flaps_and_few_move(results):
    assert results["ours"].flapping == 0
    assert results["ours"].migrations_a_stream < 0.5


def test_billing_by_the_hour_never_costs_less(results):
    assert all(r.usd_hourly_billing >= r.usd_per_second_billing for r in results.values())


def test_the_same_seed_gives_the_same_day():
    one, two = Day(STREAMS, seed=3), Day(STREAMS, seed=3)
    assert (one.cpu(77) == two.cpu(77)).all()
    assert (one.leaves == two.leaves).all()
    assert (Day(STREAMS, seed=4).cpu(77)[:10] != one.cpu(77)[:10]).any()


def test_cpu_follows_the_hour_of_the_zone(day):
    quiet, busy = day.mean_cpu(0), day.mean_cpu(13 * 60)
    here = (day.kind == 0) & (day.zone == 0)
    assert busy[here] == pytest.approx(0.4)
    assert (quiet[here] < 0.2).all()


def test_the_fluid_bound_mixes_two_kinds_where_that_is_cheapest():
    alone = min(k.price / (0.9 * k.capacity[0]) * 36 for k in KINDS)
    assert fluid_usd(KINDS, (36.0, 0.0)) == pytest.approx(alone)
    mixed = fluid_usd(KINDS, (36.0, 100.0))
    assert alone < mixed < 0.239 * max(36 / 3.6, 100 / 14.4)


def test_zones_that_mean_nothing_are_refused():
    from edgesdk.cli.sim_day import show_day

    with pytest.raises(UsageError, match="--zones 'x'"):
        show_day({}, "x", as_json=False, told=lambda words: None)
