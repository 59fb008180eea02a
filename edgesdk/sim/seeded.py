"""Randomness by name: equal names give equal draws, and what is drawn elsewhere changes nothing."""

from __future__ import annotations

from random import Random

__all__ = ["seeded"]


def seeded(seed: int, *about: object) -> Random:
    """A generator for one subject of the simulation with *seed*."""
    return Random("/".join(map(str, (seed, *about))))  # noqa: S311 - nothing secret
