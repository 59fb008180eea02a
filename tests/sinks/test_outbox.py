import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgesdk.errors import SinkError
from edgesdk.store.disk_outbox import DiskOutbox
from edgesdk.store.outbox import Limits, MemoryOutbox

LIMITS = Limits(records=1000, bytes=1 << 20)


def ids(outbox) -> list[str]:
    return [entry.id for entry in outbox.peek(10_000, 1 << 30)]


def fill(outbox, first: int, last: int, size: int = 10) -> None:
    for number in range(first, last):
        outbox.put(str(number), "", b"x" * size)


def on_disk(outbox) -> bool:
    return outbox.counts().undurable == 0


@pytest.fixture(params=["memory", "disk"])
def make(request, tmp_path):
    opened = []

    def open_outbox(limits: Limits):
        if request.param == "memory":
            outbox = MemoryOutbox(limits)
        else:
            outbox = DiskOutbox(tmp_path / "box.sqlite", limits)
        opened.append(outbox)
        return outbox

    yield open_outbox
    for outbox in opened:
        outbox.close(5)


def test_records_come_out_in_order_and_go_when_removed(make, eventually):
    outbox = make(LIMITS)
    fill(outbox, 0, 5)
    eventually(lambda: on_disk(outbox))
    taken = outbox.peek(3, 1 << 20)
    assert [entry.id for entry in taken] == ["0", "1", "2"]
    assert outbox.remove([taken[0].sequence, taken[2].sequence]) == 2
    assert outbox.remove([taken[0].sequence]) == 0
    assert ids(outbox) == ["1", "3", "4"]
    assert outbox.counts().pending == 3


def test_a_batch_is_bounded_in_bytes_but_never_empty(make, eventually):
    outbox = make(LIMITS)
    fill(outbox, 0, 5, size=1000)
    eventually(lambda: on_disk(outbox))
    assert len(outbox.peek(10, 2500)) == 2
    assert len(outbox.peek(10, 10)) == 1


@pytest.mark.parametrize(
    ("limits", "size", "kept"),
    [(Limits(records=10, bytes=1 << 20), 10, 10), (Limits(records=1000, bytes=5000), 1000, 5)],
)
def test_beyond_its_bound_the_oldest_are_discarded_and_counted(
    make, eventually, limits, size, kept
):
    outbox = make(limits)
    for number in range(25):
        fill(outbox, number, number + 1, size)
        eventually(lambda: on_disk(outbox))
    assert ids(outbox) == [str(number) for number in range(25 - kept, 25)]
    assert outbox.counts().discarded == 25 - kept
    assert outbox.counts().pending == kept


def test_a_record_above_the_whole_bound_is_discarded_alone(make, eventually):
    outbox = make(Limits(records=10, bytes=100))
    fill(outbox, 0, 1)
    fill(outbox, 1, 2, size=101)
    eventually(lambda: on_disk(outbox))
    assert ids(outbox) == ["0"]
    assert outbox.counts().discarded == 1


def test_what_was_kept_on_disk_is_there_after_a_restart(tmp_path):
    path = tmp_path / "state" / "box.sqlite"
    first = DiskOutbox(path, LIMITS)
    fill(first, 0, 300)
    first.close(5)
    assert path.stat().st_mode & 0o777 == 0o600
    second = DiskOutbox(path, LIMITS)
    fill(second, 300, 301)
    second.close(5)
    third = DiskOutbox(path, LIMITS)
    assert ids(third) == [str(number) for number in range(301)]
    third.close(5)


CHILD = """
import sys
from pathlib import Path
from edgesdk.store.disk_outbox import DiskOutbox
from edgesdk.store.outbox import Limits
outbox = DiskOutbox(Path(sys.argv[1]), Limits())
number = 0
while True:
    for _ in range(50):
        outbox.put(str(number), "", b"x" * 200)
        number += 1
    while outbox.counts().undurable:
        pass
    print(number, flush=True)
"""


def test_what_was_on_disk_survives_kill_9_in_mid_write(tmp_path):
    path = tmp_path / "box.sqlite"
    promised = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(4):
            promised_now = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        said = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        promised += int(said[-1]) if said else promised_now
    outbox = DiskOutbox(path, Limits())
    assert outbox.counts().error is None
    found = outbox.peek(10**6, 1 << 30)
    outbox.close(5)
    assert promised <= len(found) <= promised + 3 * 50
    assert all(len(entry.payload) == 200 for entry in found)


def test_a_second_agent_is_told_that_the_outbox_is_taken(tmp_path):
    path = tmp_path / "box.sqlite"
    first = DiskOutbox(path, LIMITS)
    with pytest.raises(SinkError, match="used by another agent"):
        DiskOutbox(path, LIMITS)
    first.close(5)
    DiskOutbox(path, LIMITS).close(5)


def test_a_file_that_is_no_database_is_set_aside_and_said_so(tmp_path, eventually):
    path = tmp_path / "box.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    notes = []
    outbox = DiskOutbox(path, LIMITS, on_note=notes.append)
    fill(outbox, 0, 3)
    eventually(lambda: on_disk(outbox) and outbox.counts().error is None)
    assert ids(outbox) == ["0", "1", "2"]
    outbox.close(5)
    assert any("set aside" in note for note in notes)
    assert len(list(tmp_path.glob("box.sqlite.broken-*"))) == 1


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="state folder"):
        DiskOutbox(tmp_path / "file" / "box.sqlite", LIMITS)


def test_a_full_disk_is_visible_and_records_go_on_from_memory(small_disk: Path, eventually):
    outbox = DiskOutbox(small_disk / "box.sqlite", Limits(records=10_000, bytes=64 << 20))
    fill(outbox, 0, 100, size=1000)
    eventually(lambda: on_disk(outbox))
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(b"x" * (2 << 20))
    fill(outbox, 100, 200, size=1000)
    eventually(lambda: outbox.counts().error is not None)
    assert "full" in outbox.counts().error
    assert outbox.counts().undurable > 0
    assert ids(outbox) == [str(number) for number in range(200)]
    gone = [entry.sequence for entry in outbox.peek(150, 1 << 30)]
    assert outbox.remove(gone) == 150
    assert ids(outbox) == [str(number) for number in range(150, 200)]
    ballast.unlink()
    eventually(lambda: on_disk(outbox) and outbox.counts().error is None)
    outbox.close(5)
    again = DiskOutbox(small_disk / "box.sqlite", Limits())
    assert ids(again) == [str(number) for number in range(150, 200)]
    again.close(5)
