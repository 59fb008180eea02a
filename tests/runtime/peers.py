"""A peer without a network: a second executor with sessions of its own, and a placer that hands it
this node's requests as bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from edgesdk.models import load_card
from edgesdk.models.encoding import Shrunk
from edgesdk.models.wire import pack_reading, pack_values, unpack_reading, unpack_values
from edgesdk.runtime.executor import Executor
from edgesdk.runtime.request import Outcome, Request
from edgesdk.runtime.sessions import LoadedModel, Sessions

PATIENCE_NS = 4_000_000_000
RELEASE_NS = 500_000_000


class Peer:
    """Another node: its name, its sessions, its executor."""

    def __init__(self, name: str, *cards: str, backends: Sequence[str] = ()) -> None:
        self.name = name
        self.sessions = Sessions(threads=1, backends=backends)
        self.executor = Executor("CPU", self._report, lanes=1)
        self.models: dict[str, LoadedModel] = {}
        for path in cards:
            model = self.sessions.load(load_card(path), batches=(1, 2, 4, 8))
            self.models[model.card.digest] = model
            self.executor.add_model(model)
        self.executor.start()

    def run(
        self,
        digest: str,
        parts: Sequence[bytes],
        shape: tuple[int, ...],
        reading: bytes,
        done: Callable[[bytes | None, Outcome], None],
    ) -> bool:
        """Pictures came, as bytes; *done* gets the values, as bytes, from the executor's thread."""
        model = self.models[digest]
        geometries, options = unpack_reading(reading, model.codec.form)
        images = [np.frombuffer(part, np.uint8).reshape(shape) for part in parts]
        pictures = [Shrunk(i, g) for i, g in zip(images, geometries, strict=True)]
        now = time.monotonic_ns()
        deadline = now + PATIENCE_NS

        def answer(outcome: Outcome) -> None:
            done(None if outcome.values is None else pack_values(outcome.values), outcome)

        request = Request(
            -1, model, pictures, deadline, answer, options, captured_ns=now, origin="origin"
        )
        promise = self.executor.reserve(
            model, len(pictures), release_ns=now + RELEASE_NS, deadline_ns=deadline, now_ns=now
        )
        return promise is not None and self.executor.claim([request], promise)

    def close(self) -> None:
        self.executor.stop(5)
        self.sessions.close()

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            assert outcome.request is not None
            outcome.request.done(outcome)


class PeerPlacer:
    """Sends everything to *peer*, as a cluster would: small pictures, as bytes.

    codec: said of the pictures' way; they always travel raw. *meddle* sees each outcome before the
    node does, and gives those that it is told instead.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        codec: str | None = None,
        meddle: Callable[[Outcome], list[Outcome]] = lambda outcome: [outcome],
    ) -> None:
        self.peer = peer
        self.requests: list[Request] = []
        self.pictures = 0
        self.closed = threading.Event()
        self.node: Any = None
        self._codec = codec
        self._meddle = meddle

    def join(self, node: Any) -> None:
        self.node = node

    def attach(self) -> None:
        """It is ready."""

    def place(self, request: Request) -> None:
        self.requests.append(request)
        codec = request.model.codec
        small = codec.shrink(request.pictures)
        request.pictures = small
        self.pictures += len(small)
        reading = pack_reading([p.geometry for p in small], request.options, codec.form)
        shape = small[0].image.shape
        parts = [p.image.tobytes() for p in small]
        sent = time.monotonic_ns()
        done = partial(self._done, request, len(small), sent)
        if not self.peer.run(request.model.card.digest, parts, shape, reading, done):
            self.node.report([Outcome(request, dropped="deadline")])

    def close(self) -> None:
        self.closed.set()

    def _done(
        self, request: Request, count: int, sent: int, values: bytes | None, there: Outcome
    ) -> None:
        times = there.times
        took = time.monotonic_ns() - sent
        wire = max(1, took - times.queue - times.prepare - times.infer - times.decode)
        model = self.peer.models[request.model.card.digest]
        execution = msgspec.structs.replace(model.execution(self.peer.name), codec=self._codec)
        outcome = replace(
            there, request=request, times=replace(times, wire=wire), execution=execution
        )
        if values is not None:
            outcome.values = unpack_values(values, expected=count)
        self.node.report(self._meddle(outcome))
