"""What an executor runs: a model in its session, or an operator that an application brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from edgesdk.runtime.execution import Execution

__all__ = ["Asked", "Runnable"]


class Asked(Protocol):
    """What a request asks for, wherever that is. Thread-safe."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 that is equal on all nodes: of a model's card; an operator's id."""
        ...

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def travels(self) -> bool:
        """Whether its work can be done on another node, as far as is known."""
        ...


class Runnable(Asked, Protocol):
    """What is here to be run. Thread-safe; :meth:`infer` is called from one thread at a time."""

    @property
    def runs_on(self) -> str:
        """The device whose executor has it."""
        ...

    @property
    def max_batch(self) -> int: ...
    @property
    def costs_ns(self) -> Sequence[int]:
        """A first estimate of what 1, 2, ... up to *max_batch* take."""
        ...

    @property
    def settled(self) -> bool:
        """Whether what it takes from now on tells what it will take."""
        ...

    def execution(self, node: str = "") -> Execution:
        """What produces its bytes, on the node of that name."""
        ...

    def encode(self, pictures: Sequence[Any], *, exact: bool = False) -> tuple[Any, Sequence[Any]]:
        """What :meth:`infer` takes, and what :meth:`decode` needs beside its outputs."""
        ...

    def infer(self, inputs: Any, ready_ns: int = 0) -> Any: ...
    def decode(
        self, outputs: Any, geometries: Sequence[Any], options: tuple[tuple[str, Any], ...]
    ) -> Sequence[Any]:
        """One value a picture."""
        ...
