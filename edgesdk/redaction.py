"""Credentials out of whatever is shown: logs, errors, results, counters, process titles.

One function, :func:`redact`, for URIs and for free text that may contain them (a library's error
message, a GStreamer pipeline, a header). It errs towards hiding: where it cannot tell a password
from a path, the path is hidden too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

__all__ = ["HIDDEN", "credentials", "redact", "redact_url"]

HIDDEN = "***"

# A password may hold what a URI does not allow raw (`@`, `/`, `#`): the user information then ends
# at the last `@` of the word. A colon before the first slash says that there may be a password.
_USER_INFO = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)"
    r"(?:[^\s/?#@]*:[^\s\"'<>]*|[^\s/?#]*)@"
    r"(?=[^\s@])",
    re.IGNORECASE,
)
_SENSITIVE_KEY = r"(?:pass|pwd|passwd|secret|token|api[-_]?key|access[-_]?key|signature|credential)"
_USER_KEY = r"(?:user(?:name|[-_]?id|[-_]?pw)?|usr|login(?:use|pas)?|auth)"
_SHORT_KEY = r"(?:key|sig|pw)"
_QUOTED_OR_BARE = r"(?:\"[^\"]*\"|'[^']*'|[^\s&;,\"'<>]+)"
_ASSIGNMENT = re.compile(
    rf"(?P<key>{_SENSITIVE_KEY}[\w.-]*=|(?:\b|(?<=_)){_USER_KEY}=|[?&]{_SHORT_KEY}=)"
    rf"{_QUOTED_OR_BARE}",
    re.IGNORECASE,
)
_QUOTED_FIELD = re.compile(
    rf"(?P<key>{_SENSITIVE_KEY}[\w.-]*[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*')",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<key>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:basic|bearer|digest)\s+)?[^\r\n\"']+",
    re.IGNORECASE,
)
_SCHEME_TOKEN = re.compile(r"(?P<key>\b(?:basic|bearer)\s+)[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE)

_PATH_TOKEN = re.compile(
    r"(?<!/)/(?=[^/?#]*[0-9])(?=[^/?#]*[A-Za-z])[A-Za-z0-9_~-]{16,}(?=[/?#]|$)"
)

_KEY = rf"(?:[\w.-]*{_SENSITIVE_KEY}[\w.-]*|(?:\w+[-_.])?(?:{_USER_KEY}|{_SHORT_KEY})(?:[-_.]\w+)?)"
_QUERY_VALUE = re.compile(rf"(?<=[?&;]){_KEY}=(?P<value>[^&;#\s\"']+)", re.IGNORECASE)
_PROPERTY_VALUE = re.compile(
    rf"(?<![\w.?&;-]){_KEY}\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s!\"']+)", re.IGNORECASE
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* with user names, passwords and tokens replaced by ``***``.

    Hidden are the user information of every URI, values of query or pipeline keys that name a
    user or a secret, authorization headers, and each of *secrets* literally (what the caller
    knows to be one, see :func:`credentials`). Idempotent, pure, thread-safe, never raises.
    """
    for secret in sorted({s for s in secrets if s not in HIDDEN}, key=len, reverse=True):
        # A short one where it stands alone: a user called "me" shall not blank out half of every
        # message.
        alone = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(alone, HIDDEN, text)
    text = _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _HEADER.sub(rf"\g<key>{HIDDEN}", text)
    text = _SCHEME_TOKEN.sub(rf"\g<key>{HIDDEN}", text)
    text = _QUOTED_FIELD.sub(rf"\g<key>{HIDDEN}", text)
    return _ASSIGNMENT.sub(rf"\g<key>{HIDDEN}", text)


def redact_url(url: str) -> str:
    """*url* as :func:`redact` gives it, and without tokens in its path, as webhooks have them."""
    return _PATH_TOKEN.sub(f"/{HIDDEN}", redact(url))


def credentials(location: str) -> frozenset[str]:
    """The user names, passwords and tokens of *location* in every spelling a library may echo.

    location: a URI, or a GStreamer pipeline. As written, percent-encoded, decoded, and as HTTP
    Basic has them; empty where there are none. Give them to :func:`redact` for messages of
    libraries that print a decoded password without its URI. Pure, thread-safe, never raises.
    """
    pairs = {found[0][len(found["scheme"]) : -1] for found in _USER_INFO.finditer(location)}
    parts = {part for pair in pairs for part in (pair, *pair.split(":", 1))}
    for pattern in (_QUERY_VALUE, _PROPERTY_VALUE):
        parts |= {found["value"].strip("\"'") for found in pattern.finditer(location)}
    spellings = {
        spelling
        for part in parts
        for spelling in (part, unquote(part), quote(unquote(part), safe="", errors="surrogatepass"))
    }
    spellings |= {
        base64.b64encode(unquote(pair).encode(errors="surrogatepass")).decode() for pair in pairs
    }
    return frozenset(spellings - {""})
