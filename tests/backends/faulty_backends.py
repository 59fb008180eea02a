"""Backends with one fault each, over a good one: what the conformance suite has to catch.

Not collected with the rest; ``test_conformance_bites.py`` runs it.
"""

from __future__ import annotations

import ctypes
import dataclasses
import threading
import time

import numpy as np
from edgesdk.backends.onnxruntime.backend import OnnxRuntime

from edgesdk.inference import Ticket
from edgesdk.testing.conformance import BackendConformance


class Over:
    """Everything of the good session, but for what a fault overrides."""

    def __init__(self, good):
        self.good = good

    def __getattr__(self, name):
        return getattr(self.good, name)


def suite(session=Over, backend=OnnxRuntime):
    class Faulty(backend):
        def load(self, artifact, device, options):
            return session(super().load(artifact, device, options))

    class Suite(BackendConformance):
        def make_backend(self):
            return Faulty()

    return Suite


class Casts(Over):
    def infer(self, inputs):
        return self.good.infer({k: np.asarray(v, np.float32) for k, v in inputs.items()})


class Overwrites(Over):
    kept = None

    def infer(self, inputs):
        outputs = self.good.infer(inputs)
        if self.kept is None:
            self.kept = outputs
        for name, array in outputs.items():
            self.kept[name][...] = array
        return self.kept


class ChangesInputs(Over):
    def infer(self, inputs):
        outputs = self.good.infer(inputs)
        for array in inputs.values():
            array.flags.writeable = True
            array *= 2
        return outputs


class AnswersAnother(Over):
    last = None

    def submit(self, inputs, done=None):
        previous, self.last = self.last or inputs, inputs
        return self.good.submit(previous, done)


class ReadsInputsLater(Over):
    number = 0

    def submit(self, inputs, done=None):
        ticket = Ticket(self.number)
        self.number += 1
        ticket.notify(done)
        ticket.start()
        threading.Timer(0.05, lambda: ticket.finish(self.good.infer(inputs))).start()
        return ticket


class HoldsTheGil(Over):
    def infer(self, inputs):
        began = time.perf_counter()
        values = self.good.infer(inputs)
        # Twice as long as the inference, however busy the machine is.
        ctypes.PyDLL(None).usleep(min(900_000, int(2e6 * (time.perf_counter() - began))))
        return values


class UnloadsOnce(Over):
    gone = False

    def unload(self):
        if self.gone:
            raise RuntimeError("double free")
        self.gone = True
        self.good.unload()


class LivesOn(Over):
    def unload(self):
        pass


class Leaks(Over):
    leaked = []  # noqa: RUF012 - that it is shared is the fault

    def __init__(self, good):
        super().__init__(good)
        self.leaked.append(np.ones(1 << 20))


class Boasts(Over):
    def describe(self):
        spec = self.good.describe()
        wider = tuple(dataclasses.replace(o, dtype="float64") for o in spec.outputs)
        return dataclasses.replace(spec, outputs=wider)


class MixesRows(Over):
    def infer(self, inputs):
        outputs = self.good.infer(inputs)
        return {name: array[::-1].copy() for name, array in outputs.items()}


class RaisesItsOwn(OnnxRuntime):
    def prepare(self, *args, **kwargs):
        try:
            return super().prepare(*args, **kwargs)
        except Exception as error:
            raise RuntimeError(str(error)) from error


class FallsBack(OnnxRuntime):
    def prepare(self, model, device, *args, **kwargs):
        return super().prepare(model, "CPU", *args, **kwargs)

    def load(self, artifact, device, options):
        return super().load(artifact, "CPU", options)


class SkipsVerifying(OnnxRuntime):
    def load(self, artifact, device, options):
        one = dataclasses.replace(options, batches=(1,))
        session = super().load(artifact, device, one)
        session._spec = dataclasses.replace(session._spec, batches=(1, 2, 4))
        session._checker._spec = session._spec
        return session


TestCasts = suite(Casts)
TestOverwrites = suite(Overwrites)
TestChangesInputs = suite(ChangesInputs)
TestAnswersAnother = suite(AnswersAnother)
TestReadsInputsLater = suite(ReadsInputsLater)
TestHoldsTheGil = suite(HoldsTheGil)
TestUnloadsOnce = suite(UnloadsOnce)
TestLivesOn = suite(LivesOn)
TestLeaks = suite(Leaks)
TestBoasts = suite(Boasts)
TestMixesRows = suite(MixesRows)
TestRaisesItsOwn = suite(backend=RaisesItsOwn)
TestFallsBack = suite(backend=FallsBack)
TestSkipsVerifying = suite(backend=SkipsVerifying)
TestGood = suite()
