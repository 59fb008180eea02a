# What edgesdk/core/generate.py declares to cffi from the public headers.
from typing import Any

ffi: Any
lib: Any
