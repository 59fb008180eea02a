import contextlib
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgesdk.errors import SinkError
from edgesdk.sinks import JsonLinesSink
from edgesdk.store.outbox import Limits


def lines(path: Path) -> list[dict]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def write(record):
    """Put records of these sequences through a sink of its own, and close it."""

    def write(path: Path, *sequences: int):
        sink = JsonLinesSink(path)
        sink.start()
        for sequence in sequences:
            sink.put(record(sequence))
        assert sink.flush(10)
        sink.close()
        return sink.stats()

    return write


def test_each_record_is_a_line_appended_in_order(tmp_path, write):
    path = tmp_path / "results.jsonl"
    write(path, *range(1000))
    stats = write(path, 1000)
    assert [line["sequence"] for line in lines(path)] == list(range(1001))
    assert (stats.delivered, stats.pending, stats.discarded) == (1, 0, 0)
    assert stats.state == "closed"


def test_closing_writes_what_was_put_before(tmp_path, record):
    sink = JsonLinesSink(tmp_path / "r.jsonl")
    sink.start()
    for sequence in range(500):
        sink.put(record(sequence))
    sink.close()
    assert len(lines(tmp_path / "r.jsonl")) == 500


@pytest.mark.parametrize("torn", ['{"schema": 1, "seq', "{", '{"a": "' + "x" * 200_000])
def test_a_line_that_a_crash_tore_off_is_cut_away(tmp_path, write, torn):
    path = tmp_path / "r.jsonl"
    write(path, 1)
    with path.open("a") as file:
        file.write(torn)
    write(path, 2)
    assert [line["sequence"] for line in lines(path)] == [1, 2]


def test_a_last_line_that_is_whole_but_not_ended_is_kept(tmp_path, write):
    path = tmp_path / "r.jsonl"
    path.write_text('{"sequence": 0}')
    write(path, 1)
    assert [line["sequence"] for line in lines(path)] == [0, 1]


def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("Years of work")
    with pytest.raises(SinkError, match="not a file of JSON lines"):
        JsonLinesSink(path).start()
    assert path.read_text() == "Years of work"


def test_a_folder_that_is_not_there_is_an_error_at_once(tmp_path):
    with pytest.raises(SinkError, match="No such file or directory"):
        JsonLinesSink(tmp_path / "missing" / "r.jsonl").start()


def test_one_sink_at_a_time_writes_a_file(tmp_path, write):
    first = JsonLinesSink(tmp_path / "r.jsonl")
    first.start()
    with pytest.raises(SinkError, match="another sink or process"):
        JsonLinesSink(tmp_path / "r.jsonl").start()
    first.close()
    write(tmp_path / "r.jsonl", 1)


def test_a_file_that_was_rotated_away_is_begun_anew(tmp_path, record):
    path = tmp_path / "r.jsonl"
    sink = JsonLinesSink(path)
    sink.start()
    sink.put(record(1))
    assert sink.flush(10)
    path.rename(tmp_path / "r.jsonl.1")
    sink.put(record(2))
    assert sink.flush(10)
    sink.close()
    assert [line["sequence"] for line in lines(tmp_path / "r.jsonl.1")] == [1]
    assert [line["sequence"] for line in lines(path)] == [2]


def test_a_record_that_json_cannot_say_is_counted_and_named_not_raised(tmp_path, record):
    sink = JsonLinesSink(tmp_path / "r.jsonl")
    sink.start()
    sink.put(record(1, outputs={"mine": np.zeros(2)}))
    sink.put(record(2))
    assert sink.flush(10)
    sink.close()
    assert [line["sequence"] for line in lines(tmp_path / "r.jsonl")] == [2]
    assert sink.stats().discarded == 1


def test_a_dict_without_an_id_is_given_the_one_that_a_record_has(tmp_path, record):
    made = record(5)
    plain = json.loads(json.dumps({"app": "people", "camera": "door", "incarnation": 1}))
    plain |= {"sequence": 5, "captured": {"utc_ns": made.captured.utc_ns, "mono_ns": 5}}
    sink = JsonLinesSink(tmp_path / "r.jsonl")
    sink.start()
    sink.put(plain)
    sink.close()
    assert sink.stats().delivered == 1


def test_a_full_disk_loses_nothing_and_leaves_whole_lines(small_disk, record, eventually):
    path = small_disk / "r.jsonl"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 900_000)
    sink = JsonLinesSink(path)
    sink.start()
    for sequence in range(1000):
        sink.put(record(sequence))
    eventually(lambda: sink.stats().state == "retrying")
    stats = sink.stats()
    assert "No space left" in stats.last_error
    assert stats.delivered + stats.pending == 1000
    lines(path)
    ballast.unlink()
    assert sink.flush(10)
    sink.close()
    assert [line["sequence"] for line in lines(path)] == list(range(1000))
    assert sink.stats().discarded == 0


def test_what_waits_for_a_full_disk_is_bounded(record, eventually):
    sink = JsonLinesSink("/dev/full", limits=Limits(records=100))
    sink.start()
    for sequence in range(300):
        sink.put(record(sequence))
    eventually(lambda: sink.stats().state == "retrying")
    stats = sink.stats()
    assert (stats.pending, stats.discarded) == (100, 200)
    sink.close()


def test_putting_never_waits_for_a_reader_that_does_not_read(tmp_path, record):
    os.mkfifo(tmp_path / "pipe")
    sink = JsonLinesSink(tmp_path / "pipe", limits=Limits(records=50))
    sink.start()
    started = time.monotonic()
    for sequence in range(5000):
        sink.put(record(sequence))
    assert time.monotonic() - started < 2
    assert sink.stats().pending <= 50
    closing = threading.Thread(target=sink.close, args=(0.5,))
    closing.start()
    closing.join(5)
    assert not closing.is_alive()
    drain = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    while sink._thread.is_alive():  # let the writer go, so that no thread outlives the test
        with contextlib.suppress(BlockingIOError):
            os.read(drain, 1 << 20)
        sink._thread.join(0.01)
    os.close(drain)
