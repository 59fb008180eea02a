import contextlib
import socket
import threading
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
    eventually(lambda: len(broker.messages) == 20)
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
    broker.start()
    sink = publish(user="bob:hunter2@")
    sink.put(record(1))
    eventually(lambda: sink.stats().last_error)
    shown = repr(sink.stats()) + sink.name
    assert "bob" not in shown
    assert "hunter2" not in shown
    assert sink.stats().pending == 1
    assert sink.stats().state == "retrying"


class TouchyBroker:
    """Speaks enough MQTT to acknowledge, hang up on what contains `poison`, or stay silent."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.acknowledged = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with (
            contextlib.suppress(OSError, IndexError),
            connection,
            connection.makefile("rb") as told,
        ):
            while True:
                head = told.read(1)[0]
                length = shift = 0
                while True:
                    byte = told.read(1)[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                body = told.read(length)
                if not self.answers:
                    continue
                if head >> 4 == 1:  # CONNECT
                    connection.sendall(b"\x20\x02\x00\x00")
                elif head >> 4 == 3:  # PUBLISH
                    if b"poison" in body:
                        return
                    topic = int.from_bytes(body[:2], "big")
                    connection.sendall(b"\x40\x02" + body[2 + topic : 4 + topic])
                    self.acknowledged += 1


def test_a_record_that_makes_the_broker_hang_up_does_not_hold_up_the_others(
    tmp_path, record, monkeypatch
):
    monkeypatch.setattr("edgesdk.sinks.mqtt._STRIKES", 2)
    touchy = TouchyBroker(answers=True)
    sink = MqttSink(f"mqtt://127.0.0.1:{touchy.port}", outbox=tmp_path / "o.sqlite")
    sink.start()
    for sequence in range(5):
        sink.put(record(sequence, camera="poison" if sequence == 2 else "door"))
    assert sink.flush(20)
    stats = sink.stats()
    sink.close()
    touchy.listener.close()
    assert (stats.delivered, stats.discarded) == (4, 1)


def test_closing_does_not_wait_for_a_broker_that_says_nothing(tmp_path, record):
    silent = TouchyBroker(answers=False)
    sink = MqttSink(f"mqtt://127.0.0.1:{silent.port}", outbox=tmp_path / "o.sqlite")
    sink.start()
    sink.put(record(1))
    started = time.monotonic()
    sink.close(1.5)
    assert time.monotonic() - started < 2
    silent.listener.close()
    again = MqttSink(f"mqtt://127.0.0.1:{silent.port}", outbox=tmp_path / "o.sqlite")
    assert again.stats().pending == 1
    again.close()


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:port", "host"])
def test_a_url_that_cannot_mean_anything_is_told_at_once(tmp_path, url):
    with pytest.raises(UsageError, match="expected mqtt://"):
        MqttSink(url, outbox=tmp_path / "o.sqlite")


@pytest.mark.parametrize("topic", ["", "a/#", "a/+/b"])
def test_a_topic_that_cannot_be_published_to_is_told_at_once(tmp_path, topic):
    with pytest.raises(UsageError, match="expected a topic"):
        MqttSink("mqtt://host", topic, outbox=tmp_path / "o.sqlite")
