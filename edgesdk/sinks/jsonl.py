"""JSON lines in a file: whole lines only, whatever happens to the disk or the process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesdk.errors import SinkError
from edgesdk.records import ResultRecord
from edgesdk.sinks.sink import Delivery, ReceiverAway, Sink
from edgesdk.store.outbox import Entry, Limits, MemoryOutbox

__all__ = ["JsonLinesSink"]

_TAIL_BLOCK = 1 << 16
_LONGEST_LINE = 64 << 20
_NOT_YET = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)


class JsonLinesSink(Sink):
    """Appends each record as a line to the file *path*.

    A batch is one write; where it does not fit (a full disk) the file is cut back to its last
    whole line, and the records wait in memory, bounded by *limits*, until there is room. What a
    crash tore off at the end is cut away when the file is opened again. The file is synced to the
    disk when the sink closes. One sink at a time may write a file.
    """

    def __init__(
        self, path: str | Path, *, name: str | None = None, limits: Limits | None = None
    ) -> None:
        receiver = _LineFile(Path(path))
        super().__init__(name or f"jsonl:{path}", receiver, MemoryOutbox(limits or Limits()))


class _LineFile:
    kind = "jsonl"
    secrets: frozenset[str] = frozenset()
    batch_records = 256
    batch_bytes = 1 << 20
    longest_pause_s = 2.0

    def __init__(self, path: Path) -> None:
        self.target = str(path)
        self._path = path
        self._file = -1
        self._regular = True
        self._length = 0  # of whole lines

    def open(self) -> None:
        try:
            self._open()
        except OSError as error:
            if error.errno not in _NOT_YET:
                raise SinkError(
                    f"cannot write results to {self._path}: {error.strerror}; name a file in a "
                    "folder that exists and can be written"
                ) from None

    def route(self, record: Mapping[str, Any] | ResultRecord) -> str:
        return ""

    def deliver(self, entries: Sequence[Entry]) -> Delivery:
        try:
            if self._file >= 0 and self._regular and not self._in_place():
                self.close()  # moved away (rotated) or deleted: go on in a new one
            if self._file < 0:
                self._open()
            self._append(b"".join(entry.payload + b"\n" for entry in entries))
        except OSError as error:
            raise ReceiverAway(f"cannot write {self._path}: {error.strerror}") from None
        return Delivery(done=[entry.sequence for entry in entries])

    def abort(self) -> None:
        pass

    def close(self) -> None:
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)
        self._file = -1

    def _open(self) -> None:
        file = os.open(
            self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o644
        )
        try:
            self._regular = stat.S_ISREG(os.fstat(file).st_mode)
            if self._regular:
                self._lock(file)
                self._length = _cut_torn_line(file, self._path)
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def _lock(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SinkError(
                f"another sink or process writes {self._path}; name another file"
            ) from None

    def _in_place(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._file))

    def _append(self, lines: bytes) -> None:
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            if self._regular:
                self._cut_back()
            raise
        self._length += len(lines)

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._file, self._length)
        except OSError:
            self.close()  # opening it again cuts the torn line


def _cut_torn_line(file: int, path: Path) -> int:
    """Make *file* end with a whole line; returns its length then."""
    size = os.fstat(file).st_size
    start = size
    tail = b""
    while start > 0 and b"\n" not in tail:
        if len(tail) > _LONGEST_LINE:
            raise _not_ours(path)
        block = min(_TAIL_BLOCK, start)
        start -= block
        tail = os.pread(file, block, start) + tail
    torn = tail[tail.rfind(b"\n") + 1 :]
    if not torn:
        return size
    if not torn.startswith(b"{"):
        raise _not_ours(path)
    try:
        json.loads(torn)
    except ValueError:
        os.ftruncate(file, size - len(torn))
        return size - len(torn)
    os.write(file, b"\n")
    return size + 1


def _not_ours(path: Path) -> SinkError:
    return SinkError(
        f"{path} is not a file of JSON lines (its last line does not end): nothing was written to "
        "it; name another file"
    )
