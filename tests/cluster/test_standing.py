"""A node says in its own log why its cluster will refuse it, or does."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.standing import Standing

DAY = timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "operator", "tests")


def test_a_certificate_that_ends_is_told_before_and_when_it_does(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Identity.load(authority.add("cam1", days=365).bundle)
    standing = Standing(identity)
    for left, told in ((31 * DAY, 0), (29 * DAY, 1), (DAY, 1), (-DAY, 2), (-2 * DAY, 2)):
        standing.look(identity.expires - left)
        assert len(caplog.records) == told, left
    assert "edgesdk cluster rotate cam1" in caplog.messages[0]
    assert "expired at" in caplog.messages[1]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_removed_node_is_told_so_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Identity.load(authority.add("cam1").bundle)
    standing = Standing(identity)
    standing.look()
    assert caplog.messages == []
    authority.remove("cam1")
    identity.revocations.offer(authority.revoked_der)
    standing.look()
    standing.look()
    assert len(caplog.messages) == 1
    assert "cam1 was removed from the cluster" in caplog.messages[0]
