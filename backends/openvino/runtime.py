"""Importing OpenVINO without its telemetry.

``import openvino`` sends an event to a statistics server and writes an id into the user's home.
A camera does not do that. Its converter falls back on a stub of its own where the package
``openvino_telemetry`` cannot be imported: so that is how it looks during the import.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

from edgesdk.errors import BackendUnavailable

_TELEMETRY = "openvino_telemetry"
_lock = threading.Lock()


def module() -> Any:
    """The ``openvino`` module; raises BackendUnavailable."""
    with _lock:
        try:
            if "openvino" in sys.modules:
                return importlib.import_module("openvino")  # waits where a thread imports it
            return _imported_quietly()
        except Exception as error:
            absent = isinstance(error, ImportError) and error.name == "openvino"
            raise BackendUnavailable(
                f"the openvino package cannot be imported: {error}; "
                "pip install 'edgesdk[openvino]'",
                reason="package" if absent else "library",
                backend="openvino",
                detail=str(error),
            ) from error


def _imported_quietly() -> Any:
    hidden = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name == _TELEMETRY or name.startswith(_TELEMETRY + ".")
    }
    missing: Any = None  # what makes an import statement raise ImportError
    sys.modules[_TELEMETRY] = missing
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
        sys.modules.update(hidden)
