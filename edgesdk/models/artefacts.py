"""The artefact cache: what backends compiled, kept on disk between runs.

A runtime's own cache cannot be trusted with this: OpenVINO's loads a blob with flipped bytes as a
hit. Here a blob's SHA-256 is part of its name, and is checked whenever it is handed out.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgesdk.errors import ModelError
from edgesdk.models.fingerprint import sha256_of

__all__ = ["ArtefactCache", "artefact_key"]

log = logging.getLogger(__name__)

DEFAULT_BYTES = 4 << 30
_ABANDONED_NS = 3600 * 10**9  # no compilation takes longer
_KEY = re.compile(r"^[0-9a-zA-Z_-]{1,128}$")
_NAME = re.compile(r"^(?P<key>[0-9a-zA-Z_-]+)\.(?P<sha>[0-9a-f]{64})\.blob$")


def artefact_key(*parts: object) -> str:
    """A key of what decides an artefact: model's SHA-256, backend, version, device, ISA, options.

    Parts are told apart by their position, so ``("ab", "c")`` and ``("a", "bc")`` differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        text = repr(part).encode()
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


class ArtefactCache:
    """An :class:`edgesdk.inference.ArtefactStore` in *folder*, of at most *max_bytes*.

    Beyond that the least recently used go. Safe for threads and processes: a blob appears by
    rename, complete or not at all; of two writers of one key, the later finds the earlier's blob
    and drops its own. A disk that is full costs the cache, never the model.
    """

    def __init__(self, folder: Path | str, max_bytes: int = DEFAULT_BYTES) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes

    def get(self, key: str) -> Path | None:
        """A blob of *key* whose digest was just checked, or None. A damaged one is deleted."""
        for path in self._blobs(key):
            name = _NAME.match(path.name)
            with suppress(OSError, ModelError):
                if name is not None and sha256_of(path) == name["sha"]:
                    os.utime(path)
                    return path
                log.warning("artefact %s is damaged; it will be built again", path.name[:24])
                path.unlink(missing_ok=True)
        return None

    def put(self, key: str, write: Callable[[Path], None]) -> Path:
        """Calls *write* with a path to fill, and publishes what it wrote.

        Returns where the blob is; or, after a warning, where it would be, if it could not be
        written: :meth:`get` then has nothing. What *write* itself raises is passed on, unless it
        is an OSError.
        """
        _check(key)
        partial: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(".partial", f".{key[:32]}.", self.folder)
            os.close(descriptor)
            partial = Path(name)
            write(partial)
            with partial.open("rb") as f:
                os.fsync(f.fileno())
            target = self.folder / f"{key}.{sha256_of(partial)}.blob"
            with self._locked():
                existing = self.get(key)
                if existing is not None:
                    return existing
                partial.replace(target)
                self._evict(keep=target)
            return target
        except OSError as e:
            log.warning("artefacts are not cached in %s: %s", self.folder, e.strerror or e)
            return self.folder / f"{key}.missing"
        finally:
            if partial is not None:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)

    def discard(self, key: str) -> None:
        """Deletes the blobs of *key*: they proved unusable."""
        for path in self._blobs(key):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(size for _, size, _ in self._entries())

    def _blobs(self, key: str) -> list[Path]:
        _check(key)
        return sorted(self.folder.glob(f"{key}.*.blob"))

    def _entries(self) -> list[tuple[int, int, Path]]:
        """(last use in ns, bytes, path) of all blobs, least recently used first."""
        entries = []
        for path in self.folder.glob("*.blob"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                entries.append((stat.st_mtime_ns, stat.st_size, path))
        return sorted(entries)

    def _evict(self, keep: Path) -> None:
        long_ago = keep.stat().st_mtime_ns - _ABANDONED_NS
        for partial in self.folder.glob(".*.partial"):
            with suppress(FileNotFoundError):
                if partial.stat().st_mtime_ns < long_ago:
                    partial.unlink()
        entries = self._entries()
        excess = sum(size for _, size, _ in entries) - self.max_bytes
        for _, size, path in entries:
            if excess <= 0:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                excess -= size

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _check(key: str) -> None:
    if not _KEY.match(key):
        raise ValueError(f"an artefact's key is letters, digits, '-' and '_', not {key!r}")
