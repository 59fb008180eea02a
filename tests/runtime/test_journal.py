from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgesdk.errors import SinkError
from edgesdk.runtime.journal import Journal, Orphan
from edgesdk.runtime.ledger import Entry

CHANNELS = [("people", "door"), ("cars", "gate")]


def test_entries_that_were_open_are_orphans_of_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path, "run", CHANNELS) as journal:
        first = journal.opened(0, Entry(1, 10, 111, 222, 640, 480))
        journal.opened(1, Entry(2, 11, 112, 223, 320, 240))
        journal.closed(first)
    with Journal(tmp_path, "run", [("other", "door")]) as journal:
        assert journal.orphans == (Orphan("cars", "gate", Entry(2, 11, 112, 223, 320, 240)),)
    with Journal(tmp_path, "run", CHANNELS) as journal:
        assert journal.orphans == ()


def test_incarnations_go_on_where_the_last_run_was(tmp_path: Path) -> None:
    with Journal(tmp_path, "run", CHANNELS) as journal:
        journal.note_incarnation("door", 3)
        journal.note_incarnation("door", 2)
    with Journal(tmp_path, "run", CHANNELS) as journal:
        assert journal.incarnations == {"door": 3}


def test_kill_9_leaves_exactly_the_open_entries(tmp_path: Path) -> None:
    child = (
        "import sys, pathlib\n"
        "from edgesdk.runtime.journal import Journal\n"
        "from edgesdk.runtime.ledger import Entry\n"
        "j = Journal(pathlib.Path(sys.argv[1]), 'run', [('a', 'c')])\n"
        "for i in range(100):\n"
        "    t = j.opened(0, Entry(1, i))\n"
        "    if i % 10: j.closed(t)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", child, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with Journal(tmp_path, "run", [("a", "c")]) as journal:
        assert [o.entry.sequence for o in journal.orphans] == list(range(0, 100, 10))


def test_torn_and_foreign_bytes_are_not_entries(tmp_path: Path) -> None:
    with Journal(tmp_path, "run", CHANNELS) as journal:
        journal.opened(0, Entry(1, 1))
        journal.opened(0, Entry(1, 2))
    path = tmp_path / "run.open"
    data = bytearray(path.read_bytes())
    data[4096 + 8] ^= 0xFF
    path.write_bytes(data)
    with Journal(tmp_path, "run", CHANNELS) as journal:
        assert [o.entry.sequence for o in journal.orphans] == [2]
    path.write_bytes(os.urandom(70_000))
    (tmp_path / "run.names.json").write_bytes(b"{ garbage")
    with Journal(tmp_path, "run", CHANNELS) as journal:
        assert journal.orphans == ()


def test_two_processes_never_share_a_journal(tmp_path: Path) -> None:
    with (
        Journal(tmp_path, "run", CHANNELS),
        pytest.raises(SinkError, match="another process writes these results"),
    ):
        Journal(tmp_path, "run", CHANNELS)


def test_more_open_entries_than_slots_are_forgotten_not_fatal(tmp_path: Path) -> None:
    with Journal(tmp_path, "run", CHANNELS) as journal:
        tokens = [journal.opened(0, Entry(1, i)) for i in range(8193)]
        assert tokens[-1] == -1
        journal.closed(tokens[0])
        assert journal.opened(0, Entry(1, 9000)) >= 0
