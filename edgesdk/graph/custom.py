"""Operators of the user's own: ``@edge.operator(version=1)``."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import FunctionType, SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    NoReturn,
    Protocol,
    TypeAlias,
    TypeVar,
    overload,
)

import numpy as np

from edgesdk.graph import parameters as check
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.place import Place, mistake
from edgesdk.graph.source_text import NotHashable, source_digest
from edgesdk.values import Classification, Detections, Embedding, Measurement, RawOutputs

__all__ = ["Operator", "operator"]

V = TypeVar("V")
W = TypeVar("W")

_GIVES: dict[object, str] = {
    Detections: "detections",
    Classification: "classification",
    Embedding: "embedding",
    Measurement: "measurement",
    RawOutputs: "raw",
}
_TAKES: dict[object, tuple[str, ...]] = {
    **{kind: (gives,) for kind, gives in _GIVES.items()},
    Detections: ("detections", "tracks"),
    FrameView: ("frames",),
    np.ndarray: ("frames",),
}


class Operator(Generic[V, W]):
    """A function, or a class with a ``step``, that ``stream.apply`` takes.

    It is called once a frame with the values of its streams, in order; with ``info``, if it has a
    parameter of that name (a :class:`~edgesdk.graph.FrameInfo`); and with the parameters given to
    ``apply``, by name (a class is given them when it is made, once a stream).
    """

    def __init__(
        self,
        function: FunctionType | type[Any],
        *,
        version: int,
        stateful: bool,
        state: Callable[[], Any] | None,
    ) -> None:
        self.function = function
        self.name: str = function.__name__
        self.__name__ = self.name
        self.__doc__ = function.__doc__
        self.version = version
        self.stateful = stateful
        self.state = state
        code = function.__code__ if isinstance(function, FunctionType) else None
        self.place = Place(code.co_filename, code.co_firstlineno) if code else Place.of_caller()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself, for tests and for use within other operators."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<operator {self.name} version {self.version} at {self.place}>"

    @cached_property
    def source(self) -> str:
        """The digest of its source, see :func:`edgesdk.graph.source_text.source_digest`."""
        try:
            digest, state = source_digest(self.function), self.state
            theirs = self.function.__module__
            if isinstance(state, (FunctionType, type)) and state.__module__ == theirs:
                digest += source_digest(state)
            return digest
        except NotHashable as error:
            raise mistake(
                self.name,
                f"its code depends on {error}, from the function around it, and so cannot be told "
                "from another's; pass it to apply as a parameter",
                self.place,
            ) from None

    @cached_property
    def _step(self) -> Any:
        """The function that is called for each frame."""
        return self.function if isinstance(self.function, FunctionType) else self.function.step

    @cached_property
    def _hints(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, annotation in self._step.__annotations__.items():
            one = SimpleNamespace(__annotations__={name: annotation})
            # One by one: a name that exists for the type checker only must not hide the others.
            with contextlib.suppress(Exception):
                found |= typing.get_type_hints(one, self._step.__globals__)
        return found

    @cached_property
    def _stepped(self) -> list[inspect.Parameter]:
        """The parameters of a step, without self and the state."""
        found = list(inspect.signature(self._step).parameters.values())
        return found[1:] if self.stateful else found

    @property
    def takes_info(self) -> bool:
        return any(p.name == "info" for p in self._stepped)

    def bind(self, streams: Sequence[str], params: Mapping[str, Any]) -> dict[str, Any]:
        """*params* with defaults, as plain data; checked, as are the kinds of *streams*."""
        positional = [
            p
            for p in self._stepped
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "info"
        ]
        values = positional[: len(streams)]
        before = [p.name for p in self._stepped[: len(values)]]
        if "info" in before:
            raise mistake(
                self.name, "write the parameter 'info' after the streams' values", self.place
            )
        several = any(p.kind is p.VAR_POSITIONAL for p in self._stepped)
        if len(values) < len(streams) and not several:
            raise mistake(
                self.name,
                f"is given {len(streams)} streams, and takes {len(values)} ({self.place})",
            )
        for value, gives in zip(values, streams, strict=False):
            self._check_kind(value.name, gives)
        if isinstance(self.function, FunctionType):
            named = [p for p in self._stepped if p not in values and p.name != "info"]
            named = [p for p in named if p.kind is not p.VAR_POSITIONAL]
        else:
            missing = [p.name for p in positional[len(streams) :] if p.default is p.empty]
            if missing:
                raise mistake(self.name, f"its step takes {missing[0]!r} too: give apply a stream")
            named = list(inspect.signature(self.function).parameters.values())
        signature = inspect.Signature(
            [p.replace(kind=p.KEYWORD_ONLY) if p.kind is not p.VAR_KEYWORD else p for p in named]
        )
        bound = check.check_call(self.name, signature, (), dict(params))
        bound.apply_defaults()
        return {
            name: check.canonical(self.name, name, value)
            for name, value in sorted(bound.arguments.items())
        }

    def _check_kind(self, parameter: str, gives: str) -> None:
        hint = self._hints.get(parameter)
        wanted = _TAKES.get(typing.get_origin(hint) or hint)
        if wanted is not None and gives != "value" and gives not in wanted:
            raise mistake(
                self.name,
                f"{parameter!r} takes {' or '.join(wanted)}, and this is a stream of {gives} "
                f"({self.place})",
            )

    def gives(self, first: str) -> str:
        """What kind of stream it makes of a first stream of kind *first*."""
        found = _GIVES.get(self._hints.get("return"), "value")
        return "tracks" if found == "detections" and first == "tracks" else found

    @property
    def announced(self) -> type[Any] | None:
        """The class of value that its annotation promises, of those that edgesdk knows."""
        hint = self._hints.get("return")
        return hint if isinstance(hint, type) and hint in _GIVES else None

    def takes_view(self, index: int) -> bool:
        """Whether the value at *index* is wanted as a FrameView, not as its pixels."""
        named = self._stepped[index] if index < len(self._stepped) else None
        return named is not None and self._hints.get(named.name) is FrameView

    def start(
        self, params: Mapping[str, Any]
    ) -> tuple[Callable[[Sequence[Any], FrameInfo], Any], Any]:
        """One stream's worth of it: a callable, and what holds its state (None without)."""
        information = self.takes_info
        keeper: Any = None
        if not isinstance(self.function, FunctionType):
            keeper = self.function(**params)
            step = keeper.step
            bound: Mapping[str, Any] = {}
            before: tuple[Any, ...] = ()
        else:
            step = self.function
            bound = params
            keeper = self.state() if self.stateful and self.state else None
            before = (keeper,) if self.stateful else ()

        def run(values: Sequence[Any], info: FrameInfo) -> Any:
            if information:
                return step(*before, *values, info=info, **bound)
            return step(*before, *values, **bound)

        return run, keeper


