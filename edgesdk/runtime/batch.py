"""One batch, from its requests to their outcomes."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import cast

from edgesdk.errors import Cancelled, EdgeError
from edgesdk.runtime.request import Outcome, Request, Times
from edgesdk.runtime.runnable import Runnable
from edgesdk.runtime.seldom import Seldom

__all__ = ["run", "runnable_of"]

_seldom = Seldom(logging.getLogger(__name__))


def runnable_of(request: Request) -> Runnable:
    """What a request asks for once it has its turn."""
    return cast("Runnable", request.model)


def run(requests: Sequence[Request]) -> list[Outcome]:
    """One batch. Where it fails, each request alone: one bad frame must not fail its neighbours."""
    started = time.monotonic_ns()
    try:
        return _run_together(requests, started)
    except Exception as error:
        if len(requests) > 1:
            return [outcome for request in requests for outcome in run([request])]
        if isinstance(error, Cancelled):
            return [Outcome(requests[0], dropped="shutdown")]
        if not isinstance(error, EdgeError):
            _seldom.warn("inference failed", error, started)
        took = time.monotonic_ns() - started
        times = Times(queue=started - requests[0].submitted_ns, infer=took)
        return [Outcome(requests[0], error=error, times=times)]


def _run_together(requests: Sequence[Request], started: int) -> list[Outcome]:
    model = runnable_of(requests[0])
    counts = [len(request.pictures) for request in requests]
    inputs, geometries = model.encode(
        [p for request in requests for p in request.pictures],
        exact=any(request.exact for request in requests),
    )
    if len(requests) == 1:
        # The pixels are not needed any more: from here their slot in the ring is free. (Of several
        # requests each may have to run alone.)
        requests[0].pictures = ()
    encoded = time.monotonic_ns()
    outputs = model.infer(inputs, max(request.submitted_ns for request in requests))
    inferred = time.monotonic_ns()
    decoded = {
        options: model.decode(outputs, geometries, options)
        for options in {request.options for request in requests}
    }
    ended = time.monotonic_ns()
    outcomes = []
    first = 0
    for request, count in zip(requests, counts, strict=True):
        values = decoded[request.options][first : first + count]
        first += count
        times = Times(
            queue=started - request.submitted_ns,
            prepare=encoded - started,
            infer=inferred - encoded,
            decode=ended - inferred,
        )
        outcomes.append(Outcome(request, values=values, times=times))
    return outcomes
