"""Names in shared memory: ours, and those of processes that were killed before they could clean up.

Rings and bells of an agent begin with ``agent-PID-``. Capture workers remove theirs when the agent
dies; where they were killed too, the next agent that starts removes what no living process has.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path

from edgesdk.core.ring import Bell, unlink
from edgesdk.errors import RingError

__all__ = ["own_name", "remove_own", "sweep"]

_DIRECTORY = Path("/dev/shm")  # noqa: S108
_NAME = re.compile(r"edgesdk\.(ring|bell)\.(agent-(\d+)-[a-z0-9._-]*)")


_numbers = itertools.count(1)


def own_name() -> str:
    """A name for a ring or bell of this process, another one at each call."""
    return f"agent-{os.getpid()}-{next(_numbers)}"


def sweep() -> list[str]:
    """Removes what dead agents left; returns the names. What another user has is left alone."""
    removed = []
    with contextlib.suppress(OSError):
        for path in _DIRECTORY.iterdir():
            found = _NAME.fullmatch(path.name)
            if found and not _alive(int(found[3])) and _remove(found[1], found[2]):
                removed.append(found[2])
    return removed


def remove_own() -> None:
    """Removes this process's names, for one that ends without closing what it opened."""
    with contextlib.suppress(OSError):
        for path in _DIRECTORY.iterdir():
            found = _NAME.fullmatch(path.name)
            if found and int(found[3]) == os.getpid():
                path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _remove(kind: str, name: str) -> bool:
    try:
        if kind == "ring":
            unlink(name)
        else:
            Bell(name).close()
    except RingError:
        return False
    return True
