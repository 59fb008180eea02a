"""A node goes over from one configuration to another while frames come in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.config import Config, parse_config
from edgesdk.errors import AdmissionRefused, CaptureError, EdgeError, GraphError, UsageError
from edgesdk.runtime import Node

LIVE = "synthetic:?width=128&height=96&fps=40&seed={seed}"
APPLICATION = """
import edgesdk as edge

@edge.operator(version=1, stateful=True, state=list)
def seen(state: list[int], found: edge.Detections, info: edge.FrameInfo) -> edge.Measurement:
    state.append(info.sequence)
    return edge.Measurement("seen", {{"first": state[0], "frames": len(state)}})

@edge.app(deadline="3s")
def first(camera: edge.Camera):
    return {{"seen": camera.detect({cells!r}, score=0.4).apply(seen)}}

@edge.app(deadline="3s")
def second(camera: edge.Camera):
    return {{"seen": camera.detect({cells!r}, score=0.4).apply(seen)}}

@edge.app(deadline="3s")
def cascade(camera: edge.Camera):
    return {{"found": camera.detect({cells!r}, score=0.25).classify({colours!r}, name="colour")}}

@edge.app(deadline="1ms")
def impossible(camera: edge.Camera):
    return camera.detect({slow!r})
"""
Records = Callable[[Path], list[dict[str, Any]]]


class Bench:
    """A standing node with its results, and configurations of a few words."""

    def __init__(self, folder: Path, records: Records) -> None:
        self.out = folder / "out.jsonl"
        self.folder = folder
        self._records = records
        self.node: Node | None = None

    def config(self, cameras: dict[str, str], apps: dict[str, list[str]], more: str = "") -> Config:
        lines = ["[results]", 'out = "out.jsonl"', more]
        for name, uri in cameras.items():
            lines += [f"[cameras.{name}]", f'uri = "{uri}"', "queue = 32"]
        for name, wanted in apps.items():
            function, _, _ = name.partition("-")
            lines += [f"[apps.{name}]", f'app = "apps.py:{function}"', f"cameras = {wanted!r}"]
        return parse_config("\n".join(lines), directory=self.folder)

    def start(self, config: Config) -> Node:
        self.node = Node(config=config, standing=True)
        self.node.start()
        return self.node

    def records(self, **wanted: object) -> list[dict[str, Any]]:
        if not self.out.exists():
            return []
        lines = self.out.read_bytes()
        whole = self.folder / "whole.jsonl"
        whole.write_bytes(lines[: lines.rfind(b"\n") + 1])
        return [r for r in self._records(whole) if all(r[k] == v for k, v in wanted.items())]


@pytest.fixture
def bench(tmp_path: Path, cards: Any, records: Records) -> Iterator[Bench]:
    text = APPLICATION.format(cells=cards.cells, colours=cards.colours, slow=cards.slow_cells)
    (tmp_path / "apps.py").write_text(text)
    bench = Bench(tmp_path, records)
    yield bench
    if bench.node is not None:
        bench.node.stop()


def sequences(records: list[dict[str, Any]]) -> list[int]:
    return [record["sequence"] for record in records]


def no_gap(found: list[int]) -> bool:
    return found == list(range(found[0], found[0] + len(found)))


def adds_up(node: Node) -> bool:
    return all(channel.counts.balanced() for channel in node.ledger.channels())


CAMERAS = {"a": LIVE.format(seed=1), "b": LIVE.format(seed=2)}


def test_a_standing_node_may_begin_with_nothing_and_end_with_nothing(
    bench: Bench, wait_for: Any
) -> None:
    node = bench.start(Config())
    assert node.ready
    found = node.apply(bench.config(CAMERAS, {"first": ["a"]}))
    assert (found.cameras_added, found.apps_added) == (["a"], ["first"])
    assert found.models_loaded == ["cells"]
    wait_for(lambda: len(bench.records(camera="a")) > 10, "the first results")
    found = node.apply(Config())
    assert (found.cameras_removed, found.apps_removed) == (["a"], ["first"])
    assert found.models_unloaded == ["cells"]
    counts = node.summary().applications["first"].cameras["a"].frames
    assert counts.captured == counts.passed == len(bench.records()) > 10


def test_what_did_not_change_loses_no_frame_and_no_state(bench: Bench, wait_for: Any) -> None:
    node = bench.start(bench.config(CAMERAS, {"first": ["a"]}))
    turns: list[dict[str, list[str]]] = [
        {"first": ["a"], "cascade": ["a", "b"]},
        {"first": ["a"], "second": ["a"], "cascade": ["b"]},
        {"first": ["a"]},
    ]
    for turn in turns:
        before = len(bench.records(camera="a", app="first"))
        wait_for(
            lambda n=before: len(bench.records(camera="a", app="first")) > n + 10, "more results"
        )
        found = node.apply(bench.config(CAMERAS, turn))
        assert found.apps_changed in ([], ["cascade"])
        assert adds_up(node)
        for app, cameras in turn.items():
            for camera in cameras:
                wait_for(
                    lambda a=app, c=camera: bench.records(camera=c, app=a), f"{app} on {camera}"
                )
    node.stop()
    mine = bench.records(camera="a", app="first")
    assert {record["state"] for record in mine} == {"ok"}
    assert no_gap(sequences(mine))
    assert sequences(mine)[0] == 1
    assert [r["outputs"]["seen"]["frames"] for r in mine] == list(range(1, len(mine) + 1))
    for camera in ("a", "b"):
        others = bench.records(camera=camera, app="cascade")
        assert no_gap(sequences(others))
    for app in ("first", "second", "cascade"):
        for camera, view in node.summary().applications[app].cameras.items():
            assert view.frames.passed == len(bench.records(app=app, camera=camera))
            assert view.frames.ok == view.frames.passed == view.frames.captured


def test_an_application_that_joins_does_not_inherit_the_state_of_one_that_was_there(
    bench: Bench, wait_for: Any
) -> None:
    node = bench.start(bench.config(CAMERAS, {"first": ["a"]}))
    wait_for(lambda: len(bench.records(app="first")) > 20, "results")
    node.apply(bench.config(CAMERAS, {"first": ["a"], "second": ["a"]}))
    wait_for(lambda: len(bench.records(app="second")) > 5, "results of the second")
    node.stop()
    newcomer = bench.records(app="second")
    assert newcomer[0]["sequence"] > 20
    assert newcomer[0]["outputs"]["seen"] == {
        **newcomer[0]["outputs"]["seen"],
        "first": newcomer[0]["sequence"],
        "frames": 1,
    }
    detector = {p["id"] for r in bench.records() for p in r["provenance"]}
    assert len(detector) == 1
    frames = node.summary().applications["first"].cameras["a"].frames.passed
    assert node.inferences["cells"] == frames, "the detector ran once for both"


def test_a_source_that_moved_is_another_incarnation_and_its_neighbour_goes_on(
    bench: Bench, wait_for: Any
) -> None:
    node = bench.start(bench.config(CAMERAS, {"first": ["a", "b"]}))
    wait_for(lambda: len(bench.records(camera="a")) > 10, "results")
    found = node.apply(bench.config({**CAMERAS, "a": LIVE.format(seed=9)}, {"first": ["a", "b"]}))
    assert (found.cameras_changed, found.cameras_moved) == (["a"], ["a"])
    wait_for(lambda: len(bench.records(camera="a", incarnation=2)) > 10, "the other source")
    node.stop()
    assert sequences(bench.records(camera="a", incarnation=2))[0] == 1
    assert {r["incarnation"] for r in bench.records(camera="b")} == {1}
    assert no_gap(sequences(bench.records(camera="b")))
    keys = [(r["camera"], r["incarnation"], r["sequence"]) for r in bench.records()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ("missing file", CaptureError),
        ("deadline", AdmissionRefused),
        ("syntax", GraphError),
        ("no such application", GraphError),
    ],
)
def test_a_mistake_changes_nothing_and_says_why(
    bench: Bench, wait_for: Any, mistake: str, error: type[EdgeError]
) -> None:
    good = bench.config(CAMERAS, {"first": ["a"]})
    node = bench.start(good)
    wait_for(lambda: len(bench.records()) > 5, "results")
    wanted = {"first": ["a"], "cascade": ["a"]}
    cameras = dict(CAMERAS)
    if mistake == "missing file":
        cameras["c"], wanted["cascade"] = "gone.mp4", ["c"]
    elif mistake == "deadline":
        wanted["impossible"] = ["b"]
    elif mistake == "syntax":
        (bench.folder / "apps.py").write_text("this is no Python")
    else:
        wanted["nobody"] = ["a"]
    with pytest.raises(error) as caught:
        node.apply(bench.config(cameras, wanted))
    assert str(caught.value)
    assert list(node.feeds) == ["a"]
    assert [model.card.name for model in node.residency.models.values()] == ["cells"]
    before = len(bench.records())
    wait_for(lambda: len(bench.records()) > before + 5, "results after the mistake")
    node.stop()
    assert no_gap(sequences(bench.records()))
    assert {r["app"] for r in bench.records()} == {"first"}


def test_an_edited_application_is_read_again(bench: Bench, wait_for: Any) -> None:
    config = bench.config(CAMERAS, {"first": ["a"], "cascade": ["a"]})
    node = bench.start(config)
    wait_for(lambda: len(bench.records(app="first")) > 5, "results")
    file = bench.folder / "apps.py"
    file.write_text(file.read_text().replace('"found": ', '"things": '))
    found = node.apply(config)
    assert found.apps_changed == ["cascade"]
    wait_for(lambda: "things" in (bench.records(app="cascade")[-1]["outputs"] or {}), "the new one")
    node.stop()
    mine = bench.records(app="first")
    assert mine[-1]["outputs"]["seen"]["frames"] == len(mine)


def test_counts_add_up_at_every_moment_of_many_turns(bench: Bench) -> None:
    node = bench.start(bench.config(CAMERAS, {"first": ["a"]}))
    turns: list[dict[str, list[str]]] = [
        {"first": ["a", "b"], "second": ["b"]},
        {"cascade": ["a"]},
        {},
        {"second": ["a", "b"]},
        {"first": ["b"], "second": ["a"], "cascade": ["a", "b"]},
        {"first": ["a"]},
    ]
    ended, wrong = threading.Event(), []

    def watch() -> None:
        while not ended.is_set():
            for app, found in node.snapshot().applications.items():
                for camera, view in found.cameras.items():
                    frames = view.frames
                    sums = frames.skipped_sample + frames.held + frames.passed
                    if frames.captured != sums or frames.captured < seen.get((app, camera), 0):
                        wrong.append((app, camera, frames))
                    seen[app, camera] = frames.captured

    seen: dict[tuple[str, str], int] = {}
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for turn in turns:
            node.apply(bench.config(CAMERAS, turn))
            assert adds_up(node)
    finally:
        ended.set()
        watcher.join()
    node.stop()
    assert not wrong
    keys = [(r["app"], r["camera"], r["incarnation"], r["sequence"]) for r in bench.records()]
    assert len(keys) == len(set(keys)), "no result came twice"
    total = node.ledger.total()
    assert total.open == 0
    assert len(keys) == total.passed - sum(
        channel.dropped_by_reason["overrun"] for channel in node.ledger.channels()
    )


def test_work_of_what_is_removed_is_accounted_for_even_if_it_hangs(
    bench: Bench, cards: Any, wait_for: Any
) -> None:
    (bench.folder / "stuck.py").write_text(
        "import threading\nimport edgesdk as edge\n"
        "@edge.operator(version=1)\n"
        "def hang(found: edge.Detections) -> edge.Measurement:\n"
        "    threading.Event().wait(60)\n"
        '@edge.app(deadline="3s")\n'
        f"def stuck(camera: edge.Camera):\n    return camera.detect({cards.cells!r}).apply(hang)\n"
    )
    good = bench.config(CAMERAS, {"first": ["a"]})
    node = bench.start(good)
    stuck = parse_config(
        f'[results]\nout = "out.jsonl"\n[cameras.a]\nuri = "{CAMERAS["a"]}"\n'
        '[apps.first]\napp = "apps.py:first"\n[apps.stuck]\napp = "stuck.py:stuck"\n',
        directory=bench.folder,
    )
    node.apply(stuck)
    channel = node.ledger.channel("stuck", "a")
    wait_for(lambda: channel.counts.open > 3, "frames that hang")
    began = time.monotonic()
    node.apply(good)
    assert time.monotonic() - began < 4.0
    assert channel.counts.open == 0
    assert channel.dropped_by_reason["shutdown"] > 0
    assert channel.counts.balanced()
    wait_for(
        lambda: (
            len(bench.records(app="stuck"))
            == channel.counts.passed - channel.dropped_by_reason["overrun"]
        ),
        "their records",
    )
    node.stop()
    assert no_gap(sequences(bench.records(app="first")))


def test_sinks_that_stay_go_on_and_those_that_nobody_has_are_closed(
    bench: Bench, wait_for: Any
) -> None:
    more = {"first": ["a"], "second": ["a"]}
    node = bench.start(bench.config(CAMERAS, more))
    wait_for(lambda: len(bench.records()) > 5, "results")
    other = parse_config(
        '[results]\nout = "other.jsonl"\n'
        f'[cameras.a]\nuri = "{CAMERAS["a"]}"\n[apps.first]\napp = "apps.py:first"\n',
        directory=bench.folder,
    )
    node.apply(other)
    assert [Path(sink.target).name for sink in node.sinks.values()] == ["other.jsonl"]
    wait_for(lambda: (bench.folder / "other.jsonl").stat().st_size > 0, "the other file")
    node.stop()
    here, there = bench.records(app="first"), bench._records(bench.folder / "other.jsonl")
    both = sequences(here) + sequences(there)
    assert no_gap(sorted(set(both)))
    assert node.summary().applications["first"].cameras["a"].frames.passed == len(set(both))


@pytest.mark.parametrize("wanted", ["queue = 1024", "slots = 64", "slots = 256"])
def test_the_longest_queue_of_a_standing_node_finds_room_in_a_ring(
    bench: Bench, wait_for: Any, wanted: str
) -> None:
    config = bench.config(
        {}, {"first": ["a"]}, more=f'[cameras.a]\nuri = "{CAMERAS["a"]}"\n{wanted}'
    )
    bench.start(config)
    wait_for(lambda: len(bench.records(camera="a")) > 5, "results")


def test_what_cannot_change_under_way_is_named(bench: Bench) -> None:
    node = bench.start(bench.config({}, {}))
    found = node.apply(bench.config({}, {}, more="[node]\nthreads = 3\n[outbox]\nrecords = 5"))
    assert found.restart_needed == ["node.threads", "outbox"]


def test_a_restart_is_needed_as_long_as_the_file_is_not_what_the_node_began_with(
    bench: Bench,
) -> None:
    node = bench.start(bench.config({}, {}))
    other = "[node]\nthreads = 3"
    assert node.apply(bench.config({}, {}, more=other)).restart_needed == ["node.threads"]
    assert node.apply(bench.config({}, {}, more=other)).restart_needed == ["node.threads"]
    assert node.apply(bench.config({}, {})).restart_needed == []


def test_a_node_that_stops_ends_a_reconfiguration_under_way(bench: Bench) -> None:
    node = bench.start(bench.config(CAMERAS, {"first": ["a"]}))
    failures: list[BaseException] = []

    def apply() -> None:
        try:
            node.apply(bench.config(CAMERAS, {"first": ["a", "b"], "cascade": ["a"]}))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=apply)
    thread.start()
    began = time.monotonic()
    node.stop()
    assert time.monotonic() - began < 2.5
    thread.join(10)
    assert not thread.is_alive()
    assert all(isinstance(error, EdgeError) for error in failures)
    assert node.ledger.total().open == 0


def test_only_a_standing_node_is_reconfigured(bench: Bench) -> None:
    node = Node(config=bench.config(CAMERAS, {"first": ["a"]}))
    with pytest.raises(UsageError, match="standing"):
        node.apply(Config())
