"""The models that this node holds, as its peers may have them: found by digest, given in chunks.

Served over the administration channel rather than the data plane: each request there is a handshake
with mutual certificates that looks at the revocation list, so a removed node gets nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgesdk.cluster.model_messages import (
    CHUNK_BYTES,
    MAX_CARD_BYTES,
    MAX_FILES,
    Chunk,
    ChunkRequest,
    FindRequest,
    HeldFile,
    Manifest,
    pack,
    suffix_problem,
    unpack,
)
from edgesdk.errors import EdgeError
from edgesdk.models.card import ModelCard
from edgesdk.models.fingerprint import model_files, sha256_of
from edgesdk.models.registry import ModelRegistry
from edgesdk.models.schema import SsdAnchors

__all__ = ["Allowance", "ModelShelf", "files_of"]

log = logging.getLogger(__name__)

_BUSY_MS = 250
_LOOK_AGAIN_NS = 2_000_000_000


class Allowance:
    """A token bucket: *rate* bytes a second, a second's worth at once. Thread-safe.

    The time is an argument, in ``time.monotonic_ns()``.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at_ns: int | None = None
        self._lock = threading.Lock()

    def take(self, size: int, now_ns: int) -> int:
        """0 if *size* bytes may go now; else the milliseconds after which to ask again."""
        with self._lock:
            if self._at_ns is not None:
                grown = self._left + (now_ns - self._at_ns) / 1e9 * self._rate
                self._left = min(float(self._rate), grown)
            self._at_ns = now_ns
            wanted = min(size, self._rate)  # else a large chunk would never go
            if self._left >= wanted:
                self._left -= wanted
                return 0
            return max(1, int((wanted - self._left) / self._rate * 1000))


@dataclass(frozen=True)
class _Held:
    manifest: Manifest
    paths: dict[str, Path]


class ModelShelf:
    """Answers ``model.find`` and ``model.chunk``. Thread-safe.

    busy: asked before each chunk whether giving it would hurt live work. bytes_per_second: to all
    peers together.
    """

    def __init__(
        self, registry: ModelRegistry, *, busy: Callable[[], bool], bytes_per_second: int
    ) -> None:
        self._registry = registry
        self._busy = busy
        self._allowance = Allowance(bytes_per_second)
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._paths: dict[str, Path] = {}
        self._digests: dict[tuple[Path, int, int], str] = {}
        self._looked_ns = -_LOOK_AGAIN_NS

    def find(self, body: bytes) -> bytes:
        """The manifest of what a :class:`FindRequest` asks for. :raises WireError: it is none."""
        reference = unpack(body, FindRequest).reference
        with self._lock:
            self._look()
            for digest, held in self._held.items():
                if digest.startswith(reference) or reference in held.paths:
                    return pack(held.manifest)
        return pack(Manifest(1))

    def chunk(self, body: bytes) -> bytes:
        """The bytes that a :class:`ChunkRequest` asks for. :raises WireError: it is none."""
        request = unpack(body, ChunkRequest)
        with self._lock:
            path = self._paths.get(request.sha256)
        if path is None:
            return pack(Chunk(1, gone=True))
        if self._busy():
            return pack(Chunk(1, wait_ms=_BUSY_MS))
        wait_ms = self._allowance.take(request.length, time.monotonic_ns())
        if wait_ms:
            return pack(Chunk(1, wait_ms=min(wait_ms, 60_000)))
        try:
            with path.open("rb") as file:
                file.seek(request.offset)
                return pack(Chunk(1, data=file.read(min(request.length, CHUNK_BYTES))))
        except OSError as error:
            log.warning("a peer wants %s, which cannot be read: %s", path.name, error.strerror)
            return pack(Chunk(1, gone=True))

    def _look(self) -> None:
        """Learns what the registry has, every few seconds at most."""
        now = time.monotonic_ns()
        if now - self._looked_ns < _LOOK_AGAIN_NS:
            return
        self._looked_ns = now
        held: dict[str, _Held] = {}
        for entry in self._registry.list():
            if entry.card is None or not entry.present:
                continue
            try:
                held[entry.card.digest] = self._describe(entry.card)
            except (EdgeError, OSError) as error:
                log.info("the model %s is not given to peers: %s", entry.name, error)
        self._held = held
        self._paths = {sha: path for h in held.values() for sha, path in h.paths.items()}

    def _describe(self, card: ModelCard) -> _Held:
        text = card.path.read_bytes()
        if len(text) > MAX_CARD_BYTES:
            raise EdgeError(f"its card has {len(text)} bytes")
        files, paths = [], {}
        for relative, is_model in files_of(card):
            path = card.directory / relative
            file = HeldFile(relative, path.stat().st_size, self._digest(path))
            problem = suffix_problem(file, is_model=is_model)
            if problem:
                raise EdgeError(problem)
            files.append(file)
            paths[file.sha256] = path
        if len(files) > MAX_FILES:
            raise EdgeError(f"it has {len(files)} files")
        form = "json" if card.path.suffix == ".json" else "toml"
        return _Held(Manifest(1, card.digest, form, text, tuple(files)), paths)  # type: ignore[arg-type]

    def _digest(self, path: Path) -> str:
        stat = path.stat()
        key = (path, stat.st_size, stat.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = sha256_of(path)
        return self._digests[key]


def files_of(card: ModelCard) -> list[tuple[str, bool]]:
    """Paths beside *card* of what it needs and has here, and whether each is a model's.

    Of an OpenVINO IR both files. What only ``models verify`` needs is left out.
    """
    found: dict[str, bool] = {}
    for variant in card.variants:
        if card.is_present(variant):
            for path in model_files(card.file_of(variant)):
                found[str(Path(variant.file).with_suffix(path.suffix))] = True
    for text in texts_of(card):
        found.setdefault(text, False)
    return list(found.items())


def texts_of(card: ModelCard) -> list[str]:
    """The files of *card* that decide what its outputs mean: labels and anchors."""
    texts = [card.document.labels_file]
    if isinstance(card.decode, SsdAnchors):
        texts.append(card.decode.anchors_file)
    return [text for text in texts if text]
