"""``models verify`` tells a backend that agrees with the card from one that does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgesdk.cli.models import app
from edgesdk.errors import CardError
from edgesdk.models import ModelCard, load_card
from edgesdk.models.golden import golden_image, largest_difference, sample_outputs
from edgesdk.models.verify import record_golden, verify

CARD = """
schema = 1
name = "mean"
task = "raw"
{golden}
[[variants]]
file = "m.onnx"
backend = {backends}
[[inputs]]
name = "image"
shape = [1, 3, 24, 32]
{normalise}
"""


@pytest.fixture
def make_card(tmp_path: Path) -> Callable[..., ModelCard]:
    """A model that gives the mean of each column of its input."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["image"], ["means"], axes=[2], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 24, 32])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [1, 3, 32])],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")

    def make(
        golden: str = "",
        normalise: str = "scale = 255",
        backends: tuple[str, ...] = ("onnxruntime", "openvino"),
    ) -> ModelCard:
        path = tmp_path / "card.toml"
        text = CARD.format(golden=golden, normalise=normalise, backends=json.dumps(backends))
        path.write_text(text)
        return load_card(path)

    return make


GOLDEN = 'golden = { outputs = "mean.golden.json" }'


def test_the_golden_picture_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(golden_image(300, 300).tobytes()).hexdigest()
    assert digest == "350049ea101ef99edd7fb6d47f67da4a45a414d567cff45d943715706a21272d"
    assert golden_image(7, 5).shape == (5, 7, 3)


def test_without_golden_outputs_backends_are_held_against_each_other(
    make_card: Callable[..., ModelCard],
) -> None:
    first, second = verify(make_card())
    assert (first.backend, first.outcome) == ("onnxruntime", "runs")
    assert (second.backend, second.outcome) == ("openvino", "agrees")
    assert second.difference is not None
    assert second.difference < 1e-5
    assert second.executed_on
    assert second.milliseconds is not None


def test_outputs_that_were_recorded_are_agreed_with_until_something_changes(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    first, *_ = verify(make_card())
    (tmp_path / "mean.golden.json").write_bytes(record_golden(first))
    assert [v.outcome for v in verify(make_card(GOLDEN))] == ["agrees", "agrees"]
    # the card now says another normalisation than the model was recorded with
    outcomes = list(verify(make_card(GOLDEN, normalise="scale = 250")))
    assert [v.outcome for v in outcomes] == ["disagrees", "disagrees"]
    assert "onnxruntime" in outcomes[0].detail
    assert "allowed: 0.001" in outcomes[0].detail


def test_a_colour_swapped_on_the_card_is_noticed(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    first, *_ = verify(make_card())
    (tmp_path / "mean.golden.json").write_bytes(record_golden(first))
    swapped = make_card(GOLDEN, normalise='scale = 255\ncolour = "BGR"')
    assert {v.outcome for v in verify(swapped)} == {"disagrees"}


def test_a_golden_input_of_ones_own(make_card: Callable[..., ModelCard], tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.full((24, 32, 3), 51, np.uint8))
    golden = 'golden = { input = "in.npy", outputs = "g.json" }'
    (tmp_path / "g.json").write_text(
        json.dumps(
            {
                "schema": 1,
                "made_by": "hand",
                "outputs": {
                    "means": {"shape": [1, 3, 32], "low": 0.2, "high": 0.2, "samples": [0.2] * 64}
                },
            }
        )
    )
    assert [v.outcome for v in verify(make_card(golden))] == ["agrees", "agrees"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema": 1, "made_by": 1, "outputs": {}}'])
def test_a_damaged_golden_file_is_an_error_of_the_card(
    make_card: Callable[..., ModelCard], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "mean.golden.json").write_bytes(content)
    with pytest.raises(CardError, match=r"golden\.outputs"):
        list(verify(make_card(GOLDEN)))


def test_a_golden_input_is_never_unpickled(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    first, *_ = verify(make_card())
    (tmp_path / "g.json").write_bytes(record_golden(first))
    np.save(tmp_path / "in.npy", np.array([{"a": 1}], object), allow_pickle=True)
    golden = 'golden = { input = "in.npy", outputs = "g.json" }'
    verdicts = list(verify(make_card(golden)))
    assert {v.outcome for v in verdicts} == {"failed"}
    assert "golden.input" in verdicts[0].detail


def test_a_file_that_is_absent_and_a_backend_that_is_not_there_are_verdicts(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    card = make_card(backends=("tensorrt-of-another-world", "onnxruntime"))
    strange, real = verify(card)
    assert strange.outcome == "unavailable"
    assert "onnxruntime" in strange.detail
    assert real.outcome == "runs"
    (tmp_path / "m.onnx").unlink()
    assert {v.outcome for v in verify(card)} == {"absent"}


def test_a_truncated_model_fails_with_its_name(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    card = make_card()
    whole = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(whole[: len(whole) // 2])
    verdicts = list(verify(card))
    assert {v.outcome for v in verdicts} == {"failed"}
    assert all("m.onnx" in v.detail for v in verdicts)


def test_differences_are_parts_of_an_outputs_range(make_card: Callable[..., ModelCard]) -> None:
    card = make_card()
    base = {"o": np.linspace(-5, 5, 1000, dtype=np.float32)}
    golden = sample_outputs(card, base)
    assert largest_difference(golden, sample_outputs(card, base)) == 0
    off = sample_outputs(card, {"o": base["o"] + 0.1})
    assert largest_difference(golden, off) == pytest.approx(0.01, rel=1e-3)
    assert largest_difference(golden, sample_outputs(card, {"o": base["o"][:-1]})) == float("inf")
    assert largest_difference(golden, {}) == float("inf")


def command(*words: Any) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=True)


def test_the_commands_take_a_bare_file_from_draft_to_verdict(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    make_card()
    cache = ["--cache", tmp_path / "cache", "--json"]
    added = json.loads(command("add", tmp_path / "card.toml", *cache).stdout)
    assert added["model"]["name"] == "mean"
    assert added["model"]["origin"] == "added"
    assert added["conflicts"] == []
    listed = json.loads(command("list", *cache).stdout)
    assert {"mean", "person-ssdlite"} <= {m["name"] for m in listed["models"]}
    shown = json.loads(command("show", "mean", *cache).stdout)
    assert shown["digest"] == added["digest"]
    assert len(shown["digest"]) == 64
    verdict = command("verify", "mean", *cache)
    assert verdict.exit_code == 0
    assert [v["outcome"] for v in json.loads(verdict.stdout)["verdicts"]] == ["runs", "agrees"]


def test_verify_ends_with_3_when_a_backend_disagrees(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    make_card()
    assert command("verify", tmp_path / "card.toml", "--record").exit_code == 0
    assert (tmp_path / "mean.golden.json").exists()
    make_card(GOLDEN, normalise="scale = 100")
    said = command("verify", tmp_path / "card.toml")
    assert said.exit_code == 3
    assert "disagrees: m.onnx with onnxruntime" in said.stdout


def test_people_see_tables_and_programs_see_json_only(
    make_card: Callable[..., ModelCard], tmp_path: Path
) -> None:
    make_card()
    said = command("show", tmp_path / "card.toml")
    assert "task: raw, decoded as raw" in said.stdout
    assert "person-ssdlite" in command("list", "--cache", tmp_path).stdout
