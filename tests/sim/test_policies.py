"""What policies make of one workload, and that every group ends once under all of them."""

import pytest

from edgesdk.sim.figures import figures
from edgesdk.sim.fluid import pooled
from edgesdk.sim.ledger import AWAY, LOST, OK
from edgesdk.sim.parameters import CASES, case
from edgesdk.sim.policies import POLICIES, policy, simulate
from edgesdk.sim.simulation import Simulation
from edgesdk.sim.workload import Workload, draw


@pytest.fixture(scope="module")
def reference() -> Workload:
    return draw(case("reference", nodes=28, seed=101, duration_s=16))


@pytest.fixture(scope="module")
def goodputs(reference: Workload) -> dict[str, float]:
    return {name: simulate(reference, name).goodput for name in POLICIES}


def test_policies_come_in_the_order_of_the_independent_study(goodputs: dict[str, float]) -> None:
    order = ("local", "argmin", "random", "two-choices", "ours")
    found = [goodputs[name] for name in order]
    assert found == sorted(found)
    assert goodputs["static"] < goodputs["speed-weighted"] < goodputs["ours"]
    assert goodputs["local"] < min(goodputs["distream"], goodputs["videojam"])


def test_nobody_beats_the_fluid_bound(reference: Workload, goodputs: dict[str, float]) -> None:
    assert max(goodputs.values()) <= pooled(reference)


def test_the_bound_falls_below_one_when_the_load_does_not_fit() -> None:
    workload = draw(case("overload13", nodes=64, seed=3))
    assert 0.8 < pooled(workload) < 0.95


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in CASES
        if name not in ("shift", "everywhere", "diurnal", "regional", "latency20")
    ],
)
def test_ours_is_never_below_local(name: str) -> None:
    """Over several seeds: sixteen nodes and ten seconds are few."""
    changes = {"crash_at_s": 8.0} if name == "crash10" else {}
    gains = []
    for seed in (101, 102, 103):
        workload = draw(case(name, nodes=16, duration_s=14, seed=seed, **changes))
        ours, local = (simulate(workload, policy).goodput for policy in ("ours", "local"))
        gains.append(ours - local)
    assert sum(gains) / len(gains) >= -0.005


@pytest.mark.parametrize("name", ["crashes", "crash10"])
@pytest.mark.parametrize("chosen", ["local", "two-choices", "ours", "omniscient"])
def test_every_group_ends_once_while_nodes_crash_and_return(name: str, chosen: str) -> None:
    changes = {"crashes_per_minute": 4.0, "repair_s": 3.0} if name == "crashes" else {}
    changes["crash_at_s"] = 6.0
    workload = draw(case(name, nodes=20, seed=7, duration_s=14, **changes))
    assert workload.crashes
    simulation = Simulation(workload, policy(chosen))
    simulation.run()
    ends = simulation.ledger.ends
    assert len(ends) == len(workload.arrivals)
    assert all(ends)
    assert ends.count(AWAY) > 0
    found = figures(chosen, simulation)
    assert found.groups == len(ends)
    # What ran nowhere cannot be ok, and what ran twice is told.
    assert ends.count(OK) <= found.executed
    if chosen == "local":
        assert ends.count(LOST) == 0


def test_ours_gives_back_what_the_crashed_had(goodputs: dict[str, float]) -> None:
    workload = draw(case("crash10", nodes=40, seed=5, duration_s=24, crash_at_s=10))
    found = simulate(workload, "ours")
    after = [moment.goodput for moment in found.timeline if moment.at_s >= 15]
    assert min(after) > 0.9
    assert found.goodput > simulate(workload, "local").goodput + 0.2


def test_equal_seeds_give_equal_figures_and_others_do_not(reference: Workload) -> None:
    again = draw(reference.parameters)
    assert again.arrivals == reference.arrivals
    small = case("crashes", nodes=12, seed=9, duration_s=10, crashes_per_minute=5.0)
    assert simulate(draw(small), "ours") == simulate(draw(small), "ours")
    other = draw(case("reference", nodes=28, seed=100, duration_s=16))
    assert other.arrivals != reference.arrivals
    assert len(other.nodes) == len(reference.nodes)


def test_the_offered_work_is_the_load_asked_for() -> None:
    workload = draw(case("reference", nodes=150, seed=1, duration_s=120, load=0.6))
    pool, costs = workload.pool, workload.service.costs
    work = 0.0
    for arrival in workload.arrivals:
        cheapest = min(
            price * costs[kind][arrival.model][7] / 8 for kind, price in enumerate(pool.prices)
        )
        work += arrival.items * cheapest
    assert abs(work / 120e9 / 0.6 - 1) < 0.05


def test_half_of_the_cameras_shift_to_models_that_one_node_each_holds() -> None:
    workload = draw(case("shift", nodes=40, seed=1, shift_at_s=5, duration_s=8, warm_up_s=1))
    turning = [node for node in workload.nodes if node.models != node.shifted]
    assert len(turning) == 20
    for twin in {model for node in turning for model in node.shifted}:
        assert sum(twin in node.residents for node in workload.nodes) == 1
    asked = {a.model for a in workload.arrivals if a.captured_ns >= 5_000_000_000}
    assert max(a.model for a in workload.arrivals if a.captured_ns < 5_000_000_000) < 6
    assert asked > set(range(6))


def test_cameras_of_a_region_move_together_where_that_is_asked() -> None:
    together = draw(case("reference", nodes=64, seed=1, correlation=1.0))
    alone = draw(case("reference", nodes=64, seed=1))

    def spread(workload: Workload) -> float:
        counts = [[0] * 40 for _ in range(4)]
        for arrival in workload.arrivals:
            region = counts[workload.nodes[arrival.node].region]
            region[min(arrival.captured_ns // 10**9, 39)] += arrival.items
        flat = [count for region in counts for count in region]
        mean = sum(flat) / len(flat)
        return sum((count - mean) ** 2 for count in flat) / len(flat) / mean**2

    assert spread(together) > 4 * spread(alone)
