import json

import pytest

from edgesdk.errors import UsageError
from edgesdk.sinks import SinkSet


@pytest.fixture
def sinks(tmp_path):
    made = SinkSet(tmp_path / "state")
    yield made
    made.close()


def test_equal_places_are_one_sink(sinks, tmp_path, record):
    first = sinks.open("jsonl", {"path": str(tmp_path / "r.jsonl")})
    same = sinks.open("jsonl", {"path": str(tmp_path / "." / "r.jsonl")})
    other = sinks.open("jsonl", {"path": str(tmp_path / "s.jsonl")})
    assert first is same
    assert other is not first
    first.put(record(1))
    first.put(record(2, app="bags"))
    sinks.close()
    apps = [json.loads(line)["app"] for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert apps == ["people", "bags"]


def test_each_sink_has_a_name_of_its_own_without_credentials(sinks):
    for number in range(2):
        sinks.open("callback", {"function": lambda record, number=number: number})
    sinks.open("webhook", {"url": "http://bob:hunter2@127.0.0.1:9/x"})
    sinks.open("mqtt", {"url": "mqtt://bob:hunter2@127.0.0.1:9", "topic": "t"})
    assert len(sinks.stats()) == 4
    assert "hunter2" not in repr(sinks.stats())


def test_a_new_password_finds_the_records_of_the_old_one(tmp_path, receiver, record):
    receiver.stop()
    first = SinkSet(tmp_path)
    address = f"127.0.0.1:{receiver.port}/hook"
    first.open("webhook", {"url": f"http://bob:old@{address}"}).put(record(1))
    first.close()
    receiver.start()
    second = SinkSet(tmp_path)
    assert second.open("webhook", {"url": f"http://bob:new@{address}"}).flush(10)
    second.close()
    assert receiver.sequences == [1]


def test_places_that_differ_by_a_token_only_are_kept_apart(sinks):
    urls = [f"http://127.0.0.1:9/{token}?token={token}" for token in ("a1" * 10, "b2" * 10)]
    first, second = (sinks.open("webhook", {"url": url}) for url in urls)
    assert first.name == "webhook:http://127.0.0.1:9/***?token=***"
    assert second.name == first.name + "#2"


def test_a_kind_that_there_is_not_is_told(sinks):
    with pytest.raises(UsageError, match="expected jsonl, callback, mqtt or webhook"):
        sinks.open("pigeon", {})
