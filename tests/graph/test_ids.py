"""An operator's id says what it computes: the same everywhere, other when anything differs."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesdk as edge
from edgesdk.graph import Plan, execution_id, load_application, operator_id

GOLDEN = """
import edgesdk as edge
LIMIT = 0.5

def narrow(detections, share):
    return detections.select(detections.boxes[:, 0] < share * 100)

@edge.operator(version=1)
def left(detections: edge.Detections, share: float = LIMIT) -> edge.Detections:
    return narrow(detections, share)

@edge.app
def main(camera):
    frames = camera.sample(fps=5).gate().crop(box=(0, 0, 0.5, 1))
    found = frames.detect("people", classes=["person"], score=0.5).apply(left)
    return found.track().count()
"""

# These change only if what an operator computes changes: then raise its version and renew them.
GOLDEN_IDS = {
    "camera": "7101aec69aa7",
    "crop": "26af94168add",
    "detect": "d48ba6515500",
    "filter": "f5757698ba76",
    "left": "8ffb5bd8cf1b",
    "sample": "c638c5305efe",
    "gate": "4a1dcb02c0d2",
    "track": "f5a132627f8f",
    "count": "89a21582f291",
}


def ids(plan: Plan) -> dict[str, str]:
    return {operator.name: operator.id for operator in plan.operators}


def test_ids_are_those_they_have_always_been(
    write: Callable[..., str], compiled: Callable[..., Plan]
) -> None:
    plan = compiled(load_application(write(GOLDEN)))
    assert {name: found[:12] for name, found in ids(plan).items()} == GOLDEN_IDS


def test_ids_are_the_same_in_another_process_and_from_another_file(
    write: Callable[..., str], compiled: Callable[..., Plan]
) -> None:
    plan = compiled(load_application(write(GOLDEN)))
    other = write("\n\n# moved\n" + GOLDEN, "other.py")
    code = (
        "from edgesdk.graph import compile_applications, load_application\n"
        "from types import SimpleNamespace as Card\n"
        "card = Card(name='x', task='detect', digest='a1' * 32, labels={1: 'person'})\n"
        f"pair = (load_application({other!r}), 'yard')\n"
        "for p in compile_applications([pair], lambda name: card).operators:\n"
        "    print(p.name, p.id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PATH": ""},
    )
    assert dict(line.split() for line in done.stdout.splitlines()) == ids(plan)


EDITS = {
    "the version": ("version=1", "version=2"),
    "its source": ("return narrow(detections, share)", "return narrow(detections, share * 2)"),
    "a function it calls": ("share * 100", "share * 200"),
    "a default": ("share: float = LIMIT", "share: float = 0.25"),
    "a constant": ("LIMIT = 0.5", "LIMIT = 0.25"),
    "a parameter given": (".apply(left)", ".apply(left, share=0.75)"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_own_operators_id_changes_with(
    edit: str, write: Callable[..., str], compiled: Callable[..., Plan]
) -> None:
    before = ids(compiled(load_application(write(GOLDEN))))
    old, new = EDITS[edit]
    assert old in GOLDEN
    after = ids(compiled(load_application(write(GOLDEN.replace(old, new), "edited.py"))))
    assert after["left"] != before["left"]
    assert after["track"] != before["track"]
    assert after["detect"] == before["detect"]


def one(stream_of: Callable[[edge.Camera], edge.Stream], compiled: Callable[..., Plan]) -> str:
    """The id of the one output of an application that returns what *stream_of* does."""
    plan = compiled(edge.app(name="one")(lambda camera: stream_of(camera)))
    return plan.operators[plan.outputs["one", "door"]["output"]].id


DIFFERENT = {
    "another model": lambda camera: camera.embed("faces"),
    "another box": lambda camera: camera.crop(box=(0, 0, 0.4, 1)).classify("hats"),
    "no box": lambda camera: camera.classify("hats"),
    "a zone": lambda camera: camera.zone(polygon=[(0, 0), (1, 0), (1, 1)]).classify("hats"),
    "another parameter": lambda camera: camera.crop(box=(0, 0, 0.5, 1)).classify("hats", top=2),
}


@pytest.mark.parametrize("change", DIFFERENT)
def test_ids_differ_by(change: str, compiled: Callable[..., Plan]) -> None:
    same = one(lambda camera: camera.crop(box=(0, 0, 0.5, 1)).classify("hats"), compiled)
    assert one(DIFFERENT[change], compiled) != same


EQUAL = {
    "how a number is written": (
        lambda camera: camera.detect("people", score=1).track(lost=2),
        lambda camera: camera.detect("people", score=np.float64(1.0)).track(lost="2s"),
    ),
    "the order of classes": (
        lambda camera: camera.detect("people", classes=["person", "bicycle"]),
        lambda camera: camera.detect("people", classes=("bicycle", "person", "person")),
    ),
    "lists or tuples": (
        lambda camera: camera.crop(box=[0, 0, 1, 0.5]).classify("hats"),
        lambda camera: camera.crop(box=(0, 0, 1, 0.5)).classify("hats"),
    ),
    "selectors before a stateless operator": (
        lambda camera: camera.sample(fps=2).gate().detect("people").filter(score=0.5),
        lambda camera: camera.detect("people").filter(score=0.5),
    ),
}


@pytest.mark.parametrize("aspect", EQUAL)
def test_ids_do_not_depend_on(aspect: str, compiled: Callable[..., Plan]) -> None:
    first, second = EQUAL[aspect]
    assert one(first, compiled) == one(second, compiled)


SELECTED = {
    "no selector": lambda camera: camera,
    "a sample": lambda camera: camera.sample(fps=5),
    "another sample": lambda camera: camera.sample(fps=6),
    "a gate": lambda camera: camera.gate(),
    "a gate after a sample": lambda camera: camera.sample(fps=5).gate(),
    "a sample after a gate": lambda camera: camera.gate().sample(fps=5),
    "a gate with another zone": lambda camera: camera.gate(zone=[(0, 0), (1, 0), (1, 1)]),
}


def test_what_keeps_state_has_another_id_for_every_choice_of_frames(
    compiled: Callable[..., Plan],
) -> None:
    @edge.operator(version=1)
    def here(detections: edge.Detections, frames: object) -> edge.Detections:
        return detections

    found = {
        name: one(
            lambda camera, chosen=chosen: (
                camera.detect("people").apply(here, chosen(camera).classify("hats")).track()
            ),
            compiled,
        )
        for name, chosen in SELECTED.items()
    }
    assert len(set(found.values())) == len(found)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.text(), plain, min_size=1, max_size=4), st.randoms())
def test_an_id_does_not_depend_on_the_order_in_which_parameters_are_said(
    parameters, random
) -> None:
    shuffled = list(parameters.items())
    random.shuffle(shuffled)
    said = operator_id(name="x", version=1, parameters=parameters)
    assert operator_id(name="x", version=1, parameters=dict(shuffled)) == said


@settings(deadline=None, derandomize=True)
@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=4), st.data())
def test_an_id_knows_the_order_of_inputs_and_not_that_of_selectors(names, data) -> None:
    shuffled = data.draw(st.permutations(names))
    by_inputs = {
        operator_id(name="x", version=1, parameters={}, inputs=order) for order in (names, shuffled)
    }
    by_selectors = {
        operator_id(name="x", version=1, parameters={}, selectors=order)
        for order in (names, shuffled)
    }
    assert len(by_inputs) == (1 if names == shuffled else 2)
    assert len(by_selectors) == 1


def test_an_execution_id_differs_by_everything_that_makes_the_bytes() -> None:
    facts = {
        "variant_sha256": "ab" * 32,
        "backend": "openvino",
        "backend_version": "2026.1",
        "device": "CPU",
        "precision": "fp32",
        "decoder": "h264 libavcodec 61",
        "codec": None,
    }
    base = execution_id("00" * 32, **facts)
    others = [execution_id("00" * 32, **{**facts, name: "other"}) for name in facts]
    assert len({base, execution_id("11" * 32, **facts), *others}) == len(facts) + 2
    assert execution_id("00" * 32, **facts) == base


def test_a_states_own_class_is_part_of_the_operator(
    write: Callable[..., str], compiled: Callable[..., Plan]
) -> None:
    text = (
        "import edgesdk as edge\n\n\nclass Tally:\n    first = 1\n\n\n"
        "@edge.operator(version=1, state=Tally)\n"
        "def tally(state, rows: edge.Detections) -> edge.Detections:\n    return rows\n\n\n"
        "@edge.app\ndef main(camera):\n    return camera.detect('people').apply(tally)\n"
    )
    before = ids(compiled(load_application(write(text))))
    after = ids(compiled(load_application(write(text.replace("= 1", "= 2", 1), "b.py"))))
    assert before["tally"] != after["tally"]


def factory(limit: object) -> object:
    @edge.operator(version=1)
    def few(detections: edge.Detections) -> edge.Detections:
        return detections if len(detections) < limit else edge.Detections.empty()

    return few


def test_what_an_operator_closes_over_is_part_of_it(compiled: Callable[..., Plan]) -> None:
    def applied(limit: object) -> str:
        return one(lambda camera: camera.detect("people").apply(factory(limit)), compiled)

    assert applied(3) == applied(3)
    assert applied(3) != applied(4)
    with pytest.raises(edge.GraphError, match=r"few: its code depends on 'limit', a list"):
        applied([3])
