"""One model on its way here, from any of several holders.

The digest that was asked for decides: a peer's card counts only if it has that digest, and the
digest covers the SHA-256 of every variant. A file comes in chunks from one holder after another, so
that one which breaks off costs nothing but its turn. What was fetched appears in the registry whole
or not at all.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from edgesdk.cluster.model_messages import (
    CHUNK,
    CHUNK_BYTES,
    FIND,
    Chunk,
    ChunkRequest,
    FindRequest,
    HeldFile,
    Manifest,
    pack,
    unpack,
)
from edgesdk.cluster.model_staging import Stage, known_card, staged
from edgesdk.errors import (
    Cancelled,
    DigestMismatch,
    EdgeError,
    ModelNotFound,
    WireError,
)
from edgesdk.models.archives import storage_error
from edgesdk.models.card import ModelCard
from edgesdk.models.packages import Progress
from edgesdk.models.registry import ModelRegistry

__all__ = ["Ask", "Fetching", "Holder", "wait"]

log = logging.getLogger(__name__)


_ASK_SECONDS = 5.0
_STRIKES = 3  # failures in a row after which a holder is not asked again
_RETRY_SECONDS = 0.3


class Holder(Protocol):
    """A peer that may hold a model (:class:`edgesdk.cluster.control.Peer` is one)."""

    @property
    def node_id(self) -> str: ...
    @property
    def address(self) -> tuple[str, int]: ...


# (holder, verb, body, seconds) -> body; raises an EdgeError where there is no answer
Ask = Callable[[Holder, str, bytes, float], bytes]


class _Source:
    """A holder, and how it has served so far."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.strikes = 0


