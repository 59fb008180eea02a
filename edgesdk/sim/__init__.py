"""Virtual time and synthetic nodes around the policies that ship: balance, the scheduler, planner.

``draw(case("reference", nodes=64, seed=1))`` is a workload, ``simulate(workload, "ours")`` its
figures; ``edgesdk sim`` is the command, docs/simulator.md says what is simulated.
"""
