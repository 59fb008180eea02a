"""What every stream can do: feed an operator of the user's, a window, a sink."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar, overload

from edgesdk.errors import GraphError
from edgesdk.graph import parameters as check
from edgesdk.graph.custom import Operator
from edgesdk.graph.node import Build, Node, Role, Sink
from edgesdk.graph.place import Place, did_you_mean, mistake
from edgesdk.values import Classification, Detections, Embedding, Measurement, RawOutputs

if TYPE_CHECKING:
    from typing_extensions import Self

    from edgesdk.graph.custom import Applicable
    from edgesdk.graph.streams.detections import DetectionStream

__all__ = [
    "ClassificationStream",
    "EmbeddingStream",
    "MeasurementStream",
    "RawStream",
    "Stream",
    "UnknownOperator",
    "join",
    "stream_of",
]

V = TypeVar("V")
W = TypeVar("W")


class UnknownOperator(GraphError, AttributeError):
    """Both, so that hasattr and copy work on streams."""


class Stream(Generic[V]):
    """Values of type *V*, one a frame, where the stream's selectors pass."""

    _what: ClassVar[str] = "values"
    _of: ClassVar[dict[str, type[Stream[Any]]]] = {}

    __slots__ = ("_node", "_selectors")

    def __init_subclass__(cls, gives: str = "", what: str = "") -> None:
        cls._what = what or cls._what
        if gives:
            Stream._of[gives] = cls

    def __init__(self, node: Node, selectors: tuple[Node, ...] = ()) -> None:
        object.__setattr__(self, "_node", node)
        object.__setattr__(self, "_selectors", selectors)

    if TYPE_CHECKING:
        _node: Node
        _selectors: tuple[Node, ...]
    else:

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise _no_such_operator(self, name)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise mistake(f"{name} = ...", "a stream cannot be changed: every operator gives a new one")

    def __repr__(self) -> str:
        return f"<stream of {self._what} from {self._node.kind} at {self._node.place}>"

    def __bool__(self) -> NoReturn:
        raise mistake(
            "if", "a stream has no values while the graph is built; decide inside an operator"
        )

    def __iter__(self) -> NoReturn:
        raise mistake(
            "for", "a stream has no values while the graph is built; loop inside an operator"
        )

    def _add(
        self,
        kind: str,
        role: Role,
        gives: str,
        params: Mapping[str, Any] | None = None,
        *,
        inputs: tuple[Node, ...] | None = None,
        selectors: tuple[Node, ...] | None = None,
        model: str | None = None,
        custom: Operator[Any, Any] | None = None,
        written: str = "",
    ) -> Node:
        kept = self._selectors if selectors is None else selectors
        return Node(
            kind,
            role,
            self._node.build,
            Place.of_caller(),
            gives,
            (self._node,) if inputs is None else inputs,
            kept if role in ("selector", "stateful") else (),
            params or {},
            model,
            custom,
            written,
        )

    @overload
    def apply(
        self, function: Applicable[V, Detections], /, *others: Stream[Any], **params: Any
    ) -> DetectionStream: ...
    @overload
    def apply(
        self, function: Applicable[V, Measurement], /, *others: Stream[Any], **params: Any
    ) -> MeasurementStream: ...
    @overload
    def apply(
        self, function: Applicable[V, Classification], /, *others: Stream[Any], **params: Any
    ) -> ClassificationStream: ...
    @overload
    def apply(
        self, function: Applicable[V, Embedding], /, *others: Stream[Any], **params: Any
    ) -> EmbeddingStream: ...
    @overload
    def apply(
        self, function: Applicable[V, W], /, *others: Stream[Any], **params: Any
    ) -> Stream[W]: ...

    def apply(self, function: Any, /, *others: Stream[Any], **params: Any) -> Any:
        """An operator of your own: *function* is decorated with ``@edge.operator(version=1)``.

        others: further streams, whose values it takes after this one's. params: its parameters,
        plain data. It runs on frames for which all its streams have a value.
        """
        name = getattr(function, "__name__", type(function).__name__)
        if not isinstance(function, Operator):
            raise mistake(
                "apply",
                f"{name} is not an operator; write @edge.operator(version=1) above it"
                if callable(function)
                else f"expected a function decorated with @edge.operator, not {function!r:.60}",
            )
        for other in others:
            if not isinstance(other, Stream):
                raise mistake(
                    function.name,
                    f"expected a stream, not {other!r:.60}; parameters are given by name",
                )
            _check_same_build(function.name, self._node.build, other._node.build)
        for key, value in params.items():
            if isinstance(value, Stream):
                raise mistake(
                    function.name,
                    f"{key}= is given a stream; give streams without a name, in order",
                )
        streams = (self, *others)
        node = self._add(
            "custom",
            "stateful" if function.stateful else "value",
            function.gives(self._node.gives),
            function.bind([stream._node.gives for stream in streams], params),
            inputs=tuple(stream._node for stream in streams),
            selectors=(joined := join(streams)),
            custom=function,
        )
        return stream_of(node, joined)

    @check.call_checked
    def window(
        self, *, seconds: float | str, aggregate: str = "mean", field: str | None = None
    ) -> MeasurementStream:
        """An aggregate over a time window: windows of *seconds* of capture time, end to end.

        aggregate: mean, max, min, sum or last. field: of a measurement, the name of one of its
        numbers (needed if it has several); of detections ``count`` (the default), ``score``, or an
        attribute. Gives ``value`` of the last whole window (null before there is one), the number
        of ``frames`` in it, and ``running``, the aggregate of the window that is open.
        """
        if self._node.gives == "frames":
            raise _no_such_operator(self, "window")
        length = check.seconds("window", "seconds", seconds)
        known = ("mean", "max", "min", "sum", "last")
        params = {
            "nanoseconds": length,
            "aggregate": check.choice("window", "aggregate", aggregate, known),
            "field": _window_field(self._node, field),
        }
        return MeasurementStream(
            self._add("window", "stateful", "measurement", params), self._selectors
        )

    @check.call_checked
    def to_jsonl(self, path: str, *, name: str | None = None) -> Self:
        """Result records with this stream's values, one JSON line each, appended to *path*."""
        path = os.fspath(path) if isinstance(path, os.PathLike) else path
        return self._sink("jsonl", {"path": check.text("to_jsonl", "path", path, "a path")}, name)

    @check.call_checked
    def to_callback(
        self, function: Callable[[dict[str, Any]], object], *, name: str | None = None
    ) -> Self:
        """*function* is called with each result record (a dict), in a thread of its own."""
        if not callable(function):
            raise check.wrong("to_callback", "function", function, "a function of one record")
        return self._sink("callback", {"function": function}, name)

    @check.call_checked
    def to_mqtt(self, url: str, *, topic: str, name: str | None = None) -> Self:
        """Result records, as JSON, to an MQTT broker ``mqtt://host:1883`` (or ``mqtts://``)."""
        url = check.text("to_mqtt", "url", url, "mqtt://HOST:PORT")
        if not url.startswith(("mqtt://", "mqtts://")):
            raise mistake("to_mqtt", "url: expected mqtt://HOST:PORT or mqtts://HOST:PORT")
        topic = check.text("to_mqtt", "topic", topic, "a topic")
        if "#" in topic or "+" in topic:
            raise check.wrong("to_mqtt", "topic", topic, "a topic to publish to, without + and #")
        return self._sink("mqtt", {"url": url, "topic": topic}, name)

    @check.call_checked
    def to_webhook(self, url: str, *, name: str | None = None) -> Self:
        """Result records, as JSON, by POST to *url* (``http://`` or ``https://``)."""
        url = check.text("to_webhook", "url", url, "http://HOST/PATH")
        if not url.startswith(("http://", "https://")):
            raise mistake("to_webhook", "url: expected http://HOST/PATH or https://HOST/PATH")
        return self._sink("webhook", {"url": url}, name)

    def _sink(self, kind: str, params: dict[str, Any], name: str | None) -> Self:
        if self._node.gives == "frames":
            raise _no_such_operator(self, f"to_{kind}")
        chosen = None if name is None else check.text(f"to_{kind}", "name", name)
        build = self._node.build
        build.sinks.append(
            Sink(kind, params, self._node, self._selectors, chosen, Place.of_caller())
        )
        return self


