"""``edgesdk graph``: the graph as text, Mermaid and JSON, and what is shared."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from edgesdk.graph import Plan, load_application
from edgesdk.graph.drawing import as_document, as_mermaid, as_text

TWO = """
import edgesdk as edge

print("loaded")

@edge.app(deadline="500ms")
def people(camera):
    moving = camera.sample(fps=10).gate()
    tracks = moving.detect("MODEL", classes=["person"], score=0.5).track()
    return {"tracks": tracks, "people": tracks.count().to_mqtt("mqtt://u:secret@host", topic="a")}

@edge.app
def doorway(camera):
    return camera.detect("MODEL", score=0.3).track().line_count(line=[(0, 0.5), (1, 0.5)])
"""


@pytest.fixture
def plan(write: Callable[..., str], compiled: Callable[..., Plan]) -> Plan:
    file = write(TWO.replace("MODEL", "people"))
    return compiled(load_application(f"{file}:people"), load_application(f"{file}:doorway"))


def test_the_text_shows_each_operator_and_marks_what_is_shared(plan: Plan) -> None:
    text = re.sub(r"[0-9a-f]{8}  ", "", re.sub(r"  after .*?  ", "  ", as_text(plan)))
    shown = [line for line in text.splitlines() if line]
    assert shown == [
        "people on door: deadline 500ms, weight 1, gives tracks, people (app.py:6)",
        "doorway on door: deadline 1s, weight 1, gives output (app.py:12)",
        "camera door",
        "├─ detect people (score=0.05)  SHARED by doorway, people",
        "│  ├─ filter (classes=(person), score=0.5)  people",
        "│  │  └─ track (high=0.5, low=0.1, start=0.6, overlap=0.2, lost=2s, confirm=2)  people"
        "  => people.tracks",
        "│  │     └─ count  people  => people.people, mqtt mqtt://***@host a",
        "│  └─ filter (score=0.3)  doorway",
        "│     └─ track (high=0.5, low=0.1, start=0.6, overlap=0.2, lost=2s, confirm=2)  doorway",
        "│        └─ line_count (line=((0, 0.5), (1, 0.5)), margin=0.01, anchor=bottom)  doorway"
        "  => doorway.output",
        "└─ sample (fps=10)  people",
        "   └─ gate (threshold=0.004, hold=1s, sensitivity=12, adapt=5s)  people",
        "9 operators, 10 without sharing; inferences 1, 2 without sharing",
    ]


def test_mermaid_has_every_operator_once_and_fills_the_shared_ones(plan: Plan) -> None:
    drawn = as_mermaid(plan)
    assert drawn.startswith("flowchart TD\n")
    for operator in plan.operators:
        assert len(re.findall(rf"^    n{operator.index}\W", drawn, re.MULTILINE)) == 1
    (detect,) = [p.index for p in plan.operators if p.kind == "detect"]
    assert f"  class n{detect} shared" in drawn
    assert "shared by doorway, people" in drawn
    assert "secret" not in drawn
    values = sum(len(p.inputs) for p in plan.operators)
    assert len(re.findall(r"n\d+ --> n\d+$", drawn, re.MULTILINE)) == values
    assert "-.->" in drawn


def test_the_document_says_what_is_shared_and_hides_credentials(plan: Plan) -> None:
    document = as_document(plan)
    shared = [operator.operator for operator in document.operators if operator.shared]
    assert shared == ["camera", "detect"]
    assert document.sharing.inferences == 1
    assert document.sharing.inferences_without_sharing == 2
    assert document.sinks[0].to == "mqtt://***@host a"
    assert [app.outputs.keys() for app in document.applications] == [
        {"tracks", "people"},
        {"output"},
    ]


def test_the_token_in_a_webhooks_path_is_hidden(built: Callable[[str], Plan]) -> None:
    token = "a8f3kq02mmzx71b0c9"
    plan = built(f"camera.detect('people').to_webhook('https://hooks.example/x/{token}')")
    assert as_document(plan).sinks[0].to == "https://hooks.example/x/***"
    assert token not in as_text(plan) + as_mermaid(plan)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgesdk.cli.main", "graph", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_CACHE_HOME": os.getcwd(), "COLUMNS": "200"},
    )


def test_the_command_prints_one_document_and_nothing_else(write: Callable[..., str]) -> None:
    file = write(TWO.replace("MODEL", "person-ssdlite"))
    done = command(f"{file}:people", f"{file}:doorway", "--camera", "yard", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["schema"], document["command"]) == (1, "graph")
    assert {operator["camera"] for operator in document["operators"]} == {"yard"}
    assert "loaded" in done.stderr


@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (("fps=10", "fsp=10"), 2, "app.py:8: sample(fsp=10): unknown parameter 'fsp'; did you"),
        (('"person"', '"persn"'), 2, "model 'person-ssdlite' has no class 'persn'; did you mean"),
        (("person-ssdlite", "nobody"), 3, "app.py:9: detect: "),
        (("import edgesdk as edge", "import edgesdk as"), 2, "app.py:2: SyntaxError: "),
    ],
)
def test_the_command_says_a_mistake_in_one_line(
    edit: tuple[str, str], code: int, message: str, write: Callable[..., str]
) -> None:
    file = write(TWO.replace("MODEL", "person-ssdlite").replace(*edit))
    done = command(f"{file}:people")
    assert (done.returncode, done.stdout) == (code, "")
    said = [line for line in done.stderr.splitlines() if line != "loaded"]
    assert len(said) == 1
    assert message in said[0]
