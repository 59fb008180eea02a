"""Durations as people write them: ``"500ms"``, ``"1.5s"``, ``"2m"``."""

from __future__ import annotations

import re

__all__ = ["DURATION_FORM", "format_duration", "parse_duration"]

DURATION_FORM = 'a duration such as "500ms", "1.5s" or "2m"'

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_FORM = re.compile(r"\s*(?P<whole>[0-9]{1,12})(?:\.(?P<part>[0-9]{1,9}))?\s*(?P<unit>[a-z]+)\s*")


def parse_duration(text: str) -> int:
    """*text* in nanoseconds, never negative. Raises ValueError that says what was expected."""
    found = _FORM.fullmatch(text)
    unit = _NANOSECONDS.get(found["unit"]) if found else None
    if found is None or unit is None:
        raise ValueError(f"expected {DURATION_FORM}")
    part = found["part"] or ""
    return int(found["whole"] + part) * unit // int("1" + "0" * len(part))


def format_duration(nanoseconds: int) -> str:
    """The shortest exact form with one unit: 500_000_000 is ``"500ms"``."""
    for unit in ("h", "m", "s", "ms", "us"):
        if nanoseconds and nanoseconds % _NANOSECONDS[unit] == 0:
            return f"{nanoseconds // _NANOSECONDS[unit]}{unit}"
    return f"{nanoseconds}ns"
