import time

import pytest

from edgesdk.errors import UsageError
from edgesdk.sinks import MqttSink


@pytest.fixture
def publish(tmp_path, broker):
    """A started sink to the broker, closed at the end of the test."""
    opened = []

    def open_sink(user="", **options):
        url = f"mqtt://{user}127.0.0.1:{broker.port}"
        sink = MqttSink(url, outbox=tmp_path / "outbox.sqlite", **options)
        sink.start()
        opened.append(sink)
        return sink

    yield open_sink
    for sink in opened:
        sink.close()


def test_records_are_published_on_the_topic_of_their_application_and_camera(
    publish, broker, record, eventually
):
    broker.start()
    sink = publish(topic="site/{camera}/{app}")
    sink.put(record(1, camera="yard/+#"))
    for sequence in range(2, 200):
        sink.put(record(sequence))
    assert sink.flush(10)
    eventually(lambda: len(broker.messages) == 199)
    assert broker.messages[0][0] == "site/yard___/people"
    assert {topic for topic, _ in broker.messages[1:]} == {"site/door/people"}
    assert broker.sequences == list(range(1, 200))
    assert sink.stats().delivered == 199


def test_nothing_is_lost_while_the_broker_is_stopped_and_restarted(
    publish, broker, record, eventually
):
    broker.start()
    sink = publish()
    for sequence in range(20):
        sink.put(record(sequence))
    assert sink.flush(10)
    broker.stop()
    for sequence in range(20, 60):
        sink.put(record(sequence))
    eventually(lambda: sink.stats().state == "retrying")
    assert sink.stats().pending == 40
    broker.start()
    assert sink.flush(20)
    eventually(lambda: set(broker.sequences) == set(range(60)))
    stats = sink.stats()
    assert (stats.delivered, stats.pending, stats.discarded) == (60, 0, 0)


def test_what_the_broker_missed_is_delivered_by_the_next_agent(publish, broker, record, eventually):
    sink = publish()
    for sequence in range(30):
        sink.put(record(sequence))
    eventually(lambda: sink.stats().retries)
    started = time.monotonic()
    sink.close(1.0)
    assert time.monotonic() - started < 2
    assert sink.stats().state == "closed"
    broker.start()
    again = publish()
    assert again.flush(10)
    eventually(lambda: broker.sequences == list(range(30)))
    ids = [message["id"] for _, message in broker.messages]
    assert len(set(ids)) == 30


def test_a_broker_that_refuses_the_password_is_told_without_the_password(
    publish, broker, record, tmp_path, eventually
):
    (tmp_path / "passwords").write_text("somebody:not-a-hash\n")
    broker.password_file = str(tmp_path / "passwords")
    broker.start(subscribe=False)
    sink = publish(user="bob:hunter2@")
    sink.put(record(1))
    eventually(lambda: sink.stats().last_error)
    shown = repr(sink.stats()) + sink.name
    assert "bob" not in shown
    assert "hunter2" not in shown
    assert sink.stats().pending == 1
    assert sink.stats().state == "retrying"


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:port", "host"])
def test_a_url_that_cannot_mean_anything_is_told_at_once(tmp_path, url):
    with pytest.raises(UsageError, match="expected mqtt://"):
        MqttSink(url, outbox=tmp_path / "o.sqlite")


@pytest.mark.parametrize("topic", ["", "a/#", "a/+/b"])
def test_a_topic_that_cannot_be_published_to_is_told_at_once(tmp_path, topic):
    with pytest.raises(UsageError, match="expected a topic"):
        MqttSink("mqtt://host", topic, outbox=tmp_path / "o.sqlite")
