"""A budget holds over all runs of a manager."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from edgesdk.errors import UsageError
from edgesdk.provision.account import Account


def test_what_an_earlier_manager_spent_is_not_spent_again(tmp_path: Path) -> None:
    first = Account(tmp_path / "account.json", 2.0)
    now = time.monotonic()
    first.rented("a", 1.0, now)
    first.returned("a", now + 60)
    second = Account(tmp_path / "account.json", 2.0)
    second.begin([], ended_with_it=False)
    assert second.committed(time.monotonic()) == pytest.approx(1.0)
    assert second.may_rent(1.0, time.monotonic())
    assert not second.may_rent(1.01, time.monotonic())


def test_a_machine_that_is_still_there_is_paid_for_since_it_was_rented(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    Account(path, 10.0).rented("a", 1.0, time.monotonic() - 2 * 3600 - 60)
    later = Account(path, 10.0)
    later.begin(["a"], ended_with_it=False)
    assert later.knows("a")
    assert later.committed(time.monotonic()) == pytest.approx(3.0)


def test_a_machine_that_is_gone_is_paid_for_until_now_or_as_long_as_its_manager(
    tmp_path: Path,
) -> None:
    path = tmp_path / "account.json"
    Account(path, 10.0).rented("a", 1.0, time.monotonic() - 60)
    kept = json.loads(path.read_bytes())
    for moment in (kept["running"]["a"], kept):
        for name in [name for name in moment if name.endswith("utc_s")]:
            moment[name] -= 4 * 3600
    path.write_text(json.dumps(kept))
    for ended_with_it, due in ((True, 1.0), (False, 5.0)):
        path.write_text(json.dumps(kept))
        account = Account(path, 10.0)
        account.begin([], ended_with_it=ended_with_it)
        assert not account.knows("a")
        assert account.committed(time.monotonic()) == pytest.approx(due)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"schema": 1}',
        b"{" * 100_000,
        b'{"schema":1,"ended_usd":-1,"running":{},"as_of_utc_s":0}',
    ],
)
def test_a_damaged_account_is_refused_and_kept(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "account.json"
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match="remove it to begin a new one"):
        Account(path, 1.0)
    assert path.read_bytes() == damaged


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_rented(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"what (is|was) spent cannot be"):
        Account(tmp_path / "file" / "account.json", 1.0).begin([], ended_with_it=True)
