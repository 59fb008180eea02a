"""The protocol between edgesdk and an inference runtime, version 1."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import Reason
from edgesdk.inference.tickets import Ticket

API = 1

Tensors = dict[str, NDArray[Any]]
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Caps:
    """What a backend's sessions can do.

    async_native: ``submit`` overlaps inferences inside the runtime (it always works; otherwise a
    thread of the session runs them one by one). max_inflight: submitted and unfinished at a time;
    ``submit`` blocks beyond it. in_order: tickets end in the order of submission. cancel: a ticket
    that is running can be cancelled. isolation: whether the runtime should live in a process of
    its own. exclusive_device: one session a device at a time. prepare_cost: what ``prepare``
    costs. gil_free_load: other threads run during ``load``. deterministic: equal inputs give equal
    bytes on one machine.
    """

    async_native: bool = False
    max_inflight: int = 2
    in_order: bool = True
    cancel: bool = False
    isolation: Literal["no", "advised", "required"] = "no"
    exclusive_device: bool = False
    prepare_cost: Literal["none", "seconds", "minutes"] = "none"
    gil_free_load: bool = True
    deterministic: bool = True


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a runtime works on this machine, found by running a tiny model on it.

    reason and next_step are empty where it does. versions: of all parts that matter together.
    """

    available: bool
    version: str = ""
    reason: Reason | None = None
    detail: str = ""
    next_step: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that a backend can run on; *name* is the backend's own, such as ``CPU``."""

    name: str
    kind: Literal["cpu", "gpu", "npu", "tpu", "other"]
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a backend can run a model on a device; *reason* says why not."""

    verdict: Literal["yes", "no"]
    reason: str = ""

    def __bool__(self) -> bool:
        return self.verdict == "yes"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file that holds a model: a variant of a card, or any file by its path.

    sha256: hex digest of the file; of an OpenVINO IR, of ``.xml`` then ``.bin``. Where it is
    given, ``prepare`` refuses a file that differs. precision: what the card says, such as
    ``fp32``. inputs: the card's names and shapes at batch 1; they fix what the file leaves open,
    and -1 says nothing. outputs: the card's names of outputs. Both may be empty: then the file
    alone decides.
    """

    path: Path
    sha256: str = ""
    precision: str = "unknown"
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path | str, **fields: Any) -> ModelFile:
        """The file at *path* with its digest, which costs one read of it."""
        path = Path(path)
        return cls(path, sha256=digest(path), **fields)


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up the model at *path*: an IR has its weights beside it."""
    if path.suffix == ".xml" and path.with_suffix(".bin").exists():
        return (path, path.with_suffix(".bin"))
    return (path,)


def digest(path: Path) -> str:
    """SHA-256 of a model, hex; of an IR, of ``.xml`` then ``.bin``. Raises OSError."""
    sha = hashlib.sha256()
    for part in parts(path):
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


@dataclass(frozen=True, slots=True)
class Quantisation:
    """``real = (stored - zero_point) * scale``, one pair a tensor or one a channel of *axis*."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    name: the card's where it names one, else the file's. shape: at batch 1; None where any size
    goes. dtype: numpy's name. aliases: further names that ``infer`` accepts.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantisation: Quantisation | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IOSpec:
    """What a loaded session is, as measured or as the runtime says, never as requested.

    batches: sizes of axis 0, ascending, whose outputs were seen to equal those of single inputs;
    1 is always there. executed_on: the runtime's name of what runs it. precision: that of the
    arithmetic, as far as the runtime tells. threads: 0 where the runtime decides. compiled_from:
    ``model``, or ``cache`` where a prepared artefact was loaded. evidence: ``real`` unless the
    hardware is imitated.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batches: tuple[int, ...]
    backend: str
    backend_version: str
    device: str
    executed_on: str
    precision: str
    threads: int
    compiled_from: Literal["model", "cache"] = "model"
    evidence: Literal["real", "stand-in"] = "real"


class ArtefactStore(Protocol):
    """Where ``prepare`` keeps what it made; ``edgesdk.models`` has the one on disk.

    ``get`` gives a file whose digest was checked, or None. ``put`` calls *write* with a path to
    fill and publishes it atomically. ``discard`` removes an entry that proved unusable.
    """

    def get(self, key: str) -> Path | None: ...
    def put(self, key: str, write: Callable[[Path], None]) -> Path: ...
    def discard(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model.

    threads: of this session; 0 = the cores that this process may use. batches: sizes wanted;
    ``describe`` says which are usable. precision: ``exact`` keeps float32 arithmetic where the
    model is float32, so that backends agree; ``fast`` lets the runtime choose, as it does by
    itself (OpenVINO: bfloat16 on CPUs that have it). store: where prepared artefacts are kept;
    None = they are not.
    """

    threads: int = 0
    batches: Sequence[int] = (1,)
    precision: Literal["exact", "fast"] = "exact"
    store: ArtefactStore | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """What ``prepare`` made: the model and, by batch size, the keys of compiled artefacts."""

    model: ModelFile
    backend: str
    backend_version: str
    device: str
    keys: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since load. items: rows of batches. busy_ns: spent in the runtime."""

    inferences: int
    items: int
    failures: int
    busy_ns: int


@runtime_checkable
class Session(Protocol):
    """A loaded model.

    Thread-safe: one inference runs at a time, a second caller waits. The GIL is free while the
    runtime works.
    """

    def describe(self) -> IOSpec:
        """What was loaded and where it runs; answers after ``unload`` too."""
        ...

    def warm(self, batches: Sequence[int] = (), rounds: int = 3) -> dict[int, int]:
        """Runs each batch size *rounds* times on zeros (none given: all that are verified).

        Returns the fastest round's nanoseconds by batch size: a first cost for the scheduler.
        """
        ...

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Blocks until the outputs are there, by name.

        inputs: by name, dtype and shape as ``describe`` says, axis 0 multiplied by one of its
        batches; they are only read. The outputs belong to the caller: no later call changes
        them. Raises InputMismatch, InferFailed, OutOfMemory, DeviceLost; UsageError after unload.
        """
        ...

    def submit(
        self, inputs: Mapping[str, NDArray[Any]], done: Callable[[Ticket], None] | None = None
    ) -> Ticket:
        """Starts an inference; blocks while ``max_inflight`` are unfinished.

        The inputs are copied before it returns. *done* is called in a thread of the session, must
        not block, and may not call the session. Raises like ``infer`` for the inputs; what
        fails later is raised by ``Ticket.result``.
        """
        ...

    def stats(self) -> Stats:
        """Counts since it was loaded; answers after ``unload`` too."""
        ...

    def unload(self) -> None:
        """Gives back what the session holds, after the inferences in flight. Idempotent."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A runtime. Cheap to make: the runtime is imported in the calls. Thread-safe."""

    name: str
    api: int
    caps: Caps

    def probe(self) -> Probe:
        """Never raises."""
        ...

    def devices(self) -> list[Device]:
        """Those that are there now; raises BackendUnavailable."""
        ...

    def supports(self, model: ModelFile, device: str) -> Support:
        """A quick look, by the kind of file and device; ``load`` has the last word."""
        ...

    def prepare(
        self,
        model: ModelFile,
        device: str,
        options: LoadOptions,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Artifact:
        """Checks the file's digest and compiles what the store lacks; may take minutes.

        progress: called with a fraction in [0, 1] and a word. Raises ModelInvalid,
        ModelUnsupported, DigestMismatch, DeviceUnavailable, PrepareFailed, Cancelled.
        """
        ...

    def load(self, artifact: Artifact, device: str, options: LoadOptions) -> Session:
        """A session; raises like ``prepare``, and OutOfMemory."""
        ...


def open_session(
    backend: Backend, model: ModelFile, device: str = "", options: LoadOptions | None = None
) -> Session:
    """Prepares and loads *model*; *device* defaults to the backend's first."""
    options = options or LoadOptions()
    device = device or backend.devices()[0].name
    return backend.load(backend.prepare(model, device, options), device, options)


def zeros(spec: IOSpec, batch: int = 1) -> Tensors:
    """Inputs of a session, all zero; dimensions that are open are 1."""
    return {
        s.name: np.zeros(batched(tuple(n or 1 for n in s.shape), batch), s.dtype)
        for s in spec.inputs
    }


def batched(shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    """*shape* with axis 0 multiplied by *batch*."""
    return (shape[0] * batch, *shape[1:]) if shape else shape
