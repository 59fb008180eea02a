"""After a crash: what an earlier process left open, and what it had written all the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgesdk.records import ResultRecord

__all__ = ["Written", "key_of", "read_tail"]

# Far more than the records that can be between the ledger and a file.
_TAIL_BYTES = 16 << 20


@dataclass(slots=True)
class Written:
    """The keys of records at the end of a results file, and each camera's last incarnation."""

    keys: set[tuple[str, str, int, int, int]] = field(default_factory=set)
    incarnations: dict[str, int] = field(default_factory=dict)


def read_tail(paths: Iterable[str]) -> Written:
    """Reads the last 16 MB of each file; what is no record is passed over."""
    written = Written()
    for path in paths:
        for line in _tail(path):
            try:
                record = json.loads(line)
                key = (
                    str(record["app"]),
                    str(record["camera"]),
                    int(record["incarnation"]),
                    int(record["sequence"]),
                    int(record["captured"]["utc_ns"]),
                )
            except (ValueError, KeyError, TypeError):
                continue
            written.keys.add(key)
            last = written.incarnations.get(key[1], 0)
            written.incarnations[key[1]] = max(last, key[2])
    return written


def key_of(record: ResultRecord) -> tuple[str, str, int, int, int]:
    """What makes a record one and no other."""
    captured = record.captured.utc_ns
    return record.app, record.camera, record.incarnation, record.sequence, captured


def _tail(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).split(b"\n")
    except OSError:
        return []
    return lines[1:] if start else lines
