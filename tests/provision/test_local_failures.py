"""Agents of this machine that end as they start: their last words are told, and one waits."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from edgesdk.errors import ProviderError
from edgesdk.provision import local
from edgesdk.provision.local import LocalProcesses
from edgesdk.provision.patience import Patience
from edgesdk.provision.provider import Host


def gone(source: LocalProcesses, name: str) -> Host:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        if (host := source.hosts()[name]).state == "gone":
            return host
        time.sleep(0.05)  # between two looks at a process; nothing rings for its end here
    raise AssertionError(f"{name} is still {host.state}")


def test_an_agent_that_ends_as_it_starts_is_told_with_its_last_words_and_tried_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(local, "_free_port", lambda: port)
        now = [0.0]
        patience = Patience(lambda: now[0])
        source = LocalProcesses(tmp_path, {"box": 5}, patience=patience)
        try:
            first = gone(source, source.start("box"))
            assert "its process ended with code " in first.reason
            assert str(port) in first.reason  # why, in the agent's own words
            with pytest.raises(ProviderError, match="end before they answer"):
                source.start("box")
            now[0] += 1.05  # the first wait is a second
            gone(source, source.start("box"))
            now[0] += 1.05  # the second is longer
            with pytest.raises(ProviderError, match="end before they answer"):
                source.start("box")
        finally:
            source.close()
