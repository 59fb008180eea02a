"""How fast each backend ran each model here, so that later starts load the fastest only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec

__all__ = ["Speeds"]

_KEPT = 2000
_MAX_BYTES = 4 << 20


class Speeds:
    """Nanoseconds of one inference by key, in a file; a file that cannot be used costs time only.

    Not thread-safe; several processes may use one file, the last one to write wins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError), path.open("rb") as file:
            self._known = msgspec.json.decode(file.read(_MAX_BYTES), type=dict[str, int])

    def get(self, key: str) -> int | None:
        return self._known.get(key)

    def put(self, key: str, nanoseconds: int) -> None:
        self._known.pop(key, None)
        self._known[key] = nanoseconds
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
        if self._path == Path(os.devnull):
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(".partial", ".speeds.", self._path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(self._known))
            os.replace(name, self._path)
