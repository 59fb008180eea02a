"""Finds an application by its address, ``FILE.py:NAME`` or ``package.module:NAME``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import linecache
import os
import sys
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from edgesdk.errors import EdgeError, GraphError
from edgesdk.graph.application import Application
from edgesdk.graph.place import Place, did_you_mean

__all__ = ["load_application"]

# Of which text a module was made: files are read again while an agent runs.
_TEXT = "__edgesdk_text__"


def load_application(address: str) -> Application[Any]:
    """The application at *address*. NAME may be left out where a file has one application only.

    The file is run as a module of its own, with its directory on the import path, as Python does
    with a script. It is run again where its text has changed since.

    :raises GraphError: no such file or name, or running it failed; in one line, with the place.
    """
    where, _, name = address.rpartition(":") if ":" in address else (address, "", "")
    if not where:
        raise GraphError(f"{address!r}: expected FILE.py:NAME, such as people.py:people")
    is_file = where.endswith(".py") or os.sep in where
    module = _run_file(where) if is_file else _import(where)
    found = {key: value for key, value in vars(module).items() if isinstance(value, Application)}
    if not name:
        if len(found) == 1:
            return next(iter(found.values()))
        raise GraphError(f"{address}: {_which(where, found)}")
    named = found.get(name)
    if named is not None:
        return named
    other = vars(module).get(name)
    if callable(other) and not isinstance(other, type):
        raise GraphError(f"{where}: {name} is no application; write @edge.app above it")
    if other is not None:
        raise GraphError(f"{where}: {name} is {other!r:.40}, not an application")
    meant = did_you_mean(name, found)
    joint = " " if meant.endswith("?") else "; "
    raise GraphError(f"{where}: has no {name!r}{meant}{joint}{_which(where, found)}")


def _which(where: str, found: dict[str, Application[Any]]) -> str:
    if not found:
        return "it has no applications; write @edge.app above a function over a camera"
    return "name one of its applications: " + ", ".join(f"{where}:{name}" for name in found)


def _run_file(file: str) -> ModuleType:
    path = os.path.abspath(file)
    if os.path.isdir(path):
        raise GraphError(f"{file}: is a directory; expected FILE.py:NAME")
    if not os.path.exists(path):
        raise GraphError(f"{file}: no such file (looked in {os.getcwd()})")
    name = "edgesdk_app_" + hashlib.sha256(path.encode()).hexdigest()[:12]
    known = sys.modules.get(name)
    text = _digest(file, path)
    if known is not None and vars(known).get(_TEXT) == text:
        return known
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsItIs(name, path))
    if spec is None or spec.loader is None:
        raise GraphError(f"{file}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    directory = os.path.dirname(path)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    vars(module)[_TEXT] = text
    sys.modules[name] = module
    linecache.checkcache(path)  # ids are made of the source: of this one, not of an earlier one
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if known is not None:
            sys.modules[name] = known
        if isinstance(error, (KeyboardInterrupt, EdgeError)):
            raise
        raise _failed(file, path, error) from error
    return module


class _AsItIs(SourceFileLoader):
    """Runs the text that is there: bytecode of a text written in the same second is another's."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _digest(file: str, path: str) -> str:
    try:
        with open(path, "rb") as text:
            return hashlib.sha256(text.read()).hexdigest()
    except OSError as error:
        raise GraphError(f"{file}: {error.strerror}") from None


def _import(where: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(where)
    except (KeyboardInterrupt, EdgeError):
        raise
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(f"{error.name}.")):
            raise GraphError(
                f"{where}: no such module; expected FILE.py:NAME or package.module:NAME"
            ) from error
        raise _failed(where, "", error) from error
    except BaseException as error:
        raise _failed(where, "", error) from error


def _failed(shown: str, path: str, error: BaseException) -> GraphError:
    if isinstance(error, SyntaxError):
        place = Place(error.filename or shown, error.lineno or 1)
        return GraphError(f"{place}: {type(error).__name__}: {error.msg}")
    found = Place.of_traceback(error.__traceback__, path) if path else None
    said = str(error).splitlines()[0] if str(error) else "no message"
    return GraphError(f"{found or shown}: {type(error).__name__}: {said}")
