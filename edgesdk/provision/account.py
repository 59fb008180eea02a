"""A budget that outlives its manager: what was spent before is in a file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from edgesdk.errors import UsageError
from edgesdk.provision.budget import Budget

__all__ = ["Account"]

log = logging.getLogger(__name__)

_MOST_BYTES = 4 << 20


class _Paid(msgspec.Struct, forbid_unknown_fields=True):
    price: float
    since_utc_s: float


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    ended_usd: float
    running: dict[str, _Paid]
    as_of_utc_s: float


class Account(Budget):
    """A :class:`Budget` of *usd* whose spending is read from *path*, and kept there.

    Times are of ``time.monotonic``; in the file they are UTC, since it outlives a boot. A clock
    that was set back in between makes a machine's time short by as much, never negative. Once
    begun, a file that cannot be written is complained of, and the account goes on in memory.

    :raises UsageError: the budget means nothing, or *path* is no such file.
    """

    def __init__(self, path: Path, usd: float, *, billed_s: float = 3600.0) -> None:
        super().__init__(usd, billed_s=billed_s)
        self.path = path
        self._seen_s = time.monotonic()
        before = _read(path)
        if before is None:
            return
        now_s, now_utc_s = time.monotonic(), time.time()

        def moment(utc_s: float) -> float:
            return now_s - max(0.0, now_utc_s - utc_s)

        self._ended = before.ended_usd
        self._running = {
            id_: (paid.price, moment(paid.since_utc_s)) for id_, paid in before.running.items()
        }
        self._seen_s = moment(before.as_of_utc_s)

    def begin(self, there: Collection[str], *, ended_with_it: bool) -> None:
        """Settles machines that are not *there* any more.

        ended_with_it: they ended with the manager that kept this account, so they are paid for
        until it was last written; else nobody knows when they ended, and it is until now.

        :raises UsageError: the file cannot be written.
        """
        until_s = self._seen_s if ended_with_it else time.monotonic()
        for id_ in [id_ for id_ in self._running if id_ not in there]:
            super().returned(id_, until_s)
        self._write()

    def rented(self, machine: str, price: float, now_s: float) -> None:
        super().rented(machine, price, now_s)
        self.keep()

    def returned(self, machine: str, now_s: float) -> None:
        super().returned(machine, now_s)
        self.keep()

    def keep(self) -> None:
        """Writes the file, whole or not at all."""
        try:
            self._write()
        except UsageError as error:
            log.error("%s", error)

    def _write(self) -> None:
        now_s, now_utc_s = time.monotonic(), time.time()
        self._seen_s = now_s
        running = {
            id_: _Paid(price, now_utc_s - (now_s - since))
            for id_, (price, since) in self._running.items()
        }
        beside = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(_File(1, self._ended, running, now_utc_s)))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise UsageError(
                f"{self.path}: what is spent cannot be kept: {error.strerror}"
            ) from None


def _read(path: Path) -> _File | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: what was spent cannot be read: {error.strerror}") from None
    try:
        found = msgspec.json.decode(data, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = str(error)
    else:
        amounts = [found.ended_usd, *(paid.price for paid in found.running.values())]
        if found.schema == 1 and all(amount >= 0 for amount in amounts):
            return found
        why = "of another version, or amounts below 0"
    raise UsageError(
        f"{path} is no account of what was spent ({why}); remove it to begin a new one"
    )
