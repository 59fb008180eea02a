"""A camera tells nobody that it loads a model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgesdk.inference import discover
from edgesdk.testing import models

WATCHED = """
import sys
def audit(event, args):
    if event.startswith("socket."):
        print("SOCKET", event, args)
sys.addaudithook(audit)
from pathlib import Path
from edgesdk.inference import ModelFile, get_backend, open_session
session = open_session(get_backend(sys.argv[1]), ModelFile(Path(sys.argv[2])))
session.warm()
print("inferences", session.stats().inferences)
"""


@pytest.mark.parametrize("name", ["openvino", "litert", "onnxruntime"])
def test_loading_a_model_opens_no_socket_and_writes_nothing_to_the_home(name, tmp_path: Path):
    (entry,) = [e for e in discover() if e.name == name]
    if not entry.probe().available:
        pytest.skip(f"{name} is not available: {entry.probe().detail}")
    path = tmp_path / ("cnn.tflite" if name == "litert" else "cnn.onnx")
    path.write_bytes(models.tflite_cnn() if name == "litert" else models.onnx_cnn())
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD")}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, name, str(path)],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["inferences", "3"]
    assert not list(home.iterdir())