class ClassificationStream(Stream[Classification], gives="classification", what="classifications"):
    """Classifications, one a frame."""

    __slots__ = ()


class EmbeddingStream(Stream[Embedding], gives="embedding", what="embeddings"):
    """Embeddings, one a frame."""

    __slots__ = ()


class MeasurementStream(Stream[Measurement], gives="measurement", what="measurements"):
    """Measurements, one a frame."""

    __slots__ = ()


class RawStream(Stream[RawOutputs], gives="raw", what="raw outputs"):
    """A model's outputs as they are."""

    __slots__ = ()


def stream_of(node: Node, selectors: tuple[Node, ...]) -> Stream[Any]:
    """The kind of stream that carries what *node* gives."""
    return Stream._of.get(node.gives, Stream)(node, selectors)


def join(streams: Sequence[Stream[Any]]) -> tuple[Node, ...]:
    """The selectors that must pass for every one of *streams* to have a value."""
    return tuple({id(node): node for stream in streams for node in stream._selectors}.values())


_FIRST = {
    ("frames", "detections"): "call .detect(MODEL) first",
    ("frames", "tracks"): "call .detect(MODEL).track() first",
    ("detections", "tracks"): "call .track() first",
}
_NOT_OF_FRAMES = ("window", "to_jsonl", "to_callback", "to_mqtt", "to_webhook")


