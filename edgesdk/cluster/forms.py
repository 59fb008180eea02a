"""What travels of a group: the pictures of a model, or a call of a user's operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from edgesdk.cluster import call_payload, payload
from edgesdk.runtime.own_operator import Call, OwnOperator
from edgesdk.runtime.runnable import Asked
from edgesdk.runtime.sessions import KnownModel

if TYPE_CHECKING:
    from edgesdk.balance import Group
    from edgesdk.cluster.data import Arrival
    from edgesdk.cluster.groups import GroupHeader
    from edgesdk.models.wire import Options

__all__ = ["Form", "form_of"]


class Form(Protocol):
    """How what is asked of one model or operator goes to another node. Thread-safe."""

    def expected_bytes(self, picture: Any, *, exact: bool) -> float:
        """What *picture* will take on the wire, before one like it was sent."""
        ...

    def small(self, pictures: Sequence[Any]) -> list[Any]:
        """*pictures* off the ring; the same objects where they are already."""
        ...

    def code(self, small: Sequence[Any], *, exact: bool) -> object:
        """Codes those of *small* that are not yet. Raises WireError."""
        ...

    def encode(
        self, group: Group, small: Sequence[Any], options: Options, *, exact: bool
    ) -> tuple[GroupHeader, list[bytes]]:
        """The header of *group* and its parts. Raises WireError."""
        ...

    def decode(self, arrival: Arrival) -> tuple[Sequence[Any], Options]:
        """What a peer asks for. Raises WireError or InputMismatch."""
        ...


def form_of(asked: Asked) -> Form:
    if isinstance(asked, OwnOperator):
        return _Calls(asked)
    assert isinstance(asked, KnownModel)
    return _Pictures(asked)


class _Pictures:
    def __init__(self, model: KnownModel) -> None:
        self._codec = model.codec

    def expected_bytes(self, picture: Any, *, exact: bool) -> float:
        return payload.expected_bytes(self._codec, exact=exact)

    def small(self, pictures: Sequence[Any]) -> list[Any]:
        if all(isinstance(picture, payload.Travelling) for picture in pictures):
            return list(pictures)
        return [payload.Travelling(*small) for small in self._codec.shrink(pictures)]

    def code(self, small: Sequence[payload.Travelling], *, exact: bool) -> object:
        return payload.code(small, self._codec, exact=exact)

    def encode(
        self, group: Group, small: Sequence[payload.Travelling], options: Options, *, exact: bool
    ) -> tuple[GroupHeader, list[bytes]]:
        return payload.encode(group, small, self._codec, options, exact=exact)

    def decode(self, arrival: Arrival) -> tuple[Sequence[Any], Options]:
        return payload.decode(arrival, self._codec)


class _Calls:
    """A call is a group of its own."""

    def __init__(self, operator: OwnOperator) -> None:
        self._operator = operator

    def expected_bytes(self, picture: Call, *, exact: bool) -> float:
        return call_payload.expected_bytes(picture, exact=exact)

    def small(self, pictures: Sequence[Call]) -> list[Any]:
        if all(isinstance(call, call_payload.TravellingCall) for call in pictures):
            return list(pictures)
        return [call_payload.TravellingCall(*call) for call in self._operator.shrink(pictures)]

    def code(self, small: Sequence[call_payload.TravellingCall], *, exact: bool) -> object:
        return [call_payload.code(call, exact=exact) for call in small]

    def encode(
        self,
        group: Group,
        small: Sequence[call_payload.TravellingCall],
        options: Options,
        *,
        exact: bool,
    ) -> tuple[GroupHeader, list[bytes]]:
        (call,) = small
        return call_payload.encode(group, call, exact=exact)

    def decode(self, arrival: Arrival) -> tuple[Sequence[Any], Options]:
        return [call_payload.decode(arrival, self._operator)], ()
