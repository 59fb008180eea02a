"""Paths that a card may name: below its own directory, and nowhere else."""

from __future__ import annotations

from pathlib import PurePosixPath

__all__ = ["path_problem"]


def path_problem(text: str) -> str | None:
    """What is wrong with *text* as a path on a card, or None."""
    path = PurePosixPath(text)
    if text and "\0" not in text and not path.is_absolute() and ".." not in path.parts:
        return None
    expected = "a path inside the card's directory, relative to it (a symbolic link will do)"
    return f"{text!r}: expected {expected}"
