"""Groups that wait for a full link, and how they come to their turn.

While applications of different weights wait, their bytes keep to the weights: no more are let go
than the link's window takes, an application's newest goes first (its oldest have no time left for
the way, and an application that waits longer would lose more of its turns by that), and what was
sent in vain is paid for. Over a link of 10 Mb/s, which the node takes for 100, two applications of
weights 1 and 3 got 1 : 1.8 of 45 % of it without, 1 : 3.0 of 99 % with all three. Among equals none
of it is done: with nothing to be kept, up to 2 more groups of 100 came in time over full links.
"""

from __future__ import annotations

from collections.abc import Callable

from edgesdk.balance.links import Link, Links
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import MS, SECOND
from edgesdk.balance.tasks import Task
from edgesdk.balance.turns import Turns

__all__ = ["Waiting"]

_LATELY_NS = 10 * SECOND


class Waiting:
    """The queue in front of this node's links."""

    __slots__ = ("_due_ns", "_go", "_lately", "_links", "_seat", "_turns", "weighted")

    def __init__(self, seat: Seat, links: Links, go: Callable[[Task, int], None]) -> None:
        """*go* is called with a task whose turn it is; it may call :meth:`wait` again."""
        self._seat = seat
        self._links = links
        self._go = go
        self._turns: Turns[Task] = Turns()
        self._due_ns = 0
        self._lately: dict[int, tuple[float, int]] = {}
        """Application -> its weight, when it waited last."""
        self.weighted = False
        """Whether applications of different weights waited lately."""

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

    def hold(self, task: Task, link: Link) -> None:
        """The task is being quoted: it will take a place in the window of *link*."""
        if self.weighted:
            task.quoted = link
            link.quoted += 1

    def let_go(self, task: Task) -> None:
        """It is decided."""
        if task.quoted is not None:
            task.quoted.quoted -= 1
            task.quoted = None

    def sent_in_vain(self, task: Task) -> None:
        """The task used the link, and has to be sent again."""
        if self.weighted:
            task.charged = False

    def wait(self, task: Task, turn: bool, now_ns: int) -> None:
        """*turn*: it was the task's turn, but the way was closed."""
        task.waits = True
        self._note(task, now_ns)
        if turn:
            self._turns.again(task.group.app, task, newest=self.weighted)
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
            task = turns.first(newest=self.weighted)
            if task.waits:
                task.waits = False
                self._go(task, now_ns)
                if task.waits:
                    break
        if len(turns):
            self._look_later(now_ns)

    def _note(self, task: Task, now_ns: int) -> None:
        lately = self._lately
        lately[task.group.app] = task.group.weight, now_ns
        if len(lately) > 1:
            stale = [app for app, (_, when) in lately.items() if now_ns - when > _LATELY_NS]
            for app in stale:
                del lately[app]
            self.weighted = len({weight for weight, _ in lately.values()}) > 1

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
