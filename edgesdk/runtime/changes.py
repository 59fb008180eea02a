"""What a reconfiguration changed, as a document."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Changes"]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Names of cameras, applications and models (cards), sorted.

    Cameras are those that an application runs on. What is in no list went on undisturbed.
    *cameras_moved*: those of the changed ones that were opened anew, as another incarnation.
    *restart_needed*: what the file says otherwise than the one that this process began with, and
    goes on without, such as ``node.threads``.
    """

    schema: Literal[1] = 1
    cameras_added: list[str] = []
    cameras_removed: list[str] = []
    cameras_changed: list[str] = []
    cameras_moved: list[str] = []
    apps_added: list[str] = []
    apps_removed: list[str] = []
    apps_changed: list[str] = []
    models_loaded: list[str] = []
    models_unloaded: list[str] = []
    restart_needed: list[str] = []

    def __bool__(self) -> bool:
        return any(getattr(self, field) for field in self.__struct_fields__ if field != "schema")

    def __str__(self) -> str:
        """For people: ``cameras added: door; apps removed: people``."""
        found = (
            f"{field.replace('_', ' ')}: {', '.join(getattr(self, field))}"
            for field in self.__struct_fields__
            if field != "schema" and getattr(self, field)
        )
        return "; ".join(found) or "nothing changed"
