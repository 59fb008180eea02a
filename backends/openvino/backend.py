"""The OpenVINO backend: devices, compilation per batch size, artefacts."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesdk.errors import BackendUnavailable, Cancelled, CardError, DeviceUnavailable, EdgeError
from edgesdk.inference import batching
from edgesdk.inference.files import check_file, check_size
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

from . import failures, runtime
from .session import Compiled, OpenVinoSession, names_of, tensor_specs

if TYPE_CHECKING:
    import openvino as ov  # type: ignore[import-untyped]

NAME = "openvino"
SUFFIXES = (".xml", ".onnx", ".pb", ".tflite")
VIRTUAL = ("AUTO", "HETERO", "MULTI", "BATCH")
_KINDS: dict[str, Any] = {"CPU": "cpu", "GPU": "gpu", "NPU": "npu"}


class OpenVino:
    """See ``edgesdk.inference.Backend``. Thread-safe; one ``ov.Core`` a process."""

    name = NAME
    api = API
    caps = Caps(
        async_native=True,
        max_inflight=2,
        cancel=True,
        prepare_cost="seconds",
    )

    def __init__(self) -> None:
        self._core: ov.Core | None = None
        self._lock = threading.Lock()

    def core(self) -> ov.Core:
        with self._lock:
            if self._core is None:
                self._core = runtime.module().Core()
            return self._core

    def version(self) -> str:
        return str(runtime.module().__version__).split("-")[0]

    def probe(self) -> Probe:
        try:
            core = self.core()
            ov = runtime.module()
            ops = ov.opset13
            value = ops.parameter([1, 4], ov.Type.f32)
            model = ov.Model([ops.relu(value)], [value])
            result = core.compile_model(model, "CPU")(np.array([[-1, 0, 1, 2]], np.float32))[0]
            if not np.array_equal(result, np.array([[0, 0, 1, 2]], np.float32)):
                raise RuntimeError(f"a model of one Relu gives {result.tolist()}")
        except BackendUnavailable as error:
            step = "pip install 'edgesdk[openvino]'"
            return Probe(False, "", error.reason, error.detail, step)
        except Exception as error:
            step = "reinstall it: pip install --force-reinstall openvino"
            return Probe(False, "", "library", f"self-test: {failures.brief(error)}", step)
        version = self.version()
        return Probe(True, version, versions={"openvino": version})

    def devices(self) -> list[Device]:
        core = self.core()
        found = []
        for name in core.available_devices:
            full = str(core.get_property(name, "FULL_DEVICE_NAME"))
            found.append(Device(name, _KINDS.get(name.split(".")[0], "other"), full))
        return found

    def supports(self, model: ModelFile, device: str) -> Support:
        if model.path.suffix.lower() not in SUFFIXES:
            return Support("no", f"OpenVINO reads {', '.join(SUFFIXES)}, not {model.path.name}")
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
        _stop_if(cancel, model)
        check_file(model)
        store = options.store
        keys: dict[int, str] = {}
        read = self._reader(model)
        if store is not None and model.sha256:
            wanted = _wanted(options)
            for done, batch in enumerate(wanted):
                _stop_if(cancel, model)
                if progress is not None:
                    progress(done / len(wanted), f"compiling batch {batch}")
                key = self._key(model, device, options, batch)
                if store.get(key) is None:
                    try:
                        compiled = self._compile(read, model, device, options, batch)
                    except EdgeError:
                        if batch == 1:
                            raise
                        continue
                    store.put(key, _exporter(compiled))
                keys[batch] = key
        if progress is not None:
            progress(1.0, "ready")
        return Artifact(model, NAME, self.version(), device, keys)

    def load(self, artifact: Artifact, device: str, options: LoadOptions) -> OpenVinoSession:
        self._require(device)
        model = artifact.model
        compiled: dict[int, Compiled] = {}
        cached = bool(artifact.keys)
        read = self._reader(model)
        for batch in _wanted(options):
            found = self._imported(artifact, device, options, batch)
            if found is None:
                cached = cached and batch != 1
                try:
                    found = self._compile(read, model, device, options, batch)
                except EdgeError:
                    if batch == 1:
                        raise
                    continue
                if options.store is not None and batch in artifact.keys:
                    options.store.put(artifact.keys[batch], _exporter(found))
            compiled[batch] = Compiled(found)
        one = compiled[1]
        inputs, outputs = tensor_specs(one.model, model)
        for batch in [b for b in compiled if b > 1]:
            if not batching.agrees(
                inputs,
                lambda x: one.run(x, inputs, outputs),
                lambda x, b=batch: compiled[b].run(x, inputs, outputs),  # type: ignore[misc]
                batch,
            ):
                del compiled[batch]
        return OpenVinoSession(
            compiled,
            inputs,
            outputs,
            version=self.version(),
            device=device,
            threads=options.threads,
            from_cache=cached,
        )

    def _require(self, device: str) -> None:
        have = self.core().available_devices
        prefix, _, members = device.partition(":")
        if prefix in VIRTUAL:
            wanted = [m.split("(")[0].lstrip("-") for m in members.split(",") if m]
        else:
            wanted = [device]
        for name in wanted:
            if name not in have and not any(h.split(".")[0] == name for h in have):
                raise DeviceUnavailable(
                    f"OpenVINO has no device {name!r} here; it has {', '.join(have)}",
                    backend=NAME,
                    device=device,
                )

    def _config(self, device: str, options: LoadOptions) -> dict[str, Any]:
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if device == "CPU":
            if options.threads:
                config["INFERENCE_NUM_THREADS"] = options.threads
            if options.precision == "exact":
                config["INFERENCE_PRECISION_HINT"] = "f32"
        return config

    def _reader(self, model: ModelFile) -> Callable[[], ov.Model]:
        """Gives copies of the model, which is read when the first is wanted: reading a file can
        take longer than compiling it."""
        read: list[ov.Model] = []

        def give() -> ov.Model:
            if not read:
                try:
                    read.append(self.core().read_model(model.path))
                except Exception as error:
                    raise failures.reading(model.path, error) from error
            return read[0].clone()

        return give

    def _compile(
        self,
        read: Callable[[], ov.Model],
        model: ModelFile,
        device: str,
        options: LoadOptions,
        batch: int,
    ) -> ov.CompiledModel:
        core = self.core()
        network = read()
        shapes = _shapes(network, model, batch)
        for port, shape in shapes.items():
            if shape.rank.is_dynamic:
                continue
            dims = [None if d.is_dynamic else d.get_length() for d in shape]
            check_size(model.path.name, names_of(port)[0], dims, port.element_type.size)
        try:
            network.reshape(shapes)
        except Exception as error:
            if batch == 1 and model.inputs:
                raise CardError(
                    f"{model.path.name} does not take the shapes of its card "
                    f"{ {k: list(v) for k, v in model.inputs.items()} }: {failures.brief(error)}"
                ) from error
            raise failures.compiling(model.path, device, error) from error
        try:
            return core.compile_model(network, device, self._config(device, options))
        except Exception as error:
            raise failures.compiling(model.path, device, error) from error

    def _imported(
        self, artifact: Artifact, device: str, options: LoadOptions, batch: int
    ) -> ov.CompiledModel | None:
        store, key = options.store, artifact.keys.get(batch)
        if store is None or key is None:
            return None
        path = store.get(key)
        if path is None:
            return None
        try:
            # Without the options of the compilation the CPU would compute in bfloat16 again.
            return self.core().import_model(
                io.BytesIO(path.read_bytes()), device, self._config(device, options)
            )
        except Exception:
            # Made by another build of the runtime, in spite of the version in its key.
            store.discard(key)
            return None

    def _key(self, model: ModelFile, device: str, options: LoadOptions, batch: int) -> str:
        core = self.core()
        physical = device if device in core.available_devices else device.split(":")[0]
        machine: list[str] = []
        if physical in core.available_devices:
            machine.append(str(core.get_property(physical, "FULL_DEVICE_NAME")))
            machine += sorted(core.get_property(physical, "OPTIMIZATION_CAPABILITIES"))
        parts = [
            model.sha256,
            sorted((k, list(v)) for k, v in model.inputs.items()),
            NAME,
            str(runtime.module().__version__),
            device,
            machine,
            sorted(self._config(device, options).items()),
            batch,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _stop_if(cancel: threading.Event | None, model: ModelFile) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled(f"preparing {model.path.name} was cancelled", backend=NAME)


def _wanted(options: LoadOptions) -> list[int]:
    return sorted({1, *(b for b in options.batches if b > 1)})


def _exporter(compiled: ov.CompiledModel) -> Any:
    def write(path: Path) -> None:
        path.write_bytes(compiled.export_model().getbuffer())

    return write


def _card_dims(port: Any, given: tuple[int, ...], batch: int) -> list[Any]:
    own = port.partial_shape
    if not own.rank.is_static or own.rank.get_length() != len(given):
        return list(batched(given, batch))  # reshape() says what is wrong with it
    dims = [own[axis] if size < 0 else size for axis, size in enumerate(given)]
    if given and given[0] >= 0:
        dims[0] = given[0] * batch
    return dims


def _shapes(network: ov.Model, model: ModelFile, batch: int) -> dict[Any, Any]:
    """The shape of each input at *batch*: the card's, else the file's with an open axis 0 as 1."""
    ov = runtime.module()
    shapes: dict[Any, Any] = {}
    left = dict(model.inputs)
    for port in network.inputs:
        names = names_of(port)
        named = next((n for n in left if n in names), None)
        if named is not None:
            shapes[port] = ov.PartialShape(_card_dims(port, left.pop(named), batch))
            continue
        dims = list(port.partial_shape) if port.partial_shape.rank.is_static else []
        if dims:
            first = 1 if dims[0].is_dynamic else dims[0].get_length()
            dims[0] = ov.Dimension(first * batch)
        shapes[port] = ov.PartialShape(dims) if dims else port.partial_shape
    if left:
        have = ", ".join(repr(names_of(p)[0]) for p in network.inputs)
        raise CardError(
            f"the card of {model.path.name} names input {next(iter(left))!r}; the file has {have}"
        )
    return shapes
