"""The tests that every backend passes: run them on your own with pytest.

::

    # test_mine.py
    from edgesdk.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        format = "onnx"              # or "tflite"; or give your own Subject

        def make_backend(self):
            return MyBackend()

The small models are made on the spot (``pip install onnx`` or ``ai-edge-litert``). A backend with
a file format of its own overrides ``BackendConformance.make_subject``.
"""

from edgesdk.testing.answers import Answers
from edgesdk.testing.opening import Opening
from edgesdk.testing.running import Running
from edgesdk.testing.subjects import Subject, onnx_subject, tflite_subject

__all__ = ["BackendConformance", "Subject", "onnx_subject", "tflite_subject"]


class BackendConformance(Answers, Running, Opening):
    """The suite. Subclass with a name that starts with ``Test``, and give ``make_backend``.

    format: of the models that are made, ``onnx`` or ``tflite``. device: default the backend's
    first. load_cycles, growth_limit: how often a model is loaded and unloaded, and the bytes by
    which the process may grow after the first quarter.
    """
