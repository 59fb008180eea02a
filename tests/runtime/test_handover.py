"""A stream moves to another node, and what its operators know goes with it."""

import json
import time

import pytest

from edgesdk.config import parse_config
from edgesdk.errors import ConfigError
from edgesdk.runtime.agent import Agent
from edgesdk.runtime.handover import MAX_STATE_BYTES, _exported

APPLICATION = """
import edgesdk as edge

@edge.operator(version=1, state=dict)
def seen(state: dict, frame) -> edge.Measurement:
    state["frames"] = state.get("frames", 0) + 1
    return edge.Measurement("seen", dict(state))

@edge.operator(version=1, stateful=True)
class Brightest:
    def __init__(self) -> None:
        self.most = 0.0

    def step(self, frame) -> edge.Measurement:
        self.most = max(self.most, float(frame.mean()))
        return edge.Measurement("brightest", {"most": self.most})

    def export_state(self):
        return {"most": self.most}

    def import_state(self, state):
        self.most = state["most"]

@edge.operator(version=1, stateful=True)
class Shy:
    def __init__(self) -> None:
        self.frames = 0

    def step(self, frame) -> edge.Measurement:
        self.frames += 1
        return edge.Measurement("shy", {"frames": self.frames})

@edge.app(deadline="2s")
def watch(camera: edge.Camera):
    return {
        "seen": camera.apply(seen),
        "brightest": camera.apply(Brightest),
        "shy": camera.apply(Shy),
    }
"""
GIVEN = {
    "schema": 1,
    "cameras": {"door": {"uri": "synthetic:?width=96&height=64&fps=20"}},
    "apps": {"watch": {"app": "watch.py:watch", "cameras": ["door"]}},
}


@pytest.fixture
def two(tmp_path):
    agents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "watch.py").write_text(APPLICATION)
        text = f'schema = 1\n[node]\nname = "{name}"\nstate = "state"\n'
        agent = Agent(
            lambda text=text, folder=folder: parse_config(text, directory=folder),
            folder=folder,
            out=folder / "out.jsonl",
        )
        agent.start()
        agents.append(agent)
    yield agents, tmp_path
    for agent in agents:
        agent.stop()


def outputs(folder):
    file = folder / "out.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    records = [json.loads(line) for line in lines]
    return [record["outputs"] for record in records if record["state"] == "ok"]


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def test_what_can_be_exported_goes_on_and_the_rest_starts_anew_and_is_named(two):
    (one, other), folder = two
    one.assign(GIVEN)
    wait_for(lambda: len(outputs(folder / "one")) > 20)
    estate = one.take_states({"streams": [["watch", "door"]]})
    assert sorted(state.name for state in estate.states) == ["Brightest", "seen"]
    (anew,) = estate.anew
    assert anew.name == "Shy"
    assert "export_state" in anew.why
    taken = {state.name: state.state for state in estate.states}
    assert taken["seen"]["frames"] >= 20
    states = [{"camera": s.camera, "operator": s.operator, "state": s.state} for s in estate.states]
    assert other.give_states({"states": states}) == 2
    other.assign(GIVEN)
    one.assign(None)
    wait_for(lambda: outputs(folder / "two"))
    first = outputs(folder / "two")[0]
    assert first["seen"]["frames"] == taken["seen"]["frames"] + 1
    assert first["brightest"]["most"] >= taken["Brightest"]["most"]
    assert first["shy"]["frames"] == 1


def test_a_state_that_the_operator_refuses_does_not_keep_the_stream_from_running(two):
    (one, other), folder = two
    one.assign(GIVEN)
    wait_for(lambda: outputs(folder / "one"))
    estate = one.take_states({"streams": [["watch", "door"]]})
    broken = [{"camera": s.camera, "operator": s.operator, "state": 17} for s in estate.states]
    other.give_states({"states": broken})
    other.assign(GIVEN)
    wait_for(lambda: outputs(folder / "two"))
    assert outputs(folder / "two")[0]["seen"]["frames"] == 1


def test_states_of_streams_that_are_not_there_are_none(two):
    (one, _), _ = two
    assert one.take_states({"streams": [["watch", "nowhere"]]}).states == []


@pytest.mark.parametrize("document", [3, {"streams": "x"}, {"streams": [["a"]]}])
def test_a_request_that_means_nothing_is_refused(two, document):
    (one, _), _ = two
    with pytest.raises(ConfigError, match="mean nothing"):
        one.take_states(document)


class Keeper:
    def __init__(self, state):
        self.state = state

    def export_state(self):
        return self.state


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"seen": {1, 2}}, "holds a value of type set"),
        ({"big": "x" * (MAX_STATE_BYTES + 1)}, "larger than"),
        ({"big": 1 << 80}, "beyond 64 bits"),
        ({(1, 2): 3}, "keys"),
        ({"object": object()}, "holds a value of type object"),
    ],
)
def test_state_that_is_no_plain_data_stays_and_it_says_why(state, why):
    assert why in _exported(Keeper(state)).why


def test_a_state_is_copied_the_operator_goes_on_changing_its_own():
    state = {"list": [1]}
    taken = _exported(Keeper(state))
    state["list"].append(2)
    assert taken == {"list": [1]}


def test_a_state_is_taken_before_the_steps_that_wait(two):
    (one, _), folder = two
    slow = APPLICATION.replace(
        'state["frames"] =', 'import time; time.sleep(0.4); state["frames"] ='
    )
    (folder / "one" / "watch.py").write_text(slow)
    one.assign(GIVEN)
    wait_for(lambda: one.node.workshop.own_code.waiting() > 20)
    began = time.monotonic()
    estate = one.take_states({"streams": [["watch", "door"]]})
    assert "seen" in {state.name for state in estate.states}
    assert time.monotonic() - began < 3
