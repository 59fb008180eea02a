"""``edgesdk sim`` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgesdk.sim.documents import SimDocument
from edgesdk.sim.trace import read_trace
from edgesdk.sim.workload import draw


def sim(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgesdk.cli.main", "sim", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def document(*words: object) -> SimDocument:
    done = sim(*words, "--json")
    return msgspec.json.decode(done.stdout, type=SimDocument)


def test_one_document_with_the_figures_asked_for() -> None:
    words = ("--nodes", 12, "--load", 0.8, "--seed", 4, "--duration", 12)
    done = sim(*words, "--json")
    raw = json.loads(done.stdout)
    for name in ("goodput", "oracle", "pooled", "control_bytes_mean", "control_bytes_max",
                 "p10_camera", "worst_model"):  # fmt: skip
        assert isinstance(raw[name], float)
    assert 0 < raw["worst_model"] <= raw["goodput"] <= raw["pooled"] <= 1
    assert 0 < raw["control_bytes_mean"] <= raw["control_bytes_max"]
    again = json.loads(sim(*words, "--json").stdout)
    assert {**again, "seconds": 0} == {**raw, "seconds": 0}


def test_policies_side_by_side_for_people() -> None:
    done = sim("--nodes", 6, "--duration", 8, "--policy", "all", "--case", "nic20")
    for name in ("local", "argmin", "distream", "videojam", "ours", "omniscient", "fluid"):
        assert name in done.stdout


def test_a_recorded_trace_replays_to_the_same_figures(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    words = ("--nodes", 8, "--duration", 10, "--crashes", 3, "--repair", 2, "--seed", 3)
    sim(*words, "--write-trace", path)
    header, *rows = (json.loads(line) for line in path.read_text().splitlines())
    crashes = [row for row in rows if "crash" in row]
    group = next(row for row in rows if "crash" not in row)
    assert header["trace"] == "edgesdk"
    assert len(header["nodes"]) == 8
    assert crashes
    assert group.keys() == {"at_ns", "node", "app", "model", "captures"}
    recorded = read_trace(path)
    drawn = draw(recorded.parameters)
    assert (recorded.arrivals, recorded.crashes, recorded.nodes) == (
        drawn.arrivals, drawn.crashes, drawn.nodes,
    )  # fmt: skip
    replayed = document("--trace", path, "--no-oracle")
    assert replayed.policies == document(*words, "--no-oracle").policies
    narrow = document("--trace", path, "--no-oracle", "--nic", 1, "--policy", "static")
    wide = document("--trace", path, "--no-oracle", "--policy", "static")
    assert narrow.goodput < wide.goodput


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--nodes", 0), "nodes is 0; it must be between 1 and 20000"),
        (("--load", "nan"), "load is nan"),
        (("--case", "moon"), "there is no case 'moon'; there are: reference"),
        (("--policy", "local,best"), "there is no policy 'best'; there are: local"),
        (("--duration", 3), "more than the warm-up"),
        (("--gossip", 1e-6), "gossip_s is 1e-06; it must be 0 (the policy's own) or at least 0.1"),
        (("--nodes", 4, "--write-trace", "/no/such/folder/x"), "cannot write the trace /no/such"),
        (("--trace", "missing.jsonl"), "cannot read the trace missing.jsonl"),
        (("--nodes", 20000, "--duration", 3600), "at most 2,000,000"),
    ],
)
def test_a_mistake_is_one_message(words: tuple[object, ...], says: str) -> None:
    done = sim(*words, code=2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_crash_after_the_end_is_told() -> None:
    done = sim("--nodes", 4, "--duration", 5, "--case", "crash10", "--no-oracle", "--json")
    assert "nothing crashes: --crash-at 20 is not before 5 s" in done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"at_ns": 5, "node": 4, "app": 0, "model": 0, "captures": [1]}', "out of range"),
        ('{"at_ns": 5, "node": 0, "app": 0, "model": 0, "captures": [9]}', "out of range"),
        ('{"at_ns": "5"}', "Expected `int`"),
        ("nonsense", "malformed"),
    ],
)
def test_a_wrong_trace_names_the_line(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "trace.jsonl"
    sim("--nodes", 4, "--duration", 5, "--write-trace", path)
    first = path.read_text().splitlines()[0]
    path.write_text(f"{first}\n{line}\n")
    done = sim("--trace", path, code=2)
    assert "line 2" in done.stderr
    assert says in done.stderr


def test_a_trace_keeps_what_it_recorded(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    sim("--nodes", 4, "--duration", 5, "--write-trace", path)
    assert "cannot be changed" in sim("--trace", path, "--load", 2, code=2).stderr
