"""Writes the C source of the cffi module from the public headers.

Run by CMake: ``generate.py OUTPUT HEADER...``. The declarations given to cffi are cut from each
header between the lines ``/* cffi: begin */`` and ``/* cffi: end */``, so that no second copy of
the interface exists. Inside these lines a header may use only what cffi's parser knows: no
preprocessor lines but ``#define NAME <integer>``, no attributes; ``EDGE_API`` is removed. The
error numbers of the ``EDGE_ERRORS`` X-macro, which cffi cannot expand, are given to it one by one.
"""

import re
import sys
from pathlib import Path

BEGIN, END = "/* cffi: begin */", "/* cffi: end */"


def declarations(header: Path) -> str:
    """The text of *header* between its cffi markers; several pairs are joined."""
    text = header.read_text(encoding="utf-8")
    parts = [rest.split(END, 1)[0] for rest in text.split(BEGIN)[1:]]
    errors = re.findall(r"X\((EDGE_E_\w+), (\d+),", text)
    parts += [f"#define {name} {number}" for name, number in errors]
    return re.sub(r"\bEDGE_API\b", "", "\n".join(parts))


def main(output: str, *headers: str) -> None:
    import cffi

    ordered = sorted((Path(h) for h in headers), key=_include_order)
    builder = cffi.FFI()
    for header in ordered:
        builder.cdef(declarations(header))
    includes = "\n".join(f"#include <edgesdk/{header.name}>" for header in ordered)
    builder.set_source("edgesdk.core._native", includes)
    builder.emit_c_code(output)


def _include_order(header: Path) -> tuple[int, str]:
    # Types that the other headers use come first.
    return (0 if header.name == "edgesdk.h" else 1, header.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
