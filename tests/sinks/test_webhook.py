import logging
import threading
import time

import pytest

from edgesdk.errors import UsageError
from edgesdk.sinks import WebhookSink


@pytest.fixture
def hook(tmp_path, receiver):
    """A started sink to the receiver, closed at the end of the test."""
    opened = []

    def open_sink(url=None, **options):
        sink = WebhookSink(url or receiver.url, outbox=tmp_path / "outbox.sqlite", **options)
        sink.start()
        opened.append(sink)
        return sink

    yield open_sink
    for sink in opened:
        sink.close()


def test_records_arrive_in_order_and_in_batches(hook, receiver, record):
    sink = hook()
    for sequence in range(500):
        sink.put(record(sequence))
    assert sink.flush(10)
    assert receiver.sequences == list(range(500))
    assert receiver.posts < 250
    assert sink.stats().delivered == 500


def test_while_the_server_is_away_records_wait_and_then_arrive(hook, receiver, record, eventually):
    receiver.stop()
    sink = hook()
    for sequence in range(50):
        sink.put(record(sequence))
    eventually(lambda: sink.stats().state == "retrying")
    assert sink.stats().pending == 50
    receiver.start()
    assert sink.flush(10)
    assert receiver.sequences == list(range(50))
    assert sink.stats().retries > 0
    assert sink.stats().last_error is None


def test_what_the_server_refuses_for_good_is_found_discarded_and_counted(hook, receiver, record):
    receiver.answer = lambda records: (
        (422, {}) if any(r["sequence"] in (7, 20) for r in records) else (204, {})
    )
    sink = hook()
    for sequence in range(32):
        sink.put(record(sequence))
    assert sink.flush(10)
    assert sorted(receiver.sequences) == [n for n in range(32) if n not in (7, 20)]
    stats = sink.stats()
    assert (stats.delivered, stats.discarded, stats.pending) == (30, 2, 0)
    assert "422" in stats.last_error


def test_a_server_that_refuses_everything_is_logged_once_not_for_each_record(
    hook, receiver, record, caplog
):
    receiver.answer = lambda records: (404, {})
    sink = hook(batch=1)
    for sequence in range(50):
        sink.put(record(sequence))
    assert sink.flush(10)
    assert sink.stats().discarded == 50
    assert len([r for r in caplog.records if r.name == "edgesdk.sinks"]) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_work_later_is_tried_again(hook, receiver, record, status):
    answers = iter([(status, {}), (status, {})])
    receiver.answer = lambda records: next(answers, (200, {}))
    sink = hook()
    sink.put(record(1))
    assert sink.flush(10)
    assert receiver.sequences == [1]
    assert sink.stats().retries == 2


def test_a_server_that_names_a_pause_is_left_alone_for_it(hook, receiver, record, eventually):
    answers = iter([(503, {"Retry-After": "1"})])
    receiver.answer = lambda records: next(answers, (200, {}))
    sink = hook()
    sink.put(record(1))
    eventually(lambda: sink.stats().retries == 1)
    refused = time.monotonic()
    eventually(lambda: receiver.records)
    assert time.monotonic() - refused > 0.8


def test_a_redirection_is_not_followed_but_told(hook, receiver, record, eventually):
    receiver.answer = lambda records: (301, {"Location": "http://user:secret@elsewhere/"})
    sink = hook()
    sink.put(record(1))
    eventually(lambda: sink.stats().last_error)
    assert "301" in sink.stats().last_error
    assert "elsewhere" in sink.stats().last_error
    assert "secret" not in sink.stats().last_error


def test_a_user_and_password_are_sent_and_never_shown(hook, receiver, record, caplog, eventually):
    caplog.set_level(logging.DEBUG)
    receiver.answer = lambda records: (500, {})
    url = receiver.url.replace("127.0.0.1", "bob:hunter%402@127.0.0.1") + "?token=shazam"
    sink = hook(url, headers={"X-Token": "abracadabra"})
    sink.put(record(1))
    eventually(lambda: sink.stats().retries)
    assert receiver.authorizations == {"Basic Ym9iOmh1bnRlckAy"}
    shown = caplog.text + repr(sink.stats()) + sink.name
    assert "500" in shown
    for secret in ("bob", "hunter", "Ym9iOmh1", "abracadabra", "shazam"):
        assert secret not in shown


def test_a_token_in_the_path_is_not_shown(tmp_path):
    url = "https://hooks.example/services/T02ABCDEF/a8f3kq02mmzx71b0c9/readings"
    sink = WebhookSink(url, outbox=tmp_path / "o.sqlite")
    assert sink.target == "https://hooks.example/services/T02ABCDEF/***/readings"
    sink.close()


def test_closing_does_not_wait_for_a_server_that_does_not_answer(
    hook, receiver, record, eventually
):
    asked, hold = threading.Event(), threading.Event()

    def silent(records):
        asked.set()
        hold.wait(20)
        return 500, {}

    receiver.answer = silent
    sink = hook()
    sink.put(record(1))
    assert asked.wait(10)
    started = time.monotonic()
    sink.close(1.0)
    assert time.monotonic() - started < 2
    hold.set()
    receiver.answer = lambda records: (200, {})
    again = hook()
    assert again.flush(10)
    assert receiver.sequences == [1]


@pytest.mark.parametrize("url", ["ftp://host/", "http://", "nonsense", "http://host:99999/"])
def test_a_url_that_cannot_mean_anything_is_told_at_once(tmp_path, url):
    with pytest.raises(UsageError, match="expected http://host/path"):
        WebhookSink(url, outbox=tmp_path / "o.sqlite")
