"""A node whose live cameras' work goes to a peer: same values, one end a frame, who did it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgesdk as edge
from edgesdk.config import (
    ApplicationConfig,
    CameraConfig,
    Config,
    EmulatedConfig,
    EmulatedModel,
    NodeConfig,
)
from edgesdk.errors import GraphError, PeerFailed
from edgesdk.runtime import Node
from edgesdk.runtime.applications import applications_of
from edgesdk.runtime.request import Outcome
from tests.runtime.peers import Peer, PeerPlacer

LIVE = "synthetic:?width=128&height=96&fps=50&frames=30&seed=3"
FILE = LIVE + "&pace=fast"
Records = Callable[[Path], list[dict[str, Any]]]


@pytest.fixture
def peer(cards: Any) -> Iterator[Peer]:
    found = Peer("peer", cards.cells, cards.colours)
    yield found
    found.close()


def watching(cards: Any, **options: Any) -> Any:
    @edge.app(deadline="5s", **options)
    def watching(camera: edge.Camera) -> dict[str, object]:
        found = camera.detect(cards.cells, score=0.2)
        coloured = found.classify(cards.colours)
        return {"coloured": coloured, "bright": found.track(high=0.2, start=0.2).count()}

    return watching


def run(app: Any, uri: str = LIVE, **options: Any) -> tuple[Node, dict[int, Any]]:
    found: dict[int, Any] = {}
    with Node(
        [app], {"cam": uri}, on_result=lambda r: found.__setitem__(r["sequence"], r), **options
    ) as node:
        assert node.wait(30)
    return node, found


def frames_of(node: Node) -> Any:
    frames = node.summary().applications["watching"].cameras["cam"].frames
    assert frames.captured == frames.skipped_sample + frames.held + frames.passed
    assert frames.passed == frames.ok + frames.late + frames.dropped + frames.failed
    return frames


def test_values_and_ids_of_a_peer_are_those_of_the_node_itself(cards: Any, peer: Peer) -> None:
    app = watching(cards, exact=True)
    placer = PeerPlacer(peer)
    node, there = run(app, placer=placer)
    _, here = run(app, FILE)
    both = there.keys() & here.keys()
    assert len(both) > 10
    assert any(here[s]["outputs"]["coloured"]["items"] for s in both)
    for sequence in both:
        mine, theirs = here[sequence], there[sequence]
        assert theirs["outputs"]["coloured"] == mine["outputs"]["coloured"]
        assert [p["execution_id"] for p in theirs["provenance"]] == [
            p["execution_id"] for p in mine["provenance"]
        ]
    frames = frames_of(node)
    assert frames.ok == len(there)
    assert all(request.terms.exact for request in placer.requests if request.terms)
    assert placer.closed.is_set()


def test_a_result_names_both_nodes_and_the_wire_time(cards: Any, peer: Peer) -> None:
    node, there = run(watching(cards), placer=PeerPlacer(peer))
    assert len(there) > 10
    for record in there.values():
        detect = record["provenance"][0]
        assert detect["executed_on"] == "peer/onnxruntime:CPU"
        offload = detect["offload"]
        assert offload["origin"] == node.name
        assert offload["codec"] is None
        assert offload["differs"] == []
        assert record["timings_ns"]["wire"] >= offload["wire_ns"] > 0
    placed = node.summary().placed
    assert placed.offloaded == peer.executor.executed == peer.executor.received > 0
    assert (placed.executed, placed.received, placed.duplicates) == (0, 0, 0)
    assert node.snapshot().placed == placed


def test_a_compressed_way_and_another_runtime_are_told(cards: Any, tmp_path: Path) -> None:
    card = tmp_path / "cells.toml"
    text = Path(cards.cells).read_text()
    card.write_text(text.replace('"onnxruntime"', '["onnxruntime", "openvino"]'))
    (tmp_path / "cells.onnx").write_bytes(Path(cards.cells).with_suffix(".onnx").read_bytes())

    @edge.app(deadline="5s")
    def watching(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(str(card))}

    other = Peer("other", str(card), backends=["openvino"])
    config = Config(node=NodeConfig(backends=("onnxruntime",)))
    _, there = run(watching, placer=PeerPlacer(other, codec="jpeg-90"), config=config)
    other.close()
    made_by = there[10]["provenance"][0]
    assert made_by["offload"]["codec"] == "jpeg-90"
    assert {"backend", "backend version", "wire codec"} <= set(made_by["offload"]["differs"])
    assert made_by["executed_on"] == "other/openvino:CPU"
    _, here = run(watching, FILE, config=config)
    assert made_by["execution_id"] != here[10]["provenance"][0]["execution_id"]


def test_frames_that_crops_of_went_to_two_nodes_name_both(cards: Any, peer: Peer) -> None:
    class Half(PeerPlacer):
        """Detects at the peer; of the crops it keeps every other group."""

        def place(self, request: Any) -> None:
            if request.model.card.name == "colours" and len(self.requests) % 2:
                self.requests.append(request)
                for executor in self.node.wiring.executors.values():
                    executor.submit(request)
            else:
                super().place(request)

    node, there = run(watching(cards), placer=Half(peer))
    frames = frames_of(node)
    assert frames.ok == len(there) > 10
    nodes = {tuple(p["executed_on"].split("/")[0] for p in r["provenance"]) for r in there.values()}
    assert ("peer", node.name, "peer") in nodes
    placed = node.summary().placed
    assert placed.executed > 0
    assert placed.offloaded > 0


def test_the_second_result_of_a_request_is_a_duplicate_and_reaches_nobody(
    cards: Any, peer: Peer
) -> None:
    twice = PeerPlacer(peer, meddle=lambda outcome: [outcome, replace(outcome)])
    node, there = run(watching(cards), placer=twice)
    _, here = run(watching(cards), FILE)
    frames = frames_of(node)
    assert frames.ok == len(there) > 10
    placed = node.summary().placed
    assert placed.duplicates == placed.offloaded == len(twice.requests)
    assert frames.duplicate == placed.duplicates
    if len(there) == 30:
        assert there[30]["outputs"]["bright"] == here[30]["outputs"]["bright"]


def test_what_was_given_up_on_a_peer_and_done_here_counts_once(cards: Any, peer: Peer) -> None:
    class Impatient(PeerPlacer):
        def place(self, request: Any) -> None:
            super().place(request)
            for executor in self.node.wiring.executors.values():
                executor.submit(request)

    placer = Impatient(peer)
    node, there = run(watching(cards), placer=placer)
    frames = frames_of(node)
    placed = node.summary().placed
    assert frames.ok == len(there) > 10
    assert placed.executed == peer.executor.executed == len(placer.requests)
    assert placed.duplicates == len(placer.requests)
    assert sum(node.summary().inferences.values()) == placer.pictures


def test_a_result_that_comes_after_the_deadline_is_late(cards: Any, peer: Peer) -> None:
    @edge.app(deadline="150ms")
    def watching(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(cards.cells)}

    def slowly(outcome: Outcome) -> list[Outcome]:
        time.sleep(0.2)
        return [outcome]

    node, there = run(
        watching,
        LIVE.replace("fps=50&frames=30", "fps=4&frames=4"),
        placer=PeerPlacer(peer, meddle=slowly),
    )
    frames = frames_of(node)
    assert frames.late == len(there) > 0
    assert {r["state"] for r in there.values()} == {"late"}
    assert all(r["outputs"] for r in there.values())


def test_a_peer_that_fails_is_named(cards: Any, peer: Peer) -> None:
    def broken(outcome: Outcome) -> list[Outcome]:
        error = PeerFailed("out of memory", node="peer", backend="onnxruntime", device="CPU")
        return [replace(outcome, values=None, error=error)]

    node, there = run(watching(cards), placer=PeerPlacer(peer, meddle=broken))
    assert frames_of(node).failed == len(there) > 10
    assert {r["state"] for r in there.values()} == {"failed"}
    reason = there[10]["reason"]
    assert reason.startswith("peer: detect (")
    assert reason.endswith("): onnxruntime:CPU: out of memory")


def test_what_a_placer_never_answers_ends_with_the_node(cards: Any, peer: Peer) -> None:
    node = Node([watching(cards)], {"cam": LIVE}, placer=PeerPlacer(peer, meddle=lambda _: []))
    began = time.monotonic()
    with node:
        while frames_of_open(node) < 5:
            assert time.monotonic() - began < 20
            time.sleep(0.01)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 2.0
    frames = frames_of(node)
    assert frames.passed == frames.dropped > 0


def frames_of_open(node: Node) -> int:
    return sum(feed.flow.open_tasks for feed in node.feeds.values())


def test_a_request_carries_what_placing_it_needs(cards: Any, peer: Peer) -> None:
    placer = PeerPlacer(peer)
    config = Config(cameras={"cam": CameraConfig(uri=LIVE, frames="site")})
    app = watching(cards, weight=3.0)
    with Node([app], config=config, placer=placer) as node:
        assert node.wait(30)
    request = placer.requests[0]
    terms = request.terms
    assert terms is not None
    assert (terms.camera, terms.app, terms.weight) == ("cam", "watching", 3.0)
    assert (terms.reach, terms.exact) == ("site", False)
    assert 0 < request.captured_ns < request.deadline_ns
    assert request.deadline_ns - request.captured_ns == 5_000_000_000
    assert dict(request.options).keys() == {"score"}


def test_a_file_that_waits_for_its_results_stays_here(cards: Any, peer: Peer) -> None:
    placer = PeerPlacer(peer)
    node, here = run(watching(cards), FILE, placer=placer)
    assert len(here) == 30
    assert not placer.requests
    placed = node.summary().placed
    assert placed.executed > 0
    assert placed.offloaded == 0


def test_a_model_that_has_no_room_here_is_run_by_the_peer(cards: Any, peer: Peer) -> None:
    times = {name: EmulatedModel(base=1_000_000) for name in ("cells", "colours")}
    config = Config(emulated=EmulatedConfig(name="small", residents=1, models=times))
    held = []

    class Looking(PeerPlacer):
        def close(self) -> None:
            held.extend(self.node.residency.models)
            super().close()

    node, there = run(watching(cards), placer=Looking(peer), config=config)
    assert len(held) == 1
    assert frames_of(node).ok == len(there) > 10
    assert {p["executed_on"] for p in there[10]["provenance"]} == {"peer/onnxruntime:CPU"}
    differs = {p["card"]: p["offload"]["differs"] for p in there[10]["provenance"]}
    assert sorted(map(str, differs.values())) == ["None", "[]"]


def test_terms_that_change_under_way_hold_from_then_on(
    cards: Any, peer: Peer, wait_for: Callable[..., None]
) -> None:
    placer = PeerPlacer(peer)
    endless = LIVE.replace("&frames=30", "")
    cameras = {"cam": CameraConfig(uri=endless)}
    near = {"cam": CameraConfig(uri=endless, frames="node")}
    node = Node([watching(cards)], config=Config(cameras=cameras), placer=placer, standing=True)
    with node:
        wait_for(lambda: len(placer.requests) > 3, "requests")
        assert node.apply(Config(cameras=near)).cameras_changed == ["cam"]
        before = len(placer.requests)
        wait_for(lambda: len(placer.requests) > before + 3, "requests of the new terms")
    reaches = [request.terms.reach for request in placer.requests if request.terms]
    assert reaches[0] == "cluster"
    assert set(reaches[before:]) == {"node"}
    frames = frames_of(node)
    assert frames.ok > 0


def test_a_placer_that_breaks_fails_the_frame_and_not_the_camera(cards: Any, peer: Peer) -> None:
    class Broken(PeerPlacer):
        def place(self, request: Any) -> None:
            if not self.requests:
                self.requests.append(request)
                raise ZeroDivisionError("placing")
            super().place(request)

    node, there = run(watching(cards), placer=Broken(peer))
    frames = frames_of(node)
    assert frames.failed == 1
    assert frames.ok > 10
    assert frames.ok + frames.failed == len(there)
    assert there[min(there)]["reason"].endswith("ZeroDivisionError: placing")


def test_a_configuration_says_whether_frames_must_be_exact(cards: Any, tmp_path: Path) -> None:
    text = f"""
import edgesdk as edge

@edge.app(exact=True)
def exact(camera: edge.Camera):
    return camera.detect({cards.cells!r})

@edge.app
def plain(camera: edge.Camera):
    return camera.detect({cards.cells!r})
"""
    (tmp_path / "apps.py").write_text(text)
    exact, plain = (edge.load_application(f"{tmp_path}/apps.py:{n}") for n in ("exact", "plain"))
    assert (exact.exact, plain.exact) == (True, False)
    cases = ((exact, None, True), (exact, False, False), (plain, None, False), (plain, True, True))
    for app, said, expected in cases:
        entry = ApplicationConfig(app=f"{tmp_path}/apps.py:{app.name}", exact=said)
        config = Config(cameras={"cam": CameraConfig(uri=LIVE)}, apps={"a": entry})
        (placement,) = applications_of((), config, ["cam"])
        assert placement.application.exact is expected


def test_exact_is_true_or_false() -> None:
    with pytest.raises(GraphError, match=r"app\(exact='yes'\): expected True or False"):
        edge.app(exact="yes")
