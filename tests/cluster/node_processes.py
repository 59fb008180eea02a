"""Nodes as real processes, for tests that kill, freeze and cut them off."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["NodeProcess"]

_PROGRAM = Path(__file__).with_name("node_process.py")


class NodeProcess:
    """A running ``node_process.py``; *events* are the arrays it has printed, times taken off."""

    def __init__(
        self,
        bundle: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        *seeds: str,
        inside: Callable[[Sequence[str]], list[str]] = list,
    ) -> None:
        self.events: list[list[Any]] = []
        self.moments: list[float] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.started = time.monotonic()
        words = [sys.executable, str(_PROGRAM), str(bundle), host, str(port), *seeds]
        self.process = subprocess.Popen(
            inside(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.host, self.port = host, int(self.wait("listening")[1])

    @property
    def seed(self) -> str:
        return f"{self.host}:{self.port}"

    def wait(self, *words: Any, seconds: float = 10, times: int = 1) -> list[Any]:
        """The event that starts with *words* for the *times*-th time."""
        deadline = time.monotonic() + seconds
        while True:
            found = [event for event in self.events if event[: len(words)] == list(words)]
            if len(found) >= times:
                return found[times - 1]
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {words} within {seconds} s: {self.events}")
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                continue
            *event, moment = json.loads(line)
            self.events.append(event)
            self.moments.append(moment)

    def moment(self, *words: Any) -> float:
        """When (CLOCK_MONOTONIC, seconds) the first event that starts with *words* happened."""
        return self.moments[self.events.index(self.wait(*words))]

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
