"""docs/models.md: each of its cards loads, and every key is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from edgesdk import toml
from edgesdk.models import load_card
from edgesdk.models.schema import Anchors, Decode, Input, Variant

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
CARDS = [b for b in BLOCKS if b.startswith("schema")]
PARTS = [b for b in BLOCKS if not b.startswith("schema")]


@pytest.mark.parametrize("text", CARDS, ids=[toml.loads(t)["name"] for t in CARDS])
def test_every_card_of_the_documentation_loads(tmp_path: Path, text: str) -> None:
    for name in ("coco80.txt", "imagenet1000.txt", "coco_labels.txt"):
        (tmp_path / name).write_text("person\n")
    path = tmp_path / "card.toml"
    path.write_text(text)
    load_card(path)


def test_the_shorter_examples_complete_the_card_above_them(tmp_path: Path) -> None:
    (tmp_path / "coco80.txt").write_text("person\n")
    whole = next(c for c in CARDS if '"yolo-v8"' in c)
    for part in (p for p in PARTS if "[decode]" in p):
        path = tmp_path / "card.toml"
        path.write_text(whole.split("[outputs]")[0] + part)
        load_card(path)


def test_every_kind_of_decoding_has_an_example() -> None:
    kinds = {str(k.__struct_config__.tag) for k in get_args(Decode)}
    shown = {d["decode"]["kind"] for d in map(toml.loads, BLOCKS) if "decode" in d}
    # raw is the default of its task
    assert kinds - shown == {"raw"}
    for kind in kinds:
        assert f"#### `{kind}`" in TEXT


@pytest.mark.parametrize("table", [Input, Variant, Anchors, *get_args(Decode)])
def test_every_key_is_documented(table: type[msgspec.Struct]) -> None:
    missing = [
        f.encode_name
        for f in msgspec.structs.fields(table)
        if not re.search(rf"`{f.encode_name}`", TEXT)
    ]
    assert missing == []
