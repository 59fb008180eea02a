"""Applications: ``@edge.app`` on a function over a symbolic camera."""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Generic, TypeVar, overload

from edgesdk.errors import EdgeError, GraphError
from edgesdk.graph import parameters as check
from edgesdk.graph.node import Build, Node, Sink
from edgesdk.graph.place import Place, mistake
from edgesdk.graph.streams import Camera, Frames, Stream
from edgesdk.graph.streams.base import UnknownOperator

__all__ = ["Application", "BuiltApplication", "Output", "app"]

Returned = TypeVar("Returned", covariant=True)

_DEADLINE_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Output:
    """A named output: the node behind it and the selectors that must pass before it has a value."""

    node: Node
    selectors: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class BuiltApplication:
    """What one call of an application's function made, for one camera."""

    application: Application[Any]
    camera: str
    outputs: Mapping[str, Output]
    sinks: tuple[Sink, ...]


class Application(Generic[Returned]):
    """A function over a camera, with a deadline, a weight, and the cameras it wants.

    name: what results call it. deadline_ns: from capture to result. weight: its share of a busy
    node, relative to others. cameras: names or patterns (``"door-*"``); None is any. exact: in a
    cluster, only results with the bytes that this node's own session would give.
    """

    def __init__(
        self,
        function: Callable[[Camera], Returned],
        *,
        name: str,
        deadline_ns: int,
        weight: float,
        cameras: tuple[str, ...] | None,
        place: Place,
        rate: float | None = None,
        exact: bool = False,
    ) -> None:
        self.function = function
        self.rate = rate
        self.exact = exact
        self.name = name
        self.deadline_ns = deadline_ns
        self.weight = weight
        self.cameras = cameras
        self.place = place
        self.__name__ = name
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<application {self.name} at {self.place}>"

    def wants(self, camera: str) -> bool:
        """Whether it wants the camera of this name."""
        return self.cameras is None or any(fnmatch.fnmatchcase(camera, c) for c in self.cameras)

    def at_rate(self, fps: float) -> Application[Returned]:
        """The same application over *fps* frames a second.

        The fastest of its samples gets this rate and the others keep their ratio to it; where it
        takes no samples, it is given one in so many frames of the camera.
        """
        rate = check.number("at_rate", "fps", fps, low=0, high=1000, above=True)
        other = copy(self)
        other.rate = rate
        return other

    def __call__(self, camera: Camera) -> Returned:
        """Its streams over *camera*, for use within another application's function."""
        if not isinstance(camera, Frames):
            raise mistake(self.name, f"is called with {camera!r:.60}, and needs a camera")
        build = camera._node.build
        if self.name in build.entered:
            chain = " -> ".join([*build.entered[build.entered.index(self.name) :], self.name])
            raise mistake(self.name, f"the graph has a cycle: {chain}")
        build.entered.append(self.name)
        try:
            return self.function(camera)
        finally:
            build.entered.pop()

    def build(self, camera: str = "camera") -> BuiltApplication:
        """Calls the function once, with a symbolic camera.

        :raises GraphError: names operator, parameter, value and the line of the user's code.
        """
        if self.rate is None:
            return self._build(camera, pace=1.0, presampled=None)
        fastest = max(self._written_rates(camera), default=None)
        if fastest is None:
            return self._build(camera, pace=1.0, presampled=self.rate)
        return self._build(camera, pace=self.rate / fastest, presampled=None)

    def _written_rates(self, camera: str) -> list[float]:
        built = self._build(camera, pace=1.0, presampled=None)
        return next(iter(built.outputs.values())).node.build.rates

    def _build(self, camera: str, *, pace: float, presampled: float | None) -> BuiltApplication:
        build = Build(self.name, camera, self.place, pace=pace)
        source = Node("camera", "source", build, self.place, "frames")
        frames = Camera(source)
        if presampled is not None:
            frames = Camera(source, frames.sample(fps=presampled)._selectors)
        try:
            returned = self(frames)
        except UnknownOperator as error:
            raise GraphError(str(error)) from None
        except EdgeError:
            raise
        except UnboundLocalError as error:
            raise self._failed(
                error, "; a stream cannot feed itself: a graph has no cycles"
            ) from error
        except RecursionError as error:
            raise self._failed(error, "; a graph has no cycles") from error
        except (Exception, SystemExit) as error:
            raise self._failed(error) from error
        outputs = {
            name: self._output(name, stream, build)
            for name, stream in self._named(returned).items()
        }
        return BuiltApplication(self, camera, outputs, tuple(build.sinks))

    def _failed(self, error: BaseException, hint: str = "") -> GraphError:
        file = self.place.file
        place = Place.of_traceback(error.__traceback__, file) or self.place
        said = str(error).splitlines()[0] if str(error) else "no message"
        return mistake(self.name, f"{type(error).__name__}: {said}{hint}", place)

    def _named(self, returned: object) -> dict[str, object]:
        if isinstance(returned, Stream):
            return {"output": returned}
        if returned is None:
            raise mistake(
                self.name,
                "returns nothing; return a stream, or a dict of named streams",
                self.place,
            )
        if not isinstance(returned, Mapping):
            raise mistake(
                self.name,
                f"returns {returned!r:.60}; expected a stream, or a dict of named streams",
                self.place,
            )
        if not returned:
            raise mistake(self.name, "returns an empty dict; name a stream at least", self.place)
        for name in returned:
            if not isinstance(name, str) or not name:
                raise mistake(self.name, f"output name {name!r}: expected a text", self.place)
        return dict(returned)

    def _output(self, name: str, stream: object, build: Build) -> Output:
        where = f"{self.name}: output {name!r}"
        if not isinstance(stream, Stream):
            raise mistake(where, f"expected a stream, got {stream!r:.60}", self.place)
        if stream._node.build is not build:
            raise mistake(
                where,
                f"a stream of {stream._node.build}, made at {stream._node.place}, cannot be used "
                f"in {build}; build it from this camera",
                self.place,
            )
        if isinstance(stream, Frames):
            raise mistake(
                where,
                "is a stream of frames, and frames are no results; add an operator such as "
                ".detect(MODEL)",
                self.place,
            )
        return Output(stream._node, stream._selectors)


