"""Backends are found by entry points; a bad one harms nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgesdk.errors import BackendError, BackendUnavailable
from edgesdk.inference import discover, get_backend

WORKING = """
from edgesdk.inference import API, Caps, Probe, Support

class Toy:
    name = "{name}"
    api = {api}
    caps = Caps()
    def probe(self): {probe}
    def devices(self): return []
    def supports(self, model, device): return Support("no", "a toy")
    def prepare(self, model, device, options, progress=None, cancel=None): ...
    def load(self, artifact, device, options): ...

def backend():
    return Toy()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution with one backend on the path, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("EDGESDK_BACKENDS", raising=False)

    def put(
        distribution: str,
        name: str,
        code: str | None = None,
        *,
        api: str = "API",
        probe: str = "return Probe(True, '7.1')",
    ) -> str:
        module = distribution.replace("-", "_")
        text = WORKING.format(name=name, api=api, probe=probe) if code is None else code
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (info / "entry_points.txt").write_text(f"[edgesdk.backends]\n{name} = {module}:backend\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return module

    return put


def named(name: str):
    (found,) = [e for e in discover() if e.name == name]
    return found


def test_a_backend_of_another_distribution_is_found_and_can_be_had(install):
    install("toy-accelerator", "toy")
    entry = named("toy")
    assert entry.origin == "toy-accelerator 1.2"
    assert entry.probe().version == "7.1"
    assert get_backend("toy").name == "toy"


def test_ours_are_found_the_same_way():
    assert {"openvino", "litert", "onnxruntime"} <= {e.name for e in discover()}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_library_anywhere", "No module named 'no_such_library_anywhere'"),
        ("raise RuntimeError('driver too old')", "driver too old"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def backend(): raise OSError('libtoy.so.1: cannot open')", "libtoy.so.1"),
        ("def factory(): ...", "backend"),
        ("def (", "SyntaxError"),
    ],
)
def test_one_that_cannot_be_imported_is_listed_with_the_reason(install, code, words):
    install("broken-accelerator", "broken", code)
    entry = named("broken")
    assert not entry.probe().available
    assert words in entry.probe().detail
    assert "broken-accelerator 1.2" in entry.probe().next_step
    assert len(discover()) >= 4, "the others are still there"
    with pytest.raises(BackendUnavailable, match="broken"):
        get_backend("broken")


def test_a_probe_that_raises_is_listed_with_the_reason(install):
    install("rude-accelerator", "rude", probe="raise ValueError('no board')")
    assert not named("rude").probe().available
    assert "no board" in named("rude").probe().detail


def test_one_that_is_there_but_unavailable_says_what_to_do(install):
    probe = "return Probe(False, '', 'driver', 'no driver', 'install toy-driver')"
    install("driverless", "driverless", probe=probe)
    with pytest.raises(BackendUnavailable, match="no driver; install toy-driver") as caught:
        get_backend("driverless")
    assert caught.value.reason == "driver"


@pytest.mark.parametrize("api", ["2", "None", "'1'"])
def test_one_of_another_api_version_is_not_used(install, api):
    install("future-accelerator", "future", api=api)
    entry = named("future")
    assert entry.backend is None
    assert entry.probe().reason == "version"
    assert "this is version 1" in entry.probe().detail


def test_one_that_lacks_part_of_the_protocol_is_not_used(install):
    install("half", "half", "class backend:\n    api = 1\n    name = 'half'\n")
    assert named("half").backend is None
    assert "lacks" in named("half").probe().detail


def test_two_of_one_name_are_an_error_that_names_both(install):
    install("toy-one", "toy")
    install("toy-two", "toy")
    with pytest.raises(BackendError, match=r"'toy'.*toy[-_]\w+ 1\.2.*toy[-_]\w+ 1\.2.*uninstall"):
        discover()


def test_only_allowed_backends_are_imported_in_the_order_given(install, monkeypatch):
    module = install("forbidden-accelerator", "forbidden")
    install("toy-accelerator", "toy")
    monkeypatch.setenv("EDGESDK_BACKENDS", "toy, openvino,absent")
    entries = discover()
    assert [e.name for e in entries[:3]] == ["toy", "openvino", "absent"]
    assert module not in sys.modules
    refused = named("forbidden").probe()
    assert (refused.available, refused.reason) == (False, "permission")
    assert "EDGESDK_BACKENDS" in refused.detail
    assert "no installed package brings it" in named("absent").probe().detail
    with pytest.raises(BackendUnavailable, match="EDGESDK_BACKENDS"):
        get_backend("forbidden")


def test_a_name_that_nothing_has_is_answered_with_those_there_are():
    with pytest.raises(BackendUnavailable, match=r"'openvimo'.*openvino"):
        get_backend("openvimo")


def test_finding_backends_imports_no_runtime():
    code = (
        "import sys; from edgesdk.inference import discover; discover(); "
        "print([m for m in ('openvino','onnxruntime','ai_edge_litert','cv2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "modules", "extra"),
    [
        ("openvino", ("openvino",), "openvino"),
        ("litert", ("ai_edge_litert", "tflite_runtime", "tensorflow"), "litert"),
        ("onnxruntime", ("onnxruntime",), "onnx"),
    ],
)
def test_a_runtime_that_is_not_installed_says_how_to_get_it(name, modules, extra):
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
        "from edgesdk.inference import discover\n"
        f"(probe,) = [e.probe() for e in discover() if e.name == {name!r}]\n"
        "print(probe.available, probe.reason, probe.next_step, sep='|')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"False|package|pip install 'edgesdk[{extra}]'"
