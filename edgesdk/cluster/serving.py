"""Groups of peers: from their arrival with a token to the answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesdk.balance import Promise
from edgesdk.cluster import payload
from edgesdk.cluster.forms import form_of
from edgesdk.cluster.local import NodeLocal, model_key
from edgesdk.errors import EdgeError
from edgesdk.runtime.request import Outcome, Request

if TYPE_CHECKING:
    from edgesdk.cluster.data import Arrival
    from edgesdk.runtime.runnable import Runnable

__all__ = ["Serving"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """Groups of peers since the start; each received one ends as returned or refused."""

    received: int = 0
    returned: int = 0
    refused: int = 0


class Serving:
    """claimed: the balancer's, with the member's lock taken. who: the node id of a number."""

    def __init__(
        self,
        local: NodeLocal,
        node: str,
        *,
        claimed: Callable[[int, bytes], Promise | None],
        who: Callable[[int], str],
    ) -> None:
        self.counts = Counts()
        self._local = local
        self._node = node
        self._claimed = claimed
        self._who = who

    def arrived(self, arrival: Arrival) -> None:
        """A group came; on a thread of the data plane, which may decode meanwhile."""
        self.counts.received += 1
        promise = self._claimed(arrival.origin, arrival.token)
        found = None if promise is None else self._local.take(promise)
        if found is None:
            self._refuse(arrival, "token")
            return
        executor, place = found
        try:
            request = self._request(arrival, place.model)
            if len(request.pictures) != place.items:
                raise EdgeError(
                    f"{len(request.pictures)} pictures where {place.items} were offered"
                )
        except EdgeError as error:
            executor.cancel(place)
            self._refuse(arrival, "malformed", str(error))
            return
        if arrival.cancelled:
            executor.cancel(place)
            self.counts.refused += 1
        elif not executor.claim([request], place):
            self._refuse(arrival, "late")

    def _request(self, arrival: Arrival, model: Runnable) -> Request:
        if arrival.header.model != model_key(model.digest):
            raise EdgeError("pictures for another model than was offered")
        pictures, options = form_of(model).decode(arrival)

        def done(outcome: Outcome) -> None:
            self._answer(arrival, model, outcome)

        return Request(
            stream=-1,
            model=model,
            pictures=pictures,
            deadline_ns=arrival.deadline_ns,
            done=done,
            options=options,
            captured_ns=time.monotonic_ns(),
            origin=self._who(arrival.origin) or str(arrival.origin),
            abandoned=lambda: arrival.cancelled,
            exact=arrival.header.variant != 0,
        )

    def _answer(self, arrival: Arrival, model: Runnable, outcome: Outcome) -> None:
        """On a thread of the executor."""
        if outcome.values is not None:
            try:
                codec = arrival.header.codec
                body, made = payload.pack(outcome, model.execution(self._node), codec)
            except EdgeError as error:
                self._refuse(arrival, "unsendable", str(error))
                return
            if arrival.reply(body, made):
                self.counts.returned += 1
            else:
                self.counts.refused += 1
        elif outcome.error is not None:
            ran, broken = model.execution(), outcome.error
            where = f"{ran.backend}:{ran.device}"
            self._refuse(arrival, "failed", f"{where}: {type(broken).__name__}: {broken}")
        else:
            self._refuse(arrival, "late", outcome.dropped or "")

    def _refuse(self, arrival: Arrival, reason: str, message: str = "") -> None:
        self.counts.refused += 1
        arrival.fail(reason, message[:500])
