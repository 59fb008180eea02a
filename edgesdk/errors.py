"""Every error a caller of edgesdk can meet.

::

    EdgeError
    ├── UsageError            a command or call that cannot mean anything        (exit 2)
    │   ├── ConfigError       a configuration file: file, line, field, expected
    │   └── GraphError        an application: operator, parameter, place in the user's file
    ├── ModelError            a model or its card                                (exit 3)
    │   ├── CardError         the card: file, field, value, expected
    │   ├── ModelNotFound     no card answers the reference
    │   │   └── UnknownModel  an application's reference: a GraphError too, with its place
    │   ├── ModelInvalid      the runtime cannot read the file
    │   ├── ModelUnsupported  the runtime lacks an operator
    │   └── DigestMismatch    bytes differ from their SHA-256
    ├── BackendError          a runtime or its device                            (exit 4)
    │   ├── BackendUnavailable, DeviceUnavailable, DeviceBusy, DeviceLost
    │   ├── PrepareFailed, CacheInvalid
    │   ├── InputMismatch     dtype or shape, checked before the runtime sees it
    │   ├── OutOfMemory, DeadlineExceeded, Cancelled, InferFailed
    │   └── WorkerCrashed
    ├── CaptureError          a source of frames; credentials are hidden         (exit 5)
    ├── RingError             a frame ring in shared memory
    │   ├── RingBusy          another writer, or no place for a reader
    │   ├── RingInvalid       hostile, truncated, foreign or of another version
    │   └── RingStale         the writer moved to a larger segment: open it again
    ├── AdmissionRefused      a deadline that this node can never keep
    ├── NetworkUnavailable    a package registry cannot be reached               (exit 6)
    └── SinkError             results cannot be written                          (exit 7)

Messages name the thing, its value, and the way out. The command line prints them on one line and
ends with :attr:`EdgeError.exit_code`.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "AdmissionRefused",
    "BackendError",
    "BackendUnavailable",
    "CacheInvalid",
    "Cancelled",
    "CaptureError",
    "CardError",
    "ConfigError",
    "DeadlineExceeded",
    "DeviceBusy",
    "DeviceLost",
    "DeviceUnavailable",
    "DigestMismatch",
    "EdgeError",
    "GraphError",
    "InferFailed",
    "InputMismatch",
    "ModelError",
    "ModelInvalid",
    "ModelNotFound",
    "ModelUnsupported",
    "NetworkUnavailable",
    "OutOfMemory",
    "PrepareFailed",
    "RingBusy",
    "RingError",
    "RingInvalid",
    "RingStale",
    "SinkError",
    "UnknownModel",
    "UsageError",
    "WorkerCrashed",
]


class EdgeError(Exception):
    """The root: ``except EdgeError`` catches whatever edgesdk raises on purpose."""

    exit_code = 1


class UsageError(EdgeError):
    exit_code = 2


class ConfigError(UsageError):
    """A configuration file is wrong; the message has file, line, field, value, expectation."""


class GraphError(UsageError):
    """An application is wrong; the message has operator, parameter and ``file:line``."""


class ModelError(EdgeError):
    exit_code = 3


class CardError(ModelError):
    pass


class ModelNotFound(ModelError):
    pass


class UnknownModel(GraphError, ModelNotFound):
    """An application names a model that no card answers; the message has ``file:line``."""

    exit_code = ModelNotFound.exit_code


class ModelInvalid(ModelError):
    pass


class ModelUnsupported(ModelError):
    """The runtime cannot run this model; *operators* are those it lacks, where it names them."""

    def __init__(self, message: str, operators: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.operators = operators


class DigestMismatch(ModelError):
    pass


class BackendError(EdgeError):
    """A runtime or device failed. *retryable* says whether the same call may succeed later."""

    exit_code = 4
    retryable = False

    def __init__(
        self, message: str, *, backend: str = "", device: str = "", detail: str = ""
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.device = device
        self.detail = detail


Reason = Literal["package", "library", "abi", "driver", "permission", "version"]


class BackendUnavailable(BackendError):
    """The runtime cannot be used on this machine; *reason* says what is missing."""

    def __init__(
        self, message: str, *, reason: Reason, backend: str = "", detail: str = ""
    ) -> None:
        super().__init__(message, backend=backend, detail=detail)
        self.reason: Reason = reason


class DeviceUnavailable(BackendError):
    pass


class DeviceBusy(BackendError):
    retryable = True


class DeviceLost(BackendError):
    retryable = True


class PrepareFailed(BackendError):
    pass


class CacheInvalid(BackendError):
    """A cached artefact is not what its key says. It is rebuilt once, then reported."""

    retryable = True


class InputMismatch(BackendError):
    """An input has the wrong name, dtype or shape; checked before the runtime sees it."""


class OutOfMemory(BackendError):
    retryable = True


class DeadlineExceeded(BackendError):
    pass


class Cancelled(BackendError):
    pass


class InferFailed(BackendError):
    pass


class WorkerCrashed(BackendError):
    """A worker process ended without being asked to; *detail* has its signal and last words."""

    retryable = True


class CaptureError(EdgeError):
    exit_code = 5


class RingError(EdgeError):
    """A call on a ring failed; *code* is what the C library returned (negative)."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class RingBusy(RingError):
    pass


class RingInvalid(RingError):
    pass


class RingStale(RingError):
    pass


class AdmissionRefused(EdgeError):
    """A deadline that the scheduler can never keep; *needed_ns* is the shortest it could."""

    def __init__(self, message: str, *, needed_ns: int) -> None:
        super().__init__(message)
        self.needed_ns = needed_ns


class NetworkUnavailable(EdgeError):
    exit_code = 6


class SinkError(EdgeError):
    exit_code = 7
