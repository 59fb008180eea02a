"""Checks of what a user wrote between an operator's brackets; values come back canonical.

Each check returns the value in the one form that enters ids (so that ``1`` and ``1.0``, ``"1s"``
and ``1`` are the same parameter) or raises GraphError with operator, parameter, value, expectation
and place.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeGuard, TypeVar

from edgesdk.durations import DURATION_FORM, parse_duration
from edgesdk.errors import GraphError
from edgesdk.graph.place import Place, did_you_mean

__all__ = [
    "box",
    "call_checked",
    "canonical",
    "check_call",
    "choice",
    "duration",
    "is_number",
    "names",
    "number",
    "points",
    "seconds",
    "size",
    "text",
    "wrong",
]

P = ParamSpec("P")
R = TypeVar("R")


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def is_number(value: object) -> TypeGuard[float]:
    """A real number, numpy's too, and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def wrong(
    operator: str, parameter: str, value: object, expected: str, place: Place | None = None
) -> GraphError:
    """``people.py:9: gate(threshold=3): expected a number from 0 to 1``."""
    said = f"{operator}({parameter}={_shown(value)})"
    return GraphError(f"{place or Place.of_caller()}: {said}: expected {expected}")


def number(
    operator: str,
    parameter: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: bool = False,
    whole: bool = False,
) -> float:
    """A finite number in [low, high], or (low, high] where *above*."""
    noun = "a whole number" if whole else "a number"
    if math.isfinite(low) and math.isfinite(high):
        expected = (
            f"{noun} {'above' if above else 'from'} {low:g} {'up ' if above else ''}to {high:g}"
        )
    elif math.isfinite(low):
        expected = f"{noun} above {low:g}" if above else f"{noun} of at least {low:g}"
    else:
        expected = noun
    if not is_number(value):
        raise wrong(operator, parameter, value, expected)
    found = float(value)
    if not math.isfinite(found) or (whole and found != int(found)):
        raise wrong(operator, parameter, value, expected)
    if found < low or found > high or (above and found == low):
        raise wrong(operator, parameter, value, expected)
    return found + 0.0  # -0.0 and 0.0 are one parameter


def duration(value: object) -> int | None:
    """Nanoseconds of ``"500ms"``, ``"1s"``, ``"2m"`` or a number of seconds; None if neither."""
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            return None
    if not is_number(value):
        return None
    return round(float(value) * 10**9) if math.isfinite(float(value)) else None


def seconds(
    operator: str, parameter: str, value: object, *, zero: bool = False, high: float = 86400 * 31
) -> int:
    """A duration as integer nanoseconds, above zero unless *zero*."""
    found = duration(value)
    if found is None or found < 0 or (found == 0 and not zero) or found > high * 1e9:
        bound = "" if zero else ", above zero"
        raise wrong(operator, parameter, value, f"{DURATION_FORM}, or a number of seconds{bound}")
    return found


def text(operator: str, parameter: str, value: object, expected: str = "a text") -> str:
    if not isinstance(value, str) or not value.strip():
        raise wrong(operator, parameter, value, expected)
    return value.strip()


