"""LiteRT (TensorFlow Lite): ``.tflite`` files on CPUs."""

from functools import cache

from .backend import LiteRt


@cache
def backend() -> LiteRt:
    """The entry point: one object a process, which imports the runtime when it is first used."""
    return LiteRt()
