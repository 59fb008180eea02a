"""Where machines come from: existing nodes, processes of this machine, clouds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Ask", "Host", "Provider"]

Ask = Callable[[tuple[str, int], str, Any], Any]
"""Address, verb and body to a node's answer; raises EdgeError. Called from several threads."""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with an agent. *address*: of its control port, None while it is not known.

    *state*: ``booting`` until its agent answers, then ``ready``; ``gone`` once it is known to have
    died or been given back by somebody else.
    """

    id: str
    kind: str
    state: Literal["booting", "ready", "gone"]
    address: tuple[str, int] | None = None
    reason: str = ""


class Provider(Protocol):
    """One source of machines. Calls may take seconds; none is made from two threads at once.

    Errors are ProviderError, and name the provider, the machine and what was refused.
    """

    name: str
    spends: bool
    """Whether machines of it cost money."""
    owns: bool
    """Whether it starts and ends its machines; else they are there, or not."""

    def hosts(self) -> Mapping[str, Host]:
        """What there is now, by id."""

    def start(self, kind: str) -> str:
        """Asks for a machine of the type *kind*; returns its id at once."""

    def stop(self, machine: str) -> None:
        """Gives it back; idempotent."""

    def close(self, within_s: float = 1.6) -> None:
        """Ends what belongs to this process, in time; machines that were rented stay."""
