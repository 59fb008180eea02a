"""Where the work of live cameras may be done by other nodes: what a cluster implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edgesdk.runtime.request import Request, Terms

if TYPE_CHECKING:
    from edgesdk.runtime.node import Node

__all__ = ["Placer", "Request", "Terms"]


class Placer(Protocol):
    """Decides for each inference of a live camera, and each call of an operator of the user's own
    that keeps no state, where it runs.

    A request that it was given ends in at least one Outcome, told by ``node.report``: from here,
    by :meth:`Executor.submit` or :meth:`Executor.claim` (which report by themselves), from a peer,
    or dropped. The first one counts; later ones with values are counted as duplicates and reach
    nobody, so what was given up on a peer may be run here at once.

    The pixels of ``request.pictures`` lie in the camera's ring, whose slots are few: what is kept
    or sent is made of them soon (``model.codec.shrink``, or an operator's ``shrink``), after which
    the request can run here all the same.
    """

    def join(self, node: Node) -> None:
        """Before anything is loaded, which may take seconds: to find others and be found
        meanwhile. Raises EdgeError where it cannot listen; then it needs no :meth:`close`."""
        ...

    def attach(self) -> None:
        """Before the first request: models are loaded, executors are there, nothing runs yet."""
        ...

    def place(self, request: Request) -> None:
        """On the dispatcher's thread: must not block. ``request.terms`` is there."""
        ...

    def close(self) -> None:
        """No more requests come; what it has under way may be reported, or not. Within 0.3 s."""
        ...
