"""The ONNX Runtime backend. A device is an execution provider, without that word in its name."""

from __future__ import annotations

import base64
import os
import re
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgesdk.errors import (
    BackendUnavailable,
    Cancelled,
    DeviceUnavailable,
    EdgeError,
    ModelInvalid,
    ModelUnsupported,
    OutOfMemory,
    PrepareFailed,
)
from edgesdk.inference import batching
from edgesdk.inference.files import check_file
from edgesdk.inference.host import cores, processor
from edgesdk.inference.protocol import (
    API,
    Artifact,
    Caps,
    Device,
    LoadOptions,
    ModelFile,
    Probe,
    Progress,
    Support,
)

from .session import Graph, OnnxSession

NAME = "onnxruntime"
SUFFIX = "ExecutionProvider"
# Azure's sends the inputs to a server; it is no device of this machine.
REMOTE = ("AzureExecutionProvider",)
_GPU = ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "DML", "WebGpu")
_NPU = ("QNN", "VitisAI", "CANN", "RKNPU", "OpenVINO")

# edgesdk.testing.models.onnx_relu()
_RELU = base64.b64decode(
    "CAgSD2VkZ2VzZGsudGVzdGluZzpBCgwKAXgSAXkiBFJlbHUSB2VkZ2VzZGtaEwoBeBIOCgwIARIICgIIAQoCCARiEwoB"
    "eRIOCgwIARIICgIIAQoCCARCBAoAEBE="
)
_LACKING = (
    re.compile(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op"),
    re.compile(r"No Op registered for (\w+) with domain_version"),
    re.compile(r"Could not find an implementation for (\w+\(\d+\))"),
)


class OnnxRuntime:
    """See ``edgesdk.inference.Backend``. Thread-safe."""

    name = NAME
    api = API
    caps = Caps()

    def __init__(self) -> None:
        self._module: Any = None
        self._lock = threading.Lock()

    def module(self) -> Any:
        with self._lock:
            if self._module is None:
                # Its events go to a server of its maker, with an id that it leaves in the home.
                os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
                try:
                    import onnxruntime  # type: ignore[import-untyped]
                except Exception as error:
                    absent = isinstance(error, ImportError) and error.name == "onnxruntime"
                    raise BackendUnavailable(
                        f"the onnxruntime package cannot be imported: {error}; "
                        "pip install 'edgesdk[onnx]'",
                        reason="package" if absent else "library",
                        backend=NAME,
                        detail=str(error),
                    ) from error
                onnxruntime.disable_telemetry_events()
                self._module = onnxruntime
            return self._module

    def probe(self) -> Probe:
        step = "pip install 'edgesdk[onnx]'"
        try:
            ort = self.module()
            session = ort.InferenceSession(_RELU, providers=["CPUExecutionProvider"])
            (result,) = session.run(None, {"x": np.array([[-1, 0, 1, 2]], np.float32)})
            if not np.array_equal(result, np.array([[0, 0, 1, 2]], np.float32)):
                raise RuntimeError(f"a model of one Relu gives {result.tolist()}")
        except BackendUnavailable as error:
            return Probe(False, "", error.reason, error.detail, step)
        except Exception as error:
            return Probe(False, "", "library", f"self-test: {error}", step)
        return Probe(True, ort.__version__, versions={NAME: ort.__version__})

    def devices(self) -> list[Device]:
        found = []
        for provider in self.module().get_available_providers():
            if provider in REMOTE:
                continue
            name = provider.removesuffix(SUFFIX)
            kind = "cpu" if name in ("CPU", "XNNPACK", "Dnnl", "ACL") else "other"
            kind = "gpu" if name in _GPU else "npu" if name in _NPU else kind
            full = processor() if name == "CPU" else provider
            found.append(Device(name, cast(Any, kind), full))
        # The runtime lists by preference; a default must not depend on what else is installed.
        return sorted(found, key=lambda d: d.name != "CPU")

    def supports(self, model: ModelFile, device: str) -> Support:
        if model.path.suffix.lower() not in (".onnx", ".ort"):
            return Support("no", f"ONNX Runtime reads .onnx and .ort, not {model.path.name}")
        try:
            self._require(device)
        except EdgeError as error:
            return Support("no", str(error))
        return Support("yes")

    def prepare(
        self,
        model: ModelFile,
        device: str,
        options: LoadOptions,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Artifact:
        self._require(device)
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"preparing {model.path.name} was cancelled", backend=NAME)
        check_file(model)
        if progress is not None:
            progress(1.0, "ready")
        return Artifact(model, NAME, str(self.module().__version__), device)

    def load(self, artifact: Artifact, device: str, options: LoadOptions) -> OnnxSession:
        self._require(device)
        threads = options.threads or cores()
        graph = Graph(self._session(artifact.model.path, device, threads), artifact.model)
        used = graph.session.get_providers()
        if used[0] != device + SUFFIX:
            raise DeviceUnavailable(
                f"ONNX Runtime fell back from {device} to {used[0].removesuffix(SUFFIX)}; "
                f"its {device} provider cannot be set up on this machine",
                backend=NAME,
                device=device,
            )
        wanted = sorted({b for b in options.batches if b > 1}) if graph.open_batch else []
        seen = [b for b in wanted if batching.agrees(graph.inputs, graph.run, graph.run, b)]
        return OnnxSession(
            graph,
            (1, *seen),
            version=artifact.backend_version,
            device=device,
            executed_on=",".join(p.removesuffix(SUFFIX) for p in used),
            threads=threads,
            precision=artifact.model.precision,
        )

    def _require(self, device: str) -> None:
        have = [d.name for d in self.devices()]
        if device not in have:
            raise DeviceUnavailable(
                f"ONNX Runtime has no device {device!r} here; it has {', '.join(have)}",
                backend=NAME,
                device=device,
            )

    def _session(self, path: Path, device: str, threads: int) -> Any:
        ort = self.module()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Threads that spin between inferences take the cores that decode the next frame.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [device + SUFFIX]
        if device != "CPU":
            providers.append("CPUExecutionProvider")
        try:
            # Its fallback prints to standard output and hides what went wrong.
            return ort.InferenceSession(
                os.fspath(path), options, providers=providers, enable_fallback=0
            )
        except Exception as error:
            raise _loading(path, device, error) from error


def _loading(path: Path, device: str, error: Exception) -> EdgeError:
    text = str(error)
    lacking = tuple(sorted({m.group(1) for p in _LACKING for m in p.finditer(text)}))
    if lacking:
        return ModelUnsupported(
            f"ONNX Runtime cannot run {path.name}: it lacks {', '.join(lacking)}", lacking
        )
    if isinstance(error, MemoryError) or "bad_alloc" in text or "Failed to allocate" in text:
        return OutOfMemory(f"no memory for {path.name}", backend=NAME, device=device, detail=text)
    brief = text.split(" : ")[-1].strip()[:300] or type(error).__name__
    kind = type(error).__name__
    if kind == "EPFail" or (device != "CPU" and kind in ("RuntimeException", "Fail")):
        return DeviceUnavailable(
            f"ONNX Runtime cannot set up {device}: {brief}",
            backend=NAME,
            device=device,
            detail=text,
        )
    if kind == "RuntimeException":
        return PrepareFailed(
            f"ONNX Runtime cannot set up {path.name} on {device}: {brief}",
            backend=NAME,
            device=device,
            detail=text,
        )
    return ModelInvalid(f"ONNX Runtime cannot read {path}: {brief}")
