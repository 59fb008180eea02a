"""A node whose every frame fails does not fill its disk with tracebacks."""

from __future__ import annotations

import logging

import pytest

from edgesdk.runtime.seldom import Seldom

SECOND = 1_000_000_000


def test_of_what_fails_with_every_frame_three_are_told_and_then_one_in_half_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seldom = Seldom(logging.getLogger("edgesdk.test"))
    for frame in range(30 * 61):
        seldom.warn("count failed on door", ValueError("no"), SECOND + frame * SECOND // 30)
    assert len(caplog.records) == 5
    assert "and 899 times" in caplog.messages[3]
    assert all(record.exc_info for record in caplog.records)


def test_what_else_fails_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(logging.getLogger("edgesdk.test"))
    for _ in range(100):
        seldom.warn("count failed on door", ValueError("no"), SECOND)
    seldom.warn("count failed on yard", ValueError("no"), SECOND)
    assert caplog.messages[-1] == "count failed on yard"
