"""Opening and closing zenoh sessions as a cluster needs them: mutual TLS, no scouting, ACL closed.

An open session cannot be given another endpoint, so there is one listener a node and one client
session a peer. A listener lets in queries and lets out replies and the news of its own queryables,
nothing else: without that any member could declare a queryable on another's listener and answer, or
read, the queries that are meant for it.
"""

from __future__ import annotations

import base64
import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgesdk.cluster.groups import MAX_GROUP_BYTES, MAX_HEADER_BYTES
from edgesdk.errors import EdgeError

if TYPE_CHECKING:
    import zenoh

    from edgesdk.cluster.identity import Identity

__all__ = ["KEYS", "close", "open_listener", "open_session", "peer_of"]

KEYS = "edge"
_LISTENER_SESSIONS = 256
# A silent link is given up after this, and opened anew by the next call; a call in flight ends by
# its own time left. Each open session costs 150 bytes a second of keep-alives.
_LEASE_MS = 4000
# Above the kernel's send buffer zenoh's priorities hold, within it nothing overtakes.
_SEND_BUFFER = 128 << 10


_open: dict[int, zenoh.Session] = {}
_lock = threading.Lock()
_registered = False


def open_listener(identity: Identity, host: str, port: int) -> zenoh.Session:
    """A session that members may send queries to, below :data:`KEYS`.

    :raises EdgeError: the address is taken, or is not this machine's.
    """
    settings = _settings(identity, "peer")
    settings["listen"] = {"endpoints": [_endpoint(host, port)], "exit_on_failure": True}
    everyone = {"id": "members"}
    rules = [
        _rule("in", "ingress", ["query"]),
        _rule("out", "egress", ["reply", "declare_queryable"]),
    ]
    settings["access_control"] = {
        "enabled": True,
        "default_permission": "deny",
        "rules": rules,
        "subjects": [everyone],
        "policies": [{"rules": ["in", "out"], "subjects": ["members"]}],
    }
    settings["low_pass_filter"] = [
        {
            "flows": ["ingress"],
            "messages": ["query"],
            "key_exprs": ["**"],
            "size_limit": MAX_GROUP_BYTES + MAX_HEADER_BYTES,
        }
    ]
    try:
        return _opened(settings)
    except Exception as error:
        raise EdgeError(
            f"the data plane cannot listen on {host}:{port}: {_first_line(error)}; is another "
            "agent running, or is the address not this machine's?"
        ) from None


def open_session(
    identity: Identity, host: str, port: int, source: str | None = None
) -> zenoh.Session:
    """A client session to the listener at an address: one attempt, which takes 3 to 10 ms.

    source: the address of this machine's that it comes from, where that is not the kernel's choice.

    It never reconnects by itself: whoever answers next at that address may be another node.

    :raises EdgeError: there is none, or TLS failed; zenoh does not tell which.
    """
    if ":" in host:
        raise EdgeError(f"{host}: zenoh's TLS connects to IPv4 only; give that node one")
    settings = _settings(identity, "client")
    settings["connect"] = {
        "endpoints": [_endpoint(host, port) + (f"#bind={_pair(source, 0)}" if source else "")],
        "timeout_ms": 0,
        "exit_on_failure": True,
        "retry": {"period_init_ms": 3_600_000, "period_max_ms": 3_600_000},
    }
    try:
        return _opened(settings)
    except Exception as error:
        raise EdgeError(f"no session with {host}:{port}: {_first_line(error)}") from None


def peer_of(session: zenoh.Session) -> str | None:
    """The CN of the certificate at the other end of a client session; None: the link is gone."""
    for link in session.info.links():
        return str(link.auth_identifier or "")
    return None


def close(session: Any) -> None:
    """Closes a session; never raises. Not from a callback of that session: it would wait for it."""
    with suppress(Exception):
        session.close()
    with _lock:
        _open.pop(id(session), None)


def _opened(settings: dict[str, Any]) -> zenoh.Session:
    import zenoh

    _register()
    session = zenoh.open(zenoh.Config.from_json5(json.dumps(settings)))
    with _lock:
        _open[id(session)] = session
    return session


def _register() -> None:
    """The interpreter hangs at its end while a session is open, and ``atexit`` comes too late."""
    global _registered
    with _lock:
        if _registered:
            return
        _registered = True
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with suppress(RuntimeError):  # the interpreter is going down already
            register(_close_all)


def _close_all() -> None:
    with _lock:
        sessions = list(_open.values())
    for session in sessions:
        close(session)


def _rule(name: str, flow: str, messages: list[str]) -> dict[str, Any]:
    return {
        "id": name,
        "permission": "allow",
        "flows": [flow],
        "messages": messages,
        "key_exprs": [f"{KEYS}/**"],
    }


def _settings(identity: Identity, mode: str) -> dict[str, Any]:
    def inline(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    certificate, key = inline(identity.certificate_pem), inline(identity.key_pem)
    return {
        "mode": mode,
        "scouting": {"multicast": {"enabled": False}, "gossip": {"enabled": False}},
        "adminspace": {"enabled": False},
        "timestamping": {"enabled": False},
        "listen": {"endpoints": []},
        "transport": {
            "shared_memory": {"enabled": False},
            "unicast": {
                "open_timeout": 1000,
                "accept_timeout": 2000,
                "accept_pending": 32,
                "max_sessions": _LISTENER_SESSIONS,
            },
            "link": {
                "protocols": ["tls"],
                "tcp": {"so_sndbuf": _SEND_BUFFER},
                "tx": {"lease": _LEASE_MS, "keep_alive": 4},
                "rx": {"max_message_size": MAX_GROUP_BYTES + (1 << 20)},
                "tls": {
                    "root_ca_certificate_base64": inline(identity.authority_pem),
                    "enable_mtls": True,
                    # Addresses change (DHCP): the certificate's CN is compared instead.
                    "verify_name_on_connect": False,
                    "close_link_on_expiration": True,
                    "listen_certificate_base64": certificate,
                    "listen_private_key_base64": key,
                    "connect_certificate_base64": certificate,
                    "connect_private_key_base64": key,
                },
            },
        },
    }


def _endpoint(host: str, port: int) -> str:
    return f"tls/{_pair(host, port)}"


def _pair(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _first_line(error: Exception) -> str:
    return str(error).partition("  at ")[0].partition("\n")[0][:300]
