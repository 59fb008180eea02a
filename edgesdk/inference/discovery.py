"""Finding backends: the entry-point group ``edgesdk.backends``."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from edgesdk.errors import BackendError, BackendUnavailable
from edgesdk.inference.protocol import API, Backend, Probe

GROUP = "edgesdk.backends"
ALLOW = "EDGESDK_BACKENDS"


@dataclass
class BackendEntry:
    """One installed backend, whether or not it can be used.

    origin: the distribution that brings it. backend: None where it cannot be imported, speaks
    another API, or is not allowed; *refused* then says why.
    """

    name: str
    origin: str
    backend: Backend | None = None
    refused: Probe | None = None
    _probe: Probe | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def probe(self) -> Probe:
        """Whether it works on this machine; measured once. Never raises."""
        if self.backend is None:
            return self.refused or Probe(False, reason="package", detail="not loaded")
        with self._lock:
            if self._probe is None:
                try:
                    self._probe = self.backend.probe()
                except Exception as error:
                    self._probe = Probe(
                        False,
                        reason="package",
                        detail=f"its probe raised {type(error).__name__}: {error}",
                        next_step=f"report this to whoever makes {self.origin}",
                    )
            return self._probe


def discover() -> list[BackendEntry]:
    """All installed backends by name; importing a runtime is left to ``probe``.

    A backend that fails to import is listed with the reason. ``EDGESDK_BACKENDS=a,b`` allows
    only those named, in that order of preference; no code of another is imported. Raises
    BackendError where two distributions bring one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise BackendError(
                f"two backends are named {point.name!r}: {other.value} of {_origin(other)} and "
                f"{point.value} of {_origin(point)}; uninstall one of them",
                backend=point.name,
            )
    allowed = _allowed()
    if allowed is None:
        return [_load(point) for _, point in sorted(found.items())]
    entries = []
    for name in allowed:
        if name in found:
            entries.append(_load(found[name]))
        else:
            detail = f"{ALLOW} names it, but no installed package brings it"
            step = f"remove it from {ALLOW}, or install the package that brings it"
            entries.append(
                BackendEntry(name, "", refused=Probe(False, "", "package", detail, step))
            )
    for name, point in sorted(found.items()):
        if name not in allowed:
            refused = Probe(
                False, "", "permission", f"{ALLOW} does not allow it", f"add it to {ALLOW}"
            )
            entries.append(BackendEntry(name, _origin(point), refused=refused))
    return entries


def get_backend(name: str) -> Backend:
    """The backend of that name, known to work here; raises BackendUnavailable with the reason."""
    entries = discover()
    for entry in entries:
        if entry.name == name:
            probe = entry.probe()
            if probe.available and entry.backend is not None:
                return entry.backend
            raise BackendUnavailable(
                f"backend {name!r} cannot be used: {probe.detail}"
                + (f"; {probe.next_step}" if probe.next_step else ""),
                reason=probe.reason or "package",
                backend=name,
                detail=probe.detail,
            )
    raise BackendUnavailable(
        f"no backend is named {name!r}; installed are {', '.join(e.name for e in entries)}",
        reason="package",
        backend=name,
    )


def _allowed() -> list[str] | None:
    value = os.environ.get(ALLOW)
    if value is None or not value.strip():
        return None
    return list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _origin(point: EntryPoint) -> str:
    return "" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _load(point: EntryPoint) -> BackendEntry:
    origin = _origin(point)
    try:
        backend = point.load()()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        detail = f"{point.value} cannot be imported: {type(error).__name__}: {error}"
        step = f"reinstall {origin or point.value}"
        return BackendEntry(point.name, origin, refused=Probe(False, "", "package", detail, step))
    api = getattr(backend, "api", None)
    if api != API:
        detail = f"it was written for version {api} of the backend API; this is version {API}"
        step = f"install the release of {origin or point.value} that is made for this edgesdk"
        return BackendEntry(point.name, origin, refused=Probe(False, "", "version", detail, step))
    if not isinstance(backend, Backend):
        detail = f"{point.value} gives a {type(backend).__name__} that lacks part of the protocol"
        step = "run edgesdk.testing.conformance on it"
        return BackendEntry(point.name, origin, refused=Probe(False, "", "version", detail, step))
    return BackendEntry(point.name, origin, backend=backend)
