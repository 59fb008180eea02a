"""Which of the packages that bring the TFLite interpreter works here."""

from __future__ import annotations

import base64
import importlib
import threading
import zlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from edgesdk.errors import BackendUnavailable, Reason

# The successor first; all three have the same Interpreter.
PACKAGES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow.lite.python.interpreter"),
)

# edgesdk.testing.models.tflite_relu(), compressed.
_RELU = zlib.decompress(
    base64.b64decode(
        "eNrjYGBgCHHzMd71//9/ESBbAYgNgJiBkYGBGUIxcAAxCxgyMPADcWpKempxSrZeSWpxSWZeOlgNSC8DAx+DBJAlw"
        "MAD1MMC5EHEZYDYA4h9gDgAbBYDQ25iZh7UGqB6EOAC6mIA6+OC2skDlYdhBix8JiA2gZr5AOgHZH2VUHlGqDwP2F"
        "0MYB4Pmh0VaGph7gLp4UbSIwyxVhgAM20U2w=="
    )
)


@dataclass(frozen=True)
class Runtime:
    """The module with ``Interpreter``, and the package that brought it."""

    package: str
    version: str
    module: Any


_lock = threading.Lock()
_found: Runtime | None = None


def find() -> Runtime:
    """The first package whose interpreter runs a tiny model; raises BackendUnavailable.

    Importing proves nothing: tflite-runtime with numpy 2 imports and dies at its first model.
    """
    global _found
    with _lock:
        if _found is None:
            _found = _search()
        return _found


def _search() -> Runtime:
    failures = []
    reason: Reason = "package"
    for package, name in PACKAGES:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            if (error.name or "").split(".")[0] != name.split(".")[0]:
                failures.append(f"{package}: {error}")
                reason = "library"
            continue
        except Exception as error:
            failures.append(f"{package}: {type(error).__name__}: {error}")
            reason = "library"
            continue
        try:
            _self_test(module)
        except Exception as error:
            failures.append(f"{package} imports but cannot run a model: {error}")
            reason = "abi"
            continue
        return Runtime(package, _version(package), module)
    detail = "; ".join(failures) or f"none of {', '.join(p for p, _ in PACKAGES)} is installed"
    raise BackendUnavailable(
        f"LiteRT cannot be used: {detail}; pip install 'edgesdk[litert]'",
        reason=reason,
        backend="litert",
        detail=detail,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _self_test(module: Any) -> None:
    # Without XNNPACK, which announces itself on standard error: a probe is not to be heard.
    plain = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(model_content=_RELU, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], np.array([[-1, 0, 1, 2]], np.float32)
    )
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    if not np.array_equal(result, np.array([[0, 0, 1, 2]], np.float32)):
        raise RuntimeError(f"a model of one Relu gives {result.tolist()}")
