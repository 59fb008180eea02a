"""What the agent tells the firmware."""

from __future__ import annotations

import os

import numpy as np
import pytest

from edgesdk.core.results import ResultReader, ResultWriter
from edgesdk.core.ring import RingMissing
from edgesdk.errors import RingBusy, RingInvalid, RingStale
from edgesdk.values import Detections


@pytest.fixture
def name() -> str:
    return f"pytest.results.{os.getpid()}"


def people(n: int) -> Detections:
    return Detections(
        boxes=np.arange(4 * n, dtype=np.float32).reshape(n, 4),
        scores=np.linspace(0, 1, n, dtype=np.float32),
        label_ids=np.arange(n, dtype=np.int32) - 1,
        labels=("persön",) * n,
        track_ids=np.arange(n, dtype=np.int64),
    )


def test_a_result_arrives_as_it_was_published(name: str) -> None:
    with pytest.raises(RingMissing):
        ResultReader(name)
    sent = people(3)
    with ResultWriter(name) as writer, ResultReader(name) as reader:
        assert reader.take() == []
        writer.publish(
            42, 99, "late", sent, epoch=2, measure=(3, -7), application="people", camera="door"
        )
        assert reader.wait(1)
        (got,) = reader.take()
        assert (got.sequence, got.epoch, got.capture_mono_ns) == (42, 2, 99)
        assert (got.state, got.count, got.measure) == ("late", 3, (3, -7))
        assert (got.application, got.camera) == ("people", "door")
        assert got.detections.labels == sent.labels
        for field in ("boxes", "scores", "label_ids", "track_ids"):
            np.testing.assert_array_equal(getattr(got.detections, field), getattr(sent, field))


def test_more_than_64_detections_are_counted_and_the_first_64_sent(name: str) -> None:
    with ResultWriter(name) as writer, ResultReader(name) as reader:
        writer.publish(1, 1, detections=people(100))
        (got,) = reader.take()
        assert got.count == 100
        np.testing.assert_array_equal(got.detections.boxes, people(100).boxes[:64])


def test_long_texts_are_cut_between_characters(name: str) -> None:
    with ResultWriter(name) as writer, ResultReader(name) as reader:
        writer.publish(1, 1, application="ö" * 40)
        assert reader.take()[0].application == "ö" * 15


def test_a_slow_reader_loses_the_oldest_and_can_tell(name: str) -> None:
    with ResultWriter(name, records=8) as writer, ResultReader(name) as reader:
        for i in range(1, 21):
            writer.publish(i, i)
        got = [record.sequence for record in reader.take()]
        assert got == list(range(21 - len(got), 21))
        assert reader.lost == 20 - len(got) > 0


def test_one_writer_a_name_and_a_reader_that_outlives_it_is_told(name: str) -> None:
    writer = ResultWriter(name)
    with pytest.raises(RingBusy):
        ResultWriter(name)
    with ResultReader(name) as reader:
        writer.publish(1, 1)
        writer.close()
        assert len(reader.take()) == 1
        with pytest.raises(RingStale):
            reader.take()


def test_a_name_too_long_for_the_suffix_is_refused() -> None:
    with pytest.raises(RingInvalid, match="name"):
        ResultWriter("x" * 60)
