"""How soon a member notices what became of its groups: against a peer in another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.balance import CancelDelivery, Deliver
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.member import Member
from edgesdk.config import parse_config
from edgesdk.models import load_card
from edgesdk.runtime import Node
from tests.cluster.agents import APPLICATION, eventually, free_port

ROOT = Path(__file__).parents[2]
MS = 1_000_000

PEER = """
import sys, time
sys.path.insert(0, {root!r})
from edgesdk.cluster.identity import Identity
from tests.cluster.impostor import Impostor
with Impostor(Identity.load({bundle!r}), {model}, [("127.0.0.1", {port})]):
    print("up", flush=True)
    sys.stdin.read()
"""


class Watched(Member):
    """A member that remembers when it decided what."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.decided: list[tuple[int, Any]] = []
        self.failures: list[tuple[int, int]] = []

    def _note(self, action: Any) -> Any:
        self.decided.append((time.monotonic_ns(), action))
        return super()._note(action)

    def failed(self, group: int, why: str) -> None:
        self.failures.append((time.monotonic_ns(), group))
        super().failed(group, why)

    def of(self, kind: type) -> list[tuple[int, Any]]:
        return [(at, action) for at, action in list(self.decided) if isinstance(action, kind)]


@pytest.fixture
def pair(cards: Any, tmp_path: Path) -> Iterator[tuple[Watched, Node, subprocess.Popen[str]]]:
    """A node with a third of the accelerator that it needs, and a peer that promises all and
    answers nothing."""
    authority = Authority.create(tmp_path / "operator")
    bundles = [authority.add(name).bundle for name in ("mine", "other")]
    port = free_port()
    (tmp_path / "app.py").write_text(
        APPLICATION.format(deadline="800ms", card=cards.cells, more="")
    )
    config = parse_config(
        f"""
[node]
name = "mine"
threads = 1
state = "state"
cache = "cache"
[cluster]
bundle = "{bundles[0]}"
listen = "127.0.0.1:{port}"
discovery = false
[cameras.door]
uri = "synthetic:?width=320&height=240&fps=10"
[apps.bright]
app = "app.py:bright"
[emulated]
name = "slow"
[emulated.models.cells]
base = "300ms"
""",
        directory=tmp_path,
    )
    assert config.cluster is not None
    member = Watched(config.cluster, Identity.load(bundles[0]))
    node = Node(config=config, placer=member)
    model = int(load_card(Path(cards.cells)).digest[:16], 16)
    code = PEER.format(root=str(ROOT), bundle=str(bundles[1]), model=model, port=port)
    node.start()
    peer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: member.of(Deliver), "a group goes to the peer")
        yield member, node, peer
    finally:
        peer.kill()
        peer.communicate()
        node.stop()


def test_what_a_killed_peer_had_is_placed_again_within_50_ms(
    pair: tuple[Watched, Node, subprocess.Popen[str]],
) -> None:
    member, node, peer = pair
    sent = member.asking.counts.sent

    def in_flight() -> set[int]:
        asked = list(member.asking._asked.values())
        return {a.group.id for a in asked if a.delivery is not None and a.wanted is not None}

    eventually(lambda: sent and in_flight(), "a group is on its way")
    peer.kill()
    killed_ns = time.monotonic_ns()
    waiting = in_flight()
    eventually(lambda: not (waiting & in_flight()), "all are taken back")
    noticed = [at for at, group in member.failures if group in waiting]
    noticed += [at for at, a in member.of(CancelDelivery) if a.group.id in waiting]
    late_ms = (max(noticed, default=killed_ns) - killed_ns) / MS
    assert late_ms < 50
    eventually(lambda: not member.peers(), "the peer is no member")
    states = node.summary().applications["bright"].cameras["door"].frames
    assert states.failed == 0


def test_what_a_silent_peer_promised_is_placed_again_at_the_promised_end(
    pair: tuple[Watched, Node, subprocess.Popen[str]],
) -> None:
    member, _, _ = pair
    eventually(lambda: member.of(CancelDelivery), "a promise is given up")
    promised = {action.group.id: action.ends_ns for _, action in member.of(Deliver)}
    at, given_up = member.of(CancelDelivery)[0]
    (seen,) = member.seen()[0].values()
    patience_ns = max(20 * MS, 3 * max(seen.srtt_ns, 2 * seen.latency_ns))
    late_ns = at - promised[given_up.group.id]
    assert late_ns > 0
    # Half as much again for a machine that is busy; a node that is late doubts itself once.
    assert late_ns < 2.5 * patience_ns + 20 * MS
