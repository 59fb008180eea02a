"""Where a node may listen: on loopback, but for what the cluster's certificates guard.

Pages, previews and metrics know nobody, so they stay on loopback. The control, administration and
data ports of ``[cluster]`` speak to members only, hence may be anywhere.
"""

from __future__ import annotations

import ipaddress
import re

from edgesdk.errors import UsageError

__all__ = ["LISTEN_FORM", "MEMBER_LISTEN_FORM", "parse_listen", "parse_member_listen"]

LISTEN_FORM = 'a loopback address and a port, such as "127.0.0.1:8080" or "[::1]:8080"'

MEMBER_LISTEN_FORM = (
    'an IPv4 address of this machine (0.0.0.0: all) and a port, such as "0.0.0.0:7440"; nodes talk '
    "over IPv4 only"
)

_FORM = re.compile(r"(?:\[(?P<v6>[^\]\s]+)\]|(?P<host>[^\s:/\[\]]*)):(?P<port>\d{1,5})")


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of *text*; port 0 asks for any free one.

    ``localhost`` is 127.0.0.1, whatever the host's own tables say. Raises UsageError for what is
    no address, and for one that others can reach: without a cluster identity there is nobody a
    node could know them by.
    """
    host, port = _taken_apart(text, LISTEN_FORM)
    if host == "localhost":
        host = "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"cannot listen on {text!r}: expected {LISTEN_FORM}; the web surface has no cluster "
            "identity, and without one nothing listens beyond loopback"
        )
    return host, port


def parse_member_listen(text: str) -> tuple[str, int]:
    """Host and port of *text*, which the cluster's certificates guard: any numeric address.

    Of IPv4: zenoh's TLS takes no address of IPv6. Raises UsageError.
    """
    host, port = _taken_apart(text, MEMBER_LISTEN_FORM)
    if host == "localhost":
        host = "127.0.0.1"
    try:
        return str(ipaddress.IPv4Address(host)), port
    except ValueError:
        raise UsageError(f"cannot listen on {text!r}: expected {MEMBER_LISTEN_FORM}") from None


def _taken_apart(text: str, form: str) -> tuple[str, int]:
    found = _FORM.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise UsageError(f"cannot listen on {text!r}: expected {form}")
    return found["v6"] or found["host"], int(found["port"])
