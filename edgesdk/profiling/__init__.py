"""The test run: what an application needs, measured on real frames on this machine.

``measure`` runs it, ``Profile`` is what it found; the estimates themselves are policy, in
:mod:`edgesdk.planner.estimation`.
"""

from edgesdk.profiling.document import Profile, ResolutionProfile, load_profile
from edgesdk.profiling.test_run import TestRun

__all__ = ["Profile", "ResolutionProfile", "TestRun", "load_profile"]
