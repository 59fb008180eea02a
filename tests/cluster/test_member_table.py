"""What the operator reads of a cluster, in a terminal of common width."""

from __future__ import annotations

import pytest
from rich.console import Console, RenderableType

from edgesdk.cli.member_table import members_table
from edgesdk.cluster.status import GroupCounts, MemberStatus, SilentMember

REASON = (
    "10.0.0.6:7440: the peer's certificate has expired by this machine's clock (edgesdk cluster "
    "rotate renews it; timedatectl shows the clock)"
)


def member(node: str) -> MemberStatus:
    return MemberStatus(
        node=node,
        number=2,
        version="1",
        cluster="c",
        address="10.0.0.2:7440",
        seconds=1.0,
        certificate_expires="2027-01-01",
        groups=GroupCounts(kept=12345, offloaded=23456, received=34567, dropped=45678),
        residents=["person-ssdlite", "objects-ssd"],
        loading=["face-blazeface"],
        goodput=0.987,
    )


def shown(width: int, table: RenderableType) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_nothing_of_a_member_is_cut_off_however_narrow_the_terminal(width: int) -> None:
    notes = {"crossing": "SPIKE, pid 4711"}
    text = shown(width, members_table([member("crossing"), member("hall")], notes=notes))
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for words in ("12345", "23456", "34567", "45678", "98.7%", "person-ssdlite", "objects-ssd"):
        assert text.count(words) == 2, words
    assert text.count("(face-blazeface)") == 2
    assert "SPIKE, pid 4711" in " ".join(text.split())


def test_a_silent_members_reason_takes_no_room_from_the_others_figures() -> None:
    lost = SilentMember(node="yard", number=3, address="10.0.0.6:7440", reason=REASON)
    text = shown(110, members_table([member("hall")], [lost]))
    assert "98.7%" in text
    assert f"yard is silent: {REASON}" in " ".join(text.split())