def _no_such_operator(stream: Stream[Any], name: str) -> GraphError:
    what = type(stream)._what
    for gives in ("frames", "detections", "tracks"):
        if hasattr(Stream._of[gives], name) and not isinstance(stream, Stream._of[gives]):
            first = _FIRST.get((stream._node.gives, gives))
            if stream._node.custom is not None and stream._node.gives == "value":
                what = f"values of {stream._node.custom.name}"
                first = "annotate what it gives, such as -> edge.Detections"
            elif first is None:
                first = (
                    f"call it on a stream of {gives}"
                    if gives != "frames"
                    else "call it on the camera"
                )
            text = f"needs {gives}, and this is a stream of {what}; {first}"
            return UnknownOperator(f"{Place.of_caller()}: {name}: {text}")
    known = [word for word in dir(type(stream)) if not word.startswith("_")]
    if stream._node.gives == "frames":
        known = [word for word in known if word not in _NOT_OF_FRAMES]
    return UnknownOperator(
        f"{Place.of_caller()}: {name}: a stream of {what} has no such operator"
        f"{did_you_mean(name, known) or '; it has ' + ', '.join(known)}"
    )


# The numbers in each measurement, its most telling first.
_NUMBERS = {
    "count": ("now", "total"),
    "zone_count": ("now", "total"),
    "line_count": ("in", "out"),
    "dwell": ("now", "mean", "max"),
    "window": ("value", "frames", "running"),
}


def _window_field(node: Node, field: str | None) -> str | None:
    if node.gives in ("embedding", "raw"):
        raise mistake("window", f"needs numbers, and this is a stream of {node.gives}s")
    if node.gives == "classification" and field is not None:
        raise check.wrong("window", "field", field, "none: it is the best class's score")
    known = _NUMBERS.get(node.kind) if node.gives == "measurement" else _columns(node)
    if known is None:  # an operator of the user's own
        return None if field is None else check.text("window", "field", field)
    if field is None and node.gives == "measurement":
        text = f"{node.kind} gives several numbers: field= one of {', '.join(known)}"
        raise mistake("window", text)
    return None if field is None else check.choice("window", "field", field, known)


def _columns(node: Node) -> tuple[str, ...] | None:
    """The fields of detections that a window may read; None where only the user knows."""
    found = ["count", "score"]
    while node.gives in ("detections", "tracks") and node.role != "inference":
        if node.custom is not None:
            return None
        if "name" in node.params:
            found.append(node.params["name"])
        node = node.inputs[0]
    return tuple(found) if node.role == "inference" else None


def _check_same_build(operator: str, here: Build, there: Build) -> None:
    if here is not there:
        raise mistake(
            operator, f"a stream of {there} cannot be used in {here}; build it from this camera"
        )
