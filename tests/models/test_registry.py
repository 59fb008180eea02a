"""Models by name, by fingerprint, and by what they have to be able to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesdk.errors import CardError, ModelError, ModelNotFound, UsageError
from edgesdk.models import ModelRegistry, catalogue, default_cache, load_card
from edgesdk.models.references import parse_requirements

CARD = """
schema = 1
name = "{name}"
task = "detect"
licence = "MIT"
labels = ["person", "Hard Hat"]
[[variants]]
file = "{name}.pb"
backend = "{backend}"
precision = "int8"
[[inputs]]
shape = [1, 8, 8, 3]
[decode]
kind = "ssd-nms"
"""


@pytest.fixture
def add(tmp_path: Path) -> Callable[..., ModelRegistry]:
    """Adds a card of that name to a registry of its own."""

    def make(name: str = "mine", backend: str = "openvino") -> ModelRegistry:
        node = bytes([0x0A, len(name)]) + name.encode()
        (tmp_path / f"{name}.pb").write_bytes(bytes([0x0A, len(node)]) + node)
        path = tmp_path / f"{name}.toml"
        path.write_text(CARD.format(name=name, backend=backend))
        registry = ModelRegistry(tmp_path / "cache")
        registry.add(path)
        return registry

    return make


def test_every_card_of_the_catalogue_is_whole_and_pinned() -> None:
    paths = catalogue.card_paths()
    assert len(paths) >= 4
    for path in paths:
        card = load_card(path)
        assert card.name == path.stem
        assert card.document.licence
        assert card.document.description
        assert card.document.golden is not None
        for variant in card.variants:
            assert variant.source is not None
            assert variant.sha256 is not None
    assert {"bikes.mp4", "carphone.mp4"} <= set(catalogue.assets())


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "edgesdk"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the standard says: ignore it
    assert default_cache().is_absolute()


def test_an_added_card_stays_known(add: Callable[..., ModelRegistry], tmp_path: Path) -> None:
    add()
    again = ModelRegistry(tmp_path / "cache")
    assert again.resolve("mine").name == "mine"
    assert [e.name for e in again.list() if e.origin == "added"] == ["mine"]
    again.remove("mine")
    with pytest.raises(ModelNotFound, match="mine"):
        again.resolve("mine")
    with pytest.raises(ModelNotFound, match="was added"):
        again.remove("mine")


@pytest.mark.parametrize(
    "reference",
    [
        "mine",
        "detect, has class hard hat",
        "has class Hard Hat, backend openvino",
        "detect, precision int8",
        "detect, licence mit, has class person",
    ],
)
def test_a_reference_finds_the_card(add: Callable[..., ModelRegistry], reference: str) -> None:
    assert add().resolve(reference).name == "mine"


def test_a_fingerprint_of_eight_digits_finds_the_card(add: Callable[..., ModelRegistry]) -> None:
    registry = add()
    card = registry.resolve("mine")
    sha = card.sha256_of(card.variants[0])
    for n in (8, 20, 64):
        assert registry.resolve(f"sha256:{sha[:n]}").name == "mine"
    assert registry.resolve(f"sha256:{sha[:12].upper()}").name == "mine"
    for bad in (sha[:7], "", sha + "0"):
        with pytest.raises(UsageError, match="8 to 64"):
            registry.resolve(f"sha256:{bad}")
    with pytest.raises(ModelNotFound, match="fingerprint"):
        registry.resolve("sha256:" + "0" * 64)


def test_a_cards_path_is_a_reference(add: Callable[..., ModelRegistry], tmp_path: Path) -> None:
    assert add().resolve(str(tmp_path / "mine.toml")).name == "mine"


def test_requirements_prefer_what_the_user_added(add: Callable[..., ModelRegistry]) -> None:
    registry = add()
    assert registry.resolve("detect, has class person").name == "mine"
    registry.remove("mine")
    assert registry.resolve("detect, has class person").name == "person-ssdlite"


def test_an_added_card_hides_the_catalogues(add: Callable[..., ModelRegistry]) -> None:
    registry = add("person-ssdlite")
    assert [e.origin for e in registry.list() if e.name == "person-ssdlite"] == ["added"]


def test_what_is_not_found_is_answered_with_what_there_is(
    add: Callable[..., ModelRegistry],
) -> None:
    registry = add()
    with pytest.raises(ModelNotFound, match=r"did you mean 'person-ssdlite'.*mine \(detect: Hard"):
        registry.resolve("person-sdlite")
    with pytest.raises(ModelNotFound, match="there are: mine"):
        registry.resolve("detect, has class unicorn")


def test_a_requirement_that_is_none_is_a_mistake_of_the_caller() -> None:
    assert parse_requirements("person-ssdlite") is None
    with pytest.raises(UsageError, match=r"'hsa class person'.*did you mean 'has class'"):
        parse_requirements("detect, hsa class person")
    with pytest.raises(UsageError, match="requirement ''"):
        parse_requirements("detect,")


def test_a_card_that_broke_since_is_listed_with_its_problem(
    add: Callable[..., ModelRegistry], tmp_path: Path
) -> None:
    registry = add()
    add("other")
    (tmp_path / "mine.toml").write_text("schema = 2")
    (broken,) = [e for e in registry.list() if e.name == "mine"]
    assert broken.card is None
    assert "schema" in broken.problem
    with pytest.raises(CardError, match="mine"):
        registry.resolve("mine")
    assert registry.resolve("other").name == "other"
    (tmp_path / "mine.toml").write_text(CARD.format(name="renamed", backend="openvino"))
    (broken,) = [e for e in registry.list() if e.name == "mine"]
    assert "renamed" in broken.problem


@pytest.mark.parametrize("content", ["", "[]", '{"cards": 1}', "{", '{"cards": {"a": null}}'])
def test_a_damaged_registry_is_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "added.json").write_text(content)
    with pytest.raises(ModelError, match=r"added\.json is damaged"):
        ModelRegistry(tmp_path).list()


def test_a_card_without_its_file_is_not_added(
    add: Callable[..., ModelRegistry], tmp_path: Path
) -> None:
    registry = add()
    (tmp_path / "mine.pb").unlink()
    with pytest.raises(ModelNotFound, match=r"mine\.pb"):
        registry.add(tmp_path / "mine.toml")


def test_processes_that_add_at_once_lose_nothing(
    add: Callable[..., ModelRegistry], tmp_path: Path
) -> None:
    for i in range(6):
        add(f"m{i}")
    registry = ModelRegistry(tmp_path / "fresh")
    program = (
        "import sys; from edgesdk.models import ModelRegistry as R; R(sys.argv[1]).add(sys.argv[2])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "fresh"), str(tmp_path / f"m{i}.toml")]
        )
        for i in range(6)
    ]
    assert [p.wait(60) for p in processes] == [0] * 6
    added = {e.name for e in registry.list() if e.origin == "added"}
    assert added == {f"m{i}" for i in range(6)}


def test_pulling_what_has_no_source_says_which_file_is_missing(
    add: Callable[..., ModelRegistry], tmp_path: Path
) -> None:
    registry = add()
    registry.pull([registry.resolve("mine")])  # it is there: nothing to do
    (tmp_path / "mine.pb").unlink()
    with pytest.raises(ModelNotFound, match=r"mine\.pb"):
        registry.pull([registry.resolve("mine")])


def test_an_unknown_asset_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"bikes\.mp4"):
        ModelRegistry(tmp_path).asset("nothing.mp4")


def test_a_card_is_read_once_until_it_or_a_file_that_it_names_changes(
    add: Callable[..., ModelRegistry], tmp_path: Path
) -> None:
    registry = add()
    path = tmp_path / "mine.toml"
    (tmp_path / "names.txt").write_text("person\nhat\n")
    path.write_text(
        CARD.format(name="mine", backend="openvino").replace(
            'labels = ["person", "Hard Hat"]', 'labels_file = "names.txt"'
        )
    )
    first = registry.resolve("mine")
    assert registry.resolve("mine") is first
    assert ModelRegistry(tmp_path / "cache").list()[0].card is first
    (tmp_path / "names.txt").write_text("person\nhelmet\n")
    second = registry.resolve("mine")
    assert set(second.labels.values()) == {"person", "helmet"}
    assert second.digest != first.digest
    (tmp_path / "mine.pb").write_bytes((tmp_path / "mine.pb").read_bytes() + b"\x52\x00")
    assert registry.resolve("mine").digest != second.digest
    path.write_text("nonsense")
    with pytest.raises(CardError):
        registry.resolve("mine")


def test_a_model_is_found_among_a_thousand_without_reading_them_all(
    add: Callable[..., ModelRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        registry = add(f"mine-{number}")
    read = []
    monkeypatch.setattr(
        "edgesdk.models.reading.load_card", lambda path, **o: read.append(path) or load_card(path)
    )
    registry.resolve("mine-7")
    assert len(read) == 1
