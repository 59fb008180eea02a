"""Files that hold keys: read with bounds, written whole or not at all, never over another."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from edgesdk.errors import BundleError

__all__ = ["locked", "read_bounded", "write_whole"]

PRIVATE = 0o600


def read_bounded(path: Path, limit: int, *, private: bool) -> bytes:
    """The bytes of *path*, *limit* at most.

    private: refuse a file that other users may read, or that belongs to one of them. Raises
    BundleError, which names the file and the way out.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise BundleError(f"{path}: not a regular file")
    with open(descriptor, "rb") as stream:
        if private and facts.st_mode & 0o077:
            raise BundleError(
                f"{path}: mode {stat.S_IMODE(facts.st_mode):04o}: others may read the key in it; "
                f"run: chmod 600 {path}"
            )
        if private and facts.st_uid not in (os.geteuid(), 0):
            raise BundleError(f"{path}: belongs to user {facts.st_uid}, who may read the key in it")
        try:
            data = stream.read(limit + 1)
        except OSError as error:
            raise BundleError(f"{path}: {error.strerror}") from None
    if len(data) > limit:
        raise BundleError(f"{path}: over {limit} bytes: not what edgesdk wrote")
    return data


def write_whole(path: Path, data: bytes, *, mode: int = PRIVATE, replace: bool = False) -> None:
    """Writes *path* in one step: whoever reads it sees all of it or what was there before.

    Without *replace* an existing file is left alone, however close two writers are. Raises
    BundleError.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
            if replace:
                os.replace(beside, path)
            else:
                _link(beside, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        raise BundleError(f"{path}: exists already, and keys are never overwritten") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time is inside for *folder*. Raises BundleError."""
    import fcntl

    try:
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise BundleError(f"{folder}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _link(beside: Path, path: Path) -> None:
    try:
        os.link(beside, path)
    except PermissionError:  # a file system without hard links
        if path.exists():
            raise FileExistsError from None
        os.rename(beside, path)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
