"""The models that a node holds: its own applications' and, in a cluster, those of others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from edgesdk.errors import BackendError, Cancelled, EdgeError, UsageError
from edgesdk.models import ModelCard
from edgesdk.runtime.emulated import EmulatedDevice
from edgesdk.runtime.execution import Execution
from edgesdk.runtime.sessions import KnownModel, LoadedModel, Sessions
from edgesdk.runtime.wiring import BATCHES, Wiring

__all__ = ["Residency"]

log = logging.getLogger(__name__)

# How long a load takes that nobody has timed.
_FIRST_GUESS_NS = 5_000_000_000
_LOOK_AGAIN_S = 0.05

Loaded = Callable[["LoadedModel | EdgeError"], None]


class Residency:
    """Loads and unloads models while the node runs. Thread-safe.

    ``models``, by card digest, is replaced and never changed; so is ``executions``, which has what
    each model that was ever loaded runs as. *limit*: how many it may hold, as
    an accelerator's memory does; None is no limit. What the node's own applications need is held
    whatever the limit says, unless it can be done *elsewhere*, by other nodes. *device*: an
    emulated one that all of them run on; it has a limit of its own.
    """

    def __init__(
        self,
        sessions: Sessions,
        wiring: Wiring,
        *,
        limit: int | None = None,
        elsewhere: bool = False,
        device: EmulatedDevice | None = None,
    ) -> None:
        self.models: Mapping[str, LoadedModel] = {}
        self.executions: Mapping[str, Execution] = {}
        self._elsewhere = elsewhere
        self._sessions = sessions
        self._wiring = wiring
        self._limit = limit if device is None else device.residents
        self._device = device
        self._started = False
        self._own: AbstractSet[str] = frozenset()
        self._lock = threading.Lock()  # of what is here
        self._one_at_a_time = threading.Lock()
        self._ready_ns: dict[str, int] = {}
        self._took_ns: dict[str, int] = {}
        self._costs_ns: dict[str, tuple[int, ...]] = {}
        self._stop = threading.Event()

    def load(
        self,
        card: ModelCard,
        *,
        batches: Sequence[int] = BATCHES,
        progress: Callable[[float, str], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> LoadedModel:
        """The session of *card*, loaded now if it is not here. Raises ModelError, BackendError,
        Cancelled."""
        with self._one_at_a_time:
            found = self.models.get(card.digest)
            if found is not None:
                return found
            began = time.monotonic_ns()
            with self._lock:
                self._ready_ns[card.digest] = began + self.expected_ns(card)
            try:
                load = partial(
                    self._sessions.load, card, batches=batches, progress=progress, cancel=cancel
                )
                if self._device is None:
                    found = load()
                else:
                    found = self._on_device(self._device, card, load, began)
            except BaseException:
                self._sessions.unload(card.digest)
                raise
            finally:
                with self._lock:
                    self._ready_ns.pop(card.digest, None)
            if self._stop.is_set():
                self._sessions.unload(card.digest)
                raise Cancelled("the node was stopped while a model was being loaded")
            with self._lock:
                self._took_ns[card.digest] = time.monotonic_ns() - began
                self._costs_ns[card.digest] = found.costs_ns
                self.models = {**self.models, card.digest: found}
                self.executions = {**self.executions, card.digest: found.execution()}
            return found

    def own(
        self,
        card: ModelCard,
        *,
        batches: Sequence[int] = BATCHES,
        progress: Callable[[float, str], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> KnownModel:
        """A model of the node's own applications: loaded, as by :meth:`load`, unless other nodes
        can do its work and there is no room for it here."""
        if self._elsewhere and self.full and card.digest not in self.models:
            return KnownModel.of(card)
        return self.load(card, batches=batches, progress=progress, cancel=cancel)

    @property
    def full(self) -> bool:
        """Whether it holds as many models as it may."""
        return self._limit is not None and len(self.models) >= self._limit

    def check(self, wanted: Mapping[str, str]) -> None:
        """Whether a node alone can hold all models that it wants: names by card digest. Raises
        BackendError."""
        device = self._device
        if device is None or self._elsewhere or len(wanted) <= device.residents:
            return
        raise BackendError(
            f"the emulated accelerator {device.name} holds {device.residents} models and this "
            f"node's applications need {len(wanted)}: {', '.join(sorted(wanted.values()))}; use "
            "fewer, raise [emulated] residents, or join a cluster",
            backend="emulated",
            device=device.name,
        )

    def load_soon(self, card: ModelCard, done: Loaded = lambda result: None) -> int:
        """Loads *card* on a thread of its own; returns when it will be ready (an estimate).

        *done* is called there with the model, known to the scheduler, or with what went wrong.
        Raises UsageError where the node holds as many models as it may, BackendError where an
        emulated device knows nothing of this one.
        """
        with self._lock:
            if card.digest in self._ready_ns:
                return self._ready_ns[card.digest]
            if card.digest in self.models:
                return time.monotonic_ns()
            held = len(self.models.keys() | self._ready_ns.keys())
            if self._limit is not None and held >= self._limit:
                raise UsageError(
                    f"model {card.name!r}: this node holds {held} models, all that it may; "
                    "unload one first"
                )
            ready = time.monotonic_ns() + self.expected_ns(card)
            self._ready_ns[card.digest] = ready

        def work() -> None:
            result: LoadedModel | EdgeError
            try:
                result = self.load(card, cancel=self._stop)
                self._wiring.add_model(result)
            except EdgeError as error:
                log.warning("model %s was not loaded: %s", card.name, error)
                result = error
            finally:
                with self._lock:
                    self._ready_ns.pop(card.digest, None)
            done(result)

        threading.Thread(target=work, name=f"load-{card.name}", daemon=True).start()
        return ready

    def expected_ns(self, card: ModelCard) -> int:
        """How long a load of *card* will take. Raises BackendError where it cannot be."""
        if self._device is not None:
            return self._device.load_ns(card)
        return self._took_ns.get(card.digest, _FIRST_GUESS_NS)

    def costs_ns(self, card: ModelCard) -> tuple[int, ...]:
        """What 1, 2, ... items of *card* take; empty where nobody knows. Raises BackendError
        where an emulated device knows nothing of it."""
        if self._device is not None:
            return self._device.costs_ns(card)
        return self._costs_ns.get(card.digest, ())

    def _on_device(
        self,
        device: EmulatedDevice,
        card: ModelCard,
        load: Callable[[], LoadedModel],
        began_ns: int,
    ) -> LoadedModel:
        """*card* on the emulated device, where loading takes its time; what is there at the start
        was loaded before."""
        found = device.stand_in(card, load)
        if self._started:
            left = began_ns + device.load_ns(card) - time.monotonic_ns()
            self._stop.wait(max(0, left) / 1e9)
        return found

    def ready_ns(self, digest: str) -> int | None:
        """When the load of *digest* that is under way will end; None if none is."""
        with self._lock:
            return self._ready_ns.get(digest)

    def keep(self, own: AbstractSet[str]) -> None:
        """The node's own applications need *own*, and nothing else."""
        with self._lock:
            self._own = own
            self._started = True

    def unload(self, digest: str, *, timeout: float = 2.0, force: bool = False) -> bool:
        """Unloads a model that no application of this node needs, once its work has ended.

        False where it is needed, or still busy after *timeout* seconds: then it stays. *force*
        takes one that is needed as well, if no stream has it.
        """
        with self._one_at_a_time:
            model = self.models.get(digest)
            if model is None:
                return True
            if digest in self._own and not force:
                return False
            with self._lock:
                # Nobody new finds it from here on.
                self.models = {d: m for d, m in self.models.items() if d != digest}
            if not self._forgotten(model, timeout):
                with self._lock:
                    self.models = {**self.models, digest: model}
                return False
            self._sessions.unload(digest)
            return True

    def _forgotten(self, model: LoadedModel, timeout: float) -> bool:
        """Whether the scheduler has let go of it in time."""
        end = time.monotonic() + timeout
        while self._busy(model):
            if time.monotonic() >= end or self._stop.wait(_LOOK_AGAIN_S):
                return False
        return True

    def _busy(self, model: LoadedModel) -> bool:
        """Tries to make the scheduler forget it."""
        try:
            self._wiring.remove_model(model)
        except UsageError:  # streams, reservations or a batch of it
            return True
        return False

    def interrupt(self) -> None:
        """Loads under way come to nothing."""
        self._stop.set()

    def close(self) -> None:
        """Unloads everything; waits for inferences that run."""
        self._sessions.close()
        self.models = {}
