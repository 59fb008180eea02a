"""A linear programme of a few dozen variables, solved exactly enough and without a dependency."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["maximise"]

_TINY = 1e-12


def maximise(
    goal: Sequence[float], rows: Sequence[Sequence[float]], limits: Sequence[float]
) -> tuple[float, list[float]]:
    """The greatest ``goal . x`` with ``rows x <= limits``, ``x >= 0``, and the rows' dual prices.

    The simplex method with Bland's rule, which never cycles. Limits must be 0 or more and the
    programme bounded.
    """
    height, width = len(rows), len(goal)
    table = [
        [*row, *(1.0 if i == j else 0.0 for j in range(height)), limit]
        for i, (row, limit) in enumerate(zip(rows, limits, strict=True))
    ]
    profit = [-value for value in goal] + [0.0] * (height + 1)
    basis = list(range(width, width + height))
    while True:
        enters = next((j for j in range(width + height) if profit[j] < -_TINY), None)
        if enters is None:
            return profit[-1], profit[width : width + height]
        ratios = [
            (table[i][-1] / table[i][enters], basis[i], i)
            for i in range(height)
            if table[i][enters] > _TINY
        ]
        _, _, leaves = min(ratios)
        pivot = table[leaves][enters]
        table[leaves] = [value / pivot for value in table[leaves]]
        for i in range(height):
            if i != leaves and table[i][enters]:
                factor = table[i][enters]
                table[i] = [a - factor * b for a, b in zip(table[i], table[leaves], strict=True)]
        factor = profit[enters]
        profit = [a - factor * b for a, b in zip(profit, table[leaves], strict=True)]
        basis[leaves] = enters
