"""A throwaway cluster: a CA and bundles in a few milliseconds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.control import Control, Hello, Limits, Peer
from edgesdk.cluster.identity import Identity


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
