"""Reads a card's file into a :class:`CardDocument`, and finds all of its mistakes in one go."""

from __future__ import annotations

import difflib
import json
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

from edgesdk import toml
from edgesdk.errors import CardError
from edgesdk.models.schema import CardDocument
from edgesdk.toml.lines import KeyPath, line_of, locate
from edgesdk.toml.structs import dotted, shown

__all__ = ["card_error", "read_card_file"]

MAX_CARD_BYTES = 4 << 20
MAX_DEPTH = 12
MAX_MISTAKES = 20

Keys = KeyPath


def read_card_file(path: Path) -> tuple[CardDocument, dict[Keys, int]]:
    """The document and the line of each key, as far as the text tells.

    :raises CardError: unreadable, too big, not TOML or JSON, or wrong; every mistake is named.
    """
    text = _read_text(path)
    try:
        data = json.loads(text) if path.suffix == ".json" else toml.loads(text)
    except json.JSONDecodeError as e:
        raise CardError(f"{path}: line {e.lineno}: not JSON: {e.msg}") from None
    except toml.TOMLDecodeError as e:
        raise CardError(f"{path}: not TOML: {e}") from None
    except (RecursionError, ValueError) as e:
        why = "nested too deeply" if isinstance(e, RecursionError) else str(e)
        raise CardError(f"{path}: cannot be read as a card: {why}") from None
    if not isinstance(data, dict):
        raise CardError(f"{path}: a card is a table of keys, not {shown(data)}")
    if _deeper_than(data, MAX_DEPTH):
        raise CardError(f"{path}: tables are nested deeper than {MAX_DEPTH}")
    lines = {} if path.suffix == ".json" else locate(text)
    mistakes: list[tuple[Keys, str]] = []
    _check(data, CardDocument, (), mistakes)
    if mistakes:
        raise card_error(path, mistakes, lines)
    try:
        return msgspec.convert(data, CardDocument, str_keys=True), lines
    except msgspec.ValidationError as e:
        raise CardError(f"{path}: {e}") from None


def card_error(path: Path, mistakes: list[tuple[Keys, str]], lines: dict[Keys, int]) -> CardError:
    """One error that names the file, and each mistake with its line and key."""
    told = []
    for keys, text in mistakes[:MAX_MISTAKES]:
        where = f"line {line_of(lines, keys)}: " if lines and keys else ""
        told.append(f"{where}{dotted(keys)}{': ' if keys else ''}{text}")
    if len(mistakes) > MAX_MISTAKES:
        told.append(f"and {len(mistakes) - MAX_MISTAKES} more")
    count = f"{len(mistakes)} mistakes: " if len(mistakes) > 1 else ""
    return CardError(f"{path}: {count}{'; '.join(told)}")


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise CardError(f"{path}: no such file")
        with path.open("rb") as f:
            raw = f.read(MAX_CARD_BYTES + 1)
    except OSError as e:
        raise CardError(f"{path}: cannot be read: {e.strerror}") from None
    if len(raw) > MAX_CARD_BYTES:
        raise CardError(f"{path}: larger than {MAX_CARD_BYTES >> 20} MiB, which no card is")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise CardError(f"{path}: not UTF-8 (byte {e.start})") from None


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for v in level
            if isinstance(v, dict | list)
            for child in (v.values() if isinstance(v, dict) else v)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _check(value: Any, kind: Any, keys: Keys, mistakes: list[tuple[Keys, str]]) -> None:
    """Appends what is wrong with *value* as a *kind*; msgspec alone stops at the first mistake."""
    structs = [t for t in _members(kind) if isinstance(t, type) and issubclass(t, msgspec.Struct)]
    if structs and isinstance(value, dict):
        struct = _choose(value, structs, keys, mistakes)
        if struct is not None:
            _check_struct(value, struct, keys, mistakes)
        return
    item = _item_type(kind)
    if item is not None and isinstance(value, list):
        for i, v in enumerate(value):
            _check(v, item, (*keys, i), mistakes)
        if not any(k[: len(keys)] == keys for k, _ in mistakes):
            _convert(value, kind, keys, mistakes)
        return
    _convert(value, kind, keys, mistakes)


def _convert(value: Any, kind: Any, keys: Keys, mistakes: list[tuple[Keys, str]]) -> None:
    try:
        msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as e:
        expected = str(e).split(" - at")[0]
        literals = _literals(kind)
        if literals and not isinstance(value, dict | list):
            expected = f"expected one of {', '.join(map(str, literals))}{_suggest(value, literals)}"
        mistakes.append((keys, f"{shown(value)}: {expected[0].lower()}{expected[1:]}"))


def _check_struct(
    value: dict[str, Any],
    struct: type[msgspec.Struct],
    keys: Keys,
    mistakes: list[tuple[Keys, str]],
) -> None:
    config = struct.__struct_config__
    fields = {f.encode_name: f for f in msgspec.structs.fields(struct)}
    known = [*fields, *([config.tag_field] if config.tag_field else [])]
    for key, v in value.items():
        if key in fields:
            _check(v, fields[key].type, (*keys, key), mistakes)
        elif key not in known:
            mistakes.append(((*keys, key), f"no such key{_suggest(key, known)}"))
    for name, f in fields.items():
        if f.required and name not in value:
            mistakes.append((keys, f"the key {name!r} is missing"))


def _choose(
    value: dict[str, Any],
    structs: list[type[msgspec.Struct]],
    keys: Keys,
    mistakes: list[tuple[Keys, str]],
) -> type[msgspec.Struct] | None:
    """The struct that *value* is meant to be; None, and a mistake, if its tag does not say."""
    if len(structs) == 1:
        return structs[0]
    field = structs[0].__struct_config__.tag_field or "kind"
    tags = {str(s.__struct_config__.tag): s for s in structs}
    if field not in value:
        mistakes.append((keys, f"the key {field!r} is missing: one of {', '.join(tags)}"))
        return None
    tag = value[field]
    if not isinstance(tag, str) or tag not in tags:
        text = f"{shown(tag)}: expected one of {', '.join(tags)}{_suggest(tag, list(tags))}"
        mistakes.append(((*keys, field), text))
        return None
    return tags[tag]


def _members(kind: Any) -> list[Any]:
    if typing.get_origin(kind) is typing.Annotated:
        return _members(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [m for arg in typing.get_args(kind) for m in _members(arg)]
    return [kind]


def _item_type(kind: Any) -> Any:
    """The struct-bearing item of a tuple type, or None."""
    for member in _members(kind):
        args = typing.get_args(member)
        if typing.get_origin(member) is tuple and len(args) == 2 and args[1] is Ellipsis:
            inner = _members(args[0])
            if any(isinstance(t, type) and issubclass(t, msgspec.Struct) for t in inner):
                return args[0]
    return None


def _literals(kind: Any) -> list[Any]:
    return [
        v
        for m in _members(kind)
        if typing.get_origin(m) is typing.Literal
        for v in typing.get_args(m)
    ]


def _suggest(value: Any, known: list[Any]) -> str:
    near = difflib.get_close_matches(str(value), [str(k) for k in known], n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
