"""LiteRT (TensorFlow Lite): ``.tflite`` files on CPUs."""

from .backend import LiteRt


def backend() -> LiteRt:
    """The entry point; the runtime is imported when it is first used."""
    return LiteRt()
