"""Operators of the user's own that keep no state, as something that runs for any camera.

Such an operator depends on its arguments alone, so another node that has the same one (its id
covers its source, its parameters and all before it) may do a call. What an executor runs one call
at a time is here what a loaded model is elsewhere: it has a cost, which is measured, and a place in
a scheduler. The calls themselves happen on the thread of the operator's application.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgesdk.graph.custom import Operator
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.plan import PlannedOperator
from edgesdk.inference.host import processor
from edgesdk.models.wire import travels
from edgesdk.runtime.execution import Execution
from edgesdk.runtime.results import version_of

__all__ = ["Call", "OwnOperator", "execution_of"]

# As of a model that nobody has run: too much would keep it from being tried.
_GUESS_NS = 50_000_000


class Call(NamedTuple):
    """One call of an operator: the values of its streams, in order, and the frame's info.

    Frames among *values* are FrameViews, in a ring until :meth:`OwnOperator.shrink`.
    """

    values: tuple[Any, ...]
    info: FrameInfo


class OwnOperator:
    """*planned*, on the node that has its application. *run* calls what it is given on the
    application's own thread, and gives or raises what that does. Implements
    :class:`~edgesdk.runtime.runnable.Runnable`. Thread-safe."""

    max_batch = 1
    costs_ns = (_GUESS_NS,)

    def __init__(
        self, planned: PlannedOperator, runs_on: str, run: Callable[[Callable[[], Any]], Any]
    ) -> None:
        assert planned.custom is not None
        self.digest = planned.id
        self.name = planned.name
        self.arguments = len(planned.inputs)
        self.runs_on = runs_on
        self.settled = False
        self.travels = True
        self._execution = execution_of(planned.custom)
        self._whole = [planned.custom.takes_view(i) for i in range(self.arguments)]
        self._step = planned.start()
        self._run = run
        self._seen = planned.custom.announced is not None

    def execution(self, node: str = "") -> Execution:
        return msgspec.structs.replace(self._execution, node=node)

    def shrink(self, pictures: Sequence[Call]) -> list[Call]:
        """The calls with copies of those pixels that they look at."""
        return [self._detached(call, copy=True) for call in pictures]

    def encode(self, pictures: Sequence[Call], *, exact: bool = False) -> tuple[Any, Sequence[Any]]:
        # Parts of frames are laid out anew in any case: sums over an array depend on its strides.
        return [self._detached(call, copy=False) for call in pictures], [None] * len(pictures)

    def infer(self, inputs: Sequence[Call], ready_ns: int = 0) -> list[Any]:
        values = [self._run(partial(self._step.step, *call.values, call.info)) for call in inputs]
        if not self._seen:
            # Nothing announces what it gives: the first values tell.
            self._seen, self.travels = True, all(map(travels, values))
        return values

    def decode(
        self, outputs: Any, geometries: Sequence[Any], options: tuple[tuple[str, Any], ...]
    ) -> Sequence[Any]:
        # The first call pays for what the operator imports: the next one tells what they take.
        self.settled = True
        values: Sequence[Any] = outputs
        return values

    def _detached(self, call: Call, *, copy: bool) -> Call:
        return Call(
            tuple(
                _detached(value, whole, copy) if isinstance(value, FrameView) else value
                for value, whole in zip(call.values, self._whole, strict=True)
            ),
            call.info,
        )


def execution_of(operator: Operator[Any, Any]) -> Execution:
    """What produces the bytes of *operator*'s values on this node, whose name it leaves out."""
    return Execution(
        node="",
        model=operator.source,
        backend="python",
        backend_version=_python(),
        device="CPU",
        executed_on="CPU",
        hardware=processor()[:256],
        precision="",
    )


@cache
def _python() -> str:
    """The interpreter, and the libraries that an operator's arrays go through."""
    names = "numpy", "opencv-contrib-python-headless"
    return ", ".join((platform.python_version(), *(f"{n} {version_of(n)}" for n in names)))


def _detached(view: FrameView, whole: bool, copy: bool) -> FrameView:
    """*view* with pixels of its own where it has a box, or is in a ring that it is to leave.

    *whole*: the operator takes views, in the frame's coordinates; what lies outside the box is 0.
    """
    image, box = view.image, view.box
    if box is not None:
        part = np.array(view.pixels(), order="C")
        if whole:
            x1, y1, x2, y2 = box
            image = np.zeros(image.shape, np.uint8)
            image[y1:y2, x1:x2] = part
        else:
            image, box = part, None
    elif copy and not image.flags.owndata:
        image = np.array(image, order="C")
    else:
        return view
    image.flags.writeable = False
    return FrameView(image, view.colour, box)