def choice(operator: str, parameter: str, value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in known:
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise wrong(operator, parameter, value, f"one of {', '.join(known)}{hint}")
    return value


def names(operator: str, parameter: str, value: object) -> tuple[str, ...] | None:
    """Class names, sorted and once each; a single text is one name; None (all) stays None."""
    if value is None:
        return None
    given: list[object] = (
        [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
    )
    if not given or not all(isinstance(name, str) and name for name in given):
        raise wrong(operator, parameter, value, 'a list of class names, such as ["person"]')
    return tuple(sorted({str(name) for name in given}))


def _unit_coordinates(value: object, length: int) -> tuple[float, ...] | None:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return None
    given = list(value)
    if len(given) != length:
        return None
    found = []
    for item in given:
        if not is_number(item):
            return None
        if not 0.0 <= float(item) <= 1.0:
            return None
        found.append(float(item) + 0.0)
    return tuple(found)


def box(operator: str, parameter: str, value: object) -> tuple[float, ...]:
    """``(x1, y1, x2, y2)`` in [0, 1] of the frame, with an area."""
    found = _unit_coordinates(value, 4)
    if found is None or found[2] <= found[0] or found[3] <= found[1]:
        raise wrong(
            operator,
            parameter,
            value,
            "(x1, y1, x2, y2) in [0, 1] of the frame, x1 < x2 and y1 < y2",
        )
    return found


def points(
    operator: str, parameter: str, value: object, *, least: int, exactly: bool = False
) -> tuple[tuple[float, ...], ...]:
    """Points ``(x, y)`` in [0, 1] of the frame: a line has two, a polygon three at least."""
    count = f"{least}" if exactly else f"{least} or more"
    expected = f"{count} points (x, y) in [0, 1] of the frame"
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong(operator, parameter, value, expected)
    found = [_unit_coordinates(point, 2) for point in value]
    if len(found) < least or (exactly and len(found) != least) or len(found) > 1000:
        raise wrong(operator, parameter, value, expected)
    checked = tuple(point for point in found if point is not None)
    if len(checked) != len(found) or len(set(checked)) < least:
        raise wrong(operator, parameter, value, expected + ", all different")
    return checked


def size(operator: str, parameter: str, value: object) -> tuple[float, float] | None:
    """``(width, height)`` as fractions of the frame's; a single number is a height."""
    if value is None:
        return None
    expected = "(width, height), or a height, in [0, 1] of the frame"
    if is_number(value):
        value = (0.0, value)
    found = _unit_coordinates(value, 2)
    if found is None:
        raise wrong(operator, parameter, value, expected)
    return found[0], found[1]


def canonical(operator: str, parameter: str, value: object) -> Any:
    """A custom operator's parameter as plain data: what can be hashed the same everywhere."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        if isinstance(value, float) and not math.isfinite(value):
            raise wrong(operator, parameter, value, "a finite number")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise wrong(operator, parameter, value, "a number of at most 64 bits")
        return value
    if isinstance(value, (list, tuple)):
        return tuple(canonical(operator, parameter, item) for item in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: canonical(operator, parameter, item) for key, item in sorted(value.items())}
    if isinstance(value, numbers.Integral):
        return int(value)
    if is_number(value):
        return canonical(operator, parameter, float(value))
    raise wrong(
        operator,
        parameter,
        value,
        "plain data (numbers, texts, lists and dicts of them), "
        "since it becomes part of the operator's id",
    )


def check_call(
    operator: str, signature: inspect.Signature, args: Sequence[object], kwargs: dict[str, Any]
) -> inspect.BoundArguments:
    """*args* and *kwargs* bound to *signature*; a call that does not fit is a GraphError."""
    known = [
        p.name
        for p in signature.parameters.values()
        if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    place = Place.of_caller()
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for name, value in kwargs.items():
        if name not in known and not open_ended:
            raise GraphError(
                f"{place}: {operator}({name}={_shown(value)}): unknown parameter {name!r}"
                f"{did_you_mean(name, known) or ';'} {takes}"
            )
    positional = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    unnamed = args[len(positional) :]
    if unnamed and not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        raise GraphError(
            f"{place}: {operator}({_shown(unnamed[0])}): parameters are given by name; {takes}"
        )
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        missing = str(error).partition("missing a required ")[2].partition(": ")[2]
        said = f"needs {missing.strip(chr(39))}=" if missing else str(error)
        raise GraphError(f"{place}: {operator}: {said}; {takes}") from None


def call_checked(method: Callable[P, R]) -> Callable[P, R]:
    """Makes a wrong call of *method* a GraphError that names it, in place of a TypeError."""
    signature = inspect.signature(method)
    operator = method.__name__

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_call(operator, signature, args, kwargs)
        return method(*args, **kwargs)

    return call
