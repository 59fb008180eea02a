"""Hides the user names, passwords and tokens of a source in any text, also in FFmpeg's."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from urllib.parse import quote, unquote

__all__ = ["Concealer"]

MASK = "***"

# Up to the last @: a password may hold a '/' or '?' that its owner did not escape.
_USERINFO = re.compile(r"(?<=://)[^\s\"'<>]*@")
_TELLTALE = (
    r"(?:[a-z0-9]+[_.-])?(?:user|username|usr|login|loginuse|loginpas|pass|passwd|password|pwd|pw"
    r"|token|auth|key|apikey|secret|signature|credentials?)(?:[_.-][a-z0-9]+)?"
)
_QUERY = re.compile(rf"(?i)(?<=[?&;])({_TELLTALE})=([^&\s\"'#;]*)")
_PROPERTY = re.compile(rf"(?i)(?<![\w?&;-])({_TELLTALE})\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s!\"']+)")


class Concealer:
    """Callable: text in, the same text without the secrets of one location out. Thread-safe.

    Known secrets are replaced literally, as written, percent-encoded and decoded, and as HTTP
    Basic credentials; besides, whatever stands before an ``@`` in any URL, and the value of any
    query key that looks like a credential.
    """

    def __init__(self, location: str) -> None:
        forms: set[str] = set()
        for secret in _secrets(location):
            forms |= {secret, unquote(secret), quote(unquote(secret), safe="")}
        for pair in _pairs(location):
            forms.add(base64.b64encode(unquote(pair).encode()).decode())
        # A short one is replaced where it stands alone: a user called "me" shall not blank out
        # half of every message.
        self._literals = re.compile(
            "|".join(
                re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)"
                for form in sorted(forms, key=len, reverse=True)
                if form and form != MASK
            )
            or "(?!)"
        )

    @staticmethod
    @lru_cache(maxsize=64)
    def of(location: str) -> Concealer:
        return Concealer(location)

    def __call__(self, text: str) -> str:
        text = _USERINFO.sub(MASK + "@", text)
        text = _QUERY.sub(rf"\1={MASK}", text)
        text = _PROPERTY.sub(rf"\1={MASK}", text)
        return self._literals.sub(MASK, text)


def _secrets(location: str) -> set[str]:
    found = {value for _, value in _QUERY.findall(location)}
    found |= {value.strip("\"'") for _, value in _PROPERTY.findall(location)}
    for pair in _pairs(location):
        found |= set(pair.split(":", 1))
    return found


def _pairs(location: str) -> set[str]:
    return {match[:-1] for match in _USERINFO.findall(location)}
