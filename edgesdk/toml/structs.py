"""TOML or JSON text into a msgspec struct, with every mistake found at once.

A mistake names file, line, field, value and what was expected: the ``description`` in the field's
``msgspec.Meta``, or what msgspec says where there is none. Tables become structs, or dicts by name,
and arrays of tables tuples of structs; whatever a field's type is made of otherwise is msgspec's to
convert.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from edgesdk.errors import ConfigError
from edgesdk.redaction import redact
from edgesdk.toml import TOMLDecodeError, loads
from edgesdk.toml.depth import deep_key_at, is_deep
from edgesdk.toml.json_lines import DuplicateKey, locate_json
from edgesdk.toml.lines import KeyPath, line_of, locate

__all__ = ["Mistakes", "Places", "dotted", "nearest", "read_struct", "shown"]

T = TypeVar("T", bound=msgspec.Struct)

_SYNTAX_PLACE = re.compile(r"\s*\(at line (\d+), column \d+\)$")
_INNER_PLACE = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_INDEX = re.compile(r"\[(\d+)\]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LONG_NUMBER = re.compile(r"[0-9_]{4000}")
_SHOWN_CHARACTERS = 80
_TOO_DEEP = "nested too deeply: expected tables of keys"
_MOST_MISTAKES = 100  # nobody reads more, and a file may have millions


@dataclass(frozen=True)
class Places:
    """Where each key of a file stands."""

    file: str
    lines: dict[KeyPath, int]

    def of(self, path: KeyPath) -> str:
        return f"{self.file}:{line_of(self.lines, path)}"


class Mistakes:
    """What is wrong with one file, in the order of its lines; of very many, some of them."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._found: list[tuple[int, str]] = []

    def add(self, path: KeyPath, what: str) -> None:
        text = f"{self._places.of(path)}: {what}"
        self._found.append((line_of(self._places.lines, path), text))
        if len(self._found) >= _MOST_MISTAKES:
            self.raise_any()

    def add_value(self, path: KeyPath, value: object, expected: str) -> None:
        self.add(path, f"{dotted(path)} = {shown(value)}: expected {expected}")

    def raise_any(self) -> None:
        """Raise ConfigError with all of them, one a line, if there are any."""
        if not self._found:
            return
        self._found.sort(key=lambda item: item[0])
        lines = [text for _, text in self._found]
        if len(lines) >= _MOST_MISTAKES:
            lines.append(f"{self._places.file}: there may be more mistakes than these {len(lines)}")
        raise ConfigError("\n".join(lines))


def read_struct(
    text: str,
    kind: type[T],
    *,
    file: str,
    dec_hook: Callable[[type[Any], Any], Any] | None = None,
    check: Callable[[T, Mistakes], None] | None = None,
    look: Callable[[dict[str, Any], Mistakes], None] | None = None,
    form: Literal["toml", "json"] = "toml",
) -> T:
    """*text* as a *kind*; *file* is its name in messages.

    *look* adds mistakes that the document as it was written has, whatever its fields are.
    *dec_hook* converts types that msgspec does not know; the message of a ValueError it raises
    says what was expected. *check* adds mistakes that lie between fields, and is called once the
    fields themselves have none. Raises ConfigError.
    """
    document, lines = _parsed(text, file, form)
    mistakes = Mistakes(Places(file, lines))
    if look is not None:
        look(document, mistakes)
    built = _Builder(mistakes, dec_hook).build(document, kind, ())
    mistakes.raise_any()
    assert isinstance(built, kind)
    if check is not None:
        check(built, mistakes)
        mistakes.raise_any()
    return built


def _parsed(
    text: str, file: str, form: Literal["toml", "json"]
) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        if form == "toml":
            if (deep := deep_key_at(text)) is not None:
                raise ConfigError(f"{file}:{_line_at(text, deep)}: {_TOO_DEEP}")
            document = loads(text)
            if is_deep(document):
                raise ConfigError(f"{file}:1: {_TOO_DEEP}")
            return document, locate(text)
        document = json.loads(text)
        if is_deep(document):
            raise ConfigError(f"{file}:1: {_TOO_DEEP}")
        if not isinstance(document, dict):
            raise ConfigError(f"{file}:1: expected an object of keys, in braces")
        if escaped := _SURROGATE.search(text):
            _refuse_half_characters(document, file, _line_at(text, escaped.start()))
        return document, locate_json(text)
    except TOMLDecodeError as error:
        raise ConfigError(_syntax_mistake(file, str(error), text)) from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}: not JSON: {error.msg.lower()}") from None
    except DuplicateKey as error:
        raise ConfigError(
            f"{file}:{error.line}: {dotted(error.path)} is there twice: expected each key once"
        ) from None
    except ValueError as error:  # Python's own bound on the digits of a whole number
        if (found := _LONG_NUMBER.search(text)) is None:
            raise
        line = _line_at(text, found.start())
        raise ConfigError(
            f"{file}:{line}: a number of thousands of digits: expected 4300 at most"
        ) from error
    except RecursionError:
        raise ConfigError(f"{file}:1: {_TOO_DEEP}") from None


