"""An outbox on disk: it survives the receiver's absence, a restart, and ``kill -9``.

A thread of its own writes what :meth:`DiskOutbox.put` takes into an SQLite file (WAL,
``synchronous=NORMAL``: whole after a power cut, which may cost what was written in the last
moments). While the disk refuses, records wait in memory and are delivered from there.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from edgesdk.errors import SinkError
from edgesdk.redaction import redact
from edgesdk.store.outbox import Entry, EntryQueue, Limits, OutboxCounts

__all__ = ["DiskOutbox"]

_log = logging.getLogger("edgesdk.store")

_RETRY_DISK_S = 1.0
_WRITE_RECORDS = 512
_WRITE_BYTES = 4 << 20
_TAIL = Limits(records=8192, bytes=16 << 20)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    route TEXT NOT NULL,
    payload BLOB NOT NULL
)
"""
_PRAGMAS = (
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA journal_size_limit = 4194304",
    "PRAGMA temp_store = MEMORY",
)


class DiskOutbox:
    """An :class:`Outbox` in the file *path*, which one process at a time may use.

    A file that is no database, or a broken one, is set aside under another name. Raises SinkError
    where another process uses the file, or its folder cannot be made; a disk that is full is no
    error: it shows in :meth:`counts`.
    """

    def __init__(
        self, path: Path, limits: Limits, *, on_note: Callable[[str], None] | None = None
    ) -> None:
        self._path = path
        self._limits = limits
        self._note = on_note or _log.warning
        self._lock_file = _lock(path)
        # Guards the counters and the tail; held shortly, never while the disk works.
        self._changed = threading.Condition()
        # Guards the database; taken before _changed, never after.
        self._disk = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._tail = EntryQueue(
            Limits(min(limits.records, _TAIL.records), min(limits.bytes, _TAIL.bytes))
        )
        self._removed: set[int] = set()  # delivered, but the disk did not let us delete them
        self._stored = 0
        self._stored_bytes = 0
        # Above whatever an earlier agent left there, though it may be unreadable for now.
        self._sequence = time.time_ns()
        self._discarded = 0
        self._error: str | None = None
        self._woken = False
        self._closed = False
        with self._disk:
            self._try_open()
        self._writer = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._writer.start()

    def put(self, id: str, route: str, payload: bytes) -> None:
        with self._changed:
            if self._closed or len(payload) > self._limits.bytes:
                self._discarded += 1
                return
            self._sequence += 1
            self._discarded += self._tail.append(Entry(self._sequence, id, route, payload))
            self._changed.notify_all()

    def peek(self, records: int, size: int) -> list[Entry]:
        found: list[Entry] = []
        with self._disk:
            if self._database is not None and self._stored:
                try:
                    found = self._read(self._database, records, size)
                except sqlite3.Error as error:
                    self._fail(error)
            with self._changed:
                size -= sum(len(entry.payload) for entry in found)
                if self._error is not None and len(found) < records and (size > 0 or not found):
                    found += self._tail.head(records - len(found), size)
        return found

    def remove(self, sequences: Collection[int]) -> int:
        wanted = set(sequences)
        with self._disk:
            gone = 0
            if self._database is not None and wanted:
                try:
                    gone = self._forget(self._database, wanted)
                except sqlite3.Error as error:
                    self._fail(error)
            with self._changed:
                return gone + self._tail.remove(wanted)

    def wait(self, timeout: float) -> bool:
        with self._changed:
            found = self._changed.wait_for(lambda: self._woken or self._takeable(), timeout)
            self._woken = False
            return found

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def counts(self) -> OutboxCounts:
        with self._changed:
            undurable = len(self._tail)
            return OutboxCounts(self._stored + undurable, undurable, self._discarded, self._error)

    def close(self, timeout: float) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._writer.join(timeout)
        if self._writer.is_alive():  # a disk that hangs: the daemon thread ends with the process
            return
        with self._disk:
            with self._changed:
                self._discarded += self._tail.clear()
            if self._database is not None:
                self._database.close()
                self._database = None
            if self._lock_file >= 0:
                os.close(self._lock_file)
                self._lock_file = -1

    def _takeable(self) -> bool:
        return self._stored > 0 or (self._error is not None and len(self._tail) > 0)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or len(self._tail) > 0 or self._error is not None
                )
                if self._error is not None:
                    self._changed.wait_for(lambda: self._closed, _RETRY_DISK_S)
                closed = self._closed
            stored = self._store_tail()
            if closed and (not stored or not len(self._tail)):
                return

    def _store_tail(self) -> bool:
        """Move the head of the tail to the disk; False if the disk refuses."""
        with self._disk:
            if self._database is None and not self._try_open():
                return False
            assert self._database is not None
            with self._changed:
                entries = self._tail.head(_WRITE_RECORDS, _WRITE_BYTES)
            try:
                if self._removed:
                    self._forget(self._database, set())
                self._insert(self._database, entries)
            except sqlite3.Error as error:
                self._fail(error)
                return False
            with self._changed:
                moved = self._tail.remove([entry.sequence for entry in entries])
                # What put() gave up while it was being written is on the disk after all.
                self._discarded -= len(entries) - moved
                self._changed.notify_all()
            self._recovered()
        return True

    def _insert(self, database: sqlite3.Connection, entries: list[Entry]) -> None:
        size = sum(len(entry.payload) for entry in entries)
        with database:
            given_up, freed = self._make_room(database, len(entries), size)
            database.executemany(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)",
                [(e.sequence, e.id, e.route, e.payload) for e in entries],
            )
        with self._changed:
            self._discarded += given_up
            self._stored += len(entries) - given_up
            self._stored_bytes += size - freed

    def _make_room(self, database: sqlite3.Connection, records: int, size: int) -> tuple[int, int]:
        excess = self._stored + records - self._limits.records
        excess_bytes = self._stored_bytes + size - self._limits.bytes
        if excess <= 0 and excess_bytes <= 0:
            return 0, 0
        given_up = freed = last = 0
        for sequence, length in database.execute(
            "SELECT sequence, LENGTH(payload) FROM records ORDER BY sequence"
        ):
            if given_up >= excess and freed >= excess_bytes:
                break
            last = sequence
            if sequence not in self._removed:
                given_up += 1
                freed += length
        database.execute("DELETE FROM records WHERE sequence <= ?", (last,))
        return given_up, freed

    def _read(self, database: sqlite3.Connection, records: int, size: int) -> list[Entry]:
        found: list[Entry] = []
        for row in database.execute("SELECT * FROM records ORDER BY sequence"):
            entry = Entry(*row)
            if entry.sequence in self._removed:
                continue
            size -= len(entry.payload)
            if len(found) == records or (found and size < 0):
                break
            found.append(entry)
        return found

    def _forget(self, database: sqlite3.Connection, wanted: set[int]) -> int:
        """Delete *wanted*; where the disk does not let us, remember that they are done with."""
        sizes = [
            length
            for sequence, length in database.execute(
                "SELECT sequence, LENGTH(payload) FROM records"
                " WHERE sequence IN (SELECT value FROM json_each(?))",
                (json.dumps(sorted(wanted)),),
            )
            if sequence not in self._removed
        ]
        with self._changed:
            self._stored -= len(sizes)
            self._stored_bytes -= sum(sizes)
        self._removed |= wanted
        try:
            with database:
                database.executemany(
                    "DELETE FROM records WHERE sequence = ?", [(s,) for s in self._removed]
                )
        except sqlite3.Error as error:
            self._fail(error)
        else:
            self._removed.clear()
            self._recovered()
        return len(sizes)

    def _try_open(self) -> bool:
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
        return self._database is not None

    def _open(self) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=1.0, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                database.execute(pragma)
            with database:
                database.execute(_SCHEMA)
            stored, size, last = database.execute(
                "SELECT COUNT(*), SUM(LENGTH(payload)), MAX(sequence) FROM records"
            ).fetchone()
        except BaseException:
            database.close()
            raise
        self._database = database
        with self._changed:
            self._stored, self._stored_bytes = stored, size or 0
            self._sequence = max(self._sequence, last or 0)
            self._changed.notify_all()

    def _fail(self, error: sqlite3.Error | OSError) -> None:
        """Remember what the disk said; set a broken database aside. Called with _disk held."""
        text = f"outbox {self._path}: {error}"
        broken = isinstance(error, sqlite3.DatabaseError) and type(error) is sqlite3.DatabaseError
        if broken:
            if self._database is not None:
                self._database.close()
                self._database = None
            aside = self._path.with_name(f"{self._path.name}.broken-{time.time_ns()}")
            try:
                self._path.rename(aside)
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                text = f"{text}; set aside as {aside.name}"
            except OSError as second:
                text = f"{text}; and it cannot be set aside: {second.strerror}"
        with self._changed:
            if broken:
                self._discarded += self._stored
                self._stored = self._stored_bytes = 0
                self._removed.clear()
            fresh = self._error is None
            self._error = redact(text)
            self._changed.notify_all()
        if fresh:
            self._note(self._error)

    def _recovered(self) -> None:
        with self._changed:
            before, self._error = self._error, None
        if before is not None:
            self._note(f"outbox {self._path}: the disk takes records again")


def _lock(path: Path) -> int:
    """A descriptor that holds the lock of *path* until it is closed or the process dies."""
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SinkError(
            f"cannot keep an outbox in {path.parent}: {error.strerror}; give the node another "
            "state folder"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SinkError(
            f"the outbox {path} is used by another agent; stop it, or give this one another "
            "state folder"
        ) from None
    return descriptor
