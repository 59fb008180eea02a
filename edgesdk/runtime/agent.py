"""A node that runs for ever, by a file that may be edited and an assignment that may be given."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgesdk.config import Config
from edgesdk.errors import Cancelled, ConfigError, EdgeError
from edgesdk.runtime.assignment import (
    Assignments,
    assigned,
    forget,
    read_assignments,
    recall,
    remember,
)
from edgesdk.runtime.changes import Changes
from edgesdk.runtime.emulated import EmulatedDevice
from edgesdk.runtime.handover import WAIT_NS, Bequests, Estate, bequests_of, give, take
from edgesdk.runtime.node import Node
from edgesdk.runtime.paths import state_directory
from edgesdk.runtime.placing import Placer
from edgesdk.runtime.preparation import Progress, silent

__all__ = ["Agent"]

log = logging.getLogger(__name__)


class _Streams(msgspec.Struct, frozen=True):
    streams: list[tuple[str, str]]


class Agent:
    """Runs a standing node. Thread-safe.

    load: reads the node's own configuration, now and at each :meth:`reload`; raises ConfigError.
    placer: see :class:`Node`; called once, with what the file says. folder: what relative paths
    in an assignment are relative to. out, device: as ``Node``'s; they go before what the file says.
    """

    def __init__(
        self,
        load: Callable[[], Config],
        *,
        placer: Callable[[Agent, Config], Placer | None] = lambda agent, config: None,
        folder: Path | None = None,
        out: Path | None = None,
        device: EmulatedDevice | None = None,
    ) -> None:
        self._load = load
        self._folder = folder
        self._lock = threading.Lock()
        self._own = load()
        self._state = state_directory(self._own.node)
        self._assigned = Assignments()
        self._bequests: Bequests = {}
        self.node = Node(
            config=self._own,
            out=out,
            placer=placer(self, self._own),
            standing=True,
            device=device,
        )

    def start(self, progress: Progress = silent, cancel: threading.Event | None = None) -> None:
        """As :meth:`Node.start`, and then what was assigned to an earlier process.

        That it cannot be done any more is logged, and no error: the node's own file comes first.
        """
        with self._lock:
            self.node.start(progress, cancel)
            try:
                given = recall(self._state, self._folder)
                if given is not None:
                    self.node.apply(assigned(self._own, given), progress, cancel)
                    self._assigned = given
            except Cancelled:
                raise
            except EdgeError as error:
                log.error("what was assigned to this node cannot be done: %s", error)

    def reload(self) -> Changes:
        """Goes over to what the file says now; what it does not change keeps running.

        Raises what :meth:`Node.apply` does, ConfigError with every mistake among it; then nothing
        has changed.
        """
        with self._lock:
            own = self._load()
            found = self.node.apply(assigned(own, self._assigned))
            self._own = own
            log.info("configuration read again: %s", found)
            if found.restart_needed:
                log.warning("only a restart changes: %s", ", ".join(found.restart_needed))
            return found

    def assign(self, document: Mapping[str, Any] | None) -> Changes:
        """Runs what *document* (see :class:`Assignments`) says beside the file, instead of what
        was assigned before; None assigns nothing. Kept over restarts once it runs.

        Raises as :meth:`reload`.
        """
        with self._lock:
            given = Assignments() if document is None else read_assignments(document, self._folder)
            assert self.node.stations is not None
            self.node.stations.bequests, self._bequests = self._bequests, {}
            until = time.monotonic_ns() + WAIT_NS
            self.node.stations.awaiting = dict.fromkeys(given.awaits, until)
            try:
                found = self.node.apply(assigned(self._own, given))
            finally:
                self.node.stations.bequests = {}
                self.node.stations.awaiting = {}
            self._assigned = given
            log.info("assigned to this node: %s", found)
            if document is None:
                forget(self._state)
            else:
                remember(self._state, document)
            return found

    def take_states(self, document: Any) -> Estate:
        """What operators of ``{"streams": [[app, camera], ...]}`` hand over; they go on.

        Raises ConfigError where *document* is none.
        """
        try:
            asked = msgspec.convert(document, _Streams)
        except msgspec.ValidationError as error:
            raise ConfigError(f"states that mean nothing: {error}") from None
        return take(self.node, asked.streams)

    def give_states(self, document: Any) -> int:
        """Takes what :meth:`take_states` of another node gave; how many states are used.

        Cameras that wait for them begin; states of others are kept for the next :meth:`assign`.
        Raises ConfigError where *document* is none.
        """
        try:
            given = msgspec.convert(document, Estate)
        except msgspec.ValidationError as error:
            raise ConfigError(f"states that mean nothing: {error}") from None
        found = bequests_of(given, time.monotonic_ns())
        with self._lock:
            begun = give(self.node, found, given.cameras)
            self._bequests = {key: left for key, left in found.items() if key[0] not in begun}
            return len(self._bequests) + sum(begun.values())

    @property
    def assignments(self) -> Assignments:
        """What is assigned now."""
        return self._assigned

    def stop(self) -> None:
        """As :meth:`Node.stop`: a reload under way comes to nothing."""
        self.node.stop()
