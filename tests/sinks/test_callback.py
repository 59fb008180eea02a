import threading

from edgesdk.sinks import CallbackSink
from edgesdk.store.outbox import Limits


def test_the_function_is_called_with_each_record_in_order_off_the_callers_thread(record):
    seen = []
    sink = CallbackSink(lambda r: seen.append((r["sequence"], threading.current_thread())))
    sink.start()
    for sequence in range(100):
        sink.put(record(sequence))
    sink.close()
    assert [sequence for sequence, _ in seen] == list(range(100))
    assert threading.current_thread() not in {thread for _, thread in seen}


def test_a_function_that_fails_once_is_called_again_with_the_same_record(record):
    calls = []

    def fails_once(received):
        calls.append(received["id"])
        if len(calls) == 1:
            raise RuntimeError("not now")

    sink = CallbackSink(fails_once)
    sink.start()
    sink.put(record(1))
    assert sink.flush(10)
    sink.close()
    assert calls == ["people/door/1/1/1790000000000000001"] * 2
    stats = sink.stats()
    assert (stats.delivered, stats.discarded, stats.retries) == (1, 0, 1)


def test_a_record_that_always_makes_it_fail_is_discarded_and_the_next_is_delivered(record):
    seen = []

    def dislikes_one(received):
        if received["sequence"] == 1:
            raise ValueError("user=bob password=hunter2")
        seen.append(received["sequence"])

    sink = CallbackSink(dislikes_one)
    sink.start()
    for sequence in (0, 1, 2):
        sink.put(record(sequence))
    assert sink.flush(10)
    stats = sink.stats()
    sink.close()
    assert seen == [0, 2]
    assert (stats.delivered, stats.discarded) == (2, 1)


def test_a_slow_function_holds_up_nobody_and_the_oldest_wait_no_longer(record, caplog):
    called, hold = threading.Event(), threading.Event()
    seen = []

    def slow(received):
        called.set()
        hold.wait(10)
        seen.append(received["sequence"])

    sink = CallbackSink(slow, limits=Limits(records=10))
    sink.start()
    sink.put(record(0))
    assert called.wait(10)
    for sequence in range(1, 100):
        sink.put(record(sequence))
    assert sink.stats().pending == 10
    hold.set()
    sink.close(10)
    assert seen[-10:] == list(range(90, 100))
    stats = sink.stats()
    # What was being delivered when it was discarded has been seen, and is not counted twice.
    assert stats.delivered + stats.discarded == 100
    assert "90 of the oldest records were discarded" in caplog.text
