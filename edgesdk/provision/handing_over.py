"""What stateful operators know goes with their stream from one agent to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from edgesdk.errors import EdgeError
from edgesdk.runtime.handover import Estate

__all__ = ["hand_over"]

Ask = Callable[[tuple[str, int], str, Any], Any]
Address = tuple[str, int]


def hand_over(
    ask: Ask,
    source: Address,
    target: Address,
    streams: Sequence[tuple[str, str]],
    told: Callable[[str], None],
) -> None:
    """Takes the states of *streams* (application, camera) at *source* and gives them to *target*,
    which uses them once the streams are assigned to it. What starts anew is *told*, not raised.
    """
    named = ", ".join(f"{app}/{camera}" for app, camera in streams)
    try:
        body = ask(source, "state.take", {"streams": [list(stream) for stream in streams]})
        estate = msgspec.convert(body, Estate)
        if estate.states:
            states = msgspec.to_builtins(estate.states, builtin_types=(bytes,))
            ask(target, "state.give", {"states": states})
    except (EdgeError, msgspec.ValidationError) as error:
        told(f"{named}: its state starts anew: {error}")
        return
    for state in estate.states:
        told(f"{state.camera}: the state of {state.name} goes with it")
    for operator in estate.anew:
        told(f"{operator.camera}: {operator.name} starts anew: {operator.why}")
