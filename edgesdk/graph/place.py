"""Where in the user's own files something was written, and errors that begin with it."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import FrameType, TracebackType

from edgesdk.errors import GraphError

__all__ = ["Place", "did_you_mean", "mistake"]

_OURS = os.path.dirname(sys._getframe().f_code.co_filename) + os.sep


@dataclass(frozen=True)
class Place:
    """A line of a file; prints as ``people.py:9``, relative if below the working directory."""

    file: str
    line: int

    def __str__(self) -> str:
        if not os.path.isabs(self.file):
            return f"{self.file}:{self.line}"
        try:
            relative = os.path.relpath(self.file)
        except (ValueError, OSError):  # another drive, or a working directory that is gone
            relative = self.file
        shown = self.file if relative.startswith("..") else relative
        return f"{shown}:{self.line}"

    @classmethod
    def of_caller(cls) -> Place:
        """The innermost line of the call stack that lies outside edgesdk.graph."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if not file.startswith(_OURS) and not file.startswith("<frozen "):
                return cls(file, frame.f_lineno)
            frame = frame.f_back
        return cls("<unknown>", 0)

    @classmethod
    def of_traceback(cls, traceback: TracebackType | None, file: str) -> Place | None:
        """The innermost line of *file* in *traceback*: where a user's code went wrong."""
        found = None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == file:
                found = cls(file, traceback.tb_lineno)
            traceback = traceback.tb_next
        return found


def mistake(operator: str, text: str, place: Place | None = None) -> GraphError:
    """A GraphError that says where, which operator, and what: ``people.py:9: track: ...``."""
    return GraphError(f"{place or Place.of_caller()}: {operator}: {text}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'threshold'?"``, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
