"""What the operator reads of a cluster, in a terminal of common width."""

from __future__ import annotations

from rich.console import Console

from edgesdk.cli.member_table import members_table
from edgesdk.cluster.status import MemberStatus, SilentMember

REASON = (
    "10.0.0.6:7440: the peer's certificate has expired by this machine's clock (edgesdk cluster "
    "rotate renews it; timedatectl shows the clock)"
)


def test_a_silent_members_reason_takes_no_room_from_the_others_figures() -> None:
    member = MemberStatus(
        node="hall",
        number=2,
        version="1",
        cluster="c",
        address="10.0.0.2:7440",
        seconds=1.0,
        certificate_expires="2027-01-01",
        residents=["person-ssdlite"],
        goodput=0.987,
    )
    lost = SilentMember(node="yard", number=3, address="10.0.0.6:7440", reason=REASON)
    console = Console(width=110, no_color=True)
    with console.capture() as shown:
        console.print(members_table([member], [lost]))
    text = shown.get()
    assert "person-ssdlite" in text
    assert "98.7%" in text
    assert f"yard is silent: {REASON}" in " ".join(text.split())
