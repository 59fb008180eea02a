"""The LiteRT backend: one interpreter a batch size."""

from __future__ import annotations

import os
import re
import threading
from typing import Any

import numpy as np

from edgesdk.errors import (
    BackendUnavailable,
    Cancelled,
    CardError,
    DeviceUnavailable,
    EdgeError,
    ModelInvalid,
    ModelUnsupported,
    OutOfMemory,
    PrepareFailed,
)
from edgesdk.inference import batching
from edgesdk.inference.files import check_file, check_size
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
    batched,
)

from . import runtime
from .session import Batch, LiteRtSession, input_specs, output_specs

NAME = "litert"
_CUSTOM = re.compile(r"unresolved custom op: ([\w.\-]+)")
_BUILTIN = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")
_FLEX = re.compile(r"Node number \d+ \((Flex\w+)\)")


class LiteRt:
    """See ``edgesdk.inference.Backend``. Thread-safe."""

    name = NAME
    api = API
    caps = Caps()

    def probe(self) -> Probe:
        try:
            found = runtime.find()
        except BackendUnavailable as error:
            step = "pip install 'edgesdk[litert]'"
            if error.reason == "abi" and "tflite-runtime" in error.detail:
                step += " (tflite-runtime needs numpy 1; ai-edge-litert replaces it)"
            return Probe(False, "", error.reason, error.detail, step)
        return Probe(True, found.version, versions={found.package: found.version})

    def devices(self) -> list[Device]:
        runtime.find()
        return [Device("CPU", "cpu", processor())]

    def supports(self, model: ModelFile, device: str) -> Support:
        if device != "CPU":
            return Support("no", f"LiteRT runs on CPU here, not on {device}")
        if model.path.suffix.lower() != ".tflite":
            return Support("no", f"LiteRT reads .tflite, not {model.path.name}")
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
        return Artifact(model, NAME, runtime.find().version, device)

    def load(self, artifact: Artifact, device: str, options: LoadOptions) -> LiteRtSession:
        self._require(device)
        model = artifact.model
        threads = options.threads or cores()
        one = self._batch(model, threads, 1)
        inputs, outputs = input_specs(one, model), output_specs(one, model)
        one.bind(inputs, outputs)
        batches = {1: one}
        for size in sorted({b for b in options.batches if b > 1}):
            try:
                more = self._batch(model, threads, size)
            except EdgeError:
                continue
            more.bind(inputs, outputs)
            if batching.agrees(inputs, one.run, more.run, size):
                batches[size] = more
        return LiteRtSession(
            batches, inputs, outputs, version=artifact.backend_version, threads=threads
        )

    def _require(self, device: str) -> None:
        runtime.find()
        if device != "CPU":
            raise DeviceUnavailable(
                f"LiteRT has no device {device!r} here; it has CPU", backend=NAME, device=device
            )

    def _batch(self, model: ModelFile, threads: int, size: int) -> Batch:
        try:
            interpreter = runtime.find().module.Interpreter(
                model_path=os.fspath(model.path), num_threads=threads
            )
        except Exception as error:
            raise _reading(model, error) from error
        details = interpreter.get_input_details()
        shapes = _shapes(details, model, size)
        for detail in details:
            item = np.dtype(detail["dtype"]).itemsize
            check_size(model.path.name, detail["name"], shapes[detail["name"]], item)
        try:
            for detail in details:
                wanted = shapes[detail["name"]]
                if list(detail["shape"]) != list(wanted):
                    interpreter.resize_tensor_input(detail["index"], list(wanted))
            interpreter.allocate_tensors()
        except Exception as error:
            if size == 1 and model.inputs and not _lacking(str(error)):
                raise CardError(
                    f"{model.path.name} does not take the shapes of its card "
                    f"{ {k: list(v) for k, v in model.inputs.items()} }: {_brief(error)}"
                ) from error
            raise _allocating(model, error) from error
        return Batch(interpreter)


def _shapes(details: list[Any], model: ModelFile, size: int) -> dict[str, tuple[int, ...]]:
    left = dict(model.inputs)
    shapes = {}
    for detail in details:
        name = detail["name"]
        own = tuple(int(n) for n in detail["shape"])
        given = left.pop(name, own)
        if len(given) == len(own):
            given = tuple(o if g < 0 else g for g, o in zip(given, own, strict=True))
        shapes[name] = batched(given, size)
    if left:
        have = ", ".join(repr(d["name"]) for d in details)
        raise CardError(
            f"the card of {model.path.name} names input {next(iter(left))!r}; the file has {have}"
        )
    return shapes


def _reading(model: ModelFile, error: Exception) -> EdgeError:
    lacking = _lacking(str(error))
    if lacking:
        return ModelUnsupported(
            f"LiteRT cannot run {model.path.name}: it lacks {', '.join(lacking)}", lacking
        )
    return ModelInvalid(f"LiteRT cannot read {model.path}: {_brief(error)}")


def _allocating(model: ModelFile, error: Exception) -> EdgeError:
    lacking = _lacking(str(error))
    if lacking:
        return ModelUnsupported(
            f"LiteRT cannot run {model.path.name}: it lacks {', '.join(lacking)}", lacking
        )
    if isinstance(error, MemoryError):
        return OutOfMemory(f"no memory for {model.path.name}", backend=NAME, device="CPU")
    return PrepareFailed(
        f"LiteRT cannot set up {model.path.name}: {_brief(error)}",
        backend=NAME,
        device="CPU",
        detail=str(error),
    )


def _lacking(text: str) -> tuple[str, ...]:
    names = {m.group(1).rstrip(".") for m in _CUSTOM.finditer(text)}
    names |= {f"{m.group(1)} version {m.group(2)}" for m in _BUILTIN.finditer(text)}
    names |= {m.group(1) for m in _FLEX.finditer(text)}
    return tuple(sorted(names))


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
