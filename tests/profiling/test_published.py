"""Published figures stand in for hardware that is not there, and are marked as such."""

import json
import time

import pytest
from typer.testing import CliRunner

from edgesdk.cli.plan import app as plan
from edgesdk.cli.plan import problem_and_input
from edgesdk.cli.profile import app as profile
from edgesdk.errors import ConfigError, UsageError
from edgesdk.planner import solve
from edgesdk.planner.documents import plan_document
from edgesdk.profiling.published import read_published

FIGURES = """
source = "a data sheet, 2025"
device = "npu-x"
machine_memory = 0.1
[[figures]]
resolution = "640x360"
fps = 5
cpu = 0.1
memory = 0.08
accelerator = 0.1
[[figures]]
resolution = "640x360"
fps = 10
cpu = 0.18
memory = 0.09
accelerator = 0.2
"""
FLEET = """
[streams.people]
count = 2
fps = 7
resolution = "640x360"
profile = "npu.json"
[streams.paper]
count = 1
needs = { cpu = 0.2 }
evidence = "published"
source = "table 3 of a paper"
[machines.box]
existing = true
limit = 9
capacity = { cpu = 4, memory = 8, accelerator = 1 }
"""


@pytest.fixture
def figures(tmp_path):
    (tmp_path / "npu.toml").write_text(FIGURES)
    return tmp_path / "npu.toml"


def test_two_published_rates_give_the_line_through_them(figures):
    guess = read_published(figures).predict(7, 640, 360)
    assert guess.cpu == pytest.approx(0.02 + 7 * 0.016)
    assert guess.accelerator == pytest.approx(0.14)
    assert guess.memory == pytest.approx(90e6)
    assert guess.basis == "published"


def test_a_single_figure_grows_with_the_rate_from_nothing(figures):
    figures.write_text(FIGURES.rpartition("[[figures]]")[0])
    assert read_published(figures).predict(10, 640, 360).cpu == pytest.approx(0.2)


def test_the_plan_says_whose_figures_it_counts_with(figures):
    runner = CliRunner()
    out = figures.with_name("npu.json")
    done = runner.invoke(profile, ["--published", str(figures), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "published figures, not measured here: a data sheet, 2025" in done.output
    figures.with_name("fleet.toml").write_text(FLEET)
    problem, _ = problem_and_input(figures.with_name("fleet.toml"))
    found = solve(problem, clock=time.monotonic, seconds=2)
    document = plan_document(problem, found, scenario=None)
    told = {tuple(n.streams): (n.evidence, n.source) for n in document.needs}
    assert told == {
        ("people",): ("published", "a data sheet, 2025"),
        ("paper",): ("published", "table 3 of a paper"),
    }
    shown = runner.invoke(plan, [str(figures.with_name("fleet.toml")), "--json"])
    assert json.loads(shown.stdout)["needs"][0]["evidence"] == "published"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("fps = 5", "fps = 0"), r"npu\.toml:7: figures\[0\]\.fps = 0: expected a rate above 0"),
        (("source =", "sauce ="), "source"),
        (('"640x360"\nfps = 5', '"big"\nfps = 5'), r"resolution = \"big\": expected a size"),
    ],
)
def test_a_mistake_names_its_field(figures, change, said):
    figures.write_text(FIGURES.replace(*change))
    with pytest.raises(ConfigError, match=said):
        read_published(figures)


def test_published_figures_and_a_test_run_exclude_each_other(figures):
    done = CliRunner().invoke(profile, ["x.py:y", "--published", str(figures)])
    assert isinstance(done.exception, UsageError)
    assert isinstance(CliRunner().invoke(profile, []).exception, UsageError)
