"""How many frames to gather before asking for them together."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["GROUP_MAX", "group_size"]

GROUP_MAX = 8


def group_size(
    *,
    deadline_ns: int,
    period_ns: int,
    cost_ns: Callable[[int], int],
    wire_ns: Callable[[int], int] | None = None,
    most: int = GROUP_MAX,
    spare: float = 0.4,
) -> int:
    """The largest group, 1 to *most* frames, of which the oldest still has time.

    A group's deadline is that of its oldest frame, which waits ``(n - 1) * period_ns`` for the
    others; then come ``wire_ns(n)`` if it may be offloaded, and ``cost_ns(n)``, on the slowest node
    that is to be of use. *spare* of the deadline stays free for queues. Larger groups pay a batch's
    start-up less often, so the largest that fits is the best; 1 where none fits.
    """
    size = 1
    for n in range(2, most + 1):
        gathered = (n - 1) * period_ns
        wire = wire_ns(n) if wire_ns is not None else 0
        if gathered + wire + cost_ns(n) > deadline_ns * (1.0 - spare):
            break
        size = n
    return size
