"""Where the web surface may listen: on loopback, as long as the node has no cluster identity."""

from __future__ import annotations

import ipaddress
import re

from edgesdk.errors import UsageError

__all__ = ["LISTEN_FORM", "parse_listen"]

LISTEN_FORM = 'a loopback address and a port, such as "127.0.0.1:8080" or "[::1]:8080"'

_FORM = re.compile(r"(?:\[(?P<v6>[^\]\s]+)\]|(?P<host>[^\s:/\[\]]*)):(?P<port>\d{1,5})")


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of *text*; port 0 asks for any free one.

    ``localhost`` is 127.0.0.1, whatever the host's own tables say. Raises UsageError for what is
    no address, and for one that others can reach: without a cluster identity there is nobody a
    node could know them by.
    """
    found = _FORM.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise UsageError(f"cannot listen on {text!r}: expected {LISTEN_FORM}")
    host = found["v6"] or found["host"]
    if host == "localhost":
        host = "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"cannot listen on {text!r}: expected {LISTEN_FORM}; this node has no cluster "
            "identity, and without one nothing listens beyond loopback"
        )
    return host, int(found["port"])
