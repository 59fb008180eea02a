"""The user's own operators, with their mistakes turned into errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgesdk.errors import EdgeError, GraphError
from edgesdk.graph.custom import Operator
from edgesdk.graph.frames import FrameView
from edgesdk.graph.place import Place

__all__ = ["CustomStep"]


class CustomStep:
    """Calls the user's function, or his object's ``step``.

    :raises GraphError: the operator raised, or gave a value of another kind than it announced;
        names the operator and the line of its file.
    """

    def __init__(self, operator: Operator[Any, Any], params: Mapping[str, Any]) -> None:
        self._operator = operator
        try:
            self._run, self._keeper = operator.start(params)
        except (Exception, SystemExit) as error:
            raise self._failed(error) from error

    def step(self, *arguments: Any) -> Any:
        *values, info = arguments
        given = [
            _bgr(value)
            if isinstance(value, FrameView) and not self._operator.takes_view(i)
            else value
            for i, value in enumerate(values)
        ]
        try:
            found = self._run(given, info)
        except EdgeError:
            raise
        except (Exception, SystemExit) as error:
            raise self._failed(error) from error
        announced = self._operator.announced
        if announced is not None and not isinstance(found, announced):
            raise GraphError(
                f"{self._operator.place}: {self._operator.name}: gave a {type(found).__name__}, "
                f"and is annotated to give {announced.__name__}"
            )
        return found

    def export_state(self) -> Any:
        """What the operator would need to go on elsewhere. Raises TypeError where it cannot say."""
        if callable(getattr(self._keeper, "export_state", None)):
            return self._keeper.export_state()
        if isinstance(self._keeper, (dict, list)):
            return self._keeper.copy()
        raise TypeError("it has no export_state(), and its state is no dict")

    def import_state(self, state: Any, ahead_ns: int = 0) -> None:
        """Goes on from what :meth:`export_state` gave on another node; times in it are its own."""
        if callable(getattr(self._keeper, "import_state", None)):
            self._keeper.import_state(state)
        elif isinstance(self._keeper, dict) and isinstance(state, dict):
            self._keeper.clear()
            self._keeper.update(state)
        elif isinstance(self._keeper, list) and isinstance(state, list):
            self._keeper[:] = state
        else:
            raise TypeError("it has no import_state(), and its state is no dict")

    def _failed(self, error: BaseException) -> GraphError:
        operator = self._operator
        place = Place.of_traceback(error.__traceback__, operator.place.file) or operator.place
        said = str(error).splitlines()[0] if str(error) else "no message"
        return GraphError(f"{place}: {operator.name}: {type(error).__name__}: {said}")


def _bgr(view: FrameView) -> Any:
    pixels = view.pixels()
    return pixels[..., ::-1] if view.colour == "RGB" else pixels
