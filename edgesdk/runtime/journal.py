"""The open entries of a run, in a mapped file that outlives ``kill -9``.

One 64-byte slot an open entry, written and cleared by plain stores into the page cache: no system
call a frame. It survives the death of the process; after a power cut its content is whatever the
kernel had written back, and each slot's checksum tells a torn one from a whole one.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from edgesdk.errors import SinkError
from edgesdk.runtime.ledger import Entry

__all__ = ["Journal", "Orphan", "open_journal"]

_MAGIC = b"EDGEJRN1"
_HEADER = 4096
_SLOT = 64
_FIELDS = struct.Struct("<IIQQQII")  # channel + 1, incarnation, sequence, utc, mono, width, height
_SLOTS = 8192
_MAX_NAMES = 1 << 20


class _Names(msgspec.Struct, forbid_unknown_fields=True):
    channels: list[tuple[str, str]]
    incarnations: dict[str, int]


@dataclass(frozen=True, slots=True)
class Orphan:
    """An entry that was open when an earlier process died."""

    app: str
    camera: str
    entry: Entry


class Journal:
    """One run's journal in *directory*, under *name*; only one process has it at a time.

    ``orphans`` are the entries an earlier process left, ``incarnations`` the last incarnation of
    each camera it knew: a later run starts above it, so that no key is used twice. Entries belong
    to one thread. Raises SinkError if the files cannot be written or another process has them.
    """

    def __init__(self, directory: Path, name: str, channels: Sequence[tuple[str, str]]) -> None:
        self._channels = list(channels)
        self._lock = threading.Lock()  # of the names
        self._slots_path = directory / f"{name}.open"
        self._names_path = directory / f"{name}.names.json"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._slots_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SinkError(
                f"{self._slots_path}: {error.strerror}: choose another --state"
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = _HEADER + _SLOTS * _SLOT
            before = self._read(size)
            # Space is reserved now: a full disk must not become a SIGBUS at a store later.
            os.ftruncate(self._fd, 0)
            os.posix_fallocate(self._fd, 0, size)
            self._map = mmap.mmap(self._fd, size)
        except BlockingIOError:
            os.close(self._fd)
            raise SinkError(
                f"{self._slots_path}: another process writes these results; "
                "give this one another --out or --state"
            ) from None
        except OSError as error:
            os.close(self._fd)
            raise SinkError(
                f"{self._slots_path}: {error.strerror}: make room there, or choose another --state"
            ) from None
        known = self._read_names()
        self.incarnations = dict(known.incarnations)
        self.orphans = tuple(_orphans(before, known.channels))
        self._map[: len(_MAGIC)] = _MAGIC
        self._free = list(range(_SLOTS - 1, -1, -1))
        self._write_names()

    def add(self, channels: Sequence[tuple[str, str]]) -> None:
        """Knows *channels* too, numbered on from those before."""
        if channels:
            with self._lock:
                self._channels += channels
                self._write_names()

    def opened(self, channel: int, entry: Entry) -> int:
        """The slot written, or -1 when all are in use (the entry is then not remembered)."""
        if not self._free:
            return -1
        slot = self._free.pop()
        fields = _FIELDS.pack(
            channel + 1,
            entry.incarnation,
            entry.sequence,
            entry.capture_utc_ns,
            entry.capture_mono_ns,
            entry.width,
            entry.height,
        )
        at = _HEADER + slot * _SLOT
        self._map[at : at + len(fields) + 4] = fields + zlib.crc32(fields).to_bytes(4, "little")
        return slot

    def closed(self, token: int) -> None:
        at = _HEADER + token * _SLOT
        self._map[at : at + 4] = b"\0\0\0\0"
        self._free.append(token)

    def note_incarnation(self, camera: str, incarnation: int) -> None:
        """Remembers that *camera* reached *incarnation* (a write; incarnations are rare)."""
        if self.incarnations.get(camera, 0) < incarnation:
            with self._lock:
                self.incarnations[camera] = incarnation
                self._write_names()

    def close(self, *, clean: bool = False) -> None:
        """Idempotent. Entries that are still open stay for the next run; if *clean* says that
        there are none, nothing is left behind."""
        if self._fd >= 0:
            if clean:
                self._slots_path.unlink(missing_ok=True)
                self._names_path.unlink(missing_ok=True)
            self._map.close()
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        data = os.pread(self._fd, size, 0)
        return data if data.startswith(_MAGIC) else b""

    def _read_names(self) -> _Names:
        try:
            with self._names_path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_NAMES), type=_Names)
        except (OSError, msgspec.DecodeError):
            return _Names([], {})

    def _write_names(self) -> None:
        data = msgspec.json.encode(_Names(self._channels, self.incarnations))
        beside = self._names_path.with_suffix(".tmp")
        try:
            beside.write_bytes(data)
            beside.replace(self._names_path)
        except OSError as error:
            raise SinkError(f"{self._names_path}: {error.strerror}") from None


def open_journal(
    directory: Path,
    channels: Sequence[tuple[str, str]],
    files: Sequence[str],
    name: str | None = None,
) -> Journal:
    """The journal of a run that writes *files*; without any, of its applications and cameras.

    *name* is given where these change under way.
    """
    if name is not None:
        return Journal(directory, name, channels)
    what = [str(Path(file).resolve()) for file in files] or [f"{a}@{c}" for a, c in channels]
    name = hashlib.sha256("\n".join(sorted(what)).encode()).hexdigest()[:16]
    return Journal(directory, name, channels)


def _orphans(data: bytes, channels: Sequence[tuple[str, str]]) -> list[Orphan]:
    found: list[Orphan] = []
    for at in range(_HEADER, len(data) - _SLOT + 1, _SLOT):
        fields = data[at : at + _FIELDS.size]
        checksum = int.from_bytes(data[at + _FIELDS.size : at + _FIELDS.size + 4], "little")
        channel, *rest = _FIELDS.unpack(fields)
        if channel == 0 or zlib.crc32(fields) != checksum or channel > len(channels):
            continue
        app, camera = channels[channel - 1]
        found.append(Orphan(app, camera, Entry(*rest)))
    found.sort(key=lambda o: (o.app, o.camera, o.entry.incarnation, o.entry.sequence))
    return found
