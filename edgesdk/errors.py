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
    │   ├── PeerFailed        another node could not do what it was asked
    │   └── WorkerCrashed
    ├── CaptureError          a source of frames; credentials are hidden         (exit 5)
    ├── RingError             a frame ring in shared memory
    │   ├── RingBusy          another writer, or no place for a reader
    │   ├── RingInvalid       hostile, truncated, foreign or of another version
    │   └── RingStale         the writer moved to a larger segment: open it again
    ├── AdmissionRefused      a deadline that this node can never keep
    ├── WireError             bytes of another node that are not what they should be
    │   └── MessageError      a datagram of the balancer's that is none
    ├── NetworkUnavailable    a package registry cannot be reached               (exit 6)
    ├── SinkError             results cannot be written                          (exit 7)
    ├── ClusterError          a cluster's certificates, members or messages      (exit 8)
    │   ├── BundleError       a bundle or the operator's folder: file, what is wrong
    │   ├── PeerError         a node that does not answer as it should; *cause* says why
    │   └── MalformedMessage  bytes of a peer that mean nothing
    ├── PlanError             streams that find no machines                      (exit 9)
    │   └── PlanInfeasible    proven: what is short, and by how much
    └── ProviderError         a source of machines refuses, or cannot be reached (exit 9)

Messages name the thing, its value, and the way out. The command line prints them on one line (a
ConfigError on one for each mistake) and ends with :attr:`EdgeError.exit_code`.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "AdmissionRefused",
    "BackendError",
    "BackendUnavailable",
    "BundleError",
    "CacheInvalid",
    "Cancelled",
    "CaptureError",
    "CardError",
    "ClusterError",
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
    "MessageError",
    "ModelError",
    "ModelInvalid",
    "ModelNotFound",
    "ModelUnsupported",
    "NetworkUnavailable",
    "OutOfMemory",
    "PeerError",
    "PeerFailed",
    "PlanError",
    "PlanInfeasible",
    "PrepareFailed",
    "ProviderError",
    "RingBusy",
    "RingError",
    "RingInvalid",
    "RingStale",
    "SinkError",
    "UnknownModel",
    "UsageError",
    "WireError",
    "WorkerCrashed",
]


class EdgeError(Exception):
    """The root: ``except EdgeError`` catches whatever edgesdk raises on purpose."""

    exit_code = 1


class UsageError(EdgeError):
    """A call, a command line or a value that cannot mean anything, whatever the machine."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file is wrong; the message has file, line, field, value, expectation."""


class GraphError(UsageError):
    """An application is wrong; the message has operator, parameter and ``file:line``."""


class ModelError(EdgeError):
    """A model or its card is at fault; another model might do."""

    exit_code = 3


class CardError(ModelError):
    """A card is wrong; the message has file, line, field, value and expectation."""


class ModelNotFound(ModelError):
    """No card answers a reference, or a model's file is not there; says how to get it."""


class UnknownModel(GraphError, ModelNotFound):
    """An application names a model that no card answers; the message has ``file:line``."""

    exit_code = ModelNotFound.exit_code


class ModelInvalid(ModelError):
    """The runtime cannot read the file, or its outputs are not what the card says."""


class ModelUnsupported(ModelError):
    """The runtime cannot run this model; *operators* are those it lacks, where it names them."""

    def __init__(self, message: str, operators: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.operators = operators


class DigestMismatch(ModelError):
    """Bytes differ from the SHA-256 that a card or a catalogue names."""


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
    """There is no such device here, or this runtime cannot use it."""


class DeviceBusy(BackendError):
    """The device is another process's for now."""

    retryable = True


class DeviceLost(BackendError):
    """The device has gone while it was in use; it may come back."""

    retryable = True


class PrepareFailed(BackendError):
    """The runtime read the model but cannot compile or load it; *detail* has its words."""


class CacheInvalid(BackendError):
    """A cached artefact is not what its key says. It is rebuilt once, then reported."""

    retryable = True


class InputMismatch(BackendError):
    """An input has the wrong name, dtype or shape; checked before the runtime sees it."""


class OutOfMemory(BackendError):
    """The machine or the device has no memory for a model or an inference."""

    retryable = True


class DeadlineExceeded(BackendError):
    """An inference was given up because its time had passed."""


class Cancelled(BackendError):
    """What was asked to stop has stopped: a preparation, an inference, a start."""


class InferFailed(BackendError):
    """The runtime failed on inputs that fit; *detail* has its words."""


class PeerFailed(BackendError):
    """Another node could not do what it was asked; *node* is its name."""

    retryable = True

    def __init__(
        self, message: str, *, node: str, backend: str = "", device: str = "", detail: str = ""
    ) -> None:
        super().__init__(message, backend=backend, device=device, detail=detail)
        self.node = node


class WorkerCrashed(BackendError):
    """A worker process ended without being asked to; *detail* has its signal and last words."""

    retryable = True


class CaptureError(EdgeError):
    """A source cannot be opened, read or decoded; the message hides its credentials."""

    exit_code = 5


class RingError(EdgeError):
    """A call on a ring failed; *code* is what the C library returned (negative)."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class RingBusy(RingError):
    """Another process writes the ring, or there is no place or slot for one more."""


class RingInvalid(RingError):
    """What has the ring's name is none: hostile, truncated, foreign, another version."""


class RingStale(RingError):
    """The writer has moved to a larger segment: open the ring again."""


class AdmissionRefused(EdgeError):
    """A deadline that the scheduler can never keep; *needed_ns* is the shortest it could."""

    def __init__(self, message: str, *, needed_ns: int) -> None:
        super().__init__(message)
        self.needed_ns = needed_ns


class WireError(EdgeError):
    """What another node sent is malformed, too large, or not what was asked for."""


class MessageError(WireError):
    """A datagram is not one that a balancer sends: cut short, out of range, another protocol."""


class NetworkUnavailable(EdgeError):
    """A package registry cannot be reached, or broke off."""

    exit_code = 6


class SinkError(EdgeError):
    """Results cannot be written, or not by this process."""

    exit_code = 7


class ClusterError(EdgeError):
    """A cluster's certificates, members or messages are at fault."""

    exit_code = 8


class BundleError(ClusterError):
    """A bundle or the operator's folder cannot be used; the message names file and way out."""


Cause = Literal[
    "another cluster",
    "expired",
    "clock",
    "removed",
    "role",
    "not listening",
    "unreachable",
    "silent",
    "refused",
    "protocol",
]


class PeerError(ClusterError):
    """A node does not answer as it should.

    *cause*: ``another cluster`` (certificates of two clusters met), ``expired``, ``clock`` (a
    certificate is not valid yet: a clock is wrong), ``removed`` (revoked), ``role`` (not allowed to
    ask this), ``not listening`` (the machine says so), ``unreachable`` (no way there), ``silent``
    (no answer in time), ``refused`` (it answered that it will not), ``protocol`` (no edgesdk).
    """

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause: Cause = cause


class MalformedMessage(ClusterError):
    """Bytes of a peer that mean nothing: truncated, oversized, of another version or forged."""


class PlanError(EdgeError):
    """No plan was found that places every stream; the message says what the best one lacks."""

    exit_code = 9


class PlanInfeasible(PlanError):
    """There is no plan, proven; *shortages* says in words what is short, and by how much."""

    def __init__(self, message: str, *, shortages: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.shortages = shortages or (message,)


class ProviderError(EdgeError):
    """A source of machines refuses, or cannot be reached; the message names it and the machine."""

    exit_code = 9
