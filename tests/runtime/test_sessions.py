from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk.errors import BackendUnavailable, ModelError
from edgesdk.models import load_card
from edgesdk.runtime.sessions import Picture, Sessions
from edgesdk.runtime.speeds import Speeds


def card_for(cards: Any, tmp_path: Path, backends: str) -> Any:
    text = Path(cards.cells).read_text().replace('"onnxruntime"', backends)
    (tmp_path / "cells.toml").write_text(text)
    model = Path(cards.cells).with_suffix(".onnx").read_bytes()
    (tmp_path / "cells.onnx").write_bytes(model)
    return load_card(tmp_path / "cells.toml")


def test_one_card_is_loaded_once_for_all(cards: Any) -> None:
    sessions = Sessions(threads=1)
    card = load_card(cards.cells)
    assert sessions.load(card) is sessions.load(load_card(cards.cells))
    assert len(sessions.loaded()) == 1
    sessions.close()
    sessions.close()


def test_of_several_backends_the_fastest_is_kept_and_later_loaded_alone(
    cards: Any, tmp_path: Path
) -> None:
    card = card_for(cards, tmp_path, '["onnxruntime", "openvino"]')
    file = tmp_path / "speeds.json"
    sessions = Sessions(threads=1, speeds=file)
    first = sessions.load(card)
    sessions.close()
    timed = Speeds(file)
    by_backend = {key.split()[1]: ns for key, ns in timed._known.items()}
    assert by_backend.keys() == {"onnxruntime", "openvino"}
    assert first.spec.backend == min(by_backend, key=by_backend.__getitem__)

    for key in list(timed._known):
        timed.put(key, 1 if " openvino " in key else 10**9)
    again = Sessions(threads=1, speeds=file)
    assert again.load(card).spec.backend == "openvino"
    again.close()


def test_preference_is_obeyed(cards: Any, tmp_path: Path) -> None:
    card = card_for(cards, tmp_path, '["onnxruntime", "openvino"]')
    for name in ("onnxruntime", "openvino"):
        sessions = Sessions(threads=1, backends=[name])
        assert sessions.load(card).spec.backend == name
        sessions.close()


def test_model_that_nothing_here_runs_says_what_was_tried(cards: Any, tmp_path: Path) -> None:
    card = card_for(cards, tmp_path, '"coral"')
    with pytest.raises(BackendUnavailable, match=r"'cells'.*coral"):
        Sessions().load(card)
    (tmp_path / "cells.onnx").unlink()
    card = card_for(cards, tmp_path, '["onnxruntime", "openvino"]')
    (tmp_path / "cells.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="cells"):
        Sessions().load(card)


def test_batches_are_used_as_far_as_they_pay(cards: Any) -> None:
    sessions = Sessions(threads=1)
    model = sessions.load(load_card(cards.cells), batches=(1, 2, 4, 8))
    assert model.batches[0] == 1
    assert len(model.costs_ns) == model.max_batch
    assert list(model.costs_ns) == sorted(model.costs_ns)
    pictures = [Picture(np.full((40, 40, 3), fill, np.uint8), "BGR") for fill in (10, 240)]
    alone = [_score(model, [picture]) for picture in pictures]
    assert alone[0] < 0.2 < 0.8 < alone[1]
    if model.max_batch >= 2:
        inputs, geometries = model.encode(pictures)
        found = model.decode(model.infer(inputs), geometries, (("score", 0.0),))
        assert [float(one.scores[0]) for one in found] == pytest.approx(alone)
    sessions.close()


def _score(model: Any, pictures: list[Picture]) -> float:
    inputs, geometries = model.encode(pictures)
    (found,) = model.decode(model.infer(inputs), geometries, (("score", 0.0),))
    return float(found.scores[0])


def test_speeds_survive_a_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "speeds.json"
    file.write_bytes(b"\xff{]")
    speeds = Speeds(file)
    assert speeds.get("a") is None
    speeds.put("a", 5)
    assert Speeds(file).get("a") == 5
    assert [p.name for p in tmp_path.iterdir()] == ["speeds.json"]
