"""The line on which each key of a JSON document stands, for error messages."""

from __future__ import annotations

import json
import re

from edgesdk.toml.lines import KeyPath

__all__ = ["DuplicateKey", "locate_json"]

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_SCALAR = re.compile(r"[^,\]} \t\r\n]+")


class DuplicateKey(ValueError):
    """A key that stands twice in one object: *path*, and the *line* of the second."""

    def __init__(self, path: KeyPath, line: int) -> None:
        super().__init__(path, line)
        self.path, self.line = path, line


def locate_json(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every key and element of *text*, which must be valid JSON.

    Elements of arrays are numbered from 0 in the path. Raises DuplicateKey for the first key that
    stands twice in one object, of which the parser would keep the last without a word.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted_to = 0
        self._lines: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        self._skip(_SPACE)
        self._value(())
        return self._lines

    def _value(self, path: KeyPath) -> None:
        opening = self._text[self._at]
        if opening == "{":
            self._inside(path, "}", keyed=True)
        elif opening == "[":
            self._inside(path, "]", keyed=False)
        elif opening == '"':
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _inside(self, path: KeyPath, closing: str, *, keyed: bool) -> None:
        self._at += 1
        self._skip(_SPACE)
        index = 0
        while self._text[self._at] != closing:
            line = self._here()
            part: str | int = index
            if keyed:
                start = self._at
                self._skip(_STRING)
                part = json.loads(self._text[start : self._at])
                self._skip(_SPACE)
                self._at += 1  # the colon
                self._skip(_SPACE)
            inner = (*path, part)
            if inner in self._lines:
                raise DuplicateKey(inner, line)
            self._lines[inner] = line
            self._value(inner)
            index += 1
            self._skip(_SPACE)
            if self._text[self._at] == ",":
                self._at += 1
                self._skip(_SPACE)
        self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        assert found is not None, "text that is not JSON"
        self._at = found.end()

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line
