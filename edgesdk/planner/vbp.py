"""Vector bin packing instances in the ``.vbp`` form of Vectorpack, and their known optima.

A file holds, in words separated by white space: the number of dimensions; a bin's capacity in each;
the number of kinds of items; then for each kind its size in each dimension and how many there are.
"""

from __future__ import annotations

from edgesdk.errors import ConfigError
from edgesdk.planner.problem import PPM, MachineType, Problem, Resource, StreamClass

__all__ = ["read_vbp"]

_MOST = 1 << 40
_MOST_DIMENSIONS, _MOST_KINDS = 64, 100_000


def read_vbp(text: str, *, file: str) -> Problem:
    """The instance as a problem of one type of machine at a dollar; cost is the number of bins.

    Some published instances have sizes below zero. They count as zero: plans for these hold, and
    the problem's relief keeps the bound below the true optimum. Raises ConfigError that names the
    line.
    """
    words = [(word, line) for line, row in enumerate(text.split("\n"), 1) for word in row.split()]
    at = 0

    def number(what: str, least: int, most: int) -> int:
        nonlocal at
        if at >= len(words):
            last = words[-1][1] if words else 1
            raise ConfigError(f"{file}:{last}: the file ends: expected {what}")
        word, line = words[at]
        at += 1
        digits = word.removeprefix("-")
        whole = digits.isascii() and digits.isdigit() and len(digits) <= 20
        if not (whole and least <= int(word) <= most):
            raise ConfigError(
                f"{file}:{line}: {what} = {word[:40]}: expected a whole number, {least} to {most}"
            )
        return int(word)

    dimensions = number("the number of dimensions", 1, _MOST_DIMENSIONS)
    capacity = tuple(number(f"capacity {d + 1}", 1, _MOST) for d in range(dimensions))
    kinds = number("the number of kinds of items", 0, _MOST_KINDS)
    classes = []
    relief = [0] * dimensions
    for kind in range(kinds):
        sizes = [
            number(f"size {d + 1} of item {kind + 1}", -_MOST, _MOST) for d in range(dimensions)
        ]
        count = number(f"count of item {kind + 1}", 0, 10**9)
        relief = [r + max(0, -size) * count for r, size in zip(relief, sizes, strict=True)]
        needs = tuple(max(0, size) for size in sizes)
        classes.append(StreamClass(f"item-{kind + 1}", count, needs))
    if at < len(words):
        word, line = words[at]
        raise ConfigError(f"{file}:{line}: {word[:40]}: expected the end after {kinds} kinds")
    resources = tuple(Resource(f"dimension-{d + 1}") for d in range(dimensions))
    bins = (MachineType("bin", capacity, 1_000_000),)
    return Problem(
        resources,
        tuple(classes),
        bins,
        PPM,
        PPM,
        relief=tuple(relief) if any(relief) else (),
    )
