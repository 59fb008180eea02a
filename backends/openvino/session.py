"""A model compiled by OpenVINO, one compilation a batch size."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import Cancelled, CardError, InferFailed, ModelUnsupported, OutOfMemory
from edgesdk.inference.protocol import IOSpec, ModelFile, Tensors, TensorSpec
from edgesdk.inference.session import CheckedSession
from edgesdk.inference.tickets import Ticket

from . import runtime

if TYPE_CHECKING:
    import openvino as ov  # type: ignore[import-untyped]

Specs = tuple[TensorSpec, ...]

_DTYPES = {
    "f32": "float32",
    "f64": "float64",
    "f16": "float16",
    "u8": "uint8",
    "i8": "int8",
    "u16": "uint16",
    "i16": "int16",
    "u32": "uint32",
    "i32": "int32",
    "u64": "uint64",
    "i64": "int64",
    "boolean": "bool",
}


def names_of(port: Any) -> list[str]:
    """The names of a model's input or output, the likeliest to be meant first.

    TensorFlow's end in ``:0``, which cards leave out; inner names have a path.
    """
    names = sorted(port.names, key=lambda n: ("/" in n, len(n), n))
    if not names:
        names = [port.node.friendly_name]
    bare = [n[:-2] for n in names if n.endswith(":0") and n[:-2] not in names]
    return names + bare


def tensor_specs(model: ov.CompiledModel, card: ModelFile) -> tuple[Specs, Specs]:
    """Inputs and outputs of a model compiled for batch 1, under the card's names.

    Raises CardError where the card names an output that the file lacks, ModelUnsupported where a
    tensor's type has no numpy dtype.
    """
    inputs = tuple(_spec(port, tuple(card.inputs)) for port in model.inputs)
    outputs = tuple(_spec(port, card.outputs) for port in model.outputs)
    have = {s.name for s in outputs}
    for name in card.outputs:
        if name not in have:
            raise CardError(
                f"the card of {card.path.name} names output {name!r}; "
                f"the file has {', '.join(repr(s.name) for s in outputs)}"
            )
    return inputs, outputs


def _spec(port: Any, preferred: tuple[str, ...]) -> TensorSpec:
    names = names_of(port)
    name = next((n for n in preferred if n in names), names[0])
    kind = port.element_type.get_type_name()
    dtype = _DTYPES.get(kind)
    if dtype is None:
        raise ModelUnsupported(f"tensor {name!r} is of type {kind}, which numpy has no name for")
    shape: tuple[int | None, ...] = ()
    if port.partial_shape.rank.is_static:
        shape = tuple(None if d.is_dynamic else d.get_length() for d in port.partial_shape)
    return TensorSpec(name, shape, dtype, aliases=tuple(n for n in names if n != name))


class Request:
    """One infer request with input memory of its own: a pre-set tensor is 2 to 3 times cheaper a
    call than handing an array over."""

    def __init__(self, model: ov.CompiledModel) -> None:
        ov = runtime.module()
        self.ticket: Ticket | None = None
        self._request = model.create_infer_request()
        self._slots: list[NDArray[Any] | None] = []
        for index, port in enumerate(model.inputs):
            if port.partial_shape.is_dynamic:
                self._slots.append(None)
                continue
            slot = np.zeros(tuple(port.shape), port.element_type.to_dtype())
            self._request.set_input_tensor(index, ov.Tensor(slot, shared_memory=True))
            self._slots.append(slot)

    def start(self, inputs: Tensors, specs: Specs) -> None:
        """Copies the inputs and starts; they may change afterwards."""
        ov = runtime.module()
        for index, spec in enumerate(specs):
            slot = self._slots[index]
            if slot is None:
                self._request.set_input_tensor(index, ov.Tensor(inputs[spec.name]))
            else:
                np.copyto(slot, inputs[spec.name])
        self._request.start_async()

    def finish(self, specs: Specs) -> Tensors:
        """Waits with the GIL free; the outputs are copies, since the next start overwrites."""
        self._request.wait()
        return {
            spec.name: self._request.get_output_tensor(index).data.copy()
            for index, spec in enumerate(specs)
        }

    def cancel(self) -> None:
        self._request.cancel()


class Compiled:
    """A compiled model of one batch size and its requests."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self.model = model
        self._blocking: Request | None = None
        self.idle: list[Request] = []

    def run(self, inputs: Tensors, ins: Specs, outs: Specs) -> Tensors:
        """One blocking inference; one caller at a time."""
        if self._blocking is None:
            self._blocking = Request(self.model)
        try:
            self._blocking.start(inputs, ins)
            return self._blocking.finish(outs)
        except RuntimeError as error:
            raise _failure(error) from error


