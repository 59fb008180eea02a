"""HiGHS, as the planner uses it: silent, and on one thread, for equal results from equal input."""

from __future__ import annotations

from typing import Any

__all__ = ["new_highs"]


def new_highs(**options: object) -> Any:
    """A solver with HiGHS's own *options*. Raises ImportError where highspy is not installed."""
    import highspy

    solver: Any = highspy.Highs
    highs = solver()
    highs.silent()
    highs.setOptionValue("threads", 1)
    for name, value in options.items():
        highs.setOptionValue(name, value)
    return highs
