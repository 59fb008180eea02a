"""Models: cards, where their files come from, and how frames and tensors become each other.

:class:`ModelRegistry` finds a :class:`ModelCard` by reference; a :class:`Codec` encodes frames for
one of its variants and decodes what the backend returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgesdk.models.card import ModelCard, load_card
from edgesdk.models.registry import Entry, ModelRegistry, default_cache
from edgesdk.models.schema import Variant

if TYPE_CHECKING:
    from edgesdk.models.codec import Codec
    from edgesdk.models.geometry import Geometry

__all__ = [
    "Codec",
    "Entry",
    "Geometry",
    "ModelCard",
    "ModelRegistry",
    "Variant",
    "default_cache",
    "load_card",
]

# the codec needs OpenCV, which a process that only reads cards should not have to load
_LATE = {"Codec": "edgesdk.models.codec", "Geometry": "edgesdk.models.geometry"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        import importlib

        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
