"""An accelerator that is not there: real results at stated times, and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk.config import Config, EmulatedConfig, parse_config
from edgesdk.errors import BackendError, UsageError
from edgesdk.models import ModelCard, ModelRegistry
from edgesdk.runtime import Node
from edgesdk.runtime.emulated import (
    EmulatedDevice,
    ServiceTimeOnly,
    StandInModel,
    TimesOnlyDevice,
    service_ns,
)
from edgesdk.runtime.executor import Executor, Outcome, Request
from edgesdk.runtime.residency import Residency
from edgesdk.runtime.sessions import KnownModel, LoadedModel, Picture, Sessions
from edgesdk.runtime.wiring import Wiring
from edgesdk.values import RawOutputs

MS = 1_000_000
EMULATED = """
[emulated]
name = "pi5"
residents = 2
[emulated.models.cells]
base = "{base}"
overlap = 0.25
load = "300ms"
[emulated.models.colours]
base = "10ms"
load = "50ms"
[emulated.models.slow-cells]
base = "10ms"
"""
FAST = "synthetic:?width=128&height=96&fps=50&frames=40&seed=3&pace=fast"
Records = Callable[[Path], list[dict[str, Any]]]


def emulated(base: str = "20ms") -> EmulatedConfig:
    found = parse_config(EMULATED.format(base=base)).emulated
    assert found is not None
    return found


def card_of(path: str, cache: Path) -> ModelCard:
    found = ModelRegistry(cache).resolve(path)
    assert isinstance(found, ModelCard)
    return found


@pytest.fixture
def loaded(cards: Any, tmp_path: Path) -> Iterator[LoadedModel]:
    sessions = Sessions(threads=1)
    yield sessions.load(card_of(cards.cells, tmp_path))
    sessions.close()


def picture(seed: int) -> Picture:
    noise = np.random.default_rng(seed).integers(0, 255, (96, 128, 3), np.uint8)
    return Picture(noise, "BGR")


class Run:
    """Requests of one model on one executor, with the instants at which they ended."""

    def __init__(self, model: LoadedModel, lanes: int = 1) -> None:
        self.ends: list[int] = []
        self.outcomes: list[Outcome] = []
        self._all = threading.Semaphore(0)
        self._executor = Executor("pi5", self._report, lanes=lanes)
        self._model = model
        number = self._executor.add_model(model)
        self._stream = self._executor.add_stream(
            self._executor.add_app(1.0), number, period_ns=0, deadline_ns=10**12, depth=200
        )
        self._executor.start()

    def _report(self, outcomes: Any) -> None:
        for outcome in outcomes:
            self.ends.append(time.monotonic_ns())
            self.outcomes.append(outcome)
            self._all.release()

    def submit(self, pictures: list[Picture]) -> None:
        far = time.monotonic_ns() + 10**12
        self._executor.submit(Request(self._stream, self._model, pictures, far, print))

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self._all.acquire(timeout=20)
        self._executor.stop(5)


def test_service_time_is_the_batch_law_of_the_configuration() -> None:
    stated = emulated("100ms").models["cells"]
    assert service_ns(stated, 1) == 100 * MS
    assert service_ns(stated, 4) == 100 * MS * (0.25 + 0.75 * 4)


def test_results_are_the_models_own_whatever_batches_it_can_do(loaded: LoadedModel) -> None:
    stand_in = StandInModel.for_model(loaded, EmulatedDevice(emulated("1ms")))
    pictures = [picture(seed) for seed in range(5)]
    inputs, geometries = stand_in.encode(pictures)
    values = stand_in.decode(stand_in.infer(inputs), geometries, (("score", 0.1),))
    alone: list[Any] = []
    for one in pictures:
        inputs, geometries = loaded.encode([one])
        alone += loaded.decode(loaded.infer(inputs), geometries, (("score", 0.1),))
    assert len(values) == 5
    assert [v.to_json() for v in values] == [v.to_json() for v in alone]


def test_the_scheduler_begins_with_the_stated_costs(loaded: LoadedModel) -> None:
    device = EmulatedDevice(emulated("100ms"))
    stand_in = StandInModel.for_model(loaded, device)
    stated = emulated("100ms").models["cells"]
    assert stand_in.costs_ns == tuple(service_ns(stated, b) for b in range(1, 9))
    assert stand_in.spec.evidence == stand_in.execution().evidence == "stand-in"
    assert stand_in.spec.device == "emulated:pi5"
    executor = Executor("pi5", lambda outcomes: None, lanes=1)
    executor.add_model(stand_in)
    assert executor.cost_ns(stand_in, 2) == service_ns(stated, 2)


def test_batches_that_wait_end_on_one_schedule_without_drift(loaded: LoadedModel) -> None:
    device = EmulatedDevice(emulated("20ms"))
    run = Run(ServiceTimeOnly.for_model(loaded, device))
    began = time.monotonic_ns()
    for seed in range(16):  # two whole batches of eight
        run.submit([picture(seed)])
    run.wait(16)
    stated = emulated("20ms").models["cells"]
    sizes = 16
    # Whatever the batches were, the last one cannot end before the law allows, and this
    # machine's own time does not add up over them.
    least = 2 * service_ns(stated, 8)
    most = sizes * service_ns(stated, 1)
    late = 1e6 * (device.view().overshoot_p99_ms or 0.0)
    assert least <= run.ends[-1] - began <= most + late + 20 * MS


def test_completions_under_backlog_lie_on_an_absolute_grid(loaded: LoadedModel) -> None:
    device = EmulatedDevice(emulated("10ms"))
    model = ServiceTimeOnly.for_model(loaded, device)
    inputs, _ = model.encode([picture(1)])
    ready = time.monotonic_ns()
    ends = []
    for _ in range(20):
        model.infer(inputs, ready)
        ends.append(time.monotonic_ns())
        until = time.monotonic_ns() + 2 * MS  # what a machine does between two batches
        while time.monotonic_ns() < until:
            pass
    late = [end - ready - 10 * MS * (k + 1) for k, end in enumerate(ends)]
    assert min(late) >= 0
    view = device.view()
    assert view.batches == 20
    assert view.overshoot_p99_ms is not None
    # 2 ms between any two of them would be 38 ms in the end.
    assert sorted(late)[10] < 10 * MS


def test_an_idle_device_gives_nothing_away(loaded: LoadedModel) -> None:
    device = EmulatedDevice(emulated("30ms"))
    model = ServiceTimeOnly.for_model(loaded, device)
    inputs, _ = model.encode([picture(1)])
    old = time.monotonic_ns() - 10**9
    began = time.monotonic_ns()
    model.infer(inputs, old)
    assert time.monotonic_ns() - began >= 30 * MS


def test_two_threads_share_the_one_device(loaded: LoadedModel) -> None:
    device = EmulatedDevice(emulated("40ms"))
    model = ServiceTimeOnly.for_model(loaded, device)
    inputs, _ = model.encode([picture(1)])
    began = time.monotonic_ns()
    threads = [threading.Thread(target=model.infer, args=(inputs, began)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic_ns() - began >= 120 * MS


def test_without_a_model_the_values_say_what_they_are(cards: Any, tmp_path: Path) -> None:
    known = KnownModel.of(card_of(cards.cells, tmp_path))
    run = Run(ServiceTimeOnly.for_model(known, EmulatedDevice(emulated("5ms"))))
    run.submit([picture(1), picture(2)])
    run.wait(1)
    (outcome,) = run.outcomes
    assert outcome.values is not None
    assert len(outcome.values) == 2
    assert all(isinstance(value, RawOutputs) for value in outcome.values)
    assert list(outcome.values[0].arrays) == ["stand_in"]


def test_a_node_on_a_device_without_models_has_its_times_and_no_results(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    raw = Path(cards.cells).with_name("raw.toml")
    text = Path(cards.cells).read_text()
    head, _, inputs = text.partition("[[inputs]]")
    head = head.replace('"detect"', '"raw"')
    kept = [line for line in head.splitlines() if not line.startswith("labels")]
    raw.write_text("\n".join(kept) + "\n[[inputs]]" + inputs.partition("[outputs]")[0])
    config = config_of(tmp_path, cards)
    (tmp_path / "apps.py").write_text(
        "import edgesdk as edge\n"
        '@edge.app(deadline="3s")\n'
        f"def finder(camera: edge.Camera):\n    return camera.infer({str(raw)!r})\n"
    )
    with Node(config=config, device=TimesOnlyDevice(emulated())) as node:
        assert node.wait(30)
    found = records(tmp_path / "out.jsonl")
    assert {r["state"] for r in found} == {"ok"}
    assert {r["outputs"]["output"]["type"] for r in found} == {"raw"}
    assert {p["evidence"] for r in found for p in r["provenance"]} == {"stand-in"}
    assert {p["backend"] for r in found for p in r["provenance"]} == {"none"}


def test_a_model_that_nothing_is_stated_of_is_refused(loaded: LoadedModel) -> None:
    config = EmulatedConfig(name="tpu", residents=1, models={})
    with pytest.raises(BackendError, match=r"\[emulated\.models\.cells\]"):
        StandInModel.for_model(loaded, EmulatedDevice(config))


def config_of(folder: Path, cards: Any, base: str = "12ms") -> Config:
    (folder / "apps.py").write_text(
        "import edgesdk as edge\n"
        '@edge.app(deadline="3s")\n'
        f"def finder(camera: edge.Camera):\n    return camera.detect({cards.cells!r}, score=0.3)\n"
    )
    text = (
        f'[node]\nname = "n"\n[results]\nout = "out.jsonl"\n[cameras.a]\nuri = "{FAST}"\n'
        '[apps.finder]\napp = "apps.py:finder"\n'
    )
    return parse_config(text + EMULATED.format(base=base), directory=folder)


def test_a_nodes_results_are_real_and_marked_as_those_of_a_stand_in(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    config = config_of(tmp_path, cards)
    with Node(config=config) as node:
        assert node.wait(30)
    emulated_records = records(tmp_path / "out.jsonl")
    assert {p["evidence"] for r in emulated_records for p in r["provenance"]} == {"stand-in"}
    assert {p["executed_on"] for r in emulated_records for p in r["provenance"]} == {
        "n/onnxruntime:emulated:pi5"
    }
    for record in emulated_records:
        assert sum(record["timings_ns"][k] for k in ("queue", "prepare", "infer")) >= 12 * MS
    view = node.snapshot().emulated
    assert view is not None
    assert view.name == "pi5"
    assert 40 / 8 <= view.batches <= 40
    assert view == node.summary().emulated
    (tmp_path / "out.jsonl").unlink()
    app = f"{tmp_path / 'apps.py'}:finder"
    with Node([app], {"a": FAST}, out=tmp_path / "out.jsonl") as real:
        assert real.wait(30)
    assert [r["outputs"] for r in records(tmp_path / "out.jsonl")] == [
        r["outputs"] for r in emulated_records
    ]
    assert real.snapshot().emulated is None


def test_a_node_alone_is_refused_more_models_than_its_device_holds(
    cards: Any, tmp_path: Path
) -> None:
    config = config_of(tmp_path, cards)
    (tmp_path / "apps.py").write_text(
        "import edgesdk as edge\n"
        "@edge.app()\n"
        "def finder(camera: edge.Camera):\n"
        f"    slow = camera.detect({cards.slow_cells!r})\n"
        f"    found = camera.detect({cards.cells!r}).classify({cards.colours!r})\n"
        '    return {"slow": slow, "found": found}\n'
    )
    with pytest.raises(BackendError, match=r"holds 2 models and .* need 3: cells, colours"):
        Node(config=config).start()


def test_a_load_under_way_takes_its_time_and_is_announced(
    cards: Any, tmp_path: Path, wait_for: Any
) -> None:
    wiring = Wiring(lambda outcomes: None)
    residency = Residency(Sessions(threads=1), wiring, device=EmulatedDevice(emulated()))
    cells = card_of(cards.cells, tmp_path)
    colours = card_of(cards.colours, tmp_path)
    slow = card_of(cards.slow_cells, tmp_path)
    residency.load(colours)  # at the start: it was there before
    residency.keep({colours.digest})
    began = time.monotonic_ns()
    done: list[Any] = []
    ready = residency.load_soon(cells, done.append)
    assert ready - began >= 300 * MS
    assert residency.ready_ns(cells.digest) is not None
    assert residency.load_soon(cells) <= ready + 50 * MS, "one load, not two"
    with pytest.raises(UsageError, match="holds 2"):
        residency.load_soon(slow)
    wait_for(lambda: done, "the load")
    assert time.monotonic_ns() - began >= 300 * MS
    assert isinstance(done[0], StandInModel)
    assert residency.ready_ns(cells.digest) is None
    (executor,) = wiring.executors.values()
    assert done[0] in executor.models()
    assert not residency.unload(colours.digest), "the node's own application needs it"
    assert residency.unload(cells.digest)
    assert done[0] not in executor.models()
    assert residency.load_soon(slow) > 0
    wait_for(lambda: slow.digest in residency.models, "the next load")
    assert residency.unload(colours.digest, force=True)
    residency.close()


def test_a_model_that_is_at_work_is_unloaded_when_its_promise_has_ended(
    cards: Any, tmp_path: Path, wait_for: Any
) -> None:
    wiring = Wiring(lambda outcomes: None)
    residency = Residency(Sessions(threads=1), wiring)
    cells = card_of(cards.cells, tmp_path)
    done: list[Any] = []
    residency.load_soon(cells, done.append)
    wait_for(lambda: done, "the load")
    (executor,) = wiring.executors.values()
    now = time.monotonic_ns()
    promise = executor.reserve(
        done[0], 1, release_ns=now + 10**9, deadline_ns=now + 2 * 10**9, now_ns=now
    )
    assert promise is not None
    assert not residency.unload(cells.digest, timeout=0.2)
    assert residency.models[cells.digest] is done[0]
    executor.cancel(promise)
    assert residency.unload(cells.digest, timeout=0.2)
    assert not residency.models
    residency.close()
