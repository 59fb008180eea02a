"""Writes docs/reference.md from the docstrings of what edgesdk exports.

usage: python docs/generate_reference.py [OUTPUT]

Each module's ``__all__`` says what is public; a name without a docstring of its own is an error.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = (
    "edgesdk",
    "edgesdk.values",
    "edgesdk.errors",
    "edgesdk.models",
    "edgesdk.inference",
    "edgesdk.capture",
    "edgesdk.runtime",
    "edgesdk.core.ring",
    "edgesdk.core.results",
    "edgesdk.core.sched",
    "edgesdk.testing.conformance",
)


def text() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "Generated from the docstrings by `python docs/generate_reference.py`; do not edit.",
    ]
    documented: dict[int, str] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        parts += [f"## {name}", block(inspect.cleandoc(module.__doc__ or ""))]
        for export in module.__all__:
            if export.startswith("__"):
                continue
            value = getattr(module, export)
            home = documented.setdefault(id(value), name)
            if home != name and not isinstance(value, (int, str)):
                parts.append(f"### {export}\n\nSee {home}.")
                continue
            parts += entry(module, export, value)
    return "\n\n".join(part for part in parts if part) + "\n"


def entry(module: ModuleType, name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield f"### class {name}{bases(value)}"
        yield block(own_doc(value))
        for member_name, member in vars(value).items():
            if member_name.startswith("_") or isinstance(value, enum.EnumMeta):
                continue
            function = inspect.unwrap(getattr(member, "__func__", member))
            doc = inspect.getdoc(member)
            if isinstance(member, property) and doc:
                yield f"- **{name}.{member_name}**: {one_paragraph(doc)}"
            elif inspect.isfunction(function) and doc:
                yield f"- **{name}.{member_name}**`{signature(function)}`: {one_paragraph(doc)}"
    elif callable(value):
        yield f"### {name}`{signature(value)}`"
        yield block(inspect.getdoc(value) or "")
    elif isinstance(value, ModuleType):
        yield f"### module {name}"
    else:
        yield f"### {name}"


def bases(value: type) -> str:
    names = [base.__name__ for base in value.__bases__ if base not in (object, Exception)]
    return f"({', '.join(names)})" if names else ""


def own_doc(value: type) -> str:
    doc = value.__dict__.get("__doc__") or ""
    # A dataclass without a docstring is given its signature as one.
    return "" if doc.startswith(f"{value.__name__}(") else inspect.cleandoc(doc)


def signature(function: Any) -> str:
    try:
        text = str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(...)"
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)
    return re.sub(r"^\((self|cls)(, )?", "(", text)


def block(doc: str) -> str:
    """A docstring as Markdown: literal blocks become fences, roles and backquotes code."""
    doc = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", doc).replace("``", "`")
    lines, fenced = [], False
    for line in doc.splitlines():
        if fenced and line and not line.startswith("    "):
            lines += ["```", ""]
            fenced = False
        if line.endswith("::"):
            rest = line[:-2].rstrip()
            lines += [f"{rest}:", ""] if rest else []
            lines.append("```python")
            fenced = True
        elif fenced:
            if line or lines[-1] != "```python":
                lines.append(line[4:])
        else:
            lines.append(line)
    return "\n".join([*lines, "```"] if fenced else lines)


def one_paragraph(doc: str) -> str:
    return " ".join(block(doc).split())


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("reference.md")
    target.write_text(text(), encoding="utf-8")
