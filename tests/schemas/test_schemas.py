"""What is really written obeys the schemas in docs/, and these are what the code says."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest

from edgesdk import toml
from edgesdk.config import Config
from edgesdk.records import CaptureTime, DemoSummary, ResultRecord, encode
from edgesdk.schemas import DOCUMENTS, main, schema
from edgesdk.values import Classification, Detections, Embedding, Measurement, RawOutputs

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"

APPLICATION = """
import edgesdk as edge

@edge.operator(version=1)
def brightness(pixels):
    return edge.Measurement("brightness", {"mean": float(pixels.mean())})

@edge.app(deadline="5s")
def light(camera: edge.Camera):
    return {"light": camera.sample(fps=10).gate(threshold=0.001).apply(brightness)}
"""


def check(name: str, document: bytes) -> dict:
    stored = json.loads((SCHEMAS / f"{name}.json").read_text())
    value = json.loads(document)
    jsonschema.Draft202012Validator(stored).validate(value)
    return value


def edgesdk(*words: str, cwd: Path, code: int = 0) -> bytes:
    command = "from edgesdk.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, *words, "--json"], cwd=cwd, capture_output=True, timeout=100
    )
    assert done.returncode == code, done.stderr.decode()
    assert done.stdout.count(b"\n") == 1, "one document and nothing else"
    return done.stdout


def test_the_schemas_in_docs_are_those_of_the_types(tmp_path):
    (tmp_path / "gone.json").write_text("{}")
    assert main([str(tmp_path)]) == 0
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    stored = {file.name: file.read_text() for file in SCHEMAS.iterdir()}
    assert made == stored, "run: python -m edgesdk.schemas docs/schemas"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_is_one_and_asks_for_the_version(name):
    made = schema(name)
    jsonschema.Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert 1 in made["properties"]["schema"]["enum"]


@pytest.fixture(scope="module")
def run_of_an_application(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "app.py").write_text(APPLICATION)
    summary = edgesdk(
        *("run", "app.py:light", "--camera", "a=synthetic:?width=160&height=120&fps=30&frames=30"),
        *("--out", "results.jsonl", "--state", "state"),
        cwd=folder,
    )
    return summary, (folder / "results.jsonl").read_bytes().splitlines()


def test_a_run_prints_a_run_document_whose_counts_add_up(run_of_an_application):
    frames = check("run", run_of_an_application[0])["applications"]["light"]["cameras"]["a"][
        "frames"
    ]
    assert frames["captured"] == 30
    assert frames["captured"] == frames["skipped_sample"] + frames["held"] + frames["passed"]


def test_a_demo_is_a_run_that_says_where_its_files_are(run_of_an_application):
    run = json.loads(run_of_an_application[0]) | {"command": "demo", "results": "results.jsonl"}
    check("demo", encode(msgspec.convert(run | {"picture": None}, DemoSummary)))


def test_each_line_of_the_results_is_a_result(run_of_an_application):
    lines = run_of_an_application[1]
    assert len(lines) > 5
    ids = {check("result", line)["id"] for line in lines}
    assert len(ids) == len(lines)


def test_a_graph_is_a_graph_document(tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION)
    check("graph", edgesdk("graph", "app.py:light", cwd=tmp_path))


def test_a_failure_is_an_error_document_with_its_exit_code(tmp_path):
    document = check("error", edgesdk("graph", "missing.py:app", cwd=tmp_path, code=2))
    assert document["error"]["exit_code"] == 2


def test_doctor_prints_a_doctor_document(tmp_path):
    check("doctor", edgesdk("doctor", cwd=tmp_path))


@pytest.fixture
def colour(tmp_path, monkeypatch):
    """The example's model, added to a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    card = ROOT / "examples" / "models" / "colour.toml"
    return check("models-add", edgesdk("models", "add", str(card), cwd=tmp_path))["model"]["name"]


def test_the_models_commands_print_their_documents(tmp_path, colour):
    listed = check("models-list", edgesdk("models", "list", cwd=tmp_path))
    assert colour in {model["name"] for model in listed["models"]}
    check("models-show", edgesdk("models", "show", colour, cwd=tmp_path))
    check("models-pull", edgesdk("models", "pull", colour, cwd=tmp_path))
    assert check("models-verify", edgesdk("models", "verify", colour, cwd=tmp_path))["agrees"]


def test_bench_prints_a_bench_document(tmp_path, colour):
    words = ("bench", colour, "--seconds", "0.02", "--batches", "1", "--threads", "1")
    assert check("bench", edgesdk(*words, cwd=tmp_path))["models"]


def make_result(**outputs: object) -> bytes:
    record = ResultRecord(
        app="a",
        camera="c",
        incarnation=1,
        sequence=1,
        state="ok",
        captured=CaptureTime(utc_ns=1, mono_ns=1),
        width=1,
        height=1,
        outputs=outputs,
    )
    return encode(record)


DETECTIONS = Detections(
    np.array([[1, 2, 3, 4]], np.float32),
    np.array([0.5], np.float32),
    np.array([1], np.int32),
    ("person",),
    attributes={"colour": ("red",)},
)


@pytest.mark.parametrize(
    "value",
    [
        DETECTIONS,
        Detections.empty(),
        Classification((1,), ("cat",), (0.5,)),
        Embedding(np.zeros(3, np.float32)),
        RawOutputs({"x": np.zeros((1, 2), np.uint8)}),
        Measurement("count", {"now": 1, "total": 2}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_value_becomes_obeys_the_schema_of_outputs(value):
    check("result", make_result(value=value.to_json()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "detections"},
        {"type": "detections", "items": [{"box": [1, 2, 3]}]},
        {"type": "embedding", "vector": ["x"]},
    ],
)
def test_an_output_that_is_not_what_its_type_says_disobeys(wrong):
    with pytest.raises(jsonschema.ValidationError):
        check("result", make_result(value=wrong))


def without_required(part):
    """A schema that lets keys be absent: the contract shows those it began with."""
    if isinstance(part, dict):
        return {key: without_required(v) for key, v in part.items() if key != "required"}
    return [without_required(v) for v in part] if isinstance(part, list) else part


@pytest.mark.parametrize(
    ("heading", "name"), [("## A result record", "result"), ("### The counts", "run")]
)
def test_the_examples_in_the_contract_obey(heading, name):
    text = (ROOT / "docs" / "contract.md").read_text()
    example = json.loads(text.split(heading)[1].split("```json\n")[1].split("```")[0])
    made = schema(name)
    jsonschema.Draft202012Validator(without_required(made)).validate(example)
    assert example.keys() <= made["properties"].keys()


def test_the_configuration_in_the_contract_obeys():
    text = (ROOT / "docs" / "contract.md").read_text()
    config = text.split("## The configuration file")[1].split("```toml\n")[1].split("```")[0]
    check("config", msgspec.json.encode(toml.loads(config)))


def test_a_card_of_the_catalogue_obeys_the_schema_of_cards():
    files = (ROOT / "edgesdk" / "models" / "catalogue").glob("*.toml")
    cards = [card for file in files if "task" in (card := toml.loads(file.read_text()))]
    assert cards
    for card in cards:
        check("model-card", json.dumps(card).encode())


def test_a_config_with_an_unknown_key_disobeys():
    with pytest.raises(jsonschema.ValidationError):
        check("config", b'{"schema": 1, "nod": {}}')
    check("config", msgspec.json.encode(msgspec.to_builtins(Config())))
