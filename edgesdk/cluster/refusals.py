"""Why a handshake failed, in words: OpenSSL's verification codes, the other side's alerts."""

from __future__ import annotations

from collections.abc import Sequence

from edgesdk.errors import PeerError

__all__ = ["alert_cause", "verify_cause"]

_NOT_YET, _EXPIRED, _REVOKED = 9, 10, 23
_LIST_NOT_YET, _LIST_EXPIRED = 11, 12
_ANOTHER = {2, 7, 18, 19, 20, 21, 24, 26, 27, 28, 29, 30}


def verify_cause(code: int) -> PeerError:
    """The refusal for OpenSSL's X509_V_ERR *code*, met when this side looked at the peer."""
    if code == _EXPIRED:
        return PeerError(
            "the peer's certificate has expired by this machine's clock (edgesdk cluster rotate "
            "renews it; timedatectl shows the clock)",
            cause="expired",
        )
    if code == _NOT_YET:
        return PeerError(
            "the peer's certificate is not valid yet by this machine's clock: one of the two "
            "clocks is wrong (timedatectl shows it)",
            cause="clock",
        )
    if code in (_LIST_NOT_YET, _LIST_EXPIRED):
        return PeerError(
            "the cluster's revocation list is not of this machine's time: its clock is wrong "
            "(timedatectl shows it)",
            cause="clock",
        )
    if code == _REVOKED:
        return PeerError("the peer was removed from the cluster (revoked)", cause="removed")
    if code in _ANOTHER:
        return PeerError("the peer has a certificate of another cluster", cause="another cluster")
    return PeerError(f"the peer's certificate is not acceptable (OpenSSL {code})", cause="protocol")


def alert_cause(reasons: Sequence[str]) -> PeerError:
    """The refusal for OpenSSL's *reasons*, met when the peer looked at this side."""
    said = " ".join(reasons).lower().replace("_", " ")
    if "unknown ca" in said:
        return PeerError(
            "the peer refuses this certificate: it is of another cluster", cause="another cluster"
        )
    if "certificate revoked" in said:
        return PeerError(
            "the peer refuses this certificate: this node was removed (revoked)", cause="removed"
        )
    if "certificate expired" in said:
        return PeerError(
            "the peer refuses this certificate: by its clock it has expired", cause="expired"
        )
    if "bad certificate" in said:
        return PeerError(
            "the peer refuses this certificate: by its clock it is not valid yet; one of the two "
            "clocks is wrong",
            cause="clock",
        )
    if "alert" in said:
        return PeerError(f"the peer refuses: {' '.join(reasons)}", cause="refused")
    return PeerError(
        f"no edgesdk answers there: {' '.join(reasons) or 'connection broken off'}",
        cause="protocol",
    )
