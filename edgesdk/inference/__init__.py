"""Inference: the protocol between edgesdk and a runtime, and how runtimes are found.

A *backend* adapts one runtime. It is an object that the entry-point group ``edgesdk.backends``
names, and it follows ``Backend``; a loaded model is a ``Session``. Whoever writes one
derives its session from ``CheckedSession`` and runs ``edgesdk.testing.conformance`` on it.

This package imports no runtime.
"""

from edgesdk.inference.discovery import BackendEntry, discover, get_backend
from edgesdk.inference.protocol import (
    API,
    ArtefactStore,
    Artifact,
    Backend,
    Caps,
    Device,
    IOSpec,
    LoadOptions,
    ModelFile,
    Probe,
    Quantisation,
    Session,
    Stats,
    Support,
    Tensors,
    TensorSpec,
    open_session,
)
from edgesdk.inference.session import CheckedSession
from edgesdk.inference.tickets import Ticket

__all__ = [
    "API",
    "ArtefactStore",
    "Artifact",
    "Backend",
    "BackendEntry",
    "Caps",
    "CheckedSession",
    "Device",
    "IOSpec",
    "LoadOptions",
    "ModelFile",
    "Probe",
    "Quantisation",
    "Session",
    "Stats",
    "Support",
    "TensorSpec",
    "Tensors",
    "Ticket",
    "discover",
    "get_backend",
    "open_session",
]
