"""Groups that wait for a full link, and how they come to their turn."""

from __future__ import annotations

from collections.abc import Callable

from edgesdk.balance.links import Links
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import MS
from edgesdk.balance.tasks import Task
from edgesdk.balance.turns import Turns

__all__ = ["Waiting"]


class Waiting:
    """The queue in front of this node's links."""

    __slots__ = ("_due_ns", "_go", "_links", "_seat", "_turns")

    def __init__(self, seat: Seat, links: Links, go: Callable[[Task, int], None]) -> None:
        """*go* is called with a task whose turn it is; it may call :meth:`wait` again."""
        self._seat = seat
        self._links = links
        self._go = go
        self._turns: Turns[Task] = Turns()
        self._due_ns = 0

    def __len__(self) -> int:
        return len(self._turns)

    def charge(self, task: Task) -> None:
        """The task's application pays for the link, once."""
        if not task.charged:
            task.charged = True
            group = task.group
            self._turns.charge(group.app, group.weight, group.payload_bytes)

    def refund(self, task: Task) -> None:
        """The task did not use the link after all."""
        if task.charged:
            task.charged = False
            group = task.group
            self._turns.charge(group.app, group.weight, -group.payload_bytes)

    def wait(self, task: Task, turn: bool, now_ns: int) -> None:
        """*turn*: it was the task's turn, but the way was closed."""
        task.waits = True
        if turn:
            self._turns.again(task.group.app, task)
        else:
            self._turns.wait(task.group.app, task)
        self._look_later(now_ns)

    def look(self, now_ns: int) -> None:
        """Lets those go whose turn it is."""
        turns = self._turns
        links = self._links
        while (
            len(turns)
            and not links.full(now_ns)
            and (links.is_open(0, now_ns) or links.is_open(1, now_ns))
        ):
            task = turns.first()
            if task.waits:
                task.waits = False
                self._go(task, now_ns)
                if task.waits:
                    break
        if len(turns):
            self._look_later(now_ns)

    def _look_later(self, now_ns: int) -> None:
        """When the link should have drained; there is one such timer."""
        settings = self._seat.settings
        links = self._links
        if links.full(now_ns):
            when = max(now_ns + MS, links.busy_ns + links.pending_ns - settings.queue_ns)
        else:
            when = now_ns + settings.defer_ns // 4
        if not now_ns < self._due_ns <= when:
            self._due_ns = when
            self._seat.timers.at(when, self._due, when)

    def _due(self, when_ns: int, now_ns: int) -> None:
        if when_ns == self._due_ns:
            self._due_ns = 0
            self.look(now_ns)