class Fetching:
    """See :meth:`edgesdk.cluster.model_exchange.ModelExchange.fetch`.

    pause: called before each chunk; returns when one may be had, or raises Cancelled.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        ask: Ask,
        pause: Callable[[threading.Event], None],
        reference: str,
        *,
        progress: Progress | None,
        cancel: threading.Event,
    ) -> None:
        self._registry = registry
        self._ask = ask
        self._pause = pause
        self._reference = reference
        self._progress = progress
        self._cancel = cancel
        self._told: list[str] = []
        self._name = reference[:16]
        self._done = 0
        self._total = 0

    def run(self, holders: Sequence[Holder]) -> ModelCard:
        complete = self._complete(self._reference)
        if complete is not None:
            return complete
        here = known_card(self._registry, self._reference)
        offers = self._find(holders)
        failure: EdgeError | None = None
        for manifest in sorted(offers, key=lambda m: -len(offers[m])):
            got = self._attempt(manifest, offers[manifest], here)
            if isinstance(got, ModelCard):
                return got
            failure = got
            self._told.append(str(got))
        if failure is not None and not isinstance(failure, ModelNotFound):
            raise failure
        asked = "; ".join(dict.fromkeys(self._told)) or "no node is known to hold it"
        raise ModelNotFound(f"the model {self._reference[:16]} cannot be had from peers: {asked}")

    def _complete(self, reference: str) -> ModelCard | None:
        card = known_card(self._registry, reference)
        present = card is not None and all(map(card.is_present, card.variants))
        return card if present else None

    def _attempt(
        self, manifest: Manifest, sources: list[_Source], here: ModelCard | None
    ) -> ModelCard | EdgeError:
        try:
            with staged(self._registry, manifest) as stage:
                came = self._complete(manifest.digest)  # while another had the stage
                if came is not None:
                    stage.discard()
                    return came
                return self._take(stage, sources, here)
        except Cancelled:
            raise
        except EdgeError as error:
            return error

    def _find(self, holders: Sequence[Holder]) -> dict[Manifest, list[_Source]]:
        """Who offers what. A lie makes a manifest of its own, which the honest do not share."""
        offers: dict[Manifest, list[_Source]] = {}
        request = pack(FindRequest(1, self._reference))
        for holder in holders:
            wait(self._cancel, 0)
            manifest = self._manifest_of(holder, request)
            if manifest is not None:
                offers.setdefault(manifest, []).append(_Source(holder))
        return offers

    def _manifest_of(self, holder: Holder, request: bytes) -> Manifest | None:
        try:
            answer = self._ask(holder, FIND, request, _ASK_SECONDS)
            manifest = unpack(answer, Manifest)
        except EdgeError as error:
            self._told.append(f"{holder.node_id}: {error}")
            return None
        if not manifest.digest:
            self._told.append(f"{holder.node_id} does not hold it")
            return None
        return manifest

    def _take(self, stage: Stage, sources: list[_Source], here: ModelCard | None) -> ModelCard:
        if here is not None:
            stage.seed(here)
        missing = [file for file in (*stage.texts, *stage.models) if not stage.has(file)]
        self._name = stage.name
        self._total = sum(file.size for file in missing)
        stage.require_room(self._total)
        self._done = 0
        for file in missing:
            if file in stage.models and stage.all_pinned:
                stage.card(self._reference)  # before gigabytes come for a card that is another
            self._file(stage, file, sources)
        try:
            return stage.publish(self._reference)
        except DigestMismatch:
            stage.discard()
            raise

    def _file(self, stage: Stage, file: HeldFile, sources: list[_Source]) -> None:
        before = self._done
        mixed = True
        while True:
            turns = deque(source for source in sources if source.strikes < _STRIKES)
            if not turns:
                raise ModelNotFound(f"{self._name}: {'; '.join(dict.fromkeys(self._told))}")
            if not mixed:
                turns = deque([turns[0]])
            givers = self._chunks(stage, file, turns)
            try:
                stage.keep(file)
                return
            except DigestMismatch as error:
                # Who gave all of it is not asked again; of several, each is tried alone from here.
                self._done, mixed = before, False
                giver = givers.pop()
                if not givers and giver is not None:
                    giver.strikes = _STRIKES
                self._told.append(str(error))
                log.warning("%s", error)

    def _chunks(self, stage: Stage, file: HeldFile, turns: deque[_Source]) -> set[_Source | None]:
        """Lets the file grow to its size; returns who gave of it, None for an earlier try."""
        partial = stage.partial(file)
        givers: set[_Source | None] = set()
        try:
            with partial.open("ab") as stream:
                size = stream.tell()
                if size > file.size:
                    stream.truncate(0)
                    size = 0
                if size or not file.size:
                    givers.add(None)
                self._advance(size)
                while size < file.size:
                    self._pause(self._cancel)
                    data = self._chunk(file, size, turns)
                    if data:
                        stream.write(data)
                        size += len(data)
                        givers.add(turns[0])
                        self._advance(len(data))
        except OSError as error:
            raise storage_error(error, partial) from None
        return givers

    def _chunk(self, file: HeldFile, offset: int, turns: deque[_Source]) -> bytes:
        """Bytes of *file* at *offset* from the first in turn; none where another is to be asked.

        :raises ModelNotFound: nobody is left to ask.
        """
        source = turns[0]
        holder = source.holder
        length = min(CHUNK_BYTES, file.size - offset)
        request = pack(ChunkRequest(1, file.sha256, offset, length))
        try:
            answer = unpack(self._ask(holder, CHUNK, request, _ASK_SECONDS), Chunk)
            if answer.gone:
                source.strikes = _STRIKES
                raise WireError("it does not hold it any more")
            if not answer.wait_ms and len(answer.data) != length:
                raise WireError(f"{len(answer.data)} bytes where {length} were asked for")
        except EdgeError as error:
            source.strikes += 1
            self._told.append(f"{holder.node_id}: {error}")
            if source.strikes >= _STRIKES:
                turns.popleft()
                if not turns:
                    told = "; ".join(dict.fromkeys(self._told))
                    raise ModelNotFound(f"{self._name} broke off: {told}") from None
            else:
                turns.rotate(-1)
                if turns[0].strikes:
                    wait(self._cancel, _RETRY_SECONDS)
            return b""
        source.strikes = 0
        if answer.wait_ms:
            turns.rotate(-1)
            wait(self._cancel, min(answer.wait_ms, 1000) / 1000 / len(turns))
        return answer.data

    def _advance(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._name, self._done, self._total)


def wait(cancel: threading.Event, seconds: float) -> None:
    """:raises Cancelled: *cancel* was set before *seconds* were over."""
    if cancel.wait(seconds) if seconds > 0 else cancel.is_set():
        raise Cancelled("the model's transfer was cancelled")
