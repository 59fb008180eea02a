"""What ``edgesdk cluster init | add | rotate | remove --json`` print."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

__all__ = ["InitDocument", "IssuedDocument", "PushRow", "RemovedDocument"]


class PushRow(msgspec.Struct, frozen=True, kw_only=True):
    """A node that was told of the new revocation list; *error* is empty if it has it now."""

    address: str
    node: str
    error: str


class InitDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster was made. *operator_bundle* is for status, remove and doctor."""

    schema: Literal[1] = 1
    command: Literal["cluster init"] = "cluster init"
    directory: str
    name: str
    fingerprint: str
    operator_bundle: str


class IssuedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle was made. *revoked* says that the member's older certificates hold no more."""

    schema: Literal[1] = 1
    command: Literal["cluster add", "cluster rotate"]
    node: str
    number: int
    role: Literal["node", "operator"]
    bundle: str
    expires: datetime
    revoked: bool
    told: list[PushRow]


class RemovedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A member was removed, as of revocation list *revocations*; *told*: who has that list now."""

    schema: Literal[1] = 1
    command: Literal["cluster remove"] = "cluster remove"
    node: str
    number: int
    removed: datetime
    revocations: int
    told: list[PushRow]