def _line_at(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _refuse_half_characters(document: object, file: str, line: int) -> None:
    """JSON may escape half of a surrogate pair, which is no character and cannot be printed."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ConfigError(
            f"{file}:{line}: {json.dumps(half)} is half of a character: expected both halves"
        ) from None


def dotted(path: KeyPath) -> str:
    """A path as TOML would write it: ``cameras.door.uri``, ``apps.people.cameras[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            part = part if len(part) <= _SHOWN_CHARACTERS else part[: _SHOWN_CHARACTERS - 1] + "…"
            bare = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
            text += f".{bare}" if text else bare
    return text


def shown(value: object) -> str:
    """A value as TOML would write it, without credentials, cut where it is long."""
    if isinstance(value, dict):
        text = "a table"
    else:
        text = redact(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean "queue"?``, or the words there are."""
    words = list(known)
    close = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {json.dumps(close[0])}?"
    return f"expected one of {', '.join(words)}" if words else "expected none"


def _syntax_mistake(file: str, message: str, text: str) -> str:
    place = _SYNTAX_PLACE.search(message)
    if place is None:  # "(at end of document)"
        what = message.replace("(at end of document)", "at the end of the document")
        return f"{file}:{text.count(chr(10)) + 1}: not TOML: {what[:1].lower()}{what[1:]}"
    line = int(place[1])
    what = message[: place.start()]
    lines = text.splitlines()
    source = redact(lines[line - 1].strip())[:_SHOWN_CHARACTERS] if line <= len(lines) else ""
    return f"{file}:{line}: not TOML: {what[:1].lower()}{what[1:]}, in: {source}"


class _Builder:
    def __init__(
        self, mistakes: Mistakes, dec_hook: Callable[[type[Any], Any], Any] | None
    ) -> None:
        self._mistakes = mistakes
        self._dec_hook = dec_hook

    def build(self, value: object, kind: Any, path: KeyPath) -> Any:
        kind = _table_kind(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(value, kind, path)
        if get_origin(kind) is dict and _has_places(get_args(kind)[1]):
            return self._tables(value, kind, path)
        if get_origin(kind) is tuple and _is_struct(get_args(kind)[0]):
            return self._array(value, kind, path)
        try:
            return msgspec.convert(value, kind, dec_hook=self._dec_hook)
        except msgspec.ValidationError as error:
            self._invalid(value, kind, path, str(error))
        return None

    def _struct(self, value: object, kind: type[msgspec.Struct], path: KeyPath) -> Any:
        if not isinstance(value, dict):
            self._mistakes.add_value(path, value, f"a table, [{dotted(path)}]")
            return None
        fields = _fields(kind)
        for key in [key for key in value if key not in fields]:
            unknown = (*path, key)
            what = f"unknown key {dotted(unknown)} = {shown(value[key])}"
            if isinstance(value[key], dict):
                what = f"unknown table [{dotted(unknown)}]"
            self._mistakes.add(unknown, f"{what}: {nearest(key, fields)}")
        built = {}
        complete = True
        for key, field in fields.items():
            if key in value:
                built[field.name] = self.build(value[key], field.type, (*path, key))
            elif field.required:
                table = f"[{dotted(path)}]" if path else "the file"
                expected = _description(field.type) or "a value"
                self._mistakes.add(path, f"{table} has no {key}: expected {expected}")
                complete = False
        return kind(**built) if complete else None

    def _tables(self, value: object, kind: Any, path: KeyPath) -> Any:
        name_kind, table_kind = get_args(kind)
        if not isinstance(value, dict):
            self._mistakes.add_value(path, value, f"tables, [{dotted(path)}.NAME]")
            return None
        built = {}
        for name, table in value.items():
            inner = (*path, name)
            try:
                msgspec.convert(name, name_kind)
            except msgspec.ValidationError:
                expected = _description(name_kind) or "another name"
                self._mistakes.add(inner, f"the name in [{dotted(inner)}]: expected {expected}")
            built[name] = self.build(table, table_kind, inner)
        return built

    def _array(self, value: object, kind: Any, path: KeyPath) -> Any:
        if not isinstance(value, list):
            self._mistakes.add_value(path, value, f"an array of tables, [[{dotted(path)}]]")
            return None
        inner = get_args(kind)[0]
        return tuple(self.build(entry, inner, (*path, i)) for i, entry in enumerate(value))

    def _invalid(self, value: object, kind: Any, path: KeyPath, message: str) -> None:
        inner = _INNER_PLACE.search(message)
        expected = _description(kind)
        if inner is not None:
            message = message[: inner.start()]
            for index in _INDEX.findall(inner["path"]):
                path = (*path, int(index))
                value = value[int(index)] if isinstance(value, list) else value
                expected = _description(_element_kind(kind)) or expected
        message = message.removeprefix("Expected ").removeprefix("expected ").replace("`", "")
        self._mistakes.add_value(path, value, expected or message)


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _has_places(kind: Any) -> bool:
    """Whether each value of a dict is built by itself, so that a mistake in it has its place."""
    return _is_struct(kind) or get_origin(kind) is Annotated


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _table_kind(kind: Any) -> Any:
    """*kind*, or the struct in it where it is a struct or None."""
    structs = [part for part in get_args(kind) if _is_struct(part)]
    is_optional = len(structs) == 1 and set(get_args(kind)) == {structs[0], type(None)}
    return structs[0] if is_optional else kind


def _description(kind: Any) -> str | None:
    """The description in the Meta of *kind*, or of what is optional in it."""
    if get_origin(kind) is Annotated:
        for note in get_args(kind)[1:]:
            if isinstance(note, msgspec.Meta) and note.description:
                return note.description
        return _description(get_args(kind)[0])
    for part in get_args(kind) if get_origin(kind) not in (tuple, list, dict) else ():
        if found := _description(part):
            return found
    return None


def _element_kind(kind: Any) -> Any:
    """What a list's elements are, of ``tuple[X, ...]``, annotated or optional."""
    if get_origin(kind) in (tuple, list):
        return get_args(kind)[0]
    for part in get_args(kind):
        if get_args(part):
            return _element_kind(part)
    return kind
