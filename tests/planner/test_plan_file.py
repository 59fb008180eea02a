"""The input file: what it means in whole units, and every mistake in it with its place."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from edgesdk.errors import ConfigError, PlanInfeasible
from edgesdk.planner import solve
from edgesdk.planner.cam2 import builtin_scenarios, read_scenarios
from edgesdk.planner.plan_file import Estimate, problem_of, read_plan_input

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

GOOD = """\
target = 0.9
[streams.cars]
fps = 10
count = 3
needs = { memory = 0.1 }
needs_per_fps = { cpu = 0.03 }
[machines.small]
capacity = { cpu = 4, memory = 8 }
usd_per_hour = 0.2
"""


def mistakes_in(text: str, form: str = "toml") -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read_plan_input(text, file="p", form="json" if form == "json" else "toml")
    return str(refused.value).splitlines()


def test_amounts_become_whole_units_needs_up_and_capacities_down() -> None:
    text = GOOD.replace("0.1 }", "0.0000001 }").replace("cpu = 4,", "cpu = 4.0000009,")
    problem = problem_of(read_plan_input(text, file="p", form="toml"))
    assert [r.name for r in problem.resources] == ["cpu", "memory"]
    assert problem.classes[0].needs == (300_000, 1)
    assert problem.machines[0].capacity == (4_000_000, 8_000_000)
    assert problem.machines[0].microusd == 200_000
    assert problem.target_ppm == 900_000


def test_json_says_the_same_as_toml() -> None:
    document = {
        "target": 0.9,
        "streams": {
            "cars": {
                "fps": 10,
                "count": 3,
                "needs": {"memory": 0.1},
                "needs_per_fps": {"cpu": 0.03},
            }
        },
        "machines": {"small": {"capacity": {"cpu": 4, "memory": 8}, "usd_per_hour": 0.2}},
    }
    from_json = read_plan_input(json.dumps(document), file="p", form="json")
    assert problem_of(from_json) == problem_of(read_plan_input(GOOD, file="p", form="toml"))


MISTAKES = [
    ("count = 3", "count = -1", "p:4: streams.cars.count = -1: expected a whole number"),
    ("count = 3", "count = 2.5", "p:4: streams.cars.count = 2.5"),
    ("count = 3\n", "", "p:2: [streams.cars] has no count"),
    ("count = 3", "coutn = 3", 'unknown key streams.cars.coutn = 3: did you mean "count"?'),
    ("fps = 10", "fps = 0", "p:3: streams.cars.fps = 0: expected a number above 0"),
    ("fps = 10\n", "", "[streams.cars] has needs_per_fps and no fps"),
    ("memory = 0.1", "memory = -1", "p:5: streams.cars.needs.memory = -1: expected an amount"),
    ("memory = 0.1", 'memory = "1"', 'p:5: streams.cars.needs.memory = "1": expected an amount'),
    (
        "memory = 0.1",
        "memroy = 0.1",
        'unknown resource "memroy" in streams.cars.needs: did you mean',
    ),
    ("target = 0.9", "target = 90", "p:1: target = 90: expected a share above 0"),
    ("target = 0.9", "schema = 2", "p:1: schema = 2: expected 1"),
    ("usd_per_hour = 0.2\n", "", "p:7: [machines.small] has no price"),
    ("usd_per_hour = 0.2", "usd_per_hour = -0.2", "p:9: machines.small.usd_per_hour = -0.2"),
    ("usd_per_hour = 0.2", "existing = true", "[machines.small] is existing and has no limit"),
    ("capacity = { cpu = 4, memory = 8 }\n", "", "p:7: [machines.small] has no capacity"),
    ("fps = 10", 'fps = 10\nloads = ["yolo"]', 'p:4: streams.cars.loads[0] = "yolo"'),
    ("fps = 10", 'fps = 10\nmachines = ["smal"]', 'did you mean "small"?'),
    ("fps = 10", 'fps = 10\nresolution = "big"', 'expected a size such as "1280x720"'),
    ("fps = 10", 'fps = 10\nmax_latency = "fast"', 'max_latency = "fast": expected a duration'),
    ("fps = 10", 'fps = 10\nmax_latency = "9ms"', "has max_latency and no place"),
    ("fps = 10", "fps = 10\nat_most = 0", "p:4: streams.cars.at_most = 0: expected a whole"),
    ("[machines.small]", '[[apart]]\nstreams = ["bus"]\n[machines.small]', "apart[0].streams[0]"),
    (
        "[machines.small]",
        '[[links]]\nplace = "x"\n[machines.small]',
        "p:7: [links[0]] has no region",
    ),
    (
        "target = 0.9",
        "target = 0.9\noverload = 0.5",
        "overload = 0.5: expected target, 0.9, or more",
    ),
    ("cpu = 4, memory = 8", "cpu = 0", "capacity = a table: expected some of its amounts above 0"),
    ("memory = 8 }", "memory = 8e6 }", "expected 4,398,047 GB at most; its amounts are in GB"),
    ("usd_per_hour = 0.2", "regions = {}", "machines.small.regions = a table: expected prices"),
    ("usd_per_hour = 0.2", 'regions = { a = 1 }\nregion = "b"', "expected region or regions"),
    (
        "[machines.small]",
        '[[together]]\nstreams = ["cars"]\n[machines.small]',
        'together[0].streams = ["cars"]: expected two names or more',
    ),
    (
        "[machines.small]",
        '[[apart]]\nstreams = ["cars", "cars"]\n[machines.small]',
        "expected two different names or more; at_most = 1 keeps",
    ),
    (
        "[machines.small]",
        '[[links]]\nplace = "hal"\nregion = "r"\n[machines.small]\nregion = "r"',
        'p:8: links[0].place = "hal": expected the name of a stream',
    ),
    ("count = 3", f"count = {'9' * 5000}", "p:4: a number of thousands of digits"),
    ("fps = 10", "fps = nan", "p:3: streams.cars.fps = NaN: expected a number above 0"),
]


@pytest.mark.parametrize(("old", "new", "told"), MISTAKES, ids=[told for _, _, told in MISTAKES])
def test_each_mistake_names_line_field_value_and_what_was_expected(
    old: str, new: str, told: str
) -> None:
    assert old in GOOD
    assert any(told in line for line in mistakes_in(GOOD.replace(old, new)))


def test_all_mistakes_are_told_at_once_in_the_order_of_lines() -> None:
    text = GOOD.replace("count = 3", "count = -3").replace("fps = 10", 'fps = 10\nloads = ["m"]')
    text = text.replace("cpu = 4,", "cpus = 4,").replace("target = 0.9", "target = 9")
    found = mistakes_in(text)
    assert [line.split(":")[1] for line in found] == ["1", "4", "5", "9"]


def test_a_mistake_in_json_has_its_line_too() -> None:
    text = '{"machines": {"m": {"capacity": {"cpu": 1},\n "usd_per_hour": 1}},\n "streams":\n'
    text += ' {"a": {"count": 1,\n "needs": {"cpu": -2}}}}'
    assert mistakes_in(text, "json") == [
        "p:5: streams.a.needs.cpu = -2: expected an amount, 0 to 10^9, such as 0.5"
    ]
    assert mistakes_in('{"streams": 1,}', "json")[0].startswith("p:1: not JSON: ")
    assert mistakes_in("[1]", "json") == ["p:1: expected an object of keys, in braces"]


JSON_MISTAKES = [
    ('"fps": null', "[streams.cars] has needs_per_fps and no fps: expected fps"),
    ('"fps": 10, "fps": 20', "p:1: streams.cars.fps is there twice: expected each key once"),
    ('"fps": 10, "program": "\\ud800"', '"\\ud800" is half of a character'),
    ('"fps": 10, "profile": "a\\u0000b"', "expected a text without control characters"),
    ('"fps": 10, "loads": 3', "streams.cars.loads = 3: expected a list of names"),
    ('"fps": 10, "needs_on": {"npu": 1}', "streams.cars.needs_on.npu = 1: expected amounts"),
    ('"fps": 1e999', "streams.cars.fps = Infinity: expected a number above 0"),
]


@pytest.mark.parametrize(("fps", "told"), JSON_MISTAKES, ids=[told for _, told in JSON_MISTAKES])
def test_mistakes_that_only_json_can_have_are_named_too(fps: str, told: str) -> None:
    text = '{"streams": {"cars": {"count": [], "needs_per_fps": {"cpu": 0.03}, "fps": 10}}, '
    text += '"machines": {"small": {"capacity": {"cpu": 4}, "usd_per_hour": null}}}'
    found = mistakes_in(text.replace('"fps": 10', fps), "json")
    assert any(told in line for line in found)
    if len(found) > 1:
        assert any("streams.cars.count = []: expected a whole number" in line for line in found)
        assert any("[machines.small] has no price" in line for line in found)


def test_streams_in_a_place_too_far_from_every_machine_are_told_by_how_much() -> None:
    text = GOOD.replace("fps = 10", 'fps = 10\nplace = "hall"\nmax_latency = "10ms"')
    text += 'region = "north"\n[[links]]\nplace = "hall"\nregion = "north"\nlatency = "14ms"\n'
    problem = problem_of(read_plan_input(text, file="p", form="toml"))
    with pytest.raises(PlanInfeasible, match=r"max_latency is 10 ms, and north, .* 4 ms too far"):
        solve(problem, clock=time.monotonic)


def test_links_keep_streams_where_latency_and_bandwidth_allow() -> None:
    text = (EXAMPLES / "site_and_cloud.toml").read_text(encoding="utf-8")
    problem = problem_of(read_plan_input(text, file="p", form="toml"))
    people = next(c for c in problem.classes if c.name == "people")
    assert people.machines == {"box", "medium@north", "large@north"}
    plan = solve(problem, clock=time.monotonic, seconds=10)
    assert plan.status == "optimal"
    assert all(
        machine.type in people.machines for machine in plan.machines if "people" in machine.streams
    )


def test_a_profile_gives_what_one_stream_needs_and_what_a_machine_pays_once() -> None:
    asked = []

    def estimate(path: str, fps: float, width: int, height: int) -> Estimate:
        asked.append((path, fps, width, height))
        return Estimate({"cpu": 0.5, "memory": 0.2}, {"memory": 1.0})

    text = GOOD.replace("needs_per_fps = { cpu = 0.03 }", 'profile = "p.json"')
    text = text.replace("needs = { memory = 0.1 }", 'resolution = "640x480"')
    problem = problem_of(read_plan_input(text, file="p", form="toml"), estimate=estimate)
    assert asked == [("p.json", 10.0, 640, 480)]
    assert problem.classes[0].needs == (500_000, 200_000)
    assert problem.loads == {"profile p.json": (0, 1_000_000)}
    assert problem.classes[0].loads == ("profile p.json",)


def test_the_papers_scenarios_are_read_with_their_mistakes_told() -> None:
    assert set(builtin_scenarios().scenarios) == {"A", "B", "C", "1", "2", "3"}
    data = Path(__file__).parents[2] / "edgesdk/planner/data/cam2_scenarios.json"
    text = data.read_text(encoding="utf-8")
    wrong = text.replace('"streams": 50', '"streams": -50', 1).replace('"cap": 0.9', '"cap": 9', 1)
    wrong = wrong.replace('"r3.2xlarge",\n   "cores": 8', '"r3.3xlarge",\n   "cores": 8')
    with pytest.raises(ConfigError) as refused:
        read_scenarios(wrong, file="s.json")
    told = str(refused.value).splitlines()
    assert any("scenarios.A.cap = 9: expected a share" in line for line in told)
    assert any("streams = -50: expected a whole number" in line for line in told)
    assert any('types[5] = "r3.2xlarge": expected the name of an instance' in line for line in told)


def test_a_list_that_leaves_no_machine_is_a_mistake() -> None:
    for key in ("machines", "regions"):
        (mistake,) = mistakes_in(GOOD.replace("count = 3", f"count = 3\n{key} = []"))
        assert mistake.startswith(f"p:5: streams.cars.{key} = []: expected a name or more")


def test_texts_that_are_printed_hold_no_orders_to_a_terminal() -> None:
    for key in ("source", "program", "app"):
        (mistake,) = mistakes_in(GOOD.replace("count = 3", f'count = 3\n{key} = "a\\u001b[2Jb"'))
        assert mistake.startswith(f"p:5: streams.cars.{key} = ")
        assert "\x1b" not in mistake


def test_a_file_with_a_table_a_stream_is_read_in_seconds() -> None:
    streams = {f"s{i}": {"count": 1, "needs": {"cpu": 1}, "loads": ["m"]} for i in range(20_000)}
    machines = {f"m{i}": {"capacity": {"cpu": 4}, "usd_per_hour": 1} for i in range(30)}
    rules = [{"streams": [f"s{2 * i}", f"s{2 * i + 1}"]} for i in range(5000)]
    document = {
        "streams": streams,
        "machines": machines,
        "loads": {"m": {"needs": {"cpu": 1}}},
        "together": rules,
    }
    began = time.process_time()
    given = read_plan_input(json.dumps(document), file="p", form="json")
    assert len(given.streams) == 20_000
    assert time.process_time() - began < 6.0
