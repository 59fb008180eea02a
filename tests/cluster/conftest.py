"""A throwaway cluster: a CA and bundles in a few milliseconds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.certificates import make_revocation_list
from edgesdk.cluster.control import Control, Hello, Limits, Peer
from edgesdk.cluster.identity import Identity
from tests.cluster.data_planes import plane, start_peer, start_plane

__all__ = ["plane", "start_peer", "start_plane"]  # fixtures of the data plane's tests


class Cluster:
    """The operator's folder of a new cluster; ``bundle(i)`` and ``identity(i)`` are of node-i."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create(folder)
        self.folder = folder

    def bundle(self, index: int, **options: Any) -> Path:
        path = self.folder / f"node-{index}.bundle"
        if not path.exists():
            self.authority.add(f"node-{index}", **options)
        return path

    def identity(self, index: int) -> Identity:
        return Identity.load(self.bundle(index))

    def list_of(self, serials: Iterable[int], number: int) -> bytes:
        """A revocation list that the CA has signed, in DER."""
        key = load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        ca = load_pem_x509_certificate((self.folder / "ca.pem").read_bytes())
        now = datetime.now(timezone.utc)
        assert isinstance(key, EllipticCurvePrivateKey)
        made = make_revocation_list(dict.fromkeys(serials, now), number, ca, key, now)
        return made.public_bytes(Encoding.DER)

    def operator(self) -> Identity:
        return Identity.load(self.authority.operator_bundle)


class Station:
    """A control plane that remembers what it was told."""

    def __init__(self, identity: Identity, listen: tuple[str, int], limits: Limits | None) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.joined: list[Peer] = []
        self.left: list[tuple[str, str]] = []
        self.late: list[int] = []
        self.changed = threading.Condition()
        self.control = Control(
            identity,
            listen,
            hello=Hello("hall", 7441, "0.1.0"),
            received=lambda peer, data: self._note(self.said, (peer.node_id, data)),
            joined=lambda peer: self._note(self.joined, peer),
            left=lambda peer, reason: self._note(self.left, (peer.node_id, reason)),
            timer=self._timer,
            limits=limits,
        )
        self.control.start()

    @property
    def address(self) -> tuple[str, int]:
        return self.control.address

    def _note(self, where: list[Any], what: Any) -> None:
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def _timer(self, now_ns: int, late_ns: int) -> None:
        self._note(self.late, late_ns)

    def wait(self, condition: Callable[[], Any], seconds: float = 5) -> Any:
        """What *condition* gives once it is true; fails after *seconds*."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (found := condition()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"not within {seconds} s; joined {self.joined}, left {self.left}, "
                        f"{self.control.failures()}, {self.control.counters()}"
                    )
                self.changed.wait(min(left, 0.02))
        return found

    def names(self) -> set[str]:
        return {peer.node_id for peer in self.control.peers()}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


@pytest.fixture
def station() -> Iterator[Callable[..., Station]]:
    with contextlib.ExitStack() as stack:

        def start(
            identity: Identity,
            listen: tuple[str, int] = ("127.0.0.1", 0),
            limits: Limits | None = None,
        ) -> Station:
            made = Station(identity, listen, limits)
            stack.callback(made.control.close)
            return made

        yield start
