"""One frame on its way through a camera's program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.runtime.ledger import End, State
from edgesdk.runtime.request import Outcome, Times

if TYPE_CHECKING:
    from edgesdk.runtime.outlet import Delivery, Outlet
    from edgesdk.runtime.program import Stage, Wish

__all__ = ["CropResults", "Mark", "Missing", "Task", "Wanted", "worst"]


class Mark(Enum):
    """What stands in the place of a stage's value while there is none."""

    RUNNING = "running"
    GONE = "gone"  # pixels, given back to the ring


@dataclass(frozen=True, slots=True)
class Missing:
    """A stage that will have no value for this frame, and how frames that need it end."""

    end: End


@dataclass(eq=False, slots=True)
class Wanted:
    """What one application wants of one frame, and until when."""

    outlet: Outlet
    wish: Wish
    deadline_ns: int


@dataclass(eq=False, slots=True)
class Task:
    """A frame that passed, its values by stage, and who waits for which of them.

    *key* rises by one a task of its camera. *stages* are those to run, in topological order;
    *values* lacks those that have not begun. *made*: stages that the provenance names. Owned by
    the dispatcher.
    """

    key: int
    info: FrameInfo
    view: FrameView | None
    started_ns: int
    stages: Sequence[Stage]
    values: dict[int, Any]
    wanted: list[Wanted]
    deadline_ns: int
    ended: list[Delivery] = field(default_factory=list)
    times: list[Times] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    crops: dict[int, CropResults] = field(default_factory=dict)

    def settled(self, index: int) -> bool:
        """Whether that stage came to its end, with a value or without."""
        return index in self.values and self.values[index] is not Mark.RUNNING

    def running(self) -> bool:
        """Whether something of this frame is still on another thread, or waits for its turn."""
        return any(value is Mark.RUNNING for value in self.values.values())


@dataclass(eq=False, slots=True)
class CropResults:
    """The groups of crops of one stage, gathered until the last has come.

    *here* counts the groups that this node did; *elsewhere* has the others' outcomes.
    """

    values: list[Any]
    left: int
    here: int = 0
    elsewhere: list[Outcome] = field(default_factory=list)


def worst(missing: Sequence[Missing]) -> End:
    """One end for several: a failure is told before a drop."""
    failed = [m.end for m in missing if m.end.state is State.FAILED]
    return (failed or [m.end for m in missing])[0]