@overload
def app(function: Callable[[Camera], Returned], /) -> Application[Returned]: ...
@overload
def app(
    *,
    deadline: str | float = ...,
    weight: float = ...,
    cameras: Sequence[str] | str | None = ...,
    name: str | None = ...,
    exact: bool = ...,
) -> Callable[[Callable[[Camera], Returned]], Application[Returned]]: ...


def app(*args: Any, **kwargs: Any) -> Any:
    """Makes an application of a function over a symbolic camera.

    deadline: from capture to result, ``"500ms"``, ``"1s"`` or a number of seconds (1 s). weight:
    its share of a busy node (1.0). cameras: names or patterns of the cameras it wants (any). name:
    what results call it (the function's name). exact: where frames are offloaded, they travel raw
    and only to peers that run the same variant on the same runtime (False: compressed, to any peer
    with the model).
    """
    if len(args) == 1 and not kwargs and isinstance(args[0], FunctionType):
        return _make(args[0])
    check.check_call("app", inspect.signature(_options), args, kwargs)
    options = _options(**kwargs)

    def decorate(function: Callable[[Camera], Any]) -> Application[Any]:
        return _make(function, **options)

    return decorate


def _options(
    *,
    deadline: object = None,
    weight: object = 1.0,
    cameras: object = None,
    name: object = None,
    exact: object = False,
) -> dict[str, Any]:
    nanoseconds = _DEADLINE_NS if deadline is None else check.seconds("app", "deadline", deadline)
    wanted = None
    if cameras is not None:
        given = [cameras] if isinstance(cameras, str) else cameras
        if not isinstance(given, (list, tuple, set, frozenset)) or not given:
            raise check.wrong("app", "cameras", cameras, 'camera names, such as ["door", "yard-*"]')
        wanted = tuple(sorted({check.text("app", "cameras", one, "camera names") for one in given}))
    if not isinstance(exact, bool):
        raise check.wrong("app", "exact", exact, "True or False")
    return {
        "deadline_ns": nanoseconds,
        "weight": check.number("app", "weight", weight, low=0, high=1e6, above=True),
        "cameras": wanted,
        "name": None if name is None else check.text("app", "name", name),
        "exact": exact,
    }


def _make(
    function: Callable[[Camera], Any],
    *,
    name: str | None = None,
    deadline_ns: int = _DEADLINE_NS,
    weight: float = 1.0,
    cameras: tuple[str, ...] | None = None,
    exact: bool = False,
) -> Application[Any]:
    if not isinstance(function, FunctionType):
        raise mistake("app", f"expected a function over a camera, not {function!r:.60}")
    code = function.__code__
    place = Place(code.co_filename, code.co_firstlineno)
    called = name or function.__name__
    if not re.fullmatch(r"\w[\w.-]{0,63}", called):
        expected = "up to 64 letters, digits, and . _ -"
        raise check.wrong("app", "name", called, expected, place)
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise mistake(called, "must be a plain function that returns its streams", place)
    needed = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(needed) != 1 or needed[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise mistake(
            function.__name__, f"takes {len(needed)} parameters; expected one, the camera", place
        )
    return Application(
        function,
        name=called,
        deadline_ns=deadline_ns,
        weight=weight,
        cameras=cameras,
        place=place,
        exact=exact,
    )
