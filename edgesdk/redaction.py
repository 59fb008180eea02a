"""Credentials out of whatever is shown: logs, errors, results, counters, process titles.

One function, :func:`redact`, for URIs and for free text that may contain them (a library's error
message, a GStreamer pipeline, a header). It errs towards hiding: where it cannot tell a password
from a path, the path is hidden too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

__all__ = ["HIDDEN", "credentials", "redact"]

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
_QUOTED_OR_BARE = r"(?:\"[^\"]*\"|'[^']*'|[^\s&;,\"'<>]+)"
_ASSIGNMENT = re.compile(
    rf"(?P<key>(?:\b|(?<=_))(?:[\w.-]*{_SENSITIVE_KEY}[\w.-]*|{_USER_KEY})=|[?&](?:key|sig|pw)=)"
    rf"{_QUOTED_OR_BARE}",
    re.IGNORECASE,
)
_QUOTED_FIELD = re.compile(
    rf"(?P<key>\b[\w.-]*{_SENSITIVE_KEY}[\w.-]*[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*')",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<key>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:basic|bearer|digest)\s+)?[^\r\n\"']+",
    re.IGNORECASE,
)
_SCHEME_TOKEN = re.compile(r"(?P<key>\b(?:basic|bearer)\s+)[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* with user names, passwords and tokens replaced by ``***``.

    Hidden are the user information of every URI, values of query or pipeline keys that name a
    user or a secret, authorization headers, and each of *secrets* literally (what the caller
    knows to be one, see :func:`credentials`). Idempotent, pure, thread-safe, never raises.
    """
    for secret in sorted({s for s in secrets if len(s) >= 3}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _USER_INFO.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _HEADER.sub(rf"\g<key>{HIDDEN}", text)
    text = _SCHEME_TOKEN.sub(rf"\g<key>{HIDDEN}", text)
    text = _QUOTED_FIELD.sub(rf"\g<key>{HIDDEN}", text)
    return _ASSIGNMENT.sub(rf"\g<key>{HIDDEN}", text)


def credentials(uri: str) -> frozenset[str]:
    """The user name and password of *uri* in every spelling a library may echo them.

    Empty where there are none. Give them to :func:`redact` for messages of libraries that print
    a decoded password without its URI.
    """
    found = _USER_INFO.match(uri)
    if found is None:
        return frozenset()
    user_info = found[0][len(found["scheme"]) : -1]
    return frozenset(
        spelling
        for part in (user_info, *user_info.split(":", 1))
        if part
        for spelling in (part, unquote(part), quote(unquote(part), safe=""))
    )