def _failure(error: BaseException) -> InferFailed | OutOfMemory:
    text = str(error)
    kind = OutOfMemory if "bad_alloc" in text or "allocate" in text.lower() else InferFailed
    return kind(f"OpenVINO: {text.strip().splitlines()[-1][:300]}", backend="openvino", detail=text)


class OpenVinoSession(CheckedSession):
    """See ``edgesdk.inference.Session``.

    ``submit`` starts a request of the runtime's and one thread waits for them in the order of
    submission: so tickets end in order and an error always reaches its ticket (a runtime callback
    is not called for a request that failed).
    """

    def __init__(
        self,
        compiled: dict[int, Compiled],
        inputs: Specs,
        outputs: Specs,
        *,
        version: str,
        device: str,
        threads: int,
        from_cache: bool,
    ) -> None:
        one = compiled[1].model
        self._compiled = compiled
        self._ins, self._outs = inputs, outputs
        self.max_inflight = max(2, int(_property(one, "OPTIMAL_NUMBER_OF_INFER_REQUESTS") or 1))
        self._started: queue.Queue[tuple[Ticket, Request, Compiled, int, int] | None] = (
            queue.Queue()
        )
        super().__init__(
            IOSpec(
                inputs,
                outputs,
                tuple(sorted(compiled)),
                "openvino",
                version,
                device,
                executed_on=_executed_on(one),
                precision=_precision(one),
                threads=int(_property(one, "INFERENCE_NUM_THREADS") or threads),
                compiled_from="cache" if from_cache else "model",
            )
        )

    def describe(self) -> IOSpec:
        one = self._compiled.get(1)
        # AUTO begins on a stand-in device and moves on when the real one is ready.
        return (
            self._spec if one is None else replace(self._spec, executed_on=_executed_on(one.model))
        )

    def submit(
        self, inputs: Mapping[str, NDArray[Any]], done: Callable[[Ticket], None] | None = None
    ) -> Ticket:
        checked, batch = self._checker.check(inputs)
        self._slots.acquire()
        try:
            with self._submit_lock:
                if self._unloaded:
                    raise self._gone()
                compiled = self._compiled[batch]
                request = compiled.idle.pop() if compiled.idle else Request(compiled.model)
                ticket = Ticket(self._tickets, lambda: self._cancel(request, ticket))
                ticket.notify(done)
                request.ticket = ticket
                ticket.start()
                try:
                    request.start(checked, self._ins)
                except RuntimeError as error:
                    raise _failure(error) from error
                self._tickets += 1
                self._started.put((ticket, request, compiled, batch, time.perf_counter_ns()))
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._reap, name="infer-openvino", daemon=True
                    )
                    self._thread.start()
        except BaseException:
            self._slots.release()
            raise
        return ticket

    def _cancel(self, request: Request, ticket: Ticket) -> None:
        with self._submit_lock:
            if request.ticket is ticket:  # else it ended, and the request serves another
                request.cancel()

    def _end_queue(self) -> None:
        self._started.put(None)

    def _reap(self) -> None:
        free = time.perf_counter_ns()
        while (item := self._started.get()) is not None:
            ticket, request, compiled, batch, start = item
            try:
                outputs = request.finish(self._outs)
            except Exception as error:
                self._count_failure()
                self._reuse(request, compiled)
                ticket.fail(_ended(ticket, error))
            else:
                now = time.perf_counter_ns()
                self._count(batch, now - max(start, free))
                free = now
                self._reuse(request, compiled)
                ticket.finish(outputs)

    def _reuse(self, request: Request, compiled: Compiled) -> None:
        with self._submit_lock:
            request.ticket = None
            compiled.idle.append(request)
        self._slots.release()

    def _run(self, inputs: Tensors, batch: int) -> Tensors:
        return self._compiled[batch].run(inputs, self._ins, self._outs)

    def _release(self) -> None:
        self._compiled = {}


def _ended(ticket: Ticket, error: BaseException) -> BaseException:
    if "cancel" in str(error).lower():
        return Cancelled(f"inference {ticket.number} was cancelled", backend="openvino")
    return _failure(error)


def _property(model: ov.CompiledModel, name: str) -> Any:
    try:
        return model.get_property(name)
    except RuntimeError:
        return None


def _executed_on(model: ov.CompiledModel) -> str:
    devices = _property(model, "EXECUTION_DEVICES") or []
    if isinstance(devices, str):
        devices = [devices]
    # In brackets: a stand-in while the device that was asked for still compiles.
    return ",".join(str(d).strip("()") for d in devices)


def _precision(model: ov.CompiledModel) -> str:
    value = _property(model, "INFERENCE_PRECISION_HINT")
    name = getattr(value, "get_type_name", lambda: "")() if value is not None else ""
    return {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}.get(name, name or "unknown")
