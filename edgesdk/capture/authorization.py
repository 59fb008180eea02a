"""HTTP Basic and Digest (RFC 7617, RFC 7616), the two that cameras ask for."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from urllib.parse import unquote

__all__ = ["Authorization"]

_PARAMETER = re.compile(r'([a-zA-Z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_HASHES = {"md5": hashlib.md5, "sha-256": hashlib.sha256}


class Authorization:
    """Remembers a server's challenge, so that later requests need no second round."""

    def __init__(self, user: str | None, password: str | None) -> None:
        self._user, self._password = unquote(user or ""), unquote(password or "")
        self._challenge: dict[str, str] | None = None
        self._count = 0

    @property
    def possible(self) -> bool:
        return bool(self._user or self._password)

    def learn(self, challenges: list[str]) -> bool:
        """Take the strongest of the server's challenges; False if we can answer none."""
        best: dict[str, str] | None = None
        for text in challenges:
            scheme, _, rest = text.strip().partition(" ")
            found = {key.lower(): a or b for key, a, b in _PARAMETER.findall(rest)}
            found["scheme"] = scheme.lower()
            algorithm = found.get("algorithm", "MD5").lower().removesuffix("-sess")
            if found["scheme"] == "digest" and algorithm in _HASHES and "nonce" in found:
                best = found
                break
            if found["scheme"] == "basic" and best is None:
                best = found
        self._challenge, self._count = best, 0
        return best is not None

    def header(self, method: str, target: str) -> str | None:
        """The Authorization header's value, or None while no challenge was met."""
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge["scheme"] == "basic":
            pair = f"{self._user}:{self._password}".encode()
            return "Basic " + base64.b64encode(pair).decode()
        return self._digest(challenge, method, target)

    def _digest(self, challenge: dict[str, str], method: str, target: str) -> str:
        algorithm = challenge.get("algorithm", "MD5")
        new = _HASHES[algorithm.lower().removesuffix("-sess")]

        def digest(text: str) -> str:
            return new(text.encode()).hexdigest()

        self._count += 1
        realm, nonce = challenge.get("realm", ""), challenge["nonce"]
        count, own = f"{self._count:08x}", os.urandom(8).hex()
        first = digest(f"{self._user}:{realm}:{self._password}")
        if algorithm.lower().endswith("-sess"):
            first = digest(f"{first}:{nonce}:{own}")
        second = digest(f"{method}:{target}")
        fields = {"username": self._user, "realm": realm, "nonce": nonce, "uri": target}
        bare = {"algorithm": algorithm}
        if "auth" in re.split(r"[\s,]+", challenge.get("qop", "")):
            fields["response"] = digest(f"{first}:{nonce}:{count}:{own}:auth:{second}")
            fields["cnonce"] = own
            bare |= {"qop": "auth", "nc": count}
        else:
            fields["response"] = digest(f"{first}:{nonce}:{second}")
        if "opaque" in challenge:
            fields["opaque"] = challenge["opaque"]
        quoted = [f'{key}="{_escaped(value)}"' for key, value in fields.items()]
        return "Digest " + ", ".join(quoted + [f"{key}={value}" for key, value in bare.items()])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
