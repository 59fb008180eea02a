"""What stateful operators know goes with their stream from one agent to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import msgspec

from edgesdk.cluster.status import MemberStatus
from edgesdk.errors import EdgeError
from edgesdk.provision.provider import Ask
from edgesdk.runtime.handover import Estate

__all__ = ["hand_over", "streaming"]

Address = tuple[str, int]

_AT_ONCE = 4  # streams a request: what each operator may hand over adds up


def hand_over(
    ask: Ask,
    source: Address,
    target: Address,
    streams: Sequence[tuple[str, str]],
    told: Callable[[str], None],
) -> None:
    """Takes the states of *streams* (application, camera) at *source* and gives them to *target*,
    whose cameras wait for them (see ``Assignments.awaits``), and begin whatever comes. What starts
    anew is *told*, not raised.
    """
    left = iter(streams)
    while some := list(islice(left, _AT_ONCE)):
        _hand_over(ask, source, target, some, told)


def streaming(ask: Ask, address: Address) -> set[str]:
    """The cameras that the agent has frames of; none where it does not answer."""
    try:
        seen = msgspec.convert(ask(address, "status", {}), MemberStatus)
    except (EdgeError, msgspec.ValidationError):
        return set()
    return {s.camera for s in seen.streams if s.camera_state == "streaming"}


def _hand_over(
    ask: Ask,
    source: Address,
    target: Address,
    streams: Sequence[tuple[str, str]],
    told: Callable[[str], None],
) -> None:
    named = ", ".join(f"{app}/{camera}" for app, camera in streams)
    cameras = sorted({camera for _, camera in streams})
    estate = Estate(cameras=cameras)
    try:
        body = ask(source, "state.take", {"streams": [list(stream) for stream in streams]})
        estate = msgspec.convert(body, Estate)
    except (EdgeError, msgspec.ValidationError) as error:
        told(f"{named}: its state starts anew: {error}")
    try:
        ask(target, "state.give", msgspec.to_builtins(estate, builtin_types=(bytes,)))
    except EdgeError as error:
        told(f"{named}: its state starts anew: {error}")
        return
    for state in estate.states:
        told(f"{state.camera}: the state of {state.name} goes with it")
    for operator in estate.anew:
        told(f"{operator.camera}: {operator.name} starts anew: {operator.why}")