@overload
def operator(*, version: int, stateful: bool = False) -> _Stateless: ...
@overload
def operator(*, version: int, stateful: bool = True, state: Callable[[], Any]) -> _Stateful: ...


def operator(
    function: object = None,
    *,
    version: object = None,
    stateful: bool = False,
    state: Callable[[], Any] | None = None,
) -> Any:
    """Makes an operator of a function, or of a class.

    Stateless::

        @edge.operator(version=1)
        def left_half(detections: edge.Detections, info: edge.FrameInfo) -> edge.Detections:
            return detections.select(detections.boxes[:, 2] < info.width / 2)

    Stateful, as a class that is made once a stream (its ``__init__`` takes the parameters), or as
    a function whose first parameter is the state that *state* makes::

        @edge.operator(version=1, stateful=True)
        class Busiest:
            def __init__(self) -> None:
                self.most = 0

            def step(self, detections: edge.Detections) -> edge.Measurement:
                self.most = max(self.most, len(detections))
                return edge.Measurement("busiest", {"most": self.most})

        @edge.operator(version=1, state=dict)
        def seen(state: dict, tracks: edge.Detections) -> edge.Measurement: ...

    When a stream moves to another node its state goes with it if it is data: a dict of what JSON
    has, or what the class (or the state's) ``export_state()`` gives and ``import_state(state)``
    takes.

    version: raise it when something changes that the source does not show, such as a library. A
    stateless operator must depend on its arguments alone: it is shared, and in a cluster it may run
    on any node that has the same operator.
    """
    if function is not None:
        name = getattr(function, "__name__", repr(function))
        raise mistake("operator", f"write @edge.operator(version=1) above {name}, with brackets")
    number = int(check.number("operator", "version", version, low=1, high=2**31, whole=True))
    if state is not None and not callable(state):
        raise check.wrong("operator", "state", state, "what makes a state, such as dict")

    def decorate(subject: Any) -> Operator[Any, Any]:
        if isinstance(subject, type):
            if not isinstance(getattr(subject, "step", None), FunctionType):
                raise mistake(subject.__name__, "a class needs a method step(self, value)")
            return Operator(subject, version=number, stateful=True, state=None)
        if not isinstance(subject, FunctionType):
            raise mistake("operator", f"expected a function or a class, not {subject!r:.60}")
        if inspect.iscoroutinefunction(subject) or inspect.isgeneratorfunction(subject):
            raise mistake(subject.__name__, "must be a plain function that returns its value")
        if stateful and state is None:
            raise mistake(
                subject.__name__,
                "a stateful function needs state=, what makes its state, such as state=dict",
            )
        return Operator(subject, version=number, stateful=state is not None, state=state)

    return decorate


if TYPE_CHECKING:
    V_contra = TypeVar("V_contra", contravariant=True)
    W_co = TypeVar("W_co", covariant=True)

    class Steps(Protocol[V_contra, W_co]):
        """A class that operator decorates: type checkers leave a decorated class a class."""

        def step(self, value: V_contra, /, *args: Any, **kwargs: Any) -> W_co: ...

    Applicable: TypeAlias = Operator[V, W] | type[Steps[V, W]]

    class _Stateless:
        @overload
        def __call__(self, function: type[Any], /) -> Operator[Any, Any]: ...
        @overload
        def __call__(self, function: Callable[Concatenate[V, ...], W], /) -> Operator[V, W]: ...
        def __call__(self, function: Any, /) -> NoReturn: ...

    class _Stateful:
        def __call__(
            self, function: Callable[Concatenate[Any, V, ...], W], /
        ) -> Operator[V, W]: ...
