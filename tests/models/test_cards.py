"""A card is read, or every mistake in it is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesdk import toml
from edgesdk.errors import CardError, DigestMismatch, ModelInvalid, ModelNotFound
from edgesdk.models import load_card
from edgesdk.models.fingerprint import fingerprint
from edgesdk.models.schema import SsdNms

GOOD = """
schema = 1
name = "m"
task = "detect"
labels = { 1 = "person", 7 = "dog" }

[[variants]]
file = "m.pb"
backend = "openvino"

[[inputs]]
name = "image"
shape = [1, 300, 300, 3]

[outputs]
boxes = "b"
scores = "s"
classes = "c"

[decode]
kind = "ssd-nms"
"""

Write = Callable[..., Path]


def test_the_card_of_the_contract_loads_with_its_defaults(write_card: Write) -> None:
    card = load_card(write_card(GOOD))
    assert card.labels == {1: "person", 7: "dog"}
    assert isinstance(card.decode, SsdNms)
    assert card.decode.box_order == "yxyx"
    assert card.variants[0].backends == ("openvino",)
    assert card.document.inputs[0].colour == "RGB"


def test_json_and_toml_of_one_card_have_one_digest(write_card: Write, tmp_path: Path) -> None:
    (tmp_path / "m.pb").write_bytes(b"model")
    as_toml = load_card(write_card(GOOD))
    as_json = load_card(write_card(json.dumps(toml.loads(GOOD)), "card.json"))
    assert as_toml.digest == as_json.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("person", "Person"),
        ("ssd-nms", 'ssd-nms"\nbox_order = "xyxy'),
        ("300, 300", "320, 320"),
        ('boxes = "b"', 'boxes = "bb"'),
    ],
)
def test_whatever_changes_results_changes_the_digest(
    write_card: Write, tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / "m.pb").write_bytes(b"model")
    before = load_card(write_card(GOOD)).digest
    assert load_card(write_card(GOOD.replace(old, new))).digest != before


def test_licence_place_and_file_name_do_not_change_the_digest(
    write_card: Write, tmp_path: Path
) -> None:
    (tmp_path / "m.pb").write_bytes(b"model")
    (tmp_path / "other.pb").write_bytes(b"model")
    before = load_card(write_card(GOOD)).digest
    moved = GOOD.replace("m.pb", "other.pb").replace('name = "m"', 'name = "m"\nlicence = "MIT"')
    assert load_card(write_card(moved, "moved.toml")).digest == before


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('task = "detect"', 'task = "detects"', ["line 4", "task", "detects", "did you mean"]),
        ('kind = "ssd-nms"', 'kind = "ssd-nsm"', ["line 21", "decode.kind", "ssd-nms"]),
        ('kind = "ssd-nms"', 'box_order = "yxyx"', ["'kind'", "missing", "yolo-v8"]),
        ("[decode]", "[decoder]", ["decoder", "did you mean 'decode'"]),
        ("shape =", "shap =", ["shap", "shape"]),
        ("[1, 300, 300, 3]", "[1, 300, 300]", ["line 13", "4 dimensions"]),
        ("[1, 300, 300, 3]", "[1, 300, 300, 4]", ["channels"]),
        ("[1, 300, 300, 3]", "[1, -1, 300, 3]", ["batch"]),
        ('"m.pb"', '"/etc/passwd"', ["line 8", "/etc/passwd", "card's directory"]),
        ('"m.pb"', '"a/../../m.pb"', ["line 8", "card's directory"]),
        ('boxes = "b"', 'box = "b"', ["outputs.box", "boxes, scores, classes"]),
        ('scores = "s"', 'scores = "b"', ["already", "boxes"]),
        ("{ 1 =", "{ one =", ["labels.one", "integer"]),
        ("schema = 1", "schema = 2", ["schema", "one of 1"]),
        ('name = "image"', 'name = "image"\nmean = [1, 2]', ["mean", "3 numbers"]),
        ('name = "image"', 'name = "image"\nscale = 0', ["scale", "divided"]),
        ('name = "image"', 'name = "image"\ndtype = "int32"', ["dtype", "uint8, int8"]),
        ('name = "m"', 'name = "a b"', ["name", "a b"]),
        ('backend = "openvino"', 'backend = "openvino"\nsha256 = "12"', ["sha256", "12"]),
        ('kind = "ssd-nms"', 'kind = "classify"', ["decode.kind", "classify", "detect"]),
        ('kind = "ssd-nms"', 'kind = "ssd-anchors"', ["[decode.anchors]"]),
    ],
)
def test_a_mistake_is_named_with_its_place_value_and_expectation(
    write_card: Write, old: str, new: str, expected: list[str]
) -> None:
    assert old in GOOD
    path = write_card(GOOD.replace(old, new))
    with pytest.raises(CardError) as error:
        load_card(path)
    message = str(error.value)
    assert str(path) in message
    for part in expected:
        assert part in message, message


def test_all_mistakes_are_named_at_once(write_card: Write) -> None:
    bad = GOOD.replace('task = "detect"', 'task = "x"').replace("shape =", "shap =")
    bad = bad.replace('"openvino"', '"openvino"\nprecision = "fp3"')
    with pytest.raises(CardError, match="4 mistakes") as error:
        load_card(write_card(bad))
    for part in ("task", "precision", "no such key", "'shape' is missing"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no such file"),
        (b"\xff\xfe\x00person", "not UTF-8"),
        (b"", "empty"),
        (b"a\n" * 100_001, "more than"),
        (b"x" * 300 + b"\n", "longer than"),
    ],
)
def test_a_wrong_label_file_is_an_error_of_the_card(
    write_card: Write, tmp_path: Path, content: bytes | None, expected: str
) -> None:
    if content is not None:
        (tmp_path / "labels.txt").write_bytes(content)
    text = GOOD.replace('labels = { 1 = "person", 7 = "dog" }', 'labels_file = "labels.txt"')
    with pytest.raises(CardError, match=expected) as error:
        load_card(write_card(text))
    assert "labels_file" in str(error.value)


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("person\ndog\n", {0: "person", 1: "dog"}),
        ("1 person\n18 dog\n", {1: "person", 18: "dog"}),
        ("0: hot dog\n1: cat\n\n", {0: "hot dog", 1: "cat"}),
    ],
)
def test_label_files_are_lines_with_or_without_ids(
    write_card: Write, tmp_path: Path, content: str, labels: dict[int, str]
) -> None:
    (tmp_path / "labels.txt").write_text(content)
    text = GOOD.replace('labels = { 1 = "person", 7 = "dog" }', 'labels_file = "labels.txt"')
    assert load_card(write_card(text)).labels == labels


def test_a_label_file_that_is_a_pipe_is_refused_and_not_waited_for(
    write_card: Write, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "labels.txt")
    text = GOOD.replace('labels = { 1 = "person", 7 = "dog" }', 'labels_file = "labels.txt"')
    with pytest.raises(CardError, match="not a regular file"):
        load_card(write_card(text))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "card.toml"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "card.json"),
        ("[a" + ".a" * 40 + "]\n", "card.toml"),
        ("= 1", "card.toml"),
        ("[1, 2]", "card.json"),
        ("# " + "x" * (5 << 20), "card.toml"),
        ("name = '\0'", "card.toml"),
    ],
)
def test_hostile_text_is_an_error_of_the_card(write_card: Write, text: str, name: str) -> None:
    path = write_card(text, name)
    with pytest.raises(CardError, match=name):
        load_card(path)


def test_a_huge_table_of_labels_is_refused(write_card: Write) -> None:
    labels = ", ".join(f'"{i}"' for i in range(100_001))
    text = GOOD.replace('labels = { 1 = "person", 7 = "dog" }', f"labels = [{labels}]")
    with pytest.raises(CardError, match="labels"):
        load_card(write_card(text))


def test_a_file_other_than_the_card_means_is_a_digest_mismatch(
    write_card: Write, tmp_path: Path
) -> None:
    (tmp_path / "m.pb").write_bytes(b"model")
    sha = fingerprint(tmp_path / "m.pb")
    text = GOOD.replace('"openvino"', f'"openvino"\nsha256 = "{sha.upper()}"')
    card = load_card(write_card(text))
    assert card.check_file(card.variants[0]) == sha
    (tmp_path / "m.pb").write_bytes(b"modem")
    with pytest.raises(DigestMismatch, match=sha):
        card.check_file(card.variants[0])
    (tmp_path / "m.pb").unlink()
    with pytest.raises(ModelNotFound, match=r"m\.pb"):
        card.check_file(card.variants[0])


def test_the_fingerprint_of_an_ir_is_that_of_xml_then_bin(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_bytes(b"<net/>")
    (tmp_path / "m.bin").write_bytes(b"weights")
    (tmp_path / "joined").write_bytes(b"<net/>weights")
    assert fingerprint(tmp_path / "m.xml") == fingerprint(tmp_path / "joined")


def test_a_model_that_is_a_pipe_is_refused_and_not_waited_for(
    write_card: Write, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "m.pb")
    card = load_card(write_card(GOOD))
    with pytest.raises(ModelInvalid, match="not a regular file"):
        card.check_file(card.variants[0])


def test_a_directory_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid):
        fingerprint(tmp_path)
