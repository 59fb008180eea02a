"""What a user's operator is made of: the text that enters its id."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from types import CodeType, FunctionType, ModuleType
from typing import Any

import msgspec

__all__ = ["NotHashable", "source_digest"]

_PLAIN = (type(None), bool, int, float, str, bytes)
_MOST_PIECES = 1000


class NotHashable(Exception):
    """A function depends on something whose content cannot be told: *name* and its type."""


def source_digest(subject: FunctionType | type[Any]) -> str:
    """SHA-256, hex, of the source of *subject* and of what it names in its own module.

    That is: functions and classes of the same module that it uses, directly or not, module
    constants (numbers, texts, tuples of them), and the variables it closes over. Other modules are
    not followed: the operator's version stands for them. The same text gives the same digest in
    every process and on every machine.

    :raises NotHashable: it closes over something that is not plain data or a function.
    """
    pieces: dict[str, Any] = {}
    _collect(subject, subject.__module__, pieces)
    text = msgspec.msgpack.encode(pieces, order="deterministic")
    return hashlib.sha256(text).hexdigest()


def _collect(subject: FunctionType | type[Any], module: str, pieces: dict[str, Any]) -> None:
    key = f"def {subject.__qualname__}"
    if key in pieces or len(pieces) > _MOST_PIECES:
        return
    pieces[key] = _text_of(subject)
    for function in _functions_of(subject):
        for name in sorted(_names_of(function.__code__)):
            if name in function.__globals__:
                _add(name, function.__globals__[name], module, pieces)
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            if name == "__class__":
                continue
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            if not _add(f"{key} {name}", value, module, pieces):
                raise NotHashable(f"{name!r}, a {type(value).__name__}")


def _add(name: str, value: object, module: str, pieces: dict[str, Any]) -> bool:
    """Whether *value*'s content is accounted for, here or by the operator's version."""
    wrapped = getattr(value, "function", None) if _is_operator(value) else value
    if isinstance(wrapped, (FunctionType, type)):
        if wrapped.__module__ == module:
            _collect(wrapped, module, pieces)
        return True
    if _is_plain(value):
        pieces[name] = value
        return True
    return isinstance(value, ModuleType)


def _is_operator(value: object) -> bool:
    return type(value).__module__ == "edgesdk.graph.custom"


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return not isinstance(value, frozenset) and all(_is_plain(item) for item in value)
    return type(value) in _PLAIN


def _functions_of(subject: FunctionType | type[Any]) -> list[FunctionType]:
    if isinstance(subject, FunctionType):
        return [subject]
    found = []
    for member in vars(subject).values():
        inner = inspect.unwrap(getattr(member, "__func__", getattr(member, "fget", member)))
        if isinstance(inner, FunctionType):
            found.append(inner)
    return found


def _names_of(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names_of(constant)
    return found


def _text_of(subject: FunctionType | type[Any]) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(subject))
    except (OSError, TypeError, IndentationError):
        return "bytecode " + hashlib.sha256(_bytecode(subject)).hexdigest()
    return "\n".join(line.rstrip() for line in text.splitlines())


def _bytecode(subject: FunctionType | type[Any]) -> bytes:
    parts = [
        repr((f.__code__.co_code, f.__code__.co_names, _constants(f.__code__)))
        for f in _functions_of(subject)
    ]
    return "\n".join(parts).encode()


def _constants(code: CodeType) -> list[object]:
    return [
        (c.co_code, c.co_names, _constants(c)) if isinstance(c, CodeType) else c
        for c in code.co_consts
    ]
