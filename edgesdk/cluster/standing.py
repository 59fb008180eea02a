"""Whether this node itself still is a member: said in its log before and when it ends."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

from edgesdk.cluster.identity import Identity

__all__ = ["Standing"]

log = logging.getLogger(__name__)

_SOON = timedelta(days=30)


class Standing:
    """One node's own membership. Not thread-safe.

    Its peers name the reason when they refuse it, but a node that nobody dials hears nothing.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._told = ""

    def look(self, now: datetime | None = None) -> None:
        """Logs once, each, that the certificate ends within 30 days, that it has ended, and that
        the node was removed. *now*: default: this machine's clock."""
        now = now or datetime.now(timezone.utc)
        identity = self._identity
        if identity.revocations.revoked(identity.certificate.serial_number):
            state, words = "removed", f"refuses this node: {identity.problem(now)}"
        elif now > identity.expires:
            state, words = "expired", f"refuses this node: {identity.problem(now)}"
        elif identity.expires - now < _SOON:
            state, words = (
                "soon",
                f"will refuse this node from {identity.expires:%Y-%m-%d %H:%M} UTC on: its "
                "certificate ends then; the operator renews it: edgesdk cluster rotate "
                f"{identity.node_id}",
            )
        else:
            state, words = "", ""
        if state and state != self._told:
            log.warning("the cluster %s", words)
        self._told = state
