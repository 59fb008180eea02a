"""Both ends of data planes: peers in processes of their own, and calls that can be waited for."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgesdk.cluster.data import DataPlane, Delivery, Failure, GroupHeader, Picture, Reply
from edgesdk.cluster.identity import Identity

SECOND = 1_000_000_000


@dataclass(frozen=True)
class There:
    """Where a node is said to be."""

    node_id: str
    data_address: tuple[str, int]


class PeerProcess:
    """``data_peer.py`` in a process; what it prints can be waited for."""

    def __init__(self, bundle: Path, port: int = 0) -> None:
        script = Path(__file__).with_name("data_peer.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(bundle), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.node_id = bundle.stem
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.port = int(self.line("port ").split()[1])

    @property
    def there(self) -> There:
        return There(self.node_id, ("127.0.0.1", self.port))

    def line(self, start: str, seconds: float = 10) -> str:
        """The next line that begins with *start*; those before it are skipped."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.001, deadline - time.monotonic()))
            if line.startswith(start):
                return line

    def lines(self) -> list[str]:
        """What is there already."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._lines.get_nowait())
        return found

    def count(self) -> dict[str, Any]:
        self.tell("count")
        return json.loads(self.line("{"))

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())


class Call:
    """A delivery, its outcomes (there must be one), and how long it took."""

    def __init__(
        self,
        plane: DataPlane,
        to: There,
        payload: bytes = b"echo",
        *,
        seconds: float = 5.0,
        token: bytes = b"",
        number: int = 1,
    ) -> None:
        self.outcomes: list[Reply | Failure] = []
        self._ended = threading.Event()
        self._begun = time.monotonic()
        self.seconds = 0.0
        header = GroupHeader(number, 5, 0, "raw", (Picture(1, 1, 0, len(payload)),), b"reading")
        self.delivery: Delivery = plane.deliver(
            to,
            token or os.urandom(16),
            header,
            [payload],
            time_left_ns=int(seconds * SECOND),
            done=self._done,
        )
        self.handing_over = time.monotonic() - self._begun

    def _done(self, outcome: Reply | Failure) -> None:
        self.seconds = time.monotonic() - self._begun
        self.outcomes.append(outcome)
        self._ended.set()

    def result(self, seconds: float = 10) -> Reply | Failure:
        assert self._ended.wait(seconds), "the call did not end"
        return self.outcomes[0]

    def reply(self) -> Reply:
        found = self.result()
        assert isinstance(found, Reply), found
        return found

    def failure(self) -> Failure:
        found = self.result()
        assert isinstance(found, Failure), found
        return found


@pytest.fixture
def start_peer(cluster: Any) -> Iterator[Callable[..., PeerProcess]]:
    with contextlib.ExitStack() as stack:

        def start(index: int, port: int = 0) -> PeerProcess:
            peer = PeerProcess(cluster.bundle(index), port)
            stack.callback(peer.close)
            return peer

        yield start


@pytest.fixture
def start_plane() -> Iterator[Callable[..., DataPlane]]:
    with contextlib.ExitStack() as stack:

        def start(
            identity: Identity, arrived: Any = None, listen: tuple[str, int] = ("127.0.0.1", 0)
        ) -> DataPlane:
            plane = DataPlane(identity, listen, arrived=arrived or (lambda a: None))
            stack.callback(plane.close)
            plane.start()
            return plane

        yield start


@pytest.fixture
def plane(cluster: Any, start_plane: Callable[..., DataPlane]) -> DataPlane:
    """The data plane of node-1, which delivers."""
    return start_plane(cluster.identity(1))


def until(condition: Callable[[], Any], seconds: float = 5) -> Any:
    """What *condition* gives once it is true."""
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        tick.wait(0.005)
    return found
