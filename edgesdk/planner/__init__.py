"""The planner: which machine runs which stream, at the least cost, proven.

Pure: time comes in through a ``clock`` callable, and nothing is opened or sent. The edges that
read a file or print are :mod:`edgesdk.planner.plan_file` and :mod:`edgesdk.cli.plan`.
"""

from edgesdk.planner.incremental import Replan, TradeOff, moved_streams, repair, replan
from edgesdk.planner.packing import solve
from edgesdk.planner.plan import Machine, Plan, make_plan
from edgesdk.planner.problem import MachineType, Problem, Resource, StreamClass, Together
from edgesdk.planner.verifier import verify

__all__ = [
    "Machine",
    "MachineType",
    "Plan",
    "Problem",
    "Replan",
    "Resource",
    "StreamClass",
    "Together",
    "TradeOff",
    "make_plan",
    "moved_streams",
    "repair",
    "replan",
    "solve",
    "verify",
]
