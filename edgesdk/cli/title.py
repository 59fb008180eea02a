"""What ``ps`` shows of this process to every user of the machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["conceal_arguments"]

_PROC = Path("/proc/self")
_ARG_START, _ARG_END = 45, 46  # fields 48 and 49 of proc(5), of those after the name


def conceal_arguments() -> None:
    """Overwrites credentials in the process's own command line; where that cannot be, it stays.

    Linux only. ``sys.argv`` is another copy, and left alone.
    """
    import ctypes

    from edgesdk.redaction import redact

    with contextlib.suppress(OSError, ValueError, IndexError):
        stat = (_PROC / "stat").read_text(errors="replace")
        fields = stat[stat.rindex(")") + 2 :].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        shown = (_PROC / "cmdline").read_bytes()
        if not start or len(shown) != end - start:
            return
        words = [redact(word.decode(errors="surrogateescape")) for word in shown.split(b"\0")]
        concealed = "\0".join(words).encode(errors="surrogateescape")
        # The last byte stays zero: the kernel would else read on, into the environment.
        concealed = concealed[: len(shown) - 1].ljust(len(shown), b"\0")
        ctypes.memmove(start, concealed, len(concealed))
