"""How deep a document may nest, looked at before and after it is parsed.

Each part of a dotted key is a table in a table, and Python's parser takes time and memory in the
square of them: 40 KB of dots took 26 s and 2 GB.
"""

from __future__ import annotations

import re

__all__ = ["MOST_LEVELS", "deep_key_at", "is_deep"]

MOST_LEVELS = 32

_STRINGS = (
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    r"|'[^'\n]*'"
)
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\n]*')"""
_TOKEN = re.compile(
    rf"(?P<deep>{_PART}(?:[ \t]*\.[ \t]*{_PART}){{{MOST_LEVELS}}})"
    rf"|{_STRINGS}|#[^\n]*|[A-Za-z0-9_-]+|[^\"'#A-Za-z0-9_-]+|.",
    re.DOTALL,
)


def deep_key_at(text: str) -> int | None:
    """Where in *text*, TOML or not, a key of more than MOST_LEVELS parts begins."""
    if all(line.count(".") < MOST_LEVELS for line in text.split("\n")):
        return None
    for token in _TOKEN.finditer(text):  # what looks like a key may stand in a string
        if token["deep"]:
            return token.start()
    return None


def is_deep(document: object) -> bool:
    """Whether tables and arrays stand in each other over more than MOST_LEVELS."""
    level: list[object] = [document]
    for _ in range(MOST_LEVELS + 1):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        if not inner:
            return False
        level = inner
    return True
